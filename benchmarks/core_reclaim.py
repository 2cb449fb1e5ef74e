"""core-reclaim: a storm of guarantees taken back, in the pure core.

10,000 units of 10 leaves have borrowed all there is; then one unit arrives in each of 1,000 other
leaves, within what that leaf is guaranteed, and takes back ten units' quota. Printed: microseconds
per unit that takes back (deciding all its victims), per victim that leaves, and per admission.

Run: python -m benchmarks.core_reclaim [--leaves N] [--borrowers N] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
from collections import Counter
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any, Final

from benchmarks.core_needle import START, unit
from kube_queue.admission import Admit, Evict
from kube_queue.api.lifecycle import Phase
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy
from kube_queue.api.queues import Policy, Queue
from kube_queue.api.quota import QuotaTree, parse_tree, queue_name
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.units import Unit
from kube_queue.cache import Cache

LENDERS_PER_PARENT: Final = 100
BORROWING_LEAVES: Final = 10
MILLI: Final = 1_000


def a_tree(leaves: int, borrowers: int) -> QuotaTree:
    """Root, parents of a hundred leaves with a guarantee each, and one of leaves with none."""
    each = borrowers // leaves

    def leaf(name: str, guaranteed: int) -> dict[str, Any]:
        return {"name": name, "namespaces": [name], "min": {"cpu": guaranteed}}

    parents: list[dict[str, Any]] = [
        {
            "name": f"p{parent}",
            "children": [
                leaf(f"lend-{number}", each)
                for number in range(parent, leaves, leaves // LENDERS_PER_PARENT or 1)
            ],
        }
        for parent in range(leaves // LENDERS_PER_PARENT or 1)
    ]
    idle = [leaf(f"borrow-{number}", 0) for number in range(BORROWING_LEAVES)]
    parents.append({"name": "borrowers", "children": idle})
    root = {"name": "root", "max": {"cpu": each * leaves}, "children": parents}
    tree, _ = parse_tree({"metadata": {"name": "bench"}, "spec": {"root": root}})
    if tree is None:
        raise SystemExit("the benchmark's tree cannot be compiled")
    return tree


class Storm:
    """All quota is lent; `strike` brings everybody who may have it back."""

    def __init__(self, leaves: int, borrowers: int) -> None:
        self.leaves = leaves
        self.each = borrowers // leaves
        self.cache = Cache(
            default_policy=Policy.PRIORITY,
            reclaim=ReclaimPolicy.ANY,
            preemption=PreemptionPolicy.NEVER,
        )
        tree = a_tree(leaves, borrowers)
        self.cache.tree_seen(tree)
        for node in tree.leaves():
            name = queue_name(node.path)
            self.cache.queue_seen(
                Queue("kube-queue", name, name, "1", None, "", 0, node.path, True)
            )
        for number in range(borrowers):
            request = ResourceVector.of({"cpu": MILLI})
            runs = unit(number, request, Phase.RUNNING)
            home = f"borrow-{number % BORROWING_LEAVES}"
            self.cache.unit_seen(replace(runs, namespace=home, allocated=int(START * 1e6) + number))
        self.cache.cycle(START)
        gc.collect()
        gc.freeze()

    def strike(self) -> dict[str, Any]:
        """Everybody arrives at once; victims leave one by one. The figures."""
        for number in range(self.leaves):
            request = ResourceVector.of({"cpu": MILLI * self.each})
            arrival = unit(1_000_000 + number, request)
            self.cache.unit_seen(replace(arrival, namespace=f"lend-{number}"))
        started = process_time()
        evictions = [one for one in self.cache.cycle(START + 1) if isinstance(one, Evict)]
        decided = process_time() - started
        leaving, admitted = self._leave(evictions)
        victims = Counter(one.uid for one in evictions)
        return {
            "leaves": self.leaves,
            "evictions": len(evictions),
            "evicted_twice": sum(times > 1 for times in victims.values()),
            "admitted": admitted,
            "us_per_preemptor": decided / self.leaves * 1e6,
            "us_per_victim_leaving_median": statistics.median(leaving) * 1e6,
            "us_per_victim_leaving_mean": statistics.fmean(leaving) * 1e6,
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }

    def _leave(self, evictions: list[Evict]) -> tuple[list[float], int]:
        for eviction in evictions:
            seen = self._known(eviction.uid)
            self.cache.unit_seen(
                replace(seen, evicted=True, preemptor=eviction.preemptor, resource_version="2")
            )
        seconds, admitted = [], 0
        for eviction in evictions:
            seen = self._known(eviction.uid)
            waits = replace(
                seen, phase=Phase.ENQUEUED, held=EMPTY, evicted=False, preemptor="", started=0
            )
            started = process_time()
            self.cache.unit_seen(replace(waits, allocated=0, resource_version="3"))
            decisions = self.cache.cycle(START + 2)
            seconds.append(process_time() - started)
            admitted += sum(isinstance(one, Admit) for one in decisions)
        return seconds, admitted

    def _known(self, uid: str) -> Unit:
        found = self.cache.unit(uid)
        if found is None:
            raise SystemExit(f"unit {uid} is lost")
        return found


def main() -> None:
    """Measures and prints, and writes JSON into a file if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--leaves", type=int, default=1_000, help="leaves that take back")
    parser.add_argument("--borrowers", type=int, default=10_000, help="units that have borrowed")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    figures = Storm(options.leaves, options.borrowers).strike()
    if figures["admitted"] != options.leaves or figures["evicted_twice"]:
        raise SystemExit(f"the storm went wrong: {figures}")
    for name, figure in figures.items():
        print(
            f"{name:<32}{figure:>12.1f}" if isinstance(figure, float) else f"{name:<32}{figure:>12}"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
