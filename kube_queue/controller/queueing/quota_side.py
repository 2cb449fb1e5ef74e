"""Where the quotas come from: an ElasticQuotaTree, or the ResourceQuotas of every namespace; and
in both cases the pods that take room in them without a unit.

::

    ElasticQuotaTrees ──▶ TreeKeeper ──────┐
       or ResourceQuotas ▶ NamespaceQuotas ┴─▶ Followers ──▶ cache, automatic Queues, ...
    Pods ──▶ Unmanaged ◀── units             ▲
                 └───────────────────────────┘
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import structlog

from kube_queue.admission.place import Places, TreePlaces
from kube_queue.api.names import TREE_NAMESPACE
from kube_queue.api.pod_shapes import PodGroup, PodShape
from kube_queue.api.quota import QuotaTree
from kube_queue.api.resource_quota import charge_of, namespace_of
from kube_queue.api.resources import ResourceVector
from kube_queue.api.types import ELASTIC_QUOTA_TREES, PODS, RESOURCE_QUOTAS
from kube_queue.cache import Cache
from kube_queue.config import Settings
from kube_queue.controller.queueing.queues import queues_of
from kube_queue.controller.queueing.resource_quotas import (
    NamespaceQuotas,
    QuotaRecord,
    quota_record,
    unit_record_with_pods,
)
from kube_queue.controller.queueing.unmanaged import (
    LIVE_PODS,
    PodRecord,
    Unmanaged,
    request_record,
    shape_record,
)
from kube_queue.controller.records import TreeRecord, UnitRecord, tree_record, unit_record
from kube_queue.controller.trees import TreeKeeper
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer

OVERSELL_NOTICE: Final = (
    "--oversellrate has no effect with QueueGroupPlugin=resourcequota: the API server itself "
    "refuses pods above a ResourceQuota"
)

_log = structlog.get_logger("controller.quotas")


class Followers(Protocol):
    """Who has to know about quotas."""

    def quotas_in_force(
        self, tree: QuotaTree | None, places: Places, queues: Mapping[str, str]
    ) -> None:
        """These quotas count now; `queues` has each leaf's path by its automatic Queue's name."""

    def leaf_joined(self, tree: QuotaTree, leaf: str) -> None:
        """The tree has one leaf more; its Queue is called the same."""

    def queue_needed(self, queue: str) -> None:
        """The leaf of this automatic Queue got its first unit."""

    def unmanaged_changed(self, quota: str, namespace: str, held: ResourceVector) -> None:
        """Pods without a unit hold this much there."""


class QuotaSide:
    """Keeps the quotas and the pods without a unit true, and its followers told.

    `units` is the informer whose units are looked at; it has to be made with `unit_projection`.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        cache: Cache,
        followers: Followers,
        rng: random.Random,
    ) -> None:
        controller = settings.controller
        self.by_namespace = controller.by_namespace
        self._client = client
        self._followers = followers
        self._page_size = settings.client.page_size
        self._rng = rng
        self.trees: Informer[TreeRecord] = Informer(
            client, ELASTIC_QUOTA_TREES, tree_record, namespace=TREE_NAMESPACE, rng=rng
        )
        """Not run where ResourceQuotas are the quotas."""
        self.keeper = TreeKeeper(self.trees, controller.tree_validation, self._tree_in_force)
        self.trees.add_handler(self.keeper.tree_changed)
        self.namespaces = NamespaceQuotas(
            self._namespaces_in_force, followers.leaf_joined, followers.queue_needed
        )
        self.resource_quotas: Informer[QuotaRecord] = Informer(
            client, RESOURCE_QUOTAS, quota_record, rng=rng, page_size=self._page_size
        )
        self.resource_quotas.add_handler(self.namespaces.quota_changed)
        self.pods: Informer[Any] | None = None
        self._unmanaged: Unmanaged[Any] | None = None
        self._pods_settled = asyncio.Event()
        if controller.count_unmanaged_pods:
            self._count_pods(cache)
        if self.by_namespace and controller.oversell_rate != 1.0:
            _log.warning(OVERSELL_NOTICE)

    def _count_pods(self, cache: Cache) -> None:
        followers, client = self._followers, self._client
        if self.by_namespace:
            shapes: Informer[PodRecord[PodShape]] = Informer(
                client, PODS, shape_record, rng=self._rng, page_size=self._page_size
            )
            self._unmanaged = Unmanaged(
                self._charge,
                followers.unmanaged_changed,
                cache.assumed,
                shapes.get,
                as_kubernetes=True,
            )
            self.pods = shapes
        else:
            requests: Informer[PodRecord[ResourceVector]] = Informer(
                client,
                PODS,
                request_record,
                field_selector=LIVE_PODS,
                rng=self._rng,
                page_size=self._page_size,
            )
            self._unmanaged = Unmanaged(
                lambda namespace, request: request,
                followers.unmanaged_changed,
                cache.assumed,
                requests.get,
            )
            self.pods = requests
        self.pods.add_handler(self._unmanaged.pod_changed)

    @property
    def in_force(self) -> QuotaTree | None:
        """The quotas that count now."""
        return self.namespaces.in_force if self.by_namespace else self.keeper.in_force

    @property
    def informers(self) -> tuple[Informer[Any], ...]:
        """Those that run."""
        quotas: Informer[Any] = self.resource_quotas if self.by_namespace else self.trees
        return (quotas,) if self.pods is None else (quotas, self.pods)

    def attach_before_cache(self, units: Informer[UnitRecord]) -> None:
        """From now on the units' namespaces have their leaf before the cache has the unit."""
        if self.by_namespace:
            units.add_handler(self.namespaces.unit_changed)

    def attach_after_cache(self, units: Informer[UnitRecord]) -> None:
        """From now on pods count as the units say."""
        if self._unmanaged is not None:
            units.add_handler(self._unmanaged.unit_changed)

    async def run(self, units: Informer[UnitRecord]) -> None:
        """Keep all of it true until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for informer in self.informers:
                    group.create_task(informer.run())
                if self._unmanaged is not None:
                    group.create_task(self._unmanaged.run(self._client))
                    group.create_task(self._settle_pods(self._unmanaged, units))
                await self.informers[0].synced.wait()
                if self.by_namespace:
                    self.namespaces.settle()
                else:
                    self.keeper.settle()
        finally:
            self.namespaces.stop()

    async def _settle_pods(self, unmanaged: Unmanaged[Any], units: Informer[UnitRecord]) -> None:
        assert self.pods is not None
        for informer in (*self.informers, units):
            await informer.synced.wait()
        unmanaged.settle()
        await unmanaged.settled()
        self._pods_settled.set()

    async def synced(self) -> None:
        """The quotas are in force, and the pods without a unit are counted."""
        for informer in self.informers:
            await informer.synced.wait()
        if self._unmanaged is not None:
            await self._pods_settled.wait()

    @property
    def ready(self) -> bool:
        """Whether both is so."""
        counted = self._unmanaged is None or self._pods_settled.is_set()
        return counted and all(informer.synced.is_set() for informer in self.informers)

    def remark(self, leaf: str) -> str:
        """What is to be said of a unit's admission to this leaf besides its path."""
        if not self.by_namespace or self.namespaces.quotas.get(namespace_of(leaf)):
            return ""
        namespace = namespace_of(leaf)
        return f": namespace {namespace} has no ResourceQuota, so nothing limits it"

    def _charge(self, namespace: str, pod: PodShape) -> ResourceVector:
        quotas = self.namespaces.quotas.get(namespace, ())
        return charge_of(quotas, (PodGroup("", 1, pod),))

    def _tree_in_force(self, tree: QuotaTree | None) -> None:
        self._followers.quotas_in_force(tree, TreePlaces(tree), queues_of(tree))

    def _namespaces_in_force(self, tree: QuotaTree, places: Places) -> None:
        queues = {leaf.path: leaf.path for leaf in tree.leaves()}
        self._followers.quotas_in_force(tree, places, queues)
        if self._unmanaged is not None:
            self._unmanaged.charges_changed()


def unit_projection(settings: Settings) -> Callable[[dict[str, Any]], UnitRecord]:
    """What the informer of units keeps of them."""
    return unit_record_with_pods if settings.controller.by_namespace else unit_record
