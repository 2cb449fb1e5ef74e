"""core-drain: how fast the decision core drains, and what one release costs as more units wait.

No I/O: a cache, a tree of four levels with 1,000 leaves, 8 resources, 200 request shapes drawn by
Zipf's law. Three measurements for each policy, each in a process of its own:

* drain: 100,000 units wait, running units end one by one in random order, freed quota is refilled,
  until everybody ran. Printed: decisions per second, median and p99 of one end + cycle.
* release: with 1k, 10k, 100k waiting, releases whose freed quota is refilled; every ended unit is
  replaced by an arrival, so the depth stays. Printed: units examined and microseconds per release.
* needle: 1k, 10k, 100k wait in one leaf, no two ask for the same, and a release has room for the
  last one only (benchmarks.core_needle).

Run: python -m benchmarks.core_drain [--units N] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import random
import resource
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from benchmarks.core_needle import measure_needle
from kube_queue.admission import Admit
from kube_queue.api.lifecycle import Phase
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

    def __init__(self, policy: Policy, waiting: int) -> None:
        self.load = Load(7)
        self.cache = Cache(default_policy=policy)
        self.running: list[Unit] = []
        self.admitted = 0
        self.now = START
        tree = a_tree()
        self.cache.tree_seen(tree)
        for leaf in tree.leaves():
            name = queue_name(leaf.path)
            self.cache.queue_seen(
                Queue("kube-queue", name, name, "1", None, "", 0, leaf.path, True)
            )
        started = perf_counter()
        # Those that run at once come first, then so many more that the wanted number waits.
        while (missing := waiting - len(self.cache.pending)) > 0:
            for _ in range(missing):
                self.cache.unit_seen(self.load.unit())
            self.fill()
        self.filled_seconds = perf_counter() - started
        gc.collect()
        gc.freeze()

    def fill(self) -> None:
        """One cycle; what it admits runs."""
        for decision in self.cache.cycle(self.now):
            if isinstance(decision, Admit):
                self.admitted += 1
                unit = self.cache.unit(decision.uid)
                if unit is None:
                    raise SystemExit(f"unit {decision.uid} is lost")
                runs = replace(unit, phase=Phase.RUNNING, held=unit.request, resource_version="2")
                self.running.append(runs)
                self.cache.unit_seen(runs)

    def one_ends(self) -> Unit:
        """A random running unit, taken out of the list."""
        at = self.load.rng.randrange(len(self.running))
        self.running[at], self.running[-1] = self.running[-1], self.running[at]
        return self.running.pop()

    def release(self) -> float:
        """Seconds for one end and the cycle it causes."""
        self.now += 0.01
        ended = replace(self.one_ends(), phase=Phase.SUCCEED, held=EMPTY, resource_version="3")
        started = perf_counter()
        self.cache.unit_seen(ended)
        decisions = self.cache.cycle(self.now)
        seconds = perf_counter() - started
        for decision in decisions:
            if isinstance(decision, Admit):
                self.admitted += 1
                unit = self.cache.unit(decision.uid)
                if unit is not None:
                    runs = replace(unit, phase=Phase.RUNNING, held=unit.request)
                    self.running.append(runs)
                    self.cache.unit_seen(runs)
        self.cache.unit_gone(ended.uid)
        return seconds


def measure_release(policy: Policy, depth: int, releases: int) -> dict[str, Any]:
    """Units examined and time per release at this depth, arrivals replacing what was admitted."""
    run = Run(policy, depth)
    seconds, admitted, examined = [], 0, 0
    for _ in range(releases):
        before, looked = run.admitted, run.cache.pending.examined
        seconds.append(run.release())
        examined += run.cache.pending.examined - looked
        admitted += run.admitted - before
        for _ in range(run.admitted - before):
            run.cache.unit_seen(run.load.unit())
        run.fill()
    return {
        "waiting": len(run.cache.pending),
        "releases": releases,
        "admitted_per_release": admitted / releases,
        "examined_per_release": examined / releases,
        "us_per_release_median": statistics.median(seconds) * 1e6,
        "us_per_release_mean": statistics.fmean(seconds) * 1e6,
        "us_per_release_p99": sorted(seconds)[int(len(seconds) * 0.99)] * 1e6,
    }


def measure_drain(policy: Policy, units: int) -> dict[str, Any]:
    """Everything waiting runs and ends."""
    run = Run(policy, units)
    waiting = len(run.cache.pending)
    before, looked = run.admitted, run.cache.pending.examined
    seconds, per_decision = [], []
    while run.running:
        admitted = run.admitted
        spent = run.release()
        seconds.append(spent)
        if run.admitted > admitted:
            per_decision.append(spent / (run.admitted - admitted))
    left = len(run.cache.pending)
    decisions = run.admitted - before
    if left:
        raise SystemExit(f"{left} units never ran")
    return {
        "waiting": waiting,
        "decisions": decisions,
        "decisions_per_second": decisions / sum(seconds),
        "us_per_decision_median": statistics.median(per_decision) * 1e6,
        "us_per_decision_p99": sorted(per_decision)[int(len(per_decision) * 0.99)] * 1e6,
        "examined_per_decision": (run.cache.pending.examined - looked) / decisions,
        "arrivals_per_second": run.load.made / run.filled_seconds,
    }


def child(policy: str, what: str, size: int, releases: int) -> None:
    """One measurement in this process; prints one JSON line."""
    chosen = Policy(policy)
    if what == "drain":
        figures = measure_drain(chosen, size)
    elif what == "needle":
        figures = measure_needle(chosen, size, releases)
    else:
        figures = measure_release(chosen, size, releases)
    figures["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def in_fresh_process(policy: Policy, what: str, size: int, releases: int) -> dict[str, Any]:
    """One measurement's figures, from a process that did nothing else."""
    command = [sys.executable, "-m", "benchmarks.core_drain", "--child", policy.value, what]
    done = subprocess.run(
        [*command, str(size), str(releases)], check=True, capture_output=True, text=True
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def release_rows(policy: str, what: str, rows: list[dict[str, Any]]) -> list[str]:
    """One line per depth, and how much dearer the deepest is."""
    lines = [
        f"{policy:<12}{what:<8}{row['waiting']:>9}{row['examined_per_release']:>10.2f}"
        f"{row['us_per_release_median']:>11.1f}{row['us_per_release_mean']:>9.1f}"
        f"{row['us_per_release_p99']:>9.1f}{row['peak_rss_mb']:>8.0f}"
        for row in rows
    ]
    dearer = rows[-1]["us_per_release_median"] / rows[0]["us_per_release_median"]
    return [*lines, f"{'':<20}deepest / shallowest: {dearer:.2f} x (median)"]


def table(figures: dict[str, Any]) -> str:
    """The figures as aligned text."""
    lines = [
        f"{'policy':<20}{'waiting':>9}{'examined':>10}{'us median':>11}{'us mean':>9}{'us p99':>9}"
        f"{'RSS MB':>8}   per release"
    ]
    for policy, measured in figures["policies"].items():
        for what in ("release", "needle"):
            lines += release_rows(policy, what, measured[what])

    lines.append("")
    lines.append(
        f"{'policy':<12}{'decisions':>10}{'per s':>9}{'us median':>11}{'us p99':>9}"
        f"{'examined':>10}{'arrivals/s':>12}{'RSS MB':>8}   drain"
    )
    for policy, measured in figures["policies"].items():
        row = measured["drain"]
        lines.append(
            f"{policy:<12}{row['decisions']:>10}{row['decisions_per_second']:>9.0f}"
            f"{row['us_per_decision_median']:>11.1f}{row['us_per_decision_p99']:>9.1f}"
            f"{row['examined_per_decision']:>10.2f}{row['arrivals_per_second']:>12.0f}"
            f"{row['peak_rss_mb']:>8.0f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures every policy and prints a table, or JSON into a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--units", type=int, default=DEPTHS[-1], help="units in the deepest run")
    parser.add_argument("--releases", type=int, default=2_000, help="releases per depth")
    parser.add_argument("--child", nargs=4, metavar=("POLICY", "WHAT", "SIZE", "RELEASES"))
    options = parser.parse_args()
    if options.child:
        policy, what, size, releases = options.child
        child(policy, what, int(size), int(releases))
        return
    depths = [depth for depth in DEPTHS if depth < options.units] + [options.units]
    figures: dict[str, Any] = {"python": platform.python_version(), "policies": {}}
    for policy in POLICIES:
        rows = {
            what: [in_fresh_process(policy, what, depth, options.releases) for depth in depths]
            for what in ("release", "needle")
        }
        figures["policies"][policy.value] = {
            **rows,
            "drain": in_fresh_process(policy, "drain", options.units, 0),
        }
    print(table(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
