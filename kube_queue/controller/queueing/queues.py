"""Automatic Queues: one per leaf of the tree in force, and the queue of units that name none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from kube_queue.admission.place import Places, TreePlaces
from kube_queue.api.errors import AlreadyExists, Conflict, NotFound
from kube_queue.api.lifecycle import FINISHED
from kube_queue.api.names import (
    CREATED_BY_LABEL,
    QUEUE_NAMESPACE,
    QUOTA_PATH_ANNOTATION,
)
from kube_queue.api.quota import QuotaTree, queue_name
from kube_queue.api.reasons import Reason
from kube_queue.api.types import QUEUE_UNITS, QUEUES
from kube_queue.controller.records import QueueRecord, UnitRecord
from kube_queue.controller.steps import write_key
from kube_queue.kube.client import Client
from kube_queue.kube.events import EventRecorder, ObjectRef
from kube_queue.kube.informer import Informer
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.workqueue import WorkQueue, run_workers
from kube_queue.kube.writes import Lane, Overtaken, Send, WriteScheduler

WORKERS: Final = 4

_log = structlog.get_logger("controller.queues")


class AutomaticQueues:
    """Every leaf has its Queue in namespace kube-queue; a Queue without its leaf goes once empty.

    Only Queues that carry our label are ever deleted, and none is ever changed. Reconciles by name,
    from what the informers know at that moment. ``needed`` says of a leaf's path whether its Queue
    is to be made; one that is there stays as long as its leaf.
    """

    def __init__(
        self, queues: Informer[QueueRecord], needed: Callable[[str], bool] = lambda path: True
    ) -> None:
        self._queues = queues
        self._needed = needed
        self._writes: WriteScheduler | None = None
        self._events: EventRecorder | None = None
        self._work: WorkQueue[str] = WorkQueue()
        self._paths: dict[str, str] | None = None
        self._members: dict[str, int] = {}

    def leaves_in_force(self, paths: Mapping[str, str]) -> None:
        """The leaves are these: each one's path by the name of its Queue."""
        self._paths = dict(paths)
        for name in self._paths:
            self._work.add(name)
        self._look_at_orphans()

    def leaf_joined(self, name: str, path: str) -> None:
        """There is one leaf more, and this is its Queue."""
        if self._paths is not None:
            self._paths[name] = path
            self._work.add(name)

    def look_at(self, name: str) -> None:
        """The leaf of this Queue may need it now."""
        self._work.add(name)

    def queue_changed(self, old: QueueRecord | None, new: QueueRecord | None) -> None:
        """An informer handler: a Queue that came or went may have to go or come."""
        seen = new or old
        if seen is None or seen.namespace != QUEUE_NAMESPACE:
            return
        if old is None or new is None or old.queue.created_by_us != new.queue.created_by_us:
            self._work.add(seen.name)

    def unit_changed(self, old: UnitRecord | None, new: UnitRecord | None) -> None:
        """An informer handler: counts who is in a queue, and looks at a Queue left empty."""
        before, after = _membership(old), _membership(new)
        if before == after:
            return
        if after:
            self._members[after] = self._members.get(after, 0) + 1
        if before:
            left = self._members[before] - 1
            if left:
                self._members[before] = left
            else:
                del self._members[before]
                if self._paths is not None and before not in self._paths:
                    self._work.add(before)

    async def run(self, writes: WriteScheduler, events: EventRecorder) -> None:
        """Create and delete until cancelled."""
        self._writes, self._events = writes, events
        await run_workers(self._work, self._reconcile, WORKERS)

    def _look_at_orphans(self) -> None:
        for record in self._queues.values():
            if record.queue.created_by_us and record.namespace == QUEUE_NAMESPACE:
                self._work.add(record.name)

    async def _reconcile(self, name: str) -> None:
        if self._paths is None:
            return
        record = self._queues.get(QUEUE_NAMESPACE, name)
        path = self._paths.get(name)
        if record is None:
            if path is not None and self._needed(path):
                await self._create(name, path)
        elif path is None and record.queue.created_by_us and not self._members.get(name):
            await self._delete(record)

    async def _create(self, name: str, path: str) -> None:
        async def send(client: Client) -> None:
            try:
                made = await client.create(QUEUES, queue_manifest(name, path))
            except AlreadyExists:
                return  # somebody was faster, or our own first try arrived: the watch tells
            _log.info("queue created", queue=name, quota=path)
            uid = made["metadata"]["uid"]
            self._say(name, uid, Reason.QUEUE_CREATED, f"created for the quota {path}")

        await self._write(name, send)

    async def _delete(self, record: QueueRecord) -> None:
        async def send(client: Client) -> None:
            try:
                await client.delete(QUEUES, record.namespace, record.name, uid=record.uid)
            except (NotFound, Conflict):
                return  # gone, or another one of the same name: the watch tells
            path = record.queue.quota_path
            _log.info("queue deleted", queue=record.name, quota=path)
            gone = f"deleted: it is empty and its quota {path} is gone"
            self._say(record.name, record.uid, Reason.QUEUE_DELETED, gone)

        await self._write(record.name, send)

    def _say(self, name: str, uid: str, reason: Reason, message: str) -> None:
        if self._events is not None:
            queue = ObjectRef(QUEUES.api_version, QUEUES.kind, QUEUE_NAMESPACE, name, uid)
            self._events.record(queue, "Normal", reason, message)

    async def _write(self, name: str, send: Send) -> None:
        assert self._writes is not None
        key = (QUEUES.plural, QUEUE_NAMESPACE, name)
        try:
            await self._writes.write(Lane.CREATE, key, send)
        except Overtaken:
            return  # a later write of the same Queue says it better


class QueueFiller:
    """Units that came without a queue get the one they belong to, once."""

    def __init__(self, units: Informer[UnitRecord]) -> None:
        self._units = units
        self._writes: WriteScheduler | None = None
        self._places: Places = TreePlaces(None)
        self._without: dict[tuple[str, str], None] = {}

    def places_in_force(self, places: Places) -> None:
        """Units belong where these say from now on."""
        self._places = places
        self._fill_all()

    def unit_changed(self, old: UnitRecord | None, new: UnitRecord | None) -> None:
        """An informer handler."""
        seen = new or old
        if seen is None:
            return
        key = (seen.namespace, seen.name)
        if new is None or new.unit.queue or new.unit.phase in FINISHED:
            self._without.pop(key, None)
        else:
            self._without[key] = None
            self._fill(new)

    async def run(self, writes: WriteScheduler) -> None:
        """Fill until cancelled."""
        self._writes = writes
        self._fill_all()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._writes = None

    def _fill_all(self) -> None:
        for namespace, name in list(self._without):
            record = self._units.get(namespace, name)
            if record is not None:
                self._fill(record)

    def _fill(self, record: UnitRecord) -> None:
        writes = self._writes
        if writes is None:
            return
        unit = record.unit
        queue = self._places.queue(unit, self._places.leaf(unit))
        if not queue:
            return
        changes = {"spec": {"queue": queue}}
        patch = merge_patch(unit.uid, unit.resource_version, changes)

        async def send(client: Client) -> None:
            try:
                await client.patch(QUEUE_UNITS, unit.namespace, unit.name, patch)
            except (Conflict, NotFound):
                return  # it changed or went: the watch tells, and we look again

        writes.submit(Lane.CREATE, write_key(unit), send)


def queues_of(tree: QuotaTree | None) -> dict[str, str]:
    """The path of every leaf of an ElasticQuotaTree by the name of its automatic Queue."""
    return {} if tree is None else {queue_name(leaf.path): leaf.path for leaf in tree.leaves()}


def queue_manifest(name: str, path: str) -> dict[str, Any]:
    """The automatic Queue of the leaf at `path`; its policy stays the controller's default."""
    return {
        "apiVersion": QUEUES.api_version,
        "kind": QUEUES.kind,
        "metadata": {
            "name": name,
            "namespace": QUEUE_NAMESPACE,
            "annotations": {QUOTA_PATH_ANNOTATION: path},
            "labels": {CREATED_BY_LABEL: "true"},
        },
        "spec": {},
    }


def _membership(record: UnitRecord | None) -> str:
    if record is None or record.unit.phase in FINISHED:
        return ""
    return record.unit.queue
