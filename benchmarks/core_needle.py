"""The needle of core-drain: many wait in one leaf, no two alike, and only the last has room."""

from __future__ import annotations

import gc
import statistics
from dataclasses import replace
from time import process_time
from typing import Any, Final

from kube_queue.admission import Admit
from kube_queue.api.lifecycle import Phase
from kube_queue.api.queues import Policy, Queue
from kube_queue.api.quota import parse_tree, queue_name
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.units import Unit
from kube_queue.cache import Cache

START: Final = 1_700_000_000.0
SMALL: Final = 1_000
"""Millicores of the units that run and of the needle; all others ask for more."""
RUNNING: Final = 100
LEAF: Final = "root/one"


def unit(number: int, request: ResourceVector, phase: Phase = Phase.ENQUEUED) -> Unit:
    """The unit of this number; a larger one was submitted later."""
    return Unit(
        namespace="one",
        name=f"u{number}",
        uid=f"{number:08x}",
        resource_version="1",
        job=None,
        queue="",
        quota="",
        preemptible=True,
        priority=0,
        request=request,
        held=request if phase is not Phase.ENQUEUED else EMPTY,
        active=True,
        phase=phase,
        reason="",
        message="",
        submitted=int(START * 1e6) + number,
        requeue_at=0,
        attempts=0,
        evicted=False,
        job_priority=None,
        invalid="",
    )


class Haystack:
    """A full leaf in front of which so many units wait, the last of them the only one to fit."""

    def __init__(self, policy: Policy, waiting: int) -> None:
        self.cache = Cache(default_policy=policy)
        limits = {"max": {"cpu": f"{4 * RUNNING * SMALL + waiting}m"}, "min": {"cpu": "0"}}
        leaf = {"name": "one", "namespaces": ["one"], **limits}
        root = {"name": "root", **limits, "children": [leaf]}
        tree, _ = parse_tree({"metadata": {"name": "bench"}, "spec": {"root": root}})
        self.cache.tree_seen(tree)
        name = queue_name(LEAF)
        self.cache.queue_seen(Queue("kube-queue", name, name, "1", None, "", 0, LEAF, True))
        self.made = 0
        self.now = START
        most = 4 * RUNNING * SMALL + waiting
        self.running = [self._runs(SMALL) for _ in range(RUNNING)]
        # One that never ends takes all the rest, so that nothing is free.
        self._runs(most - RUNNING * SMALL)
        for index in range(waiting - 1):
            self._arrives({"cpu": SMALL * (RUNNING + 2) + index})
        self._needle()
        self.cache.cycle(self.now)
        gc.collect()
        gc.freeze()

    def release(self) -> tuple[float, bool]:
        """Seconds for one end and the cycle it causes, and whether the needle was admitted."""
        self.now += 30.0
        ended = self.running.pop(0)
        started = process_time()
        self.cache.unit_seen(replace(ended, phase=Phase.SUCCEED, held=EMPTY, resource_version="2"))
        decisions = self.cache.cycle(self.now)
        seconds = process_time() - started
        self.cache.unit_gone(ended.uid)
        admitted = [decision for decision in decisions if isinstance(decision, Admit)]
        for decision in admitted:
            found = self.cache.unit(decision.uid)
            if found is None:
                raise SystemExit(f"unit {decision.uid} is lost")
            runs = replace(found, phase=Phase.RUNNING, held=found.request, resource_version="2")
            self.cache.unit_seen(runs)
            self.running.append(runs)
            self._needle()
        if not admitted:
            self.running.append(self._runs(SMALL))
        self.cache.cycle(self.now)
        return seconds, bool(admitted)

    def _needle(self) -> None:
        # Its memory makes it unlike every other; nothing bounds memory.
        self._arrives({"cpu": SMALL, "memory": self.made})

    def _arrives(self, request: dict[str, int]) -> None:
        self.made += 1
        self.cache.unit_seen(unit(self.made, ResourceVector.of(request)))

    def _runs(self, amount: int) -> Unit:
        self.made += 1
        runs = unit(self.made, ResourceVector.of({"cpu": amount}), Phase.RUNNING)
        self.cache.unit_seen(runs)
        return runs


def measure_needle(policy: Policy, depth: int, releases: int) -> dict[str, Any]:
    """Units examined and time per release at this depth."""
    hay = Haystack(policy, depth)
    looked = hay.cache.pending.examined
    took = [hay.release() for _ in range(releases)]
    seconds = [each for each, _ in took]
    return {
        "waiting": len(hay.cache.pending),
        "releases": releases,
        "admitted_per_release": sum(admitted for _, admitted in took) / releases,
        "examined_per_release": (hay.cache.pending.examined - looked) / releases,
        "us_per_release_median": statistics.median(seconds) * 1e6,
        "us_per_release_mean": statistics.fmean(seconds) * 1e6,
        "us_per_release_p99": sorted(seconds)[int(len(seconds) * 0.99)] * 1e6,
    }
