"""The queue side as a whole: informers, memory, and what runs while this process leads.

::

    informers ──▶ Feeder ──▶ Cache ──▶ AdmissionLoop ──▶ Effects ──▶ writes
        │                      ▲ │
        ├──▶ QuotaSide ────────┘ ├──▶ Statuses ──▶ StatusWriter ──▶ writes
        │                        └──▶ ReasonWriter ────────────────▶ writes
        └──▶ AutomaticQueues, QueueFiller, Moves ──────────────────▶ writes

A process that stands by runs the informers and keeps the memory warm; only `lead` writes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kube_queue.admission.place import Places
from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA, Phase
from kube_queue.api.names import CONTROLLER_COMPONENT, QUEUE_NAMESPACE
from kube_queue.api.queues import Queue
from kube_queue.api.quota import QuotaTree
from kube_queue.api.reasons import Reason
from kube_queue.api.resources import ResourceVector
from kube_queue.api.types import ELASTIC_QUOTA_TREES, QUEUE_UNITS, QUEUES
from kube_queue.api.units import Unit
from kube_queue.cache import Cache
from kube_queue.config import ControllerSettings, Settings
from kube_queue.config.settings import QuotaStatusOwner
from kube_queue.controller.effects import Effects, Means
from kube_queue.controller.feeder import Feeder
from kube_queue.controller.queueing.backoff import Backoff
from kube_queue.controller.queueing.loop import AdmissionLoop
from kube_queue.controller.queueing.moves import Limits, Moves
from kube_queue.controller.queueing.queues import AutomaticQueues, QueueFiller
from kube_queue.controller.queueing.quota_side import QuotaSide, unit_projection
from kube_queue.controller.queueing.reasons import ReasonWriter
from kube_queue.controller.queueing.statuses import Statuses
from kube_queue.controller.records import (
    QueueRecord,
    TreeRecord,
    UnitRecord,
    queue_record,
)
from kube_queue.controller.status import StatusWriter
from kube_queue.kube.client import Client
from kube_queue.kube.events import EventRecorder, ObjectRef
from kube_queue.kube.informer import Informer
from kube_queue.kube.writes import WriteScheduler
from kube_queue.observability.meters import Meters

if TYPE_CHECKING:
    from kube_queue.controller.placement_check import PlacementCheck

IMAGINED = "imagined"
"""The uid of a unit that somebody only asks about."""


class QueueSide:
    """Everything of the queue side that one process holds.

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
        rate = 1.0 if settings.controller.by_namespace else settings.controller.oversell_rate
        self.cache = Cache(
            default_policy=settings.controller.default_policy,
            oversell_rate=rate,
            reclaim=settings.controller.reclaim_policy,
            preemption=settings.controller.preemption_policy,
        )
        self.meters = meters
        self.events: EventRecorder | None = None
        self._settings = settings
        self._clock = clock
        self._rng = rng
        size = settings.client.page_size
        self._project = unit_projection(settings)
        self.units: Informer[UnitRecord] = Informer(
            client, QUEUE_UNITS, self._project, rng=rng, page_size=size
        )
        self.queues: Informer[QueueRecord] = Informer(
            client, QUEUES, queue_record, rng=rng, page_size=size
        )
        self.quotas = QuotaSide(client, settings, self.cache, self, rng)
        self.trees, self.keeper = self.quotas.trees, self.quotas.keeper
        self._effects: Effects | None = None
        self._placement = self._placement_check(client, settings)
        self._build(settings)
        self._attach()

    def _build(self, settings: Settings) -> None:
        self._reasons = ReasonWriter(
            self.cache,
            self.units.get,
            self._clock,
            after=settings.controller.reason_after_seconds,
        )
        self._loop = AdmissionLoop(
            self.cache,
            self.meters,
            self._clock,
            limit=settings.controller.cycle_limit,
            decided=self._reasons.stirred,
        )
        # Who waits may wait for something else after any news, also where nothing is decided.
        self._feeder = Feeder(self.cache, self._loop.wake, self._reasons.stirred)
        namespaces = self.quotas.namespaces
        self._automatic = (
            AutomaticQueues(self.queues, namespaces.needs_queue)
            if self.quotas.by_namespace
            else AutomaticQueues(self.queues)
        )
        self._filler = QueueFiller(self.units)
        self._moves = Moves(
            self.units, self.queues, self._clock, self.meters, _limits(settings.controller)
        )
        owner = settings.controller.quota_status_owner
        self._status = StatusWriter(
            Statuses(
                self.cache,
                self.queues,
                self.trees,
                self.keeper,
                self._clock,
                owns_trees=owner is not QuotaStatusOwner.SCHEDULER,
            ),
            rate=settings.writes.status_rate,
        )

    def _placement_check(self, client: Client, settings: Settings) -> PlacementCheck | None:
        if not settings.controller.placement_check:
            return None
        # It loads numpy, which a controller without it does without.
        from kube_queue.controller.placement_check import PlacementCheck

        return PlacementCheck(
            client,
            self._clock,
            self._nodes_changed,
            scheduler_names=settings.scheduler.scheduler_names,
            rng=self._rng,
            page_size=settings.client.page_size,
        )

    def _nodes_changed(self) -> None:
        if self._effects is not None:
            self._effects.nodes_changed()

    def _attach(self) -> None:
        # The cache comes before all who may ask it.
        self.quotas.attach_before_cache(self.units)
        self._feeder.attach(self.units, self.queues)
        self.quotas.attach_after_cache(self.units)
        self.units.add_handler(self._automatic.unit_changed)
        self.units.add_handler(self._filler.unit_changed)
        self.units.add_handler(self._moves.unit_changed)
        self.units.add_handler(self._reasons.unit_changed)
        self.units.add_handler(self._unit_changed)
        self.queues.add_handler(self._automatic.queue_changed)
        self.queues.add_handler(self._moves.queue_changed)
        self.queues.add_handler(self._queue_changed)
        self.trees.add_handler(self._tree_changed)

    async def run(self) -> None:
        """Keep informers and memory true until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in (self.queues, self.units):
                group.create_task(informer.run())
            group.create_task(self.quotas.run(self.units))
            if self._placement is not None:
                group.create_task(self._placement.run())

    async def synced(self) -> None:
        """What exists is in memory."""
        for informer in (self.queues, self.units):
            await informer.synced.wait()
        await self.quotas.synced()
        for copy in self._placement.informers() if self._placement is not None else ():
            await copy.synced.wait()

    @property
    def ready(self) -> bool:
        """Whether what exists is in memory."""
        return self.quotas.ready and self.queues.synced.is_set() and self.units.synced.is_set()

    def imagined(self, manifest: Mapping[str, Any]) -> Unit:
        """The unit that this QueueUnit would be if it were created and waited."""
        whole = {**manifest, "status": {}}
        return replace(self._project(whole).unit, uid=IMAGINED, resource_version="")

    async def lead(self, writes: WriteScheduler) -> None:
        """Decide and write until cancelled."""
        self.events = EventRecorder(writes, CONTROLLER_COMPONENT, self._clock, self._rng)
        means = Means(
            cache=self.cache,
            writes=writes,
            events=self.events,
            meters=self.meters,
            clock=self._clock,
            record=self.units.get,
            checks=self._moves.checks,
            project=unit_projection(self._settings),
            remark=self.quotas.remark,
            no_room=self._placement.problem if self._placement is not None else None,
        )
        effects = Effects(
            means,
            most_open=2 * self._settings.writes.max_in_flight,
            settled=self._loop.wake,
        )
        self._effects = effects
        self.units.add_handler(effects.unit_changed)
        for tree in self.trees.values():
            self._say_verdict(tree)
        self.cache.takes_over()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._loop.run(effects))
                group.create_task(self._moves.run(writes, self.events))
                group.create_task(self._automatic.run(writes, self.events))
                group.create_task(self._filler.run(writes))
                group.create_task(self._status.run(writes))
                group.create_task(self._reasons.run(writes, self.events))
        finally:
            effects.stop()

    def quotas_in_force(
        self, tree: QuotaTree | None, places: Places, queues: Mapping[str, str]
    ) -> None:
        """See quota_side.Followers."""
        self._feeder.tree_in_force(tree, places)
        self._automatic.leaves_in_force(queues)
        self._filler.places_in_force(places)
        for record in self.queues.values():
            self._touch_queue(record.namespace, record.name)
        self._touch_trees()

    def leaf_joined(self, tree: QuotaTree, leaf: str) -> None:
        """See quota_side.Followers."""
        self._feeder.tree_grown(tree, leaf)
        self._automatic.leaf_joined(leaf, leaf)

    def queue_needed(self, queue: str) -> None:
        """See quota_side.Followers."""
        self._automatic.look_at(queue)

    def unmanaged_changed(self, quota: str, namespace: str, held: ResourceVector) -> None:
        """See quota_side.Followers."""
        self._feeder.unmanaged_changed(quota, namespace, held)
        self._touch_trees()

    def _tree_changed(self, old: TreeRecord | None, new: TreeRecord | None) -> None:
        if new is None:
            if old is not None:
                self._status.gone((ELASTIC_QUOTA_TREES.plural, old.namespace, old.name))
            return
        if old is None or old.spec != new.spec:
            self._touch_trees()
            self._say_verdict(new)
        elif old.written != new.written:
            # The co-scheduler may have been at it until it saw our Lease.
            self._status.seen((ELASTIC_QUOTA_TREES.plural, new.namespace, new.name), new.written)

    def _say_verdict(self, record: TreeRecord) -> None:
        verdict = self.keeper.verdict(record)
        told = any(message == verdict.message for _, _, _, message, _ in record.conditions)
        if self.events is None or verdict.reason is Reason.TREE_VALID or told:
            return
        tree = ObjectRef(
            ELASTIC_QUOTA_TREES.api_version,
            ELASTIC_QUOTA_TREES.kind,
            record.namespace,
            record.name,
            record.uid,
        )
        self.events.record(tree, "Warning", verdict.reason, verdict.message)

    def _queue_changed(self, old: QueueRecord | None, new: QueueRecord | None) -> None:
        if new is None:
            if old is not None:
                self._status.gone((QUEUES.plural, old.namespace, old.name))
        elif old is None or _asks(old.queue) != _asks(new.queue):
            self._touch_queue(new.namespace, new.name)

    def _unit_changed(self, old: UnitRecord | None, new: UnitRecord | None) -> None:
        if _shows_alike(old, new):
            return
        for queue in dict.fromkeys(one.unit.queue for one in (old, new) if one is not None):
            self._touch_queue(QUEUE_NAMESPACE, queue)
        self._touch_trees()
        if old is not None and new is not None:
            self._measure(old, new)

    def _measure(self, old: UnitRecord, new: UnitRecord) -> None:
        unit = new.unit
        if unit.phase in FINISHED and old.unit.phase in HOLDS_QUOTA:
            kind = unit.job.kind if unit.job is not None else ""
            self.meters.finished(unit.queue, kind, self._clock() - unit.submitted / 1e6)
        if _lost_quota(old.unit, unit):
            self.meters.evicted(unit.reason or Reason.EVICTED)

    def _touch_queue(self, namespace: str, name: str) -> None:
        if name:
            self._status.touched((QUEUES.plural, namespace, name))

    def _touch_trees(self) -> None:
        for record in self.trees.values():
            self._status.touched((ELASTIC_QUOTA_TREES.plural, record.namespace, record.name))


def _asks(queue: Queue) -> tuple[str, str]:
    """What the Queue's condition is about."""
    return queue.policy_text, queue.threshold_unread


def _limits(settings: ControllerSettings) -> Limits:
    backoff = Backoff(settings.backoff_base_seconds, settings.backoff_max_seconds)
    return Limits(settings.running_timeout_seconds, backoff)


def _lost_quota(old: Unit, new: Unit) -> bool:
    """Whether it was told to give its quota back, or had none but the quota to give."""
    if old.phase is Phase.RESERVED and new.phase is Phase.ENQUEUED:
        return True
    timed_out = old.phase in HOLDS_QUOTA and new.phase is Phase.TIMEOUT_BACKOFF
    return timed_out or (new.evicted and not old.evicted)


def _shows_alike(old: UnitRecord | None, new: UnitRecord | None) -> bool:
    """Whether no status shows a difference between the two."""
    if old is None or new is None:
        return False
    a, b = old.unit, new.unit
    return (
        (a.queue, a.quota, a.phase, a.priority, a.active, a.evicted)
        == (b.queue, b.quota, b.phase, b.priority, b.active, b.evicted)
        and a.request == b.request
        and a.held == b.held
    )
