"""Where the ResourceQuotas of a namespace are its quota: which are in force, and for whom.

Every namespace that has units or ResourceQuotas is one leaf. A namespace that gets its first unit
has its leaf before that unit is put into the cache, so this handler of units has to be attached
first. A change of ResourceQuotas is put in force at once; while changes keep coming they are taken
together, because every time all units are looked at. What a ResourceQuota's status says is used is
never read: it counts the pods of the jobs admitted here a second time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from kube_queue.admission.place import Places, ResourceQuotaPlaces
from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.quota import QuotaNode, QuotaTree
from kube_queue.api.resource_quota import (
    ResourceQuota,
    leaf_of,
    namespace_leaf,
    namespace_of,
    read_resource_quota,
    tree_of_namespaces,
)
from kube_queue.api.units import with_pods
from kube_queue.controller.records import UnitRecord, unit_record

REST: Final = 20.0
"""So many times as long as putting quotas in force took is waited before it is done again."""
EMPTY_SECONDS: Final = 5.0
"""A namespace left without units and quotas keeps its leaf about this long."""

Quotas = Mapping[str, tuple[ResourceQuota, ...]]
"""By namespace, in the order of their names."""

_log = structlog.get_logger("controller.resource_quotas")


@dataclass(frozen=True, slots=True)
class QuotaRecord:
    """A ResourceQuota as its informer keeps it."""

    quota: ResourceQuota
    uid: str
    resource_version: str

    @property
    def namespace(self) -> str:
        """The quota's namespace."""
        return self.quota.namespace

    @property
    def name(self) -> str:
        """The quota's name."""
        return self.quota.name


def quota_record(obj: Mapping[str, Any]) -> QuotaRecord:
    """The record of a ResourceQuota object; never raises on content."""
    metadata = mapping_of(obj.get("metadata"))
    return QuotaRecord(
        read_resource_quota(obj),
        text_of(metadata.get("uid")),
        text_of(metadata.get("resourceVersion")),
    )


def unit_record_with_pods(obj: Mapping[str, Any]) -> UnitRecord:
    """The record of a QueueUnit with the shapes of its pods; never raises on content."""
    record = unit_record(obj)
    return replace(record, unit=with_pods(record.unit, obj))


class NamespaceQuotas:
    """The quotas of all namespaces, put in force by ``put_in_force``; ``grown`` is told when one
    namespace without ResourceQuotas came to those in force, and by which path, ``needed`` which
    leaf got its first unit.
    """

    def __init__(
        self,
        put_in_force: Callable[[QuotaTree, Places], None],
        grown: Callable[[QuotaTree, str], None],
        needed: Callable[[str], None],
    ) -> None:
        self.in_force: QuotaTree | None = None
        self.quotas: Quotas = {}
        """Those in force."""
        self._put_in_force = put_in_force
        self._grown = grown
        self._needed = needed
        self._seen: dict[str, dict[str, ResourceQuota]] = {}
        self._units: dict[str, int] = {}
        self._known: set[str] = set()
        self._leaves: dict[str, QuotaNode] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rested_at = 0.0

    def quota_changed(self, old: QuotaRecord | None, new: QuotaRecord | None) -> None:
        """An informer handler."""
        if old is not None and new is not None and old.quota == new.quota:
            return
        seen = new or old
        assert seen is not None
        of_namespace = self._seen.setdefault(seen.namespace, {})
        if new is not None:
            of_namespace[new.name] = new.quota
        else:
            of_namespace.pop(seen.name, None)
            if not of_namespace:
                del self._seen[seen.namespace]
        self._apply_soon()

    def unit_changed(self, old: UnitRecord | None, new: UnitRecord | None) -> None:
        """An informer handler, to be called before the cache's."""
        if old is not None and new is not None:
            return
        seen = new or old
        assert seen is not None
        count = self._units.get(seen.namespace, 0) + (1 if new is not None else -1)
        if count:
            self._units[seen.namespace] = count
        else:
            del self._units[seen.namespace]
            if seen.namespace not in self._seen:
                self._apply_soon(EMPTY_SECONDS)
        if self.in_force is None or new is None or count > 1:
            return
        if seen.namespace not in self._known:
            self._grow(seen.namespace)
        self._needed(leaf_of(seen.namespace))

    def settle(self) -> None:
        """The ResourceQuotas are known: what was seen is in force."""
        self._apply()

    def needs_queue(self, leaf: str) -> bool:
        """Whether a unit of the leaf's namespace exists."""
        return namespace_of(leaf) in self._units

    def stop(self) -> None:
        """Nothing is put in force any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _apply_soon(self, after: float = 0.0) -> None:
        if self.in_force is None:
            return  # settle does
        loop = asyncio.get_running_loop()
        at = max(loop.time() + after, self._rested_at)
        if at <= loop.time():
            self._apply()
            return
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at, self._apply)

    def _apply(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        began = loop.time()
        quotas = {
            namespace: tuple(of_namespace[name] for name in sorted(of_namespace))
            for namespace, of_namespace in self._seen.items()
        }
        former, self._leaves = self._leaves, {}
        for namespace in sorted({*self._seen, *self._units}):
            leaf = former.get(namespace)
            if leaf is None or quotas.get(namespace, ()) != self.quotas.get(namespace, ()):
                leaf = namespace_leaf(namespace, quotas.get(namespace, ()))
            self._leaves[namespace] = leaf
        if self.in_force is not None and quotas == self.quotas and self._leaves == former:
            return
        self.quotas, self._known = quotas, set(self._leaves)
        self.in_force = tree_of_namespaces(self._leaves.values())
        self._put_in_force(self.in_force, ResourceQuotaPlaces(quotas, self._known))
        ended = loop.time()
        self._rested_at = ended + REST * (ended - began)
        count = sum(map(len, quotas.values()))
        _log.info("quotas are in force", namespaces=len(self._leaves), resource_quotas=count)

    def _grow(self, namespace: str) -> None:
        if namespace in self._seen:
            # Its quotas came a moment ago: they count before its first unit does.
            self._apply()
            return
        self._leaves[namespace] = namespace_leaf(namespace, ())
        self._known.add(namespace)
        self.in_force = tree_of_namespaces(self._leaves.values())
        self._grown(self.in_force, leaf_of(namespace))
