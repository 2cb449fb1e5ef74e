"""Suspended batch Jobs in one queue, with room for some of them, ended one by one.

The player is the Jobs' controller too: it writes the status that ends a Job, and no pod runs. What
is measured is the queue's own path, the same on every server: a genuine Job controller would add
six writes a Job, of its own and of the pod's, and pauses of its own, before an end is seen.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from kube_queue.api.conditions import rfc3339
from kube_queue.api.lifecycle import FINISHED
from kube_queue.api.types import JOBS, QUEUE_UNITS
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer

NAMESPACE = "jobs"
QUOTA = "jobs"
PATIENCE = 900.0
CREATORS = 16
POLL_SECONDS = 0.5

_FINISHED = {phase.value for phase in FINISHED}


@dataclass(frozen=True, slots=True)
class Load:
    """How many Jobs of one cpu, how many of them fit at once, how many end a second."""

    jobs: int = 2000
    room: int = 100
    rate: float = 20.0


def job(index: int) -> dict[str, Any]:
    """A suspended Job of one pod that asks for one cpu."""
    container = {
        "name": "main",
        "image": "registry.k8s.io/pause:3.10",
        "resources": {"requests": {"cpu": "1"}},
    }
    return {
        "apiVersion": JOBS.api_version,
        "kind": JOBS.kind,
        "metadata": {"name": f"job-{index:05}", "namespace": NAMESPACE},
        "spec": {
            "suspend": True,
            "parallelism": 1,
            "completions": 1,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


def tree(room: int) -> dict[str, Any]:
    """One quota, of this many cpus."""
    whole = {"cpu": room}
    leaf = {"name": QUOTA, "namespaces": [NAMESPACE], "min": whole, "max": whole}
    return {
        "apiVersion": "scheduling.sigs.k8s.io/v1beta1",
        "kind": "ElasticQuotaTree",
        "metadata": {"name": "elasticquotatree", "namespace": "kube-system"},
        "spec": {"root": {"name": "root", "min": whole, "max": whole, "children": [leaf]}},
    }


def end_patch(uid: str, started: float, now: float) -> dict[str, Any]:
    """The status with which the Job controller ends a Job whose pod succeeded."""
    at = rfc3339(now)
    conditions = [
        {
            "type": kind,
            "status": "True",
            "reason": "CompletionsReached",
            "message": "Reached expected number of succeeded pods",
            "lastProbeTime": at,
            "lastTransitionTime": at,
        }
        for kind in ("SuccessCriteriaMet", "Complete")
    ]
    return {
        "metadata": {"uid": uid},
        "status": {
            "startTime": rfc3339(started),
            "completionTime": at,
            "succeeded": 1,
            "conditions": conditions,
        },
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """What the player keeps of a Job."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    suspended: bool

    @classmethod
    def of(cls, whole: dict[str, Any]) -> Seen:
        """Project a Job."""
        metadata = whole["metadata"]
        return cls(
            metadata["namespace"],
            metadata["name"],
            metadata["uid"],
            metadata["resourceVersion"],
            whole["spec"].get("suspend") is True,
        )


class Releases:
    """Pairs each end of a Job with the release that its quota made possible.

    All Jobs are alike, so the first release not paired yet belongs to the first end not paired yet.
    Releases before any end fill the room and belong to none.
    """

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self._ends: deque[float] = deque()

    def ended(self, at: float) -> None:
        """The write that ends a Job goes out."""
        self._ends.append(at)

    def released(self, at: float) -> None:
        """A Job was seen released."""
        if self._ends:
            self.latencies.append(at - self._ends.popleft())


class Player:
    """Creates the Jobs, waits until the queue rests, ends released ones at a steady rate."""

    def __init__(self, client: Client, load: Load) -> None:
        self.client = client
        self.load = load
        self.releases = Releases()
        self.writes: Counter[str] = Counter()
        self._running: asyncio.Queue[tuple[Seen, float]] = asyncio.Queue()
        self._released = 0

    async def run(self) -> dict[str, float]:
        """Play the load; the seconds of each part. Raises TimeoutError after PATIENCE."""
        informer = Informer(self.client, JOBS, Seen.of, namespace=NAMESPACE, rng=random.Random(1))
        informer.add_handler(self._job_seen)
        watching = asyncio.create_task(informer.run())
        await informer.synced.wait()
        marks = [time.perf_counter()]
        try:
            async with asyncio.timeout(PATIENCE):
                for part in (self._create_all, self._queued, self._end_all, self._units_finished):
                    await part()
                    marks.append(time.perf_counter())
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        names = ("create", "until_queued", "end", "until_finished")
        return {
            name: after - before
            for name, before, after in zip(names, marks, marks[1:], strict=False)
        }

    async def _create_all(self) -> None:
        rest = iter(range(self.load.jobs))

        async def creator() -> None:
            for index in rest:
                await self.client.create(JOBS, job(index), NAMESPACE)
                self.writes["create"] += 1

        await asyncio.gather(*(creator() for _ in range(CREATORS)))

    async def _queued(self) -> None:
        """Every Job has its unit, and the room is filled."""
        filled = min(self.load.room, self.load.jobs)
        while self._released < filled or len(await self._units()) < self.load.jobs:
            await asyncio.sleep(POLL_SECONDS)

    async def _end_all(self) -> None:
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for index in range(self.load.jobs):
                seen, started = await self._running.get()
                if self.load.rate > 0:
                    due = began + index / self.load.rate
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._end(seen, started))

    async def _end(self, seen: Seen, started: float) -> None:
        patch = end_patch(seen.uid, started, time.time())
        self.releases.ended(time.perf_counter())
        await self.client.patch(JOBS, seen.namespace, seen.name, patch, subresource="status")
        self.writes["end"] += 1

    async def _units_finished(self) -> None:
        """What the ends led to is written."""
        while any(one["status"]["phase"] not in _FINISHED for one in await self._units()):
            await asyncio.sleep(POLL_SECONDS)

    async def _units(self) -> list[dict[str, Any]]:
        return await self.client.list(QUEUE_UNITS, NAMESPACE)

    def _job_seen(self, old: Seen | None, new: Seen | None) -> None:
        if old is None or new is None or not old.suspended or new.suspended:
            return
        self._released += 1
        self.releases.released(time.perf_counter())
        self._running.put_nowait((new, time.time()))
