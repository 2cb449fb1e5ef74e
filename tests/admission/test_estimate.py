"""Estimates of a waiting unit's start: kept whenever run times are kept, else unknown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.admission import estimate as module
from kube_queue.admission.decisions import Admit
from kube_queue.admission.estimate import Estimate, Facts, estimate
from kube_queue.admission.running import Held, Running
from kube_queue.admission.runtimes import Interval, RunTimes
from kube_queue.api.lifecycle import HOLDS_QUOTA, Phase
from kube_queue.api.queues import Policy
from kube_queue.api.quota import QuotaTree
from kube_queue.api.units import Unit
from tests.builders import START, UnitBuilder, World, a_quota, a_tree, a_unit, one_quota
from tests.examples import examples


def ran(builder: UnitBuilder, seconds: float) -> UnitBuilder:
    """The unit runs since so many seconds."""
    started = int((START - seconds) * 1_000_000)
    unit = replace(builder.unit, phase=Phase.RUNNING, held=builder.unit.request, started=started)
    return UnitBuilder(unit)


def lasting(builder: UnitBuilder, seconds: int) -> UnitBuilder:
    return UnitBuilder(replace(builder.unit, expected_seconds=seconds))


def limited(builder: UnitBuilder, seconds: int) -> UnitBuilder:
    return UnitBuilder(replace(builder.unit, limit_seconds=seconds))


def facts_of(world: World, run_times: RunTimes | None = None) -> Facts:
    running = Running()
    for unit in world.cache.units():
        charge = world.cache.ledger.held(unit.uid)
        if charge is not None:
            running.put(Held(unit, charge.leaf, charge.request, world.now))
    cache = world.cache
    return Facts(cache.ledger, cache.pending, running, run_times or RunTimes(), world.now)


def estimated(world: World, name: str, run_times: RunTimes | None = None) -> Estimate:
    world.decides()
    waiter = world.cache.pending.waiter(f"uid-{name}")
    assert waiter is not None
    return estimate(facts_of(world, run_times), waiter)


def test_the_head_starts_when_what_it_needs_is_given_back() -> None:
    world = World(one_quota(cpu="4"), Policy.BLOCK)
    world.sees(ran(lasting(a_unit("short").asking(cpu="1"), 100), 40))
    world.sees(ran(lasting(a_unit("long").asking(cpu="3"), 500), 100))
    world.sees(a_unit("small").asking(cpu="1"), a_unit("w").asking(cpu="4").with_priority(9))
    assert estimated(world, "w") == Estimate(400.0, 400.0)


def test_units_ahead_in_a_block_queue_run_first_as_long_as_they_may() -> None:
    times = RunTimes()
    for seconds in (30.0, 90.0):
        times.ended(a_unit("ahead-1").asking(cpu="4").unit, seconds)
    world = World(one_quota(cpu="4"), Policy.BLOCK)
    world.sees(ran(lasting(a_unit("r").asking(cpu="4"), 100), 40))
    world.sees(a_unit("ahead-2").asking(cpu="4"), a_unit("w").asking(cpu="1").submitted_at(1))
    assert estimated(world, "w", times) == Estimate(90.0, 150.0)


def test_where_a_holders_run_time_is_not_known_the_start_is_not_known() -> None:
    world = World(one_quota(cpu="5"), Policy.PRIORITY)
    world.sees(*(ran(a_unit(f"r{n}").asking(cpu="1"), 40) for n in range(3)))
    world.sees(*(ran(lasting(a_unit(f"s{n}").asking(cpu="1"), 100), 40) for n in range(2)))
    world.sees(a_unit("w").asking(cpu="3"))
    assert estimated(world, "w") == Estimate(
        0.0, None, "3 of the 5 units that hold quota root/team have no known run time"
    )


def test_holders_that_need_not_go_may_run_for_ever() -> None:
    world = World(one_quota(cpu="4"), Policy.PRIORITY)
    world.sees(ran(a_unit("endless").asking(cpu="1"), 40))
    world.sees(ran(lasting(a_unit("r").asking(cpu="3"), 100), 40), a_unit("w").asking(cpu="3"))
    assert estimated(world, "w") == Estimate(60.0, 60.0)


def test_a_job_that_runs_longer_than_expected_may_run_for_ever() -> None:
    world = World(one_quota(cpu="4"), Policy.BLOCK)
    world.sees(ran(lasting(a_unit("r").asking(cpu="4"), 100), 200), a_unit("w").asking(cpu="1"))
    assert estimated(world, "w") == Estimate(
        0.0, None, "the one unit that holds quota root/team ran longer than expected"
    )


def test_a_time_limit_bounds_the_latest_start_alone() -> None:
    world = World(one_quota(cpu="4"), Policy.BLOCK)
    world.sees(ran(limited(a_unit("r").asking(cpu="4"), 100), 30), a_unit("w").asking(cpu="1"))
    assert estimated(world, "w") == Estimate(0.0, 70.0)


def test_a_unit_ahead_of_unknown_length_leaves_the_latest_start_open() -> None:
    world = World(one_quota(cpu="4"), Policy.BLOCK)
    world.sees(ran(lasting(a_unit("r").asking(cpu="4"), 100), 40))
    world.sees(a_unit("ahead").asking(cpu="4"), a_unit("w").asking(cpu="4").submitted_at(1))
    assert estimated(world, "w") == Estimate(
        60.0, None, "the one unit that may start before it has no known run time"
    )


def test_under_priority_smaller_units_behind_may_pass_and_are_counted() -> None:
    world = World(one_quota(cpu="4"), Policy.PRIORITY)
    world.sees(ran(lasting(a_unit("r").asking(cpu="4"), 100), 0))
    world.sees(a_unit("w").asking(cpu="4"))
    world.sees(lasting(a_unit("behind").asking(cpu="1"), 50).submitted_at(1))
    assert estimated(world, "w") == Estimate(100.0, 150.0)


def test_other_queues_that_take_from_the_same_quota_are_counted() -> None:
    teams = [a_quota(name).max(cpu=4).serving(name) for name in ("a", "b")]
    world = World(a_tree(a_quota("root").max(cpu=4).over(*teams)), Policy.BLOCK)
    world.sees(ran(lasting(a_unit("r").asking(cpu="4").of_namespace("b"), 100), 0))
    world.sees(lasting(a_unit("rival").asking(cpu="4").of_namespace("b"), 50))
    world.sees(a_unit("w").asking(cpu="4").of_namespace("a").submitted_at(1))
    assert estimated(world, "w") == Estimate(100.0, 150.0)


def test_queues_that_cannot_take_from_the_same_quota_do_not_count() -> None:
    teams = [a_quota(name).max(cpu=4).serving(name) for name in ("a", "b")]
    world = World(a_tree(a_quota("root").max(cpu=8).over(*teams)), Policy.BLOCK)
    world.sees(ran(a_unit("s").asking(cpu="4").of_namespace("b"), 0))
    world.sees(a_unit("rival").asking(cpu="4").of_namespace("b"))
    world.sees(ran(lasting(a_unit("r").asking(cpu="4").of_namespace("a"), 100), 0))
    world.sees(a_unit("w").asking(cpu="4").of_namespace("a").submitted_at(1))
    assert estimated(world, "w") == Estimate(100.0, 100.0)


def test_a_unit_that_is_held_has_no_start() -> None:
    world = World(one_quota(cpu="4"))
    world.sees(a_unit("w").asking(cpu="1").inactive(), a_unit("x").asking(cpu="5"))
    assert estimated(world, "w") == Estimate(None, None, "held by spec.active=false")
    told = estimated(world, "x")
    assert (told.earliest, told.latest) == (None, None)
    assert told.unknown.startswith("it can never run until that max is raised")


def test_while_units_are_evicted_nobody_knows_who_comes_next() -> None:
    world = World(one_quota(cpu="4"), Policy.BLOCK)
    leaving = ran(lasting(a_unit("r").asking(cpu="4"), 100), 0)
    world.sees(UnitBuilder(replace(leaving.unit, evicted=True)), a_unit("w").asking(cpu="1"))
    assert estimated(world, "w").unknown == "units are being evicted from quota root/team"


def test_too_much_to_look_at_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(one_quota(cpu="3"), Policy.BLOCK)
    world.sees(*(ran(lasting(a_unit(f"r{n}").asking(cpu="1"), 9), 0) for n in range(3)))
    world.sees(*(lasting(a_unit(f"w{n}").asking(cpu="1"), 9) for n in range(5)))
    assert estimated(world, "w4") == Estimate(18.0, 18.0)
    monkeypatch.setattr(module, "WAITERS_READ", 3)
    assert estimated(world, "w4").unknown == "more than 3 units are before it"
    assert estimated(world, "w3") == Estimate(18.0, 18.0)
    monkeypatch.setattr(module, "HOLDERS_READ", 2)
    assert estimated(world, "w0").unknown == "more than 2 units hold quota root/team"


# --- whatever happens, an interval that is given is kept ------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """One unit of a random world: what it says and how long it really runs."""

    leaf: str
    cpu: int
    gpu: int
    priority: int
    known: Interval | None
    ran: float
    really: float
    """From its start."""


@st.composite
def drawn_units(draw: st.DrawFn, leaves: list[str], running: bool) -> Drawn:
    least = draw(st.integers(0, 20))
    most = least + draw(st.integers(0, 20))
    known = None if draw(st.integers(0, 5)) == 0 else Interval(least, most)
    lasts = draw(st.integers(least, most)) if known else draw(st.sampled_from([0, 7, 30, 500]))
    return Drawn(
        leaf=draw(st.sampled_from(leaves)),
        cpu=draw(st.integers(0, 4)),
        gpu=draw(st.sampled_from([0, 0, 0, 1, 2])),
        priority=draw(st.integers(0, 2)),
        known=known,
        ran=draw(st.integers(0, lasts)) if running else 0.0,
        really=lasts,
    )


@st.composite
def drawn_trees(draw: st.DrawFn) -> QuotaTree:
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    leaves = [a_quota(name).max(cpu=draw(st.integers(2, 6)), gpu=2).serving(name) for name in names]
    return a_tree(a_quota("root").max(cpu=draw(st.integers(4, 9))).over(*leaves))


class Story:
    """A world in which every job lasts as long as was drawn."""

    def __init__(self, tree: QuotaTree, policy: Policy) -> None:
        self.world = World(tree, policy)
        self.times = RunTimes()
        self.lasts: dict[str, float] = {}
        self._ends: list[tuple[float, int, str]] = []
        self._number = count()

    def add(self, name: str, drawn: Drawn, *, runs: bool) -> None:
        builder = a_unit(name).of_namespace(drawn.leaf).asking(cpu=drawn.cpu, gpu=drawn.gpu)
        builder = builder.with_priority(drawn.priority)
        self._teach(builder.unit, drawn.known)
        if runs:
            builder = ran(builder, drawn.ran)
            self._will_end(name, drawn.really - drawn.ran)
        self.lasts[name] = drawn.really
        self.world.sees(builder)

    def _teach(self, unit: Unit, known: Interval | None) -> None:
        if known is not None:
            self.times.ended(unit, known.least)
            self.times.ended(unit, known.most)

    def _will_end(self, name: str, seconds: float) -> None:
        heappush(self._ends, (self.world.now + seconds, next(self._number), name))

    def starts(self) -> dict[str, float]:
        """When every waiting unit is admitted, in seconds from the beginning."""
        found: dict[str, float] = {}
        world = self.world
        while True:
            for decision in world.decides():
                if isinstance(decision, Admit):
                    found[decision.name] = world.now - START
                    world.runs(decision.name)
                    self._will_end(decision.name, self.lasts[decision.name])
            wake = world.cache.next_wake()
            end = self._ends[0][0] if self._ends else inf
            if wake is None and end == inf:
                return found
            world.now = max(world.now, min(end, inf if wake is None else wake))
            if end <= world.now:
                world.ends(heappop(self._ends)[2])


@settings(max_examples=examples(300), deadline=None)
@given(data=st.data())
def test_a_unit_starts_within_its_estimate_when_run_times_are_kept(data: st.DataObject) -> None:
    tree = data.draw(drawn_trees())
    policy = data.draw(st.sampled_from([one for one in Policy if one is not Policy.BACKFILL]))
    story = Story(tree, policy)
    names = [leaf.name for leaf in tree.leaves()]
    for number in range(data.draw(st.integers(0, 5))):
        story.add(f"r{number}x", data.draw(drawn_units(names, True)), runs=True)
    waiting = data.draw(st.lists(drawn_units(names, False), min_size=1, max_size=7))
    for number, drawn in enumerate(waiting):
        story.add(f"w{number}x", drawn, runs=False)
    told = {
        unit.name: estimate(facts_of(story.world, story.times), waiter)
        for unit in story.world.cache.units()
        if unit.phase not in HOLDS_QUOTA
        and (waiter := story.world.cache.pending.waiter(unit.uid)) is not None
    }
    starts = story.starts()
    for name, interval in told.items():
        if interval.earliest is not None:
            assert starts.get(name, inf) >= interval.earliest, (name, interval)
        if interval.latest is not None:
            assert starts[name] <= interval.latest, (name, interval)
            assert interval.unknown == ""
        else:
            assert interval.unknown
