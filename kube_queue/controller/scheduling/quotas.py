"""What pods are charged by: the quota tree, QueueUnits, what stands above pods, and budgets.

::

    ElasticQuotaTree ──TreeKeeper──▶ tree_seen
    QueueUnit ─────────────────────▶ unit_seen ──a unit in the namespace──▶ ask what stands above
    pod of a controller or group ──────────────────────────────────────────▶ owner_seen
    PodDisruptionBudget ───────────▶ budget_seen
    Lease of the queue controller ─▶ queue_lives

Every kind may be missing; then there is nothing of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

from kube_queue.api.names import POD_GROUP_LABEL, TREE_NAMESPACE
from kube_queue.api.pod_disruption_budgets import PodDisruptionBudget, budget_of
from kube_queue.api.pod_groups import POD_MAKERS, pod_group_uid
from kube_queue.api.pods import ControllerRef, Pod
from kube_queue.api.quota import QuotaTree
from kube_queue.api.types import (
    ELASTIC_QUOTA_TREES,
    POD_DISRUPTION_BUDGETS,
    QUEUE_UNITS,
)
from kube_queue.cache.placing import PlacementCache
from kube_queue.config import Settings
from kube_queue.controller.owners import Owner, Owners
from kube_queue.controller.records import TreeRecord, UnitRecord, tree_record, unit_record
from kube_queue.controller.scheduling.queue_lease import QueueLease
from kube_queue.controller.trees import TreeKeeper
from kube_queue.kube.client import Client
from kube_queue.kube.served import Served


class QuotaFeed:
    """Keeps the cache told of quotas; `wake` is called after news that may matter."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        cache: PlacementCache,
        clock: Callable[[], float],
        wake: Callable[[], None],
        *,
        rng: random.Random,
    ) -> None:
        self._client = client
        self._cache = cache
        self._clock = clock
        self._wake = wake
        self._rate = settings.controller.oversell_rate
        self._told: tuple[QuotaTree | None, str] = (None, "")
        size = settings.client.page_size
        self.trees: Served[TreeRecord] = Served(
            client,
            ELASTIC_QUOTA_TREES,
            tree_record,
            self._tree_changed,
            namespace=TREE_NAMESPACE,
            rng=rng,
            page_size=size,
        )
        self.units: Served[UnitRecord] = Served(
            client, QUEUE_UNITS, unit_record, self._unit_changed, rng=rng, page_size=size
        )
        self.budgets: Served[PodDisruptionBudget] = Served(
            client,
            POD_DISRUPTION_BUDGETS,
            budget_of,
            self._budget_changed,
            rng=rng,
            page_size=size,
        )
        self.keeper = TreeKeeper(self.trees, settings.controller.tree_validation, lambda tree: None)
        self.lease = QueueLease(client, settings.leader, self._queue_lives, rng=rng)
        self._above = _Above(cache, clock)

    def informers(self) -> Iterator[Served[Any]]:
        """Every watch there is."""
        yield from (self.trees, self.units, self.budgets)

    async def run(self) -> None:
        """Keep the cache told until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self.informers():
                group.create_task(informer.run())
            group.create_task(self.lease.run())
            group.create_task(self._above.run(self._client))

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """An informer handler, to be called before the cache's."""
        self._above.pod_changed(old, new)

    def _tree_changed(self, old: TreeRecord | None, new: TreeRecord | None) -> None:
        self.keeper.tree_changed(old, new)
        tree, problem = self.keeper.in_force, ""
        first = self.keeper.first()
        if tree is None and first is not None:
            problem = self.keeper.verdict(first).message
        if (tree, problem) != self._told:
            self._told = tree, problem
            self._cache.tree_seen(tree, self._clock(), self._rate, problem)
            self._wake()

    def _unit_changed(self, old: UnitRecord | None, new: UnitRecord | None) -> None:
        self._cache.unit_seen(
            old.unit if old is not None else None,
            new.unit if new is not None else None,
            self._clock(),
        )
        self._above.unit_changed(old, new)
        self._wake()

    def _budget_changed(
        self, old: PodDisruptionBudget | None, new: PodDisruptionBudget | None
    ) -> None:
        self._cache.budget_seen(old, new, self._clock())
        self._wake()

    def _queue_lives(self) -> None:
        self._cache.queue_lives(self.lease.lives, self._clock())
        self._wake()


class _Above:
    """What stands above pods, asked for only where a QueueUnit may stand there."""

    def __init__(self, cache: PlacementCache, clock: Callable[[], float]) -> None:
        self._cache = cache
        self._clock = clock
        self._owners = Owners(self._learned)
        self._controllers: dict[str, dict[str, tuple[ControllerRef, int]]] = {}
        """By namespace and uid: controllers of pods, and how many pods each has."""
        self._units: dict[str, int] = {}
        """QueueUnits by namespace."""

    async def run(self, client: Client) -> None:
        """Ask until cancelled."""
        await self._owners.run(client)

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """The pod came, changed or is gone."""
        if old is not None and new is not None and old.controller == new.controller:
            if old.labels is not new.labels:
                self._group(old, new)
            return
        self._group(old, new)
        if new is not None and new.controller is not None:
            self._count(new.namespace, new.controller, 1)
        if old is not None and old.controller is not None:
            self._count(old.namespace, old.controller, -1)

    def unit_changed(self, old: UnitRecord | None, new: UnitRecord | None) -> None:
        """The QueueUnit came, changed or is gone."""
        if (old is None) == (new is None):
            return
        unit = new or old
        assert unit is not None
        count = self._units.get(unit.namespace, 0) + (1 if old is None else -1)
        if count:
            self._units[unit.namespace] = count
        else:
            del self._units[unit.namespace]
        if old is None and count == 1:
            for controller, _ in self._controllers.get(unit.namespace, {}).values():
                self._owners.ask(unit.namespace, _owner(controller))

    def _group(self, old: Pod | None, new: Pod | None) -> None:
        """Pods that wait as one stand below what stands for their group."""
        before, after = _group_uid(old), _group_uid(new)
        pod = new or old
        if before != after and pod is not None:
            self._cache.owner_seen(pod.uid, after, self._clock())

    def _count(self, namespace: str, controller: ControllerRef, sign: int) -> None:
        known = self._controllers.setdefault(namespace, {})
        count = known.get(controller.uid, (controller, 0))[1] + sign
        if count:
            known[controller.uid] = controller, count
            if count == 1 and sign > 0 and namespace in self._units:
                self._owners.ask(namespace, _owner(controller))
            return
        del known[controller.uid]
        if not known:
            del self._controllers[namespace]
        self._owners.forget(controller.uid, lambda uid: self._has(namespace, uid))
        self._cache.owner_seen(controller.uid, "", self._clock())

    def _has(self, namespace: str, uid: str) -> bool:
        return uid in self._controllers.get(namespace, {})

    def _learned(self, uid: str) -> None:
        parent = self._owners.parent(uid)
        self._cache.owner_seen(uid, parent.uid if parent is not None else "", self._clock())


def _owner(controller: ControllerRef) -> Owner:
    return Owner(controller.api_version, controller.kind, controller.name, controller.uid)


def _group_uid(pod: Pod | None) -> str:
    """The uid that stands for the group the pod waits with; empty: none."""
    if pod is None:
        return ""
    group, controller = pod.labels.get(POD_GROUP_LABEL), pod.controller
    if not group:
        return ""
    if controller is not None:
        kind = controller.api_version.rpartition("/")[0], controller.kind
        if kind not in POD_MAKERS:
            return ""
    return pod_group_uid(pod.namespace, group)
