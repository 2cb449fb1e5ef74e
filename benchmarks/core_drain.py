"""core-drain: what one release costs the decision core as more units wait, and how fast it drains.

No I/O: a cache, a tree of four levels with 1,000 leaves that borrow, 8 resources, 200 request
shapes drawn by Zipf's law. Everything in CPU time, which others on the machine do not add to (their
traffic through its caches does: the yardstick, a loop of dictionary writes, tells how much). Each
measurement has a process of its own:

* release (always): with 1k, 10k, 100k waiting, one unit gives its quota back, because it ended or
  was told to go, and a cycle decides who gets it; arrivals keep the depth. For every policy, with
  reclaim as it is by default and without. *Release* is all of it; *news* of it is what the cache
  does with the unit that was seen, before anybody decides. Because more fit in a deeper queue,
  also per admission (the release by the units it let in) and per *verdict*: the cycle by the units
  that got an answer in it, which is yes, no, or yes once those who are told to go have gone.
* needle (--needle): 1k, 10k, 100k wait in one leaf, no two ask for the same, and a release has room
  for the last one only (benchmarks.core_needle).
* drain (--drain): 100,000 wait, running units end in random order until everybody ran.

Run: python -m benchmarks.core_drain [--policy POLICY] [--needle] [--drain] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import random
import resource
import statistics
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any, Final, NamedTuple

from benchmarks.apart import in_fresh_process
from benchmarks.core_needle import measure_needle
from kube_queue.admission import Admit, Decision, Evict
from kube_queue.api.lifecycle import Phase
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy
from kube_queue.api.queues import Policy, Queue
from kube_queue.api.quota import QuotaTree, parse_tree, queue_name
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.units import Unit
from kube_queue.cache import Cache

POLICIES: Final = tuple(Policy)
RESOURCES: Final = ("cpu", "memory", "ephemeral-storage", *(f"example.com/r{i}" for i in range(5)))
SHAPES: Final = 200
LEAVES: Final = 1_000
DEPTHS: Final = (1_000, 10_000, 100_000)
RECLAIMS: Final = (ReclaimPolicy.ANY, ReclaimPolicy.NEVER)
START: Final = 1_700_000_000.0
LEAF_MAX: Final = 16
PARENT_MAX: Final = 120
ROOT_MAX: Final = 8_000
"""In units of the smallest shape: parents lend among their ten leaves, the root among all."""


def a_tree() -> QuotaTree:
    """Root, 10 x 10 inner nodes, 1,000 leaves; leaves may borrow, inner nodes and root bind too."""

    def limits(amount: int) -> dict[str, str]:
        return {name: str(amount) for name in RESOURCES}

    def node(name: str, amount: int, minimum: int, children: list[Any]) -> dict[str, Any]:
        return {
            "name": name,
            "max": limits(amount),
            "min": limits(minimum),
            "children": children,
            "namespaces": [] if children else [name],
        }

    tops = []
    for i in range(10):
        middles = []
        for j in range(10):
            leaves = [node(f"q{i}.{j}.{k}", LEAF_MAX, 8, []) for k in range(10)]
            middles.append(node(f"m{i}.{j}", PARENT_MAX, 80, leaves))
        tops.append(node(f"t{i}", 10 * PARENT_MAX, 800, middles))
    root = node("root", ROOT_MAX, 8_000, tops)
    tree, _ = parse_tree({"metadata": {"name": "bench"}, "spec": {"root": root}})
    if tree is None:
        raise SystemExit("the benchmark's tree cannot be compiled")
    return tree


class Took(NamedTuple):
    """What one release cost, in seconds, and what came of it."""

    news: float
    cycle: float
    admitted: int
    verdicts: int
    """Units that were admitted, refused (behind a head as well), or promised what others were told
    to give back.
    """

    @property
    def whole(self) -> float:
        return self.news + self.cycle


class Evicts(NamedTuple):
    """Who may be evicted for whom."""

    reclaim: ReclaimPolicy
    preemption: PreemptionPolicy


class Load:
    """Units by Zipf's law: shape s is drawn with weight 1/(s+1), leaves evenly."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.shapes = [self._shape() for _ in range(SHAPES)]
        self.weights = [1 / (rank + 1) for rank in range(SHAPES)]
        self.made = 0

    def _shape(self) -> ResourceVector:
        asked = self.rng.sample(RESOURCES[1:], self.rng.randint(1, 3))
        amounts = {name: self.rng.randint(1, 8) for name in asked}
        return ResourceVector.of({"cpu": 1000 * self.rng.randint(1, 8), **amounts})

    def unit(self) -> Unit:
        """The next arrival, a millisecond after the one before."""
        self.made += 1
        leaf = self.rng.randrange(LEAVES)
        [shape] = self.rng.choices(self.shapes, self.weights)
        return Unit(
            namespace=f"q{leaf // 100}.{leaf // 10 % 10}.{leaf % 10}",
            name=f"u{self.made}",
            uid=f"{self.made:08x}",
            resource_version="1",
            job=None,
            queue="",
            quota="",
            preemptible=True,
            priority=self.rng.randrange(3),
            request=shape,
            held=EMPTY,
            active=True,
            phase=Phase.ENQUEUED,
            reason="",
            message="",
            submitted=int(START * 1e6) + self.made * 1000,
            requeue_at=0,
            attempts=0,
            evicted=False,
            job_priority=None,
            invalid="",
        )


class Run:
    """A cache with so many waiting units, full."""

    def __init__(self, policy: Policy, waiting: int, evicts: Evicts) -> None:
        self.load = Load(7)
        self.cache = Cache(
            default_policy=policy, reclaim=evicts.reclaim, preemption=evicts.preemption
        )
        self.running: list[str] = []
        self.leaving: list[str] = []
        self.admitted = 0
        self.evicted = 0
        self.now = START
        tree = a_tree()
        self.cache.tree_seen(tree)
        for leaf in tree.leaves():
            name = queue_name(leaf.path)
            self.cache.queue_seen(
                Queue("kube-queue", name, name, "1", None, "", 0, leaf.path, True)
            )
        started = process_time()
        # Those that run at once come first, then so many more that the wanted number waits.
        while len(self.cache.pending) < waiting:
            self.arrive(waiting)
            self.carry_out(self.cache.cycle(self.now))
        while self.leaving:
            self.release()
        self.filled_seconds = process_time() - started
        gc.collect()
        gc.freeze()

    def arrive(self, waiting: int) -> None:
        """So many units wait."""
        while len(self.cache.pending) < waiting:
            self.cache.unit_seen(self.load.unit())

    def carry_out(self, decisions: list[Decision]) -> None:
        """Who was admitted runs; who has to go is on his way."""
        for decision in decisions:
            if isinstance(decision, Admit):
                self.admitted += 1
                unit = self._known(decision.uid)
                self.cache.unit_seen(
                    replace(unit, phase=Phase.RUNNING, held=unit.request, resource_version="2")
                )
                self.running.append(unit.uid)
            elif isinstance(decision, Evict):
                self.evicted += 1
                unit = self._known(decision.uid)
                self.cache.unit_seen(replace(unit, evicted=True, preemptor=decision.preemptor))
                self.running.remove(unit.uid)
                self.leaving.append(unit.uid)

    def release(self) -> Took:
        """One unit gives its quota back: the next one that was evicted and waits from now on, else
        any that ends; and the cycle it causes.
        """
        self.now += 0.01
        if self.leaving:
            unit = self._known(self.leaving.pop(0))
            given_back = replace(
                unit, phase=Phase.ENQUEUED, held=EMPTY, evicted=False, resource_version="3"
            )
        else:
            unit = self._known(self._any_running())
            given_back = replace(unit, phase=Phase.SUCCEED, held=EMPTY, resource_version="3")
        before, passed_over = self.admitted, self.cache.pending.passed_over
        started = process_time()
        self.cache.unit_seen(given_back)
        seen = process_time()
        decisions = self.cache.cycle(self.now)
        decided = process_time()
        self.carry_out(decisions)
        if given_back.phase is Phase.SUCCEED:
            self.cache.unit_gone(unit.uid)
        verdicts = {one.preemptor if isinstance(one, Evict) else one.uid for one in decisions}
        passed_over = self.cache.pending.passed_over - passed_over
        count = len(verdicts) + passed_over
        return Took(seen - started, decided - seen, self.admitted - before, count)

    def _any_running(self) -> str:
        at = self.load.rng.randrange(len(self.running))
        self.running[at], self.running[-1] = self.running[-1], self.running[at]
        return self.running.pop()

    def _known(self, uid: str) -> Unit:
        found = self.cache.unit(uid)
        if found is None:
            raise SystemExit(f"unit {uid} is lost")
        return found


def measure_release(policy: Policy, depth: int, releases: int, evicts: Evicts) -> dict[str, Any]:
    """Units examined and time per release at this depth, arrivals replacing what was admitted."""
    run = Run(policy, depth, evicts)
    run.admitted = run.evicted = examined = 0
    took = []
    for _ in range(releases):
        looked = run.cache.pending.examined
        took.append(run.release())
        examined += run.cache.pending.examined - looked
        run.arrive(depth)
        run.carry_out(run.cache.cycle(run.now))
    per_admission = [one.whole / one.admitted for one in took if one.admitted]
    per_verdict = [one.cycle / one.verdicts for one in took if one.verdicts]
    return {
        "waiting": len(run.cache.pending),
        "releases": releases,
        "admitted_per_release": sum(one.admitted for one in took) / releases,
        "evicted_per_release": run.evicted / releases,
        "examined_per_release": examined / releases,
        "verdicts_per_release": sum(one.verdicts for one in took) / releases,
        **spread("us_per_release", [one.whole for one in took]),
        **spread("us_of_news", [one.news for one in took]),
        **spread("us_per_admission", per_admission),
        **spread("us_per_verdict", per_verdict),
    }


def measure_drain(policy: Policy, units: int, evicts: Evicts) -> dict[str, Any]:
    """Everything waiting runs and ends."""
    run = Run(policy, units, evicts)
    waiting = len(run.cache.pending)
    before, looked = run.admitted, run.cache.pending.examined
    took = []
    while run.running or run.leaving:
        took.append(run.release())
    left = len(run.cache.pending)
    decisions = run.admitted - before
    if left:
        raise SystemExit(f"{left} units never ran")
    return {
        "waiting": waiting,
        "decisions": decisions,
        "decisions_per_second": decisions / sum(one.whole for one in took),
        **spread("us_per_decision", [one.whole / one.admitted for one in took if one.admitted]),
        "examined_per_decision": (run.cache.pending.examined - looked) / decisions,
        "arrivals_per_second": run.load.made / run.filled_seconds,
    }


def spread(name: str, seconds: list[float]) -> dict[str, float]:
    """Median, mean and p99 in microseconds."""
    return {
        f"{name}_median": statistics.median(seconds) * 1e6,
        f"{name}_mean": statistics.fmean(seconds) * 1e6,
        f"{name}_p99": sorted(seconds)[int(len(seconds) * 0.99)] * 1e6,
    }


def yardstick() -> float:
    """Milliseconds of a fixed piece of work: how fast the machine is just now."""
    took = []
    for _ in range(15):
        started = process_time()
        kept: dict[int, tuple[int, str]] = {}
        for number in range(20_000):
            kept[number & 255] = number, str(number)
        took.append(process_time() - started)
    return statistics.median(took) * 1e3


def child(policy: str, what: str, size: int, releases: int, evicts: Evicts) -> None:
    """One measurement in this process; prints one JSON line."""
    # As in the process that decides (kube_queue/app/child.py).
    gc.set_threshold(50_000, 20, 50)
    chosen, before = Policy(policy), yardstick()
    if what == "drain":
        figures = measure_drain(chosen, size, evicts)
    elif what == "needle":
        figures = measure_needle(chosen, size, releases)
    else:
        figures = measure_release(chosen, size, releases, evicts)
    figures["yardstick_ms"] = (before + yardstick()) / 2
    figures["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def apart(policy: Policy, what: str, size: int, releases: int, evicts: Evicts) -> dict[str, Any]:
    """One measurement's figures, from a process that did nothing else."""
    words = ("--child", policy.value, what, str(size), str(releases), *evicts)
    return in_fresh_process("benchmarks.core_drain", *words)


HEADER: Final = (
    f"{'policy':<12}{'reclaim':<8}{'waiting':>8}{'examined':>9}{'verdicts':>9}{'admitted':>9}"
    f"{'evicted':>8}{'release':>8}{'mean':>6}{'p99':>7}{'news':>6}{'admission':>10}{'verdict':>8}"
    f"{'yard ms':>8}{'MB':>5}"
)


def release_row(policy: Policy, name: str, row: dict[str, Any]) -> str:
    """The figures of one depth: counts per release, microseconds, medians where nothing is said."""
    return (
        f"{policy:<12}{name:<8}{row['waiting']:>8}{row['examined_per_release']:>9.2f}"
        f"{row.get('verdicts_per_release', 0.0):>9.2f}"
        f"{row['admitted_per_release']:>9.2f}{row.get('evicted_per_release', 0.0):>8.2f}"
        f"{row['us_per_release_median']:>8.0f}{row['us_per_release_mean']:>6.0f}"
        f"{row['us_per_release_p99']:>7.0f}{row.get('us_of_news_median', 0.0):>6.0f}"
        f"{row.get('us_per_admission_median', 0.0):>10.0f}"
        f"{row.get('us_per_verdict_median', 0.0):>8.0f}"
        f"{row['yardstick_ms']:>8.2f}{row['peak_rss_mb']:>5.0f}"
    )


def growth(rows: list[dict[str, Any]]) -> str:
    """How much dearer the deepest is than the shallowest, in yards."""

    def times(figure: str) -> float:
        first, last = (row[figure] / row["yardstick_ms"] for row in (rows[0], rows[-1]))
        return float(last / first)

    per_release = times("us_per_release_median")
    told = f"{'':<20}deepest / shallowest in yards: {per_release:.2f} x a release"
    if "us_per_admission_median" not in rows[0]:
        return told
    moved = [row["admitted_per_release"] + row["evicted_per_release"] for row in rows]
    return (
        f"{told}, {times('us_per_admission_median'):.2f} x an admission, "
        f"{per_release * moved[0] / moved[-1]:.2f} x a unit admitted or evicted"
    )


def drain_row(policy: Policy, row: dict[str, Any]) -> str:
    """The figures of one drain."""
    return (
        f"{policy:<12}drain: {row['decisions']} admissions, {row['decisions_per_second']:.0f}/s, "
        f"median {row['us_per_decision_median']:.0f} us, p99 {row['us_per_decision_p99']:.0f} us, "
        f"{row['arrivals_per_second']:.0f} arrivals/s, {row['peak_rss_mb']:.0f} MB, "
        f"yard {row['yardstick_ms']:.2f} ms"
    )


def main() -> None:
    """Measures and prints row by row, and writes JSON into a file if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--policy", type=Policy, action="append", help="only this one; repeatable")
    parser.add_argument("--units", type=int, default=DEPTHS[-1], help="units in the deepest run")
    parser.add_argument("--releases", type=int, default=1_000, help="releases per depth")
    parser.add_argument("--reclaim", type=ReclaimPolicy, help="only this policy")
    parser.add_argument(
        "--preemption", type=PreemptionPolicy, default=PreemptionPolicy.NEVER, help="within a quota"
    )
    parser.add_argument("--needle", action="store_true", help="one that fits among many alike")
    parser.add_argument("--drain", action="store_true", help="until everybody ran")
    parser.add_argument("--child", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        policy, what, size, releases, *evicts = options.child
        allowed = Evicts(ReclaimPolicy(evicts[0]), PreemptionPolicy(evicts[1]))
        child(policy, what, int(size), int(releases), allowed)
        return
    depths = [depth for depth in DEPTHS if depth < options.units] + [options.units]
    found: dict[str, Any] = {}
    print(HEADER)
    for policy in options.policy or POLICIES:
        of_policy = found[policy.value] = {}
        for reclaim in [options.reclaim] if options.reclaim else RECLAIMS:
            evicts = Evicts(reclaim, options.preemption)
            rows = of_policy[reclaim.value] = []
            for depth in depths:
                rows.append(apart(policy, "release", depth, options.releases, evicts))
                print(release_row(policy, reclaim, rows[-1]), flush=True)
            print(growth(rows), flush=True)
        if options.needle:
            rows = of_policy["needle"] = []
            for depth in depths:
                rows.append(apart(policy, "needle", depth, options.releases, evicts))
                print(release_row(policy, "needle", rows[-1]), flush=True)
            print(growth(rows), flush=True)
        if options.drain:
            of_policy["drain"] = apart(policy, "drain", options.units, 0, evicts)
            print(drain_row(policy, of_policy["drain"]), flush=True)
    if options.json:
        figures = {"python": platform.python_version(), "policies": found}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
