"""PodGroups: what gangs read of them, and the status they get from us.

::

    three kinds, each where it is served ──▶ PlacementCache
    pods and PodGroups that changed ──▶ touched ──a second──▶ status that differs? ──▶ patch
                                                    └─ gang by labels without an object: create

An object that stands for a gang by labels is owned by the controller of the gang's pods and goes
with it. It keeps, over a restart, that the gang had its minimum once.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import structlog

from kube_queue.api.errors import AlreadyExists, KubeQueueError, NotFound
from kube_queue.api.gangs import GangSource, PodGroup
from kube_queue.api.pods import Pod
from kube_queue.api.reasons import Reason
from kube_queue.api.types import POD_GROUPS, PODS
from kube_queue.controller.scheduling.group_records import (
    KINDS,
    MOST_UIDS,
    GroupRecord,
    Standing,
    projection,
    scheduled_condition,
    standing_of,
    status_of,
)
from kube_queue.controller.scheduling.means import Means
from kube_queue.kube.client import Client
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.served import Served
from kube_queue.kube.writes import Failed, Lane, Outcome
from kube_queue.placement.gangs import Gang, Gangs
from kube_queue.placement.units import UnitKey

TOGETHER: Final = 1.0
"""Seconds in which changes of a gang become one status."""
AT_ONCE: Final = 4
"""Status writes handed to the write scheduler at a time."""
_NOTHING: Final = Standing("", 0, 0, 0, 0, False, ())
_OBJECT_NAME: Final = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")

GroupHandler = Callable[[PodGroup | None, PodGroup | None], None]

_log = structlog.get_logger("controller.scheduling.groups")


class PodGroups:
    """The PodGroups of every kind that the cluster serves."""

    def __init__(
        self, client: Client, seen: GroupHandler, *, rng: random.Random, page_size: int
    ) -> None:
        self.kinds: dict[GangSource, Served[GroupRecord]] = {
            source: Served(
                client,
                resource,
                projection(source),
                partial(_tell, seen),
                rng=rng,
                page_size=page_size,
            )
            for source, resource in KINDS.items()
        }

    def get(self, source: GangSource, namespace: str, name: str) -> GroupRecord | None:
        """The object as last seen."""
        return self.kinds[source].get(namespace, name)


def _tell(seen: GroupHandler, old: GroupRecord | None, new: GroupRecord | None) -> None:
    seen(old.group if old is not None else None, new.group if new is not None else None)


class GroupKeeper:
    """Keeps the status of PodGroups true while one process leads.

    `write_all`: also where a controller owns the object, or another scheduler's kind it is.
    """

    def __init__(self, means: Means, groups: PodGroups, *, write_all: bool) -> None:
        self._means = means
        self._groups = groups
        self._write_all = write_all
        self._touched: dict[UnitKey, None] = {}
        self._news = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._written: dict[UnitKey, tuple[str, object]] = {}
        """uid and what was last written: a kind without all our fields is not written for ever."""
        self._said: dict[UnitKey, str] = {}
        """Of which gangs it was said that their members disagree, and in what words."""

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """An informer handler, to be called after the cache's."""
        for pod in (old, new):
            if pod is not None and pod.gang is not None:
                self.touched(UnitKey(pod.namespace, pod.gang.name))

    def group_changed(self, old: GroupRecord | None, new: GroupRecord | None) -> None:
        """An informer handler, to be called after the cache's."""
        group = new or old
        if group is not None:
            self.touched(UnitKey(group.namespace, group.name))

    def touched(self, key: UnitKey) -> None:
        """The gang may stand differently."""
        self._touched[key] = None
        self._news.set()

    async def run(self) -> None:
        """Write until cancelled."""
        for gang in self._gangs.gangs():
            self.touched(gang.key)
        while True:
            await self._news.wait()
            self._news.clear()
            await asyncio.sleep(TOGETHER)
            touched, self._touched = self._touched, {}
            for key in touched:
                await self._look(key)
                # A cluster of many gangs must not keep the loop from deciding.
                await asyncio.sleep(0)

    @property
    def _gangs(self) -> Gangs:
        return self._means.cache.gangs

    async def _look(self, key: UnitKey) -> None:
        gang = self._gangs.gang(key)
        if gang is None:
            self._written.pop(key, None)
            self._said.pop(key, None)
            return
        self._say_disagreement(gang)
        source = gang.mark.source
        by_pods = source in (GangSource.LABELS, GangSource.ANNOTATIONS)
        if by_pods:
            source = GangSource.SIGS_POD_GROUP
        record = self._groups.get(source, gang.key.namespace, gang.mark.name)
        if record is not None:
            await self._write(gang, record)
        elif by_pods and self._groups.kinds[source].is_served:
            await self._create(gang)

    def _say_disagreement(self, gang: Gang) -> None:
        words = self._gangs.disagreement(gang)
        if words and self._said.get(gang.key) != words:
            first = min(gang.pods.values(), key=lambda pod: (pod.created, pod.name))
            self._means.tell(first, "Warning", Reason.MINIMUMS_DIFFER, f"{gang.key.name}: {words}")
        self._said[gang.key] = words

    def _may_write(self, record: GroupRecord) -> bool:
        if self._write_all or record.group.source is GangSource.SCHEDULING_GROUP:
            return True
        return record.group.source is GangSource.SIGS_POD_GROUP and not record.group.controller_uid

    async def _write(self, gang: Gang, record: GroupRecord) -> None:
        if not self._may_write(record):
            return
        standing = standing_of(self._gangs, gang, record.standing.satisfied_by)
        patch: dict[str, Any]
        if record.group.source is GangSource.SCHEDULING_GROUP:
            least = self._gangs.least(gang)
            condition = scheduled_condition(standing, least, record.scheduled, self._means.clock())
            wanted: object = f"{condition['status']} {condition['message']}"
            stands: object = record.scheduled
            patch = {"metadata": {"uid": record.uid}, "status": {"conditions": [condition]}}
        else:
            wanted, stands = standing, record.standing
            status = status_of(standing, record.standing, self._means.clock())
            patch = merge_patch(record.uid, "", {"status": status})
        if wanted == stands or self._written.get(gang.key) == (record.uid, wanted):
            return
        self._written[gang.key] = record.uid, wanted
        resource = self._groups.kinds[record.group.source].resource
        # Others may write conditions of Kubernetes' own kind: the server merges them by type.
        own_kind = record.group.source is GangSource.SCHEDULING_GROUP

        async def send(client: Client) -> None:
            await client.patch(
                resource,
                record.namespace,
                record.name,
                patch,
                kind="strategic" if own_kind else "merge",
                subresource="status",
            )

        await self._submit(gang.key, send)

    async def _create(self, gang: Gang) -> None:
        owners = list(_owners(gang))
        name = gang.mark.name
        if not owners or len(owners) > MOST_UIDS or not _OBJECT_NAME.fullmatch(name):
            return
        least = self._gangs.least(gang)
        body = {
            "apiVersion": POD_GROUPS.api_version,
            "kind": POD_GROUPS.kind,
            "metadata": {
                "namespace": gang.key.namespace,
                "name": name,
                "ownerReferences": owners,
            },
            "spec": {"minMember": least},
        }
        if self._written.get(gang.key) == ("", least):
            return
        self._written[gang.key] = "", least

        async def send(client: Client) -> None:
            try:
                await client.create(POD_GROUPS, body)
            except AlreadyExists:
                # Of an earlier job of this name, most likely: it goes, and then this one comes.
                self._written.pop(gang.key, None)

        await self._submit(gang.key, send)

    async def _submit(self, key: UnitKey, send: Callable[[Client], Any]) -> None:
        await self._slots.acquire()

        def done(outcome: Outcome) -> None:
            self._slots.release()
            if isinstance(outcome, Failed):
                self._failed(key, outcome.error)

        lane_key = (POD_GROUPS.plural, key.namespace, key.name)
        self._means.writes.submit(Lane.STATUS, lane_key, send, done)

    def _failed(self, key: UnitKey, error: KubeQueueError) -> None:
        # What stands is not known: the next change writes whatever it finds.
        self._written.pop(key, None)
        if not isinstance(error, NotFound):
            _log.info(
                "a PodGroup was not written",
                group=f"{key.namespace}/{key.name}",
                problem=str(error),
            )


def _owners(gang: Gang) -> Iterator[dict[str, Any]]:
    """The controllers of the gang's pods, or the pods themselves, as owner references."""
    seen: set[str] = set()
    for pod in gang.pods.values():
        owner = pod.controller
        found = (
            (PODS.api_version, PODS.kind, pod.name, pod.uid)
            if owner is None
            else (owner.api_version, owner.kind, owner.name, owner.uid)
        )
        if found[3] not in seen and not pod.finished:
            seen.add(found[3])
            yield dict(zip(("apiVersion", "kind", "name", "uid"), found, strict=True))
