"""Live pods that no unit holding quota stands for, summed up for the cache.

A pod counts where its own quota label or its namespace says, as long as nothing it stands below is
the job of a unit that holds quota:

* of no unit, or of one that waits: once it has a node (where ResourceQuotas are the quotas: from
  its creation, as they count it), because a pod without a node takes no room; a node that is kept
  for it, status.nominatedNodeName, is as good as one, because others leave for it. One that waits
  for a unit of its own, behind a scheduling gate, counts there neither: its unit asks for its room;
* of a unit that has ended: always, and where it names no quota itself, under the unit's;
* while it is not known yet what it stands below, in a namespace with units: as the pods beside it
  do, the first not at all. So the pods of a unit are not counted besides it, a pod of none is
  counted a moment late at most, and what counted never leaves room for a moment.

What a unit holds and what its pods take change hands in one step, because the handler of units is
called right after the cache's.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from sys import intern
from typing import Any, Final, Generic, TypeVar

from kube_queue.api.errors import InvalidInput
from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA
from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.pod_groups import POD_MAKERS, pod_group, pod_group_uid
from kube_queue.api.pod_requests import pod_request
from kube_queue.api.pod_shapes import PodShape, pod_shape, request_shape
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.types import PODS
from kube_queue.api.units import JobRef, Unit, quota_label
from kube_queue.controller.owners import Owner, Owners, controller_of
from kube_queue.controller.records import UnitRecord
from kube_queue.kube.client import Client

LIVE_PODS: Final = "status.phase!=Succeeded,status.phase!=Failed"
"""The field selector where ended pods take nothing."""
_OVER: Final = frozenset({"Succeeded", "Failed"})
_SHARED: Final = 65_536

_GROUP: Final = "PodGroup"
"""Stands for the kind of what has none: pods that one unit stands for by the name they share."""
_MAKERS: Final = frozenset(kind for _, kind in POD_MAKERS)

Takes = TypeVar("Takes", bound=Hashable)
Place = tuple[str, str]
"""Quota label (or empty) and namespace."""


@dataclass(frozen=True, slots=True)
class PodRecord(Generic[Takes]):
    """A pod as its informer keeps it: 100,000 of them are some 70 MB."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    owner: Owner | None
    quota: str
    on_node: bool
    """Whether it has a node, or one is kept for it."""
    takes: Takes


def request_record(obj: Mapping[str, Any]) -> PodRecord[ResourceVector]:
    """The record of a pod that takes what it requests; one that ended takes nothing."""
    return _record(obj, EMPTY if _ended(obj) else _request_of(mapping_of(obj.get("spec"))))


def shape_record(obj: Mapping[str, Any]) -> PodRecord[PodShape]:
    """The record of a pod as ResourceQuotas look at it."""
    try:
        shape = pod_shape(mapping_of(obj.get("spec")))
    except InvalidInput:
        shape = request_shape(EMPTY)
    return _record(obj, replace(shape, ended=True) if _ended(obj) else shape)


class _Stand(Enum):
    """What becomes of the pods below one object."""

    COVERED = "covered"
    """A unit that holds quota stands for them."""
    UNKNOWN = "unknown"
    """Whether one does cannot be told yet."""
    FREE = "free"
    """No unit stands for them."""
    WAITING = "waiting"
    """A unit stands for them that waits, and they are its job, not what its job has made."""
    LEFT = "left"
    """The unit that stood for them has ended."""


class _Group(Generic[Takes]):
    """The pods below one object, or those of one namespace that nothing controls."""

    __slots__ = ("namespace", "owner", "pods", "quota", "stand")

    def __init__(self, namespace: str, owner: Owner | None) -> None:
        self.namespace = namespace
        self.owner = owner
        self.pods: dict[tuple[str, bool, Takes], int] = {}
        """How many pods there are by quota label, node and what they take."""
        self.stand = _Stand.FREE
        self.quota = ""
        """Where pods without a label of their own count."""


class Unmanaged(Generic[Takes]):
    """The sums of such pods by quota label and namespace, kept pod by pod and unit by unit.

    ``charge(namespace, takes)`` is what one pod is charged, ``tell(quota, namespace, held)`` gets
    every sum that changed, ``assumed(uid)`` says whether a unit that is seen waiting was admitted,
    ``pod(namespace, name)`` is the pod as last seen. ``as_kubernetes`` counts as ResourceQuotas do:
    by namespace alone, and pods without a node as well.
    """

    def __init__(
        self,
        charge: Callable[[str, Takes], ResourceVector],
        tell: Callable[[str, str, ResourceVector], None],
        assumed: Callable[[str], bool],
        pod: Callable[[str, str], PodRecord[Takes] | None],
        *,
        as_kubernetes: bool = False,
    ) -> None:
        self._charge = charge
        self._tell = tell
        self._assumed = assumed
        self._pod = pod
        self._as_kubernetes = as_kubernetes
        self._owners = Owners(self._learned)
        self._groups: dict[str, _Group[Takes]] = {}
        self._open: dict[str, set[str]] = {}
        """Groups by namespace of which it is not known what stands above them."""
        self._units: dict[str, dict[str, Unit]] = {}
        """Units by the uid of their job, then by their own."""
        self._present: dict[str, int] = {}
        """Units by namespace."""
        self._alone: set[str] = set()
        """Pods that are a unit's job themselves, by uid: each is a group of its own."""
        self._sums: dict[Place, dict[str, int]] = {}
        self._changed: dict[Place, None] = {}
        self._telling = False

    # --- what was seen --------------------------------------------------------------------------

    def pod_changed(self, old: PodRecord[Takes] | None, new: PodRecord[Takes] | None) -> None:
        """An informer handler."""
        if old is not None and new is not None and _alike(old, new):
            return
        for pod, sign in ((old, -1), (new, 1)):
            if pod is not None:
                self._count(pod, sign)
        self._flush()

    def unit_changed(self, old: UnitRecord | None, new: UnitRecord | None) -> None:
        """An informer handler, to be called after the cache's."""
        before = old.unit if old is not None else None
        after = new.unit if new is not None else None
        if before is not None and after is not None and _stands_alike(before, after):
            return
        for unit, sign in ((before, -1), (after, 1)):
            if unit is not None:
                self._note(unit, sign)
        if after is None and before is not None:
            self._come_or_gone(before.namespace, -1)
        elif before is None and after is not None:
            self._come_or_gone(after.namespace, 1)
        jobs = [unit.job for unit in (before, after) if unit is not None and unit.job is not None]
        for job in dict.fromkeys(jobs):
            if job.kind == PODS.kind:
                self._set_apart(job)
            for uid in tuple(self._owners.below(job.uid)):
                self._refresh(uid)
        self._flush()

    def settle(self) -> None:
        """Pods and units have been listed: from now on sums are told."""
        self._telling = True
        for keys in list(self._open.values()):
            for key in tuple(keys):
                self._refresh(key)
        self._flush()

    def charges_changed(self) -> None:
        """What pods are charged is another amount now."""
        for place in self._sums:
            self._changed[place] = None
        self._sums.clear()
        for group in self._groups.values():
            self._add(group, 1)
        self._flush()

    async def settled(self) -> None:
        """What stands above the pods that were seen is known, or cannot be."""
        await self._owners.quiet.wait()

    async def run(self, client: Client) -> None:
        """Ask what stands above pods until cancelled."""
        await self._owners.run(client)

    # --- inside ---------------------------------------------------------------------------------

    def _count(self, pod: PodRecord[Takes], sign: int) -> None:
        if sign > 0 and pod.uid in self._units:
            self._alone.add(pod.uid)
        key = self._key(pod)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(pod.namespace, pod.owner)
            self._refresh(key)
        elif group.stand is not _Stand.COVERED:
            self._refresh(key)  # its unit may have been admitted, which no handler is told
        entry = ("" if self._as_kubernetes else pod.quota, pod.on_node, pod.takes)
        count = group.pods.get(entry, 0) + sign
        if count:
            group.pods[entry] = count
        else:
            del group.pods[entry]
        self._add_entry(group, entry, sign)
        if not group.pods:
            self._drop(key, group)

    def _key(self, pod: PodRecord[Takes]) -> str:
        if pod.uid in self._alone:
            return pod.uid
        return pod.owner.uid if pod.owner is not None else f"/{pod.namespace}"

    def _set_apart(self, job: JobRef) -> None:
        """The pod a unit stands for is a group of its own from now on."""
        pod = self._pod(job.namespace, job.name)
        if pod is None or pod.uid != job.uid or pod.uid in self._alone:
            return
        self._count(pod, -1)
        self._alone.add(pod.uid)
        self._count(pod, 1)

    def _drop(self, key: str, group: _Group[Takes]) -> None:
        del self._groups[key]
        self._close(key, group)
        self._alone.discard(key)
        if group.owner is not None:
            self._owners.forget(group.owner.uid, self._groups.__contains__)

    def _learned(self, uid: str) -> None:
        for one in tuple(self._owners.below(uid)):
            self._refresh(one)
        self._flush()

    def _refresh(self, key: str) -> None:
        """The group counts as the units now say."""
        group = self._groups.get(key)
        if group is None:
            return
        stand, quota = self._stand(key, group)
        if (stand, quota) == (group.stand, group.quota):
            return
        self._add(group, -1)
        group.stand, group.quota = stand, quota
        self._add(group, 1)

    def _stand(self, key: str, group: _Group[Takes]) -> tuple[_Stand, str]:
        above, whole = ([], True) if group.owner is None else self._owners.above(group.owner)
        found: tuple[_Stand, str] | None = None
        for uid in (key, *above) if key in self._alone else above:
            for unit in self._units.get(uid, {}).values():
                if unit.phase in HOLDS_QUOTA or self._assumed(unit.uid):
                    self._close(key, group)
                    return _Stand.COVERED, ""
                if unit.phase in FINISHED:
                    found = (_Stand.LEFT, "" if self._as_kubernetes else unit.quota)
                elif found is None:
                    itself = unit.job is not None and unit.job.kind == PODS.kind
                    found = (_Stand.WAITING if itself else _Stand.FREE, "")
        if whole or found is not None:
            self._close(key, group)
            return found or (_Stand.FREE, "")
        self._open.setdefault(group.namespace, set()).add(key)
        if group.namespace not in self._present:
            return _Stand.FREE, ""  # nothing can stand above it, so nobody has to ask
        if self._telling and group.owner is not None:
            self._owners.ask(group.namespace, group.owner)
        if not group.pods:
            return _Stand.UNKNOWN, ""
        # Pods that counted go on counting, and those that lost their unit count from now on: nobody
        # may be admitted into their room while this is found out.
        stand = _Stand.FREE if group.stand is _Stand.COVERED else group.stand
        return stand, group.quota

    def _close(self, key: str, group: _Group[Takes]) -> None:
        keys = self._open.get(group.namespace)
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self._open[group.namespace]

    def _note(self, unit: Unit, sign: int) -> None:
        """Remembers the unit (1) or forgets it (-1) as what stands for its job's pods."""
        if unit.job is None or not unit.job.uid:
            return
        units = self._units.setdefault(unit.job.uid, {})
        if sign > 0:
            units[unit.uid] = unit
        else:
            units.pop(unit.uid, None)
        if not units:
            del self._units[unit.job.uid]

    def _come_or_gone(self, namespace: str, sign: int) -> None:
        """There is one unit more (1) or less (-1) in the namespace."""
        count = self._present.get(namespace, 0) + sign
        if count:
            self._present[namespace] = count
        else:
            del self._present[namespace]
        if count == (1 if sign > 0 else 0):
            for key in tuple(self._open.get(namespace, ())):
                self._refresh(key)

    def _add(self, group: _Group[Takes], sign: int) -> None:
        for entry, count in group.pods.items():
            self._add_entry(group, entry, sign * count)

    def _add_entry(self, group: _Group[Takes], entry: tuple[str, bool, Takes], count: int) -> None:
        quota, on_node, takes = entry
        if group.stand in (_Stand.COVERED, _Stand.UNKNOWN):
            return
        if group.stand is _Stand.FREE and not (on_node or self._as_kubernetes):
            return
        if group.stand is _Stand.WAITING and not on_node:
            return
        place = (quota or group.quota, group.namespace)
        sums = self._sums.setdefault(place, {})
        for resource, amount in self._charge(group.namespace, takes).items:
            total = sums.get(resource, 0) + count * amount
            if total:
                sums[resource] = total
            else:
                sums.pop(resource, None)
        if not sums:
            del self._sums[place]
        self._changed[place] = None

    def _flush(self) -> None:
        if not self._telling or not self._changed:
            return
        for quota, namespace in self._changed:
            held = ResourceVector.of(self._sums.get((quota, namespace), {}))
            self._tell(quota, namespace, held)
        self._changed.clear()


def _alike(old: PodRecord[Any], new: PodRecord[Any]) -> bool:
    return (old.owner, old.quota, old.on_node, old.takes) == (
        new.owner,
        new.quota,
        new.on_node,
        new.takes,
    )


def _stands_alike(old: Unit, new: Unit) -> bool:
    return (old.job, old.quota, old.phase) == (new.job, new.quota, new.phase)


def _ended(obj: Mapping[str, Any]) -> bool:
    return mapping_of(obj.get("status")).get("phase") in _OVER


def _request_of(spec: Mapping[str, Any]) -> ResourceVector:
    try:
        return pod_request(spec)
    except InvalidInput:
        return EMPTY  # such a pod runs nowhere


def _record(obj: Mapping[str, Any], takes: Takes) -> PodRecord[Takes]:
    metadata = mapping_of(obj.get("metadata"))
    owner = controller_of(metadata)
    group = pod_group(metadata)
    if group and (owner is None or owner.kind in _MAKERS):
        owner = _owner_of(text_of(metadata.get("namespace")), group)
    return PodRecord(
        namespace=intern(text_of(metadata.get("namespace"))),
        name=text_of(metadata.get("name")),
        uid=text_of(metadata.get("uid")),
        resource_version=text_of(metadata.get("resourceVersion")),
        owner=owner,
        quota=quota_label(mapping_of(metadata.get("labels"))),
        on_node=bool(
            mapping_of(obj.get("spec")).get("nodeName")
            or mapping_of(obj.get("status")).get("nominatedNodeName")
        ),
        takes=takes,
    )


@lru_cache(maxsize=_SHARED)
def _owner_of(namespace: str, group: str) -> Owner:
    return Owner("v1", _GROUP, group, pod_group_uid(namespace, group))
