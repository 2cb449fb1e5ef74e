"""place-rules: what a decision costs where pods ask for more than room, or there is none.

5,000 nodes of 32 cpu. With room: pods that spread, or want to be near or away from others. Full of
pods of low priority: pods of a higher one, for which others leave. Full of pods that borrowed from
another quota: pods of that quota, which take back what its min guarantees. Victims go at once, so
a pod is decided about twice; both are counted apart. Beside as many pods of a lower priority as are
decided about, for each of which a node is kept that is not free yet.

CPU time of each decision, median and 99th percentile; the yard is a fixed loop of dictionary
writes, for the speed of the machine at that moment. Each row has a process of its own.

Run: python -m benchmarks.place_rules [--only WORD] [--nodes 5000] [--pods 1000] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import resource
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any, Final

from benchmarks.apart import in_fresh_process
from benchmarks.figures import write_json
from benchmarks.place_core import yard
from benchmarks.place_load import OURS, node, pod
from kube_queue.api.nodes import node_of
from kube_queue.api.pods import Pod, pod_of
from kube_queue.api.quota import parse_tree
from kube_queue.cache.placing import PlacementCache
from kube_queue.placement.decisions import Bind, Preempt
from kube_queue.placement.plugins import BASE

Manifest = dict[str, Any]
ZONE: Final = "topology.kubernetes.io/zone"
HOST: Final = "kubernetes.io/hostname"
_BENCH: Final = {"matchLabels": {"app": "bench"}}
_OWN, _LENT = "own", "lent"


def spread(key: str, when: str) -> Manifest:
    """A constraint of the pod's own kind."""
    return {"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": when, "labelSelector": _BENCH}


def term(key: str) -> Manifest:
    """A term about the pod's own kind."""
    return {"topologyKey": key, "labelSelector": _BENCH}


def required(side: str, key: str) -> Manifest:
    """An affinity that has to be met."""
    return {side: {"requiredDuringSchedulingIgnoredDuringExecution": [term(key)]}}


def preferred(side: str, key: str) -> Manifest:
    """An affinity that is a wish."""
    wish = {"weight": 10, "podAffinityTerm": term(key)}
    return {side: {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}


RELATIONS: Final[dict[str, Manifest]] = {
    "plain": {},
    "spread over zones": {"topologySpreadConstraints": [spread(ZONE, "DoNotSchedule")]},
    "soft spread, zones and hosts": {
        "topologySpreadConstraints": [
            spread(ZONE, "ScheduleAnyway"),
            spread(HOST, "ScheduleAnyway"),
        ]
    },
    "near, in a zone": {"affinity": required("podAffinity", ZONE)},
    "apart, by host": {"affinity": required("podAntiAffinity", HOST)},
    "rather apart, by host": {"affinity": preferred("podAntiAffinity", HOST)},
}
"""What goes into the spec of the pods, by the name of the row."""


class World:
    """A scheduler's memory whose decisions are carried out at once, and what each of them took."""

    def __init__(self, nodes: int) -> None:
        self.cache = PlacementCache([OURS], BASE)
        for index in range(nodes):
            self.cache.node_seen(node_of(node(index)), 0.0)
        self.now = 0.0
        self.seen = 0
        self.binding: list[float] = []
        self.evicting: list[float] = []
        self.evicted = 0
        self._pods: dict[str, Pod] = {}

    def sees(self, manifest: Manifest, namespace: str = "bench") -> Pod:
        """A new pod, as it says."""
        self.seen += 1
        name = f"{manifest['metadata']['name']}-{self.seen}"
        created = f"2026-01-01T{self.seen // 3600 % 24:02}:{self.seen // 60 % 60:02}:00Z"
        manifest["metadata"] |= {"uid": f"uid-{self.seen}", "name": name, "namespace": namespace}
        manifest["metadata"] |= {"resourceVersion": "1", "creationTimestamp": created}
        found = pod_of(manifest)
        self._pods[found.uid] = found
        self.cache.pod_seen(None, found, self.now)
        return found

    def settle(self) -> None:
        """What there is to collect is no matter of the decisions that follow."""
        gc.collect()
        gc.freeze()

    def decides(self) -> None:
        """Everything that can be decided is, and has become of it what was decided."""
        while True:
            began = process_time()
            found = self.cache.decide(self.now, 1)
            took = process_time() - began
            if not found:
                return
            match found[0]:
                case Bind():
                    self.binding.append(took)
                case Preempt(preemption=plan):
                    self.evicting.append(took)
                    for each in plan.leaving:
                        self.evicted += 1
                        self.cache.pod_seen(self._pods.pop(each.uid), None, self.now)

    def figures(self) -> dict[str, Any]:
        """Microseconds a decision by what was decided."""
        return {
            "bound": len(self.binding),
            "evicted": self.evicted,
            "binding": _spread_of(self.binding),
            "evicting": _spread_of(self.evicting),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "yard_ms": yard(),
        }


def related(rule: Manifest, nodes: int, count: int) -> World:
    """Pods of this rule onto empty nodes, one after another."""
    world = World(nodes)
    for index in range(count):
        made = pod(index, OURS)
        made["spec"] |= rule
        world.sees(made)
    world.settle()
    world.decides()
    return world


def placed(index: int, cpu: int, on: int) -> Manifest:
    """A pod that stands on a node."""
    made = pod(index, OURS, cpu=str(cpu))
    made["spec"] |= {"nodeName": f"node-{on:05}"}
    made["status"] = {"phase": "Running"}
    return made


def fillings(nodes: int, sizes: Callable[[], int]) -> Iterator[Manifest]:
    """Pods of these sizes that leave no cpu free."""
    for index in range(nodes):
        left = 32
        while left:
            cpu = min(sizes(), left)
            left -= cpu
            yield placed(index, cpu, index)


def preempting(sizes: Callable[[], int], priorities: int, nodes: int, count: int) -> World:
    """Nodes full of pods of low priorities, and as many high ones of 8 cpu."""
    world, chance = World(nodes), random.Random(1)
    for made in fillings(nodes, sizes):
        made["spec"]["priority"] = chance.randrange(priorities)
        world.sees(made)
    for index in range(count):
        made = pod(index, OURS, cpu="8")
        made["spec"]["priority"] = 1_000
        world.sees(made)
    world.settle()
    world.decides()
    return world


def reclaiming(most: int, nodes: int, count: int) -> World:
    """Nodes full of pods that borrowed, and pods within the min of the quota that lent."""
    world = World(nodes)
    total = nodes * 32
    bounds = {"max": {"cpu": f"{total * most}"}}
    leaves = [
        {"name": name, "namespaces": [name], "min": {"cpu": f"{total // 20}"}, **bounds}
        for name in (_OWN, *(f"{_LENT}-{number}" for number in range(10)))
    ]
    root = {"name": "root", "min": {"cpu": f"{total}"}, **bounds, "children": leaves}
    tree, _ = parse_tree({"metadata": {"name": "bench"}, "spec": {"root": root}})
    world.cache.tree_seen(tree, 0.0)
    for number, made in enumerate(fillings(nodes, lambda: 2)):
        world.sees(made, f"{_LENT}-{number % 10}")
    for index in range(count):
        world.sees(pod(index, OURS, cpu="4"), _OWN)
    world.settle()
    world.decides()
    return world


def beside_nominations(nodes: int, count: int) -> World:
    """Empty nodes, others of them kept for as many pods of a lower priority by their scheduler."""
    world = World(nodes)
    for index in range(count):
        kept = pod(index, "another-scheduler", cpu="32")
        kept["status"] = {"nominatedNodeName": f"node-{index:05}"}
        world.sees(kept)
    for index in range(count):
        made = pod(index, OURS)
        made["spec"]["priority"] = 1_000
        world.sees(made)
    world.settle()
    world.decides()
    return world


def _eight() -> int:
    return 8


def _mixed() -> Callable[[], int]:
    chance = random.Random(2)
    return lambda: chance.choice((1, 1, 2, 2, 3, 4, 8))


OTHERS: Final[dict[str, Callable[[int, int], World]]] = {
    "beside nominations": beside_nominations,
    "preempting, 4 pods a node": lambda n, c: preempting(_eight, 1, n, c),
    "preempting, mixed pods": lambda n, c: preempting(_mixed(), 10, n, c),
    "reclaiming, full nodes": lambda n, c: reclaiming(10, n, c),
    "reclaiming, full quota too": lambda n, c: reclaiming(1, n, c),
}
"""Worlds in which there is more than the pods, by the name of the row."""


def measure(name: str, nodes: int, count: int) -> dict[str, Any]:
    """The row's figures."""
    world = OTHERS[name](nodes, count) if name in OTHERS else related(RELATIONS[name], nodes, count)
    return {"row": name, "nodes": nodes, "pods": count, **world.figures()}


def _spread_of(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {"median": 0.0, "mean": 0.0, "p99": 0.0}
    return {
        "median": statistics.median(seconds) * 1e6,
        "mean": statistics.fmean(seconds) * 1e6,
        "p99": sorted(seconds)[int(len(seconds) * 0.99)] * 1e6,
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print one line for each row."""
    print(f"{'':32}{'bind us':>9}{'p99':>8}{'evict us':>10}{'p99':>8}", end="")
    print(f"{'evicted':>9}{'MB':>6}{'yard ms':>9}")
    for row in rows:
        binding, evicting = row["binding"], row["evicting"]
        print(f"{row['row']:32}{binding['median']:9.0f}{binding['p99']:8.0f}", end="")
        print(f"{evicting['median']:10.0f}{evicting['p99']:8.0f}{row['evicted']:9}", end="")
        print(f"{row['peak_mb']:6.0f}{row['yard_ms']:9.2f}")


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--pods", type=int, default=1_000)
    parser.add_argument("--only", default="", help="rows whose name has this word")
    parser.add_argument("--row")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    if options.row:
        print(json.dumps(measure(options.row, options.nodes, options.pods)))
        return 0
    rows = []
    for name in (*RELATIONS, *OTHERS):
        if options.only in name:
            words = ("--nodes", str(options.nodes), "--pods", str(options.pods), "--row", name)
            rows.append(in_fresh_process("benchmarks.place_rules", *words))
    show(rows)
    write_json(options.json, {"rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
