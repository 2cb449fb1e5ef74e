"""The scheduling side as a whole: informers, memory, and what runs while this process leads.

::

    informers ──▶ PlacementFeeder ──▶ PlacementCache ──▶ SchedulingLoop ──▶ Effects ──▶ writes
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from typing import Any

from kube_queue.api.names import SCHEDULER_COMPONENT
from kube_queue.api.nodes import Node, node_of
from kube_queue.api.pods import Pod, pod_of
from kube_queue.api.types import NODES, PODS
from kube_queue.cache.placing import PlacementCache
from kube_queue.config import Settings
from kube_queue.config.settings import PodGroupStatusOwner, ScoreStrategy
from kube_queue.controller.scheduling.binder import Binder
from kube_queue.controller.scheduling.effects import Effects
from kube_queue.controller.scheduling.evictor import Evictor
from kube_queue.controller.scheduling.feeder import PlacementFeeder
from kube_queue.controller.scheduling.foreign import ForeignChanges
from kube_queue.controller.scheduling.groups import GroupKeeper, PodGroups
from kube_queue.controller.scheduling.loop import SchedulingLoop
from kube_queue.controller.scheduling.means import Means
from kube_queue.controller.scheduling.quota_status import QuotaStatus
from kube_queue.controller.scheduling.quotas import QuotaFeed
from kube_queue.controller.scheduling.surroundings import Surroundings
from kube_queue.controller.scheduling.telling import Teller
from kube_queue.kube.client import Client
from kube_queue.kube.events import EventRecorder
from kube_queue.kube.informer import Informer
from kube_queue.kube.served import Served
from kube_queue.kube.writes import WriteScheduler
from kube_queue.observability.meters import Meters
from kube_queue.placement.framework import PluginFactory
from kube_queue.placement.plugins import BASE
from kube_queue.placement.plugins.resources_fit import LeastAllocated, MostAllocated


class SchedulingSide:
    """Everything of the scheduling side that one leadership holds.

    `clock` gives seconds since the epoch. `run` keeps the memory true until cancelled; `lead`
    decides and writes until cancelled, and is to be called only by the leader, after `synced`.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        meters: Meters,
    ) -> None:
        self.meters = meters
        self.events: EventRecorder | None = None
        self.scheduler_names = frozenset(settings.scheduler.scheduler_names)
        self.cache = PlacementCache(
            self.scheduler_names,
            plugins(settings),
            reserve_after=settings.scheduler.reserve_after_seconds,
        )
        self._settings = settings
        self._clock = clock
        self._rng = rng
        size = settings.client.page_size
        self.nodes: Informer[Node] = Informer(client, NODES, node_of, rng=rng, page_size=size)
        self.pods: Informer[Pod] = Informer(client, PODS, pod_of, rng=rng, page_size=size)
        self.loop = SchedulingLoop(self.cache, meters, clock)
        self._foreign = ForeignChanges(self.cache)
        self._feeder = PlacementFeeder(self.cache, self._foreign, clock, self.loop.wake)
        self.groups = PodGroups(client, self._feeder.group_changed, rng=rng, page_size=size)
        self.quotas = QuotaFeed(client, settings, self.cache, clock, self.loop.wake, rng=rng)
        self.surroundings = Surroundings(
            client, self.cache, clock, self.loop.wake, rng=rng, page_size=size
        )
        self.nodes.add_handler(self._feeder.node_changed)
        self.pods.add_handler(self.quotas.pod_changed)
        self.pods.add_handler(self._feeder.pod_changed)

    def informers(self) -> Iterator[Informer[Any] | Served[Any]]:
        """Every watch there is."""
        yield self.nodes
        yield self.pods
        yield from self.groups.kinds.values()
        yield from self.quotas.informers()
        yield from self.surroundings.informers()

    async def run(self) -> None:
        """Keep informers and memory true until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.nodes.run())
            group.create_task(self.pods.run())
            for kind in self.groups.kinds.values():
                group.create_task(kind.run())
            group.create_task(self.quotas.run())
            group.create_task(self.surroundings.run())

    async def synced(self) -> None:
        """What exists is in memory."""
        for informer in self.informers():
            await informer.synced.wait()

    @property
    def ready(self) -> bool:
        """Whether what exists is in memory."""
        return all(informer.synced.is_set() for informer in self.informers())

    async def lead(self, writes: WriteScheduler) -> None:
        """Decide and write until cancelled."""
        self.events = EventRecorder(writes, SCHEDULER_COMPONENT, self._clock, self._rng)
        means = Means(
            cache=self.cache,
            foreign=self._foreign,
            writes=writes,
            events=self.events,
            meters=self.meters,
            clock=self._clock,
            pod=self.pods.get,
            wake=self.loop.wake,
        )
        scheduler = self._settings.scheduler
        binder = Binder(
            means,
            seconds=scheduler.bind_seconds,
            commit_id=self._commit_id,
            settled=self.loop.wake,
        )
        teller = Teller(means, after=scheduler.tell_after_seconds)
        most_open = 4 * self._settings.writes.max_in_flight
        keeper = GroupKeeper(
            means,
            self.groups,
            write_all=scheduler.pod_group_status is PodGroupStatusOwner.ALL,
        )
        self.pods.add_handler(keeper.pod_changed)
        self.pods.add_handler(binder.volumes.pod_changed)
        self.surroundings.claims.add_handler(lambda old, new: binder.volumes.claims_changed())
        for kind in self.groups.kinds.values():
            kind.follow(keeper.group_changed)
        evictor = Evictor(means, self.quotas.units)
        quota_status = QuotaStatus(
            self.quotas,
            self.cache.capacity,
            self._settings.controller.quota_status_owner,
            self._clock,
            rate=self._settings.writes.status_rate,
        )
        effects = Effects(means, binder, evictor, teller, quota_status, most_open=most_open)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.loop.run(effects))
                group.create_task(teller.run())
                group.create_task(keeper.run())
                group.create_task(quota_status.run(writes))
        finally:
            effects.stop()

    def _commit_id(self) -> str:
        return f"{self._rng.getrandbits(48):012x}"


def plugins(settings: Settings) -> tuple[PluginFactory, ...]:
    """The plug-ins that these settings ask for."""
    if settings.scheduler.score_strategy is ScoreStrategy.LEAST_ALLOCATED:
        return BASE
    return tuple(MostAllocated if plugin is LeastAllocated else plugin for plugin in BASE)
