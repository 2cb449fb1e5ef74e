"""cache-memory: what the queue controller's memory of many waiting units costs.

Units as the API server lists them (names, uids and times of their own; 200 request shapes by
Zipf's law, in the first leaves of a tree of four levels) go through the informer's projection into
an informer-like copy and the cache. Printed: resident megabytes for the copy, for the cache, and
together, and the pause of a full collection before and after gc.freeze(). `--waited` gives each
unit the status of one that was told why it waits; `--leaves 1000` spreads them so thin that nearly
each has a verdict of its own; `--policy` says by which policy they are served. No cycle runs, as
after a restart: a Round queue then remembers the turn of everybody who arrived.

Run: python -m benchmarks.cache_memory [--units N] [--leaves N] [--waited] [--policy POLICY]
     [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import random
import resource
import uuid
from itertools import accumulate
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import orjson

from benchmarks.core_drain import RESOURCES, SHAPES, a_tree
from kube_queue.api.conditions import rfc3339, rfc3339_micro
from kube_queue.api.queues import Policy, project_queue
from kube_queue.api.quota import QuotaTree, queue_name
from kube_queue.cache import Cache
from kube_queue.controller.queueing.queues import queue_manifest
from kube_queue.controller.records import UnitRecord, unit_record

START: Final = 1_767_225_600
GOAL_MB: Final = 150.0


class Listing:
    """Units as a list call returns them, one at a time."""

    def __init__(self, tree: QuotaTree, leaves: int, *, waited: bool) -> None:
        self._rng = random.Random(1)
        self._waited = waited
        self._leaves = [(leaf.name, queue_name(leaf.path)) for leaf in tree.leaves()][:leaves]
        self._shapes = [
            {name: str(self._rng.randint(1, 8)) for name in RESOURCES} for _ in range(SHAPES)
        ]
        self._weights = list(accumulate(1 / (rank + 1) for rank in range(SHAPES)))

    def unit(self, number: int) -> bytes:
        """The JSON of one unit that waits."""
        namespace, queue = self._leaves[self._rng.randrange(len(self._leaves))]
        [requests] = self._rng.choices(self._shapes, cum_weights=self._weights)
        name = f"training-{number:06}"
        uid = str(uuid.UUID(int=self._rng.getrandbits(128)))
        job_uid = str(uuid.UUID(int=self._rng.getrandbits(128)))
        created = START + number / 50
        job = {"apiVersion": "kubeflow.org/v1", "kind": "TFJob", "name": name, "uid": job_uid}
        unit: dict[str, Any] = {
            "apiVersion": "scheduling.x-k8s.io/v1alpha1",
            "kind": "QueueUnit",
            "metadata": {
                "namespace": namespace,
                "name": f"{name}-tf-qu",
                "uid": uid,
                "resourceVersion": str(1_000_000 + number),
                "creationTimestamp": rfc3339(int(created)),
                "annotations": {
                    "kube-queue/job-enqueue-timestamp": rfc3339_micro(int(created * 1e6)),
                    "kube-queue/job-priority": "0",
                },
                "ownerReferences": [job],
            },
            "spec": {
                "consumerRef": {**job, "namespace": namespace},
                "priority": 0,
                "queue": queue,
                "resource": requests,
                "request": requests,
                "podSet": [{"name": "Worker", "count": 1, "requests": requests}],
            },
        }
        if self._waited:
            unit["status"] = _told(namespace, self._rng, created + 2)
        return orjson.dumps(unit)


def _told(namespace: str, rng: random.Random, now: float) -> dict[str, Any]:
    """The status of a unit that was told why it waits, in the numbers of that moment."""
    used = rng.randint(1, 16)
    message = f"root/{namespace}: cpu: requested 4, used {used} of max 16: waits for a release"
    at = rfc3339(int(now))
    condition = {
        "type": "QuotaReserved",
        "status": "False",
        "reason": "InsufficientQuota",
        "message": message,
        "lastTransitionTime": at,
    }
    return {
        "phase": "Enqueued",
        "reason": "InsufficientQuota",
        "message": message,
        "lastUpdateTime": at,
        "conditions": [condition],
    }


def measure(units: int, leaves: int, policy: Policy, *, waited: bool) -> dict[str, float]:
    """Megabytes and seconds for so many units."""
    tree = a_tree()
    listing = Listing(tree, leaves, waited=waited)
    unit_record(orjson.loads(listing.unit(0)))
    gc.collect()
    began = _resident()
    copy: dict[tuple[str, str], UnitRecord] = {}
    for number in range(units):
        record = unit_record(orjson.loads(listing.unit(number)))
        copy[record.namespace, record.name] = record
    gc.collect()
    copied = _resident()
    cache = Cache(default_policy=policy)
    cache.tree_seen(tree)
    for leaf in tree.leaves():
        name = queue_name(leaf.path)
        cache.queue_seen(project_queue(queue_manifest(name, leaf.path)))
    for record in copy.values():
        cache.unit_seen(record.unit)
    pause = _pause()
    cached = _resident()
    gc.freeze()
    return {
        "units": units,
        "copy_mb": copied - began,
        "cache_mb": cached - copied,
        "together_mb": cached - began,
        "peak_process_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "gc_pause_ms": 1_000 * pause,
        "gc_pause_frozen_ms": 1_000 * _pause(),
    }


def _pause() -> float:
    """Seconds of a full collection."""
    began = perf_counter()
    gc.collect()
    return perf_counter() - began


def _resident() -> float:
    """Megabytes of this process in memory now; Linux only."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("/proc/self/status does not tell the resident size")


def main() -> None:
    """Measure once and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--leaves", type=int, default=20, help="quotas the units are spread over")
    parser.add_argument("--policy", type=Policy, default=Policy.ROUND, help="of all queues")
    parser.add_argument("--waited", action="store_true", help="units that were told why they wait")
    parser.add_argument("--json", type=Path, help="write the figures to this file, - for stdout")
    options = parser.parse_args()
    figures = measure(options.units, options.leaves, options.policy, waited=options.waited)
    if options.json is not None:
        shown = {"python": platform.python_version(), "goal_mb": GOAL_MB, **figures}
        text = json.dumps(shown, indent=2)
        if str(options.json) == "-":
            print(text)
            return
        options.json.write_text(text + "\n", encoding="utf-8")
    print(f"{figures['units']:.0f} units on Python {platform.python_version()}")
    print(f"  copy {figures['copy_mb']:.1f} MB, cache {figures['cache_mb']:.1f} MB,", end=" ")
    print(f"together {figures['together_mb']:.1f} MB (goal for 100,000: {GOAL_MB:.0f})")
    print(f"  full collection {figures['gc_pause_ms']:.1f} ms,", end=" ")
    print(f"after gc.freeze() {figures['gc_pause_frozen_ms']:.1f} ms")


if __name__ == "__main__":
    main()
