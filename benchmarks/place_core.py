"""place-core: what a decision about a pod costs the placement core, without any I/O.

10,000 pods of 1 cpu onto empty nodes of 32, alone and in gangs; then the cost of a pod at more
nodes. In CPU time; the yard is a fixed loop of dictionary writes, for the speed of the machine at
that moment. Each row has a process of its own. Dearer decisions are measured by place_rules.

Run: python -m benchmarks.place_core [--pods 10000] [--row NODES GANG] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
from pathlib import Path
from time import process_time
from typing import Any, Final

from benchmarks.apart import in_fresh_process
from benchmarks.figures import write_json
from benchmarks.place_load import OURS, node, pod
from kube_queue.api.nodes import node_of
from kube_queue.api.pods import Pod, pod_of
from kube_queue.cache.placing import PlacementCache
from kube_queue.placement.decisions import Bind
from kube_queue.placement.plugins import BASE

ROWS: Final = (
    (5_000, 1),
    (5_000, 20),
    (5_000, 500),
    (5_000, 10_000),
    (1_000, 1),
    (1_000, 20),
    (1_000, 500),
    (1_000, 10_000),
    (500, 1),
    (20_000, 1),
)
"""(nodes, pods of a gang)."""
_PAGE: Final = 500


def measure(nodes: int, gang: int, count: int) -> dict[str, Any]:
    """Place ``count`` pods, then let pods leave a cluster that is full."""
    cache = PlacementCache([OURS], BASE)
    for index in range(nodes):
        cache.node_seen(node_of(node(index)), 0.0)
    pods: list[Pod] = []
    projecting = 0.0
    # A scheduler holds no more manifests than are in one page of a list.
    for first in range(0, count, _PAGE):
        page = range(first, min(first + _PAGE, count))
        manifests = [_seen(pod(index, OURS, gang=gang), index) for index in page]
        began = process_time()
        pods += [pod_of(each) for each in manifests]
        projecting += process_time() - began
    gc.collect()
    gc.freeze()
    began = process_time()
    for each in pods:
        cache.pod_seen(None, each, 0.0)
    taking = process_time() - began
    began = process_time()
    bound = _drain(cache, 0.0)
    placing = process_time() - began
    return {
        "nodes": nodes,
        "gang": gang,
        "pods": count,
        "bound": bound,
        "project_us": projecting / count * 1e6,
        "take_us": taking / count * 1e6,
        "decide_us": placing / count * 1e6,
        "per_second": count / (projecting + taking + placing),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "yard_ms": yard(),
    }


def _seen(manifest: dict[str, Any], index: int) -> dict[str, Any]:
    manifest["metadata"] |= {"uid": f"uid-{index}", "resourceVersion": "1"}
    manifest["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return manifest


def _drain(cache: PlacementCache, now: float) -> int:
    bound = 0
    while decisions := cache.decide(now, 32):
        for decision in decisions:
            if isinstance(decision, Bind):
                bound += len(decision.placements)
                for placed, name in decision.placements:
                    assert cache.cluster.placed(placed.uid) is not None, name
    return bound


def yard() -> float:
    """Milliseconds of 20,000 dictionary writes, the best of 5."""
    best = float("inf")
    for _ in range(5):
        began = process_time()
        table: dict[int, Pod | int] = {}
        for index in range(20_000):
            table[index % 5_000] = index
            table[index] = index
        best = min(best, process_time() - began)
    return best * 1e3


def show(rows: list[dict[str, Any]]) -> None:
    """Print one line for each row."""
    print(f"{'nodes':>7}{'gang':>7}{'bound':>8}{'project':>9}{'take':>7}{'decide us':>11}", end="")
    print(f"{'pods/s':>9}{'MB':>7}{'yard ms':>9}")
    for row in rows:
        print(f"{row['nodes']:7}{row['gang']:7}{row['bound']:8}{row['project_us']:9.0f}", end="")
        print(f"{row['take_us']:7.0f}{row['decide_us']:11.0f}{row['per_second']:9.0f}", end="")
        print(f"{row['peak_mb']:7.0f}{row['yard_ms']:9.2f}")


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--row", nargs=2, type=int, metavar=("NODES", "GANG"))
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    if options.row:
        nodes, gang = options.row
        print(json.dumps(measure(nodes, gang, options.pods)))
        return 0
    rows = []
    for nodes, gang in ROWS:
        words = ("--pods", str(options.pods), "--row", str(nodes), str(gang))
        rows.append(in_fresh_process("benchmarks.place_core", *words))
    show(rows)
    write_json(options.json, {"rows": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
