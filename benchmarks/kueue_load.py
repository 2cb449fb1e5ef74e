"""Kueue's published scheduling load in kube-queue's kinds: its shapes, its quotas, its player.

5 parents of 6 leaves, 15,000 units in three classes, units without jobs. Each generator waits its
interval before every create; a unit is marked finished its run time after it was seen admitted. An
evicted unit is put back into its queue at once and runs its whole time when it is admitted again.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, replace
from typing import Any

from kube_queue.api.conditions import UnitCondition, condition_is_true, set_condition
from kube_queue.api.errors import Conflict
from kube_queue.api.quota import queue_name
from kube_queue.api.types import QUEUE_UNITS
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer

PARENTS = 5
LEAVES = 6
PARENT_MAX = 120
LEAF_MIN = 20
PATIENCE = 900.0
_AT = "2026-01-01T00:00:00Z"
"""When the player's conditions changed: nobody reads it."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One class of units per leaf: seconds between creates, seconds of run time, whole cpus."""

    name: str
    count: int
    interval: float
    run: float
    priority: int
    cpu: int


SHAPES = (
    Shape("small", 350, 0.100, 0.200, 50, 1),
    Shape("medium", 100, 0.500, 0.500, 100, 5),
    Shape("large", 50, 1.200, 1.000, 200, 20),
)


def shapes(scale: float) -> tuple[Shape, ...]:
    """The classes with this fraction of their units, at least one each."""
    return tuple(replace(shape, count=max(1, round(shape.count * scale))) for shape in SHAPES)


def places() -> Iterator[tuple[int, int]]:
    """Parent and leaf of every leaf quota."""
    return ((parent, leaf) for parent in range(PARENTS) for leaf in range(LEAVES))


def namespace(parent: int, leaf: int) -> str:
    """The namespace whose units are charged to this leaf."""
    return f"ns-{parent}-{leaf}"


def quota_path(parent: int, leaf: int) -> str:
    """The leaf in the tree."""
    return f"root/parent-{parent}/leaf-{parent}-{leaf}"


def unit(parent: int, leaf: int, shape: Shape, index: int) -> dict[str, Any]:
    """A QueueUnit as the job side would create it: the queue is filled in."""
    cpu = {"cpu": str(shape.cpu)}
    return {
        "apiVersion": QUEUE_UNITS.api_version,
        "kind": QUEUE_UNITS.kind,
        "metadata": {
            "name": f"{shape.name}-{index:04}",
            "namespace": namespace(parent, leaf),
        },
        "spec": {
            "priority": shape.priority,
            "queue": queue_name(quota_path(parent, leaf)),
            "resource": cpu,
            "request": cpu,
            "podSet": [{"name": "main", "count": 1, "requests": cpu}],
        },
    }


def finish_patch(uid: str) -> dict[str, Any]:
    """The write that ends a unit: all that the player may know of it is its uid."""
    return {"metadata": {"uid": uid}, "status": {"phase": "Succeed"}}


def requeue_patch(seen: Seen) -> dict[str, Any]:
    """The write that ends an eviction, as the job side makes it once a job's pods are gone."""
    conditions = [dict(condition) for condition in seen.conditions]
    for type_ in (UnitCondition.EVICTED, UnitCondition.QUOTA_RESERVED, UnitCondition.ADMITTED):
        conditions = set_condition(conditions, type_, False, "Requeued", "by the player", _AT)
    conditions = set_condition(
        conditions, UnitCondition.REQUEUED, True, "Requeued", "by the player", _AT
    )
    return {
        "metadata": {"uid": seen.uid, "resourceVersion": seen.resource_version},
        "status": {"phase": "Enqueued", "admissions": None, "conditions": conditions},
    }


def tree() -> dict[str, Any]:
    """The quotas: what the parents may use together is what their leaves are guaranteed."""

    def leaf(parent: int, index: int) -> dict[str, Any]:
        return {
            "name": f"leaf-{parent}-{index}",
            "namespaces": [namespace(parent, index)],
            "min": {"cpu": LEAF_MIN},
            "max": {"cpu": PARENT_MAX},
        }

    parents = [
        {
            "name": f"parent-{parent}",
            "min": {"cpu": PARENT_MAX},
            "max": {"cpu": PARENT_MAX},
            "children": [leaf(parent, index) for index in range(LEAVES)],
        }
        for parent in range(PARENTS)
    ]
    whole = {"cpu": PARENT_MAX * PARENTS}
    return {
        "apiVersion": "scheduling.sigs.k8s.io/v1beta1",
        "kind": "ElasticQuotaTree",
        "metadata": {"name": "elasticquotatree", "namespace": "kube-system"},
        "spec": {"root": {"name": "root", "min": whole, "max": whole, "children": parents}},
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """What the player keeps of a unit."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    phase: str
    evicted: bool
    conditions: tuple[dict[str, Any], ...]
    """Empty unless it has to leave."""

    @property
    def runs(self) -> bool:
        """Whether it holds quota and may keep it."""
        return self.phase == "Dequeued" and not self.evicted

    @classmethod
    def of(cls, whole: dict[str, Any]) -> Seen:
        """Project a QueueUnit."""
        metadata = whole["metadata"]
        status = whole.get("status", {})
        phase, conditions = status.get("phase", ""), status.get("conditions", ())
        evicted = phase == "Dequeued" and condition_is_true(conditions, UnitCondition.EVICTED)
        return cls(
            metadata["namespace"],
            metadata["name"],
            metadata["uid"],
            metadata["resourceVersion"],
            phase,
            evicted,
            tuple(conditions) if evicted else (),
        )


class Player:
    """Creates the units, marks them finished, and notes when each was admitted."""

    def __init__(self, client: Client, scale: float) -> None:
        self.client = client
        self.shapes = shapes(scale)
        self.total = PARENTS * LEAVES * sum(shape.count for shape in self.shapes)
        self.created: dict[str, float] = {}
        self.waits: dict[str, dict[str, float]] = {shape.name: {} for shape in self.shapes}
        """By class and uid, seconds from creation to the (last) admission."""
        self.evictions: Counter[str] = Counter()
        """By class, how often a unit had to give its quota back."""
        self.writes: Counter[str] = Counter()
        self.finished = 0
        self.done = asyncio.Event()
        self._by_name = {shape.name: shape for shape in self.shapes}
        self._runs: dict[str, object] = {}
        """The present run of each unit that runs."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    async def run(self) -> float:
        """Play the whole load; return the seconds from first create to last finish.

        Raises TimeoutError when it takes longer than PATIENCE, ApiError and ConnectionLost when a
        write of the player fails: nothing measured would be worth anything.
        """
        informer = Informer(self.client, QUEUE_UNITS, Seen.of, rng=random.Random(1))
        informer.add_handler(self._unit_seen)
        watching = asyncio.create_task(informer.run())
        await informer.synced.wait()
        began = time.perf_counter()
        generators = [
            asyncio.create_task(self._generate(shape, parent, leaf))
            for parent, leaf in places()
            for shape in self.shapes
        ]
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*generators)
                await self.done.wait()
        finally:
            for task in (watching, *generators):
                task.cancel()
            await asyncio.gather(watching, *generators, return_exceptions=True)
        if self._failure is not None:
            raise self._failure
        return time.perf_counter() - began

    async def _generate(self, shape: Shape, parent: int, leaf: int) -> None:
        place = namespace(parent, leaf)
        for index in range(shape.count):
            await asyncio.sleep(shape.interval)
            manifest = unit(parent, leaf, shape, index)
            self.created[f"{place}/{manifest['metadata']['name']}"] = time.perf_counter()
            await self.client.create(QUEUE_UNITS, manifest, place)
            self.writes["create"] += 1

    def _unit_seen(self, old: Seen | None, new: Seen | None) -> None:
        if new is None:
            return
        shape = self._by_name[new.name.split("-")[0]]
        if new.evicted and (old is None or not old.evicted):
            self.evictions[shape.name] += 1
            self._runs.pop(new.uid, None)
            self._start(self._requeue(new))
        elif new.runs and (old is None or not old.runs):
            created = self.created[f"{new.namespace}/{new.name}"]
            self.waits[shape.name][new.uid] = time.perf_counter() - created
            run = self._runs[new.uid] = object()
            self._start(self._finish(new, run, shape.run))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._failure = failure
            self.done.set()

    async def _requeue(self, seen: Seen) -> None:
        with contextlib.suppress(Conflict):  # it was finished while it was being evicted
            await self.client.patch(
                QUEUE_UNITS, seen.namespace, seen.name, requeue_patch(seen), subresource="status"
            )
            self.writes["requeue"] += 1

    async def _finish(self, seen: Seen, run: object, after: float) -> None:
        await asyncio.sleep(after)
        if self._runs.get(seen.uid) is not run:
            return  # evicted meanwhile: another run will finish it
        del self._runs[seen.uid]
        await self.client.patch(
            QUEUE_UNITS, seen.namespace, seen.name, finish_patch(seen.uid), subresource="status"
        )
        self.writes["finish"] += 1
        self.finished += 1
        if self.finished == self.total:
            self.done.set()
