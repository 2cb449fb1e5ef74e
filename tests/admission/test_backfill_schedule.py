"""The head is never delayed by whoever passed it: random worlds against a brute-force schedule.

In these worlds jobs run exactly as long as is known of them; those of which nothing is known run
for ever. Leaf ``a`` has the queue; what runs in leaf ``b`` shares the root with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.names import MAX_JOBS
from kube_queue.api.queues import Policy
from kube_queue.api.units import Unit
from tests.builders import START, UnitBuilder, World, a_quota, a_tree, a_unit

RESOURCES = ("cpu", "nvidia.com/gpu")


@dataclass(frozen=True)
class Job:
    """One job of the world and how long it runs; ``seconds`` 0: for ever, and nobody knows."""

    leaf: str
    cpu: int
    gpu: int
    seconds: int
    hard: bool = False

    def unit(self, name: str, submitted: int) -> Unit:
        builder = a_unit(name).of_namespace(self.leaf).asking(cpu=self.cpu, gpu=self.gpu)
        builder = builder.submitted_at(submitted)
        unit = builder.not_preemptible().unit if self.hard else builder.unit
        return replace(unit, expected_seconds=self.seconds)


@dataclass(frozen=True)
class Bounds:
    """Max of the leaf and the root, min of both, max-jobs of the root."""

    leaf: tuple[int, int]
    root: tuple[int, int]
    guaranteed: tuple[int, int]
    jobs: int

    def have_room(self, jobs: Iterable[Job]) -> bool:
        jobs = list(jobs)
        inside = [job for job in jobs if job.leaf == "a"]
        for at, which in enumerate(("cpu", "gpu")):
            hard = sum(getattr(job, which) for job in inside if job.hard)
            if sum(getattr(job, which) for job in inside) > self.leaf[at]:
                return False
            if sum(getattr(job, which) for job in jobs) > self.root[at]:
                return False
            if hard > self.guaranteed[at]:
                return False
        return len(jobs) <= self.jobs


Ends = dict[str, tuple[Job, float]]


def starts_at(bounds: Bounds, now: float, held: Ends, job: Job) -> float:
    """The first moment at which the job fits if only the ends of these happen."""
    moments = sorted({now, *(end for _, end in held.values() if end > now)})
    for moment in moments:
        if moment < inf and bounds.have_room(
            [job, *(one for one, end in held.values() if end > moment)]
        ):
            return moment
    return inf


class Play:
    """The world in time, as the cache decides."""

    def __init__(self, bounds: Bounds, policy: Policy) -> None:
        self.bounds = bounds
        cpu, gpu = bounds.guaranteed
        leaves = [
            a_quota("a").max(cpu=bounds.leaf[0], gpu=bounds.leaf[1]).min(cpu=cpu, gpu=gpu),
            a_quota("b"),
        ]
        root = a_quota("root").max(cpu=bounds.root[0], gpu=bounds.root[1], jobs=bounds.jobs)
        below = [leaf.serving(leaf.name) for leaf in leaves]
        tree = a_tree(root.min(cpu=cpu, gpu=gpu).over(*below))
        self.world = World(tree, policy)
        self.now = 0.0
        self.held: Ends = {}
        self.waiting: dict[str, Job] = {}
        self.started: dict[str, float] = {}

    def arrive(self, jobs: dict[str, Job], at: int) -> None:
        for name, job in jobs.items():
            self.waiting[name] = job
            self.world.sees(UnitBuilder(job.unit(name, at)))

    def cycle(self) -> list[str]:
        self.world.now = START + self.now
        names = self.world.admits()
        for name in names:
            job = self.waiting.pop(name)
            self.held[name] = job, self.now + job.seconds if job.seconds else inf
            self.started[name] = self.now
        for name in names:
            unit = self.world.known(name)
            moment = int((START + self.now) * 1_000_000)
            self.world.runs(name)
            seen = replace(self.world.known(name), allocated=moment, started=moment)
            self.world.cache.unit_seen(seen)
            assert unit.uid == seen.uid
        return names

    def go_on(self) -> bool:
        """The next ends happen; whether there are any."""
        moment = min((end for _, end in self.held.values()), default=inf)
        if moment == inf:
            return False
        self.now = moment
        for name in [name for name, (_, end) in self.held.items() if end == moment]:
            del self.held[name]
            self.world.ends(name)
        return True

    @property
    def head(self) -> str | None:
        """The first unit that would fit an empty quota."""
        return next((n for n, job in self.waiting.items() if self.bounds.have_room([job])), None)


amount = st.sampled_from([1, 2, 4, 3, 0])
gpus = st.sampled_from([0, 1, 0, 2])
seconds = st.sampled_from([5, 2, 13, 1, 8, 3, 0])
inside = st.builds(Job, st.just("a"), amount, gpus, seconds, st.booleans())
beside = st.builds(Job, st.just("b"), amount, gpus, seconds)
all_bounds = st.builds(
    Bounds,
    st.tuples(st.integers(4, 8), st.integers(1, 3)),
    st.tuples(st.integers(5, 10), st.integers(1, 3)),
    st.tuples(st.integers(2, 4), st.integers(0, 2)),
    st.integers(3, 7),
)
WORLDS = given(
    bounds=all_bounds,
    running=st.lists(inside | beside, min_size=3, max_size=6),
    waves=st.lists(st.lists(inside, min_size=3, max_size=5), min_size=1, max_size=3),
)


def prepared(bounds: Bounds, running: list[Job], policy: Policy) -> Play:
    play = Play(bounds, policy)
    for index, job in enumerate(running):
        if bounds.have_room([job, *(one for one, _ in play.held.values())]):
            play.arrive({f"r{index}": job}, index - 100)
            assert play.cycle() == [f"r{index}"]
    return play


@WORLDS
def test_no_unit_behind_the_head_delays_it_and_all_that_cannot_pass_it(
    bounds: Bounds, running: list[Job], waves: list[list[Job]]
) -> None:
    play = prepared(bounds, running, Policy.BACKFILL)
    goes_on, wave, passed = True, 0, set[str]()
    reserved: tuple[str | None, float] = (None, inf)
    while goes_on or wave < len(waves):
        if wave < len(waves):
            jobs = {f"w{wave}.{index}": job for index, job in enumerate(waves[wave])}
            play.arrive(jobs, 100 * wave)
            wave += 1
        before = play.head
        if before != reserved[0]:
            passed.clear()
        names = play.cycle()
        head = play.head
        if head is not None:
            passed = passed | set(names) if head == before else set(names)
            behind = {n for n in passed if n > head}
            without = {n: held for n, held in play.held.items() if n not in behind}
            alone = starts_at(bounds, play.now, without, play.waiting[head])
            start = starts_at(bounds, play.now, play.held, play.waiting[head])
            assert start <= alone, (head, names)
            if head == reserved[0]:
                assert start <= reserved[1], head
            reserved = head, start
            for name, job in play.waiting.items():
                if name == head or start == inf:
                    continue
                if not bounds.have_room([job, *(one for one, _ in play.held.values())]):
                    continue
                end = play.now + job.seconds if job.seconds else inf
                held = {**play.held, name: (job, end)}
                assert starts_at(bounds, play.now, held, play.waiting[head]) > start, name
        goes_on = play.go_on()


@WORLDS
def test_the_first_head_starts_as_early_as_without_backfilling(
    bounds: Bounds, running: list[Job], waves: list[list[Job]]
) -> None:
    starts = []
    for policy in (Policy.BLOCK, Policy.BACKFILL):
        play = prepared(bounds, running, policy)
        play.arrive({f"w{index}": job for index, job in enumerate(waves[0])}, 100)
        first = play.head
        play.cycle()
        while play.go_on():
            play.cycle()
        starts.append(play.started.get(first, inf) if first is not None else 0.0)
    assert starts[1] == starts[0]


def test_the_worlds_have_units_that_pass() -> None:
    bounds = Bounds((4, 0), (9, 0), (0, 0), 9)
    play = prepared(bounds, [Job("a", 3, 0, 10)], Policy.BACKFILL)
    play.arrive({"w0": Job("a", 4, 0, 5), "w1": Job("a", 1, 0, 10), "w2": Job("a", 1, 0, 10)}, 1)
    assert play.cycle() == ["w1"]
    assert MAX_JOBS in play.world.cache.ledger.usage("root").max
