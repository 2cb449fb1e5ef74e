"""Moves units that have left their queue, where the move is the queue controller's.

The rules are pure and stand in evictions, checks and timeouts; what happens here is only that a
unit is looked at when it, its Queue's checks or the time says so, and that the one step its rules
ask for is taken. Nothing is remembered: what a killed process left undone is found again in what
the informers list.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from kube_queue.api.admission_checks import Check
from kube_queue.api.errors import NotFound
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import QUEUE_NAMESPACE
from kube_queue.api.queues import StopPolicy
from kube_queue.controller.effects import measure_admission
from kube_queue.controller.queueing.backoff import Backoff
from kube_queue.controller.queueing.checks import checked
from kube_queue.controller.queueing.evictions import leaving
from kube_queue.controller.queueing.timeouts import back_in_queue, pending_too_long
from kube_queue.controller.records import QueueRecord, UnitRecord
from kube_queue.controller.steps import Step, record_event, take_step, write_key
from kube_queue.kube.client import Client
from kube_queue.kube.events import EventRecorder
from kube_queue.kube.informer import Informer
from kube_queue.kube.workqueue import WorkQueue, run_workers
from kube_queue.kube.writes import Lane, Overtaken, Send, WriteScheduler
from kube_queue.observability.meters import Meters

WORKERS = 32
LEAST_WAIT = 0.001
"""Seconds; a timer that fires a rounding error early must not spin."""
OVERTAKEN_PAUSE = 1.0
"""Seconds until a unit is looked at again when another write of it took the place of ours."""

Key = tuple[str, str]

_log = structlog.get_logger("controller.moves")


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings the rules depend on."""

    running_timeout: float
    backoff: Backoff


def due(
    record: UnitRecord,
    checks: tuple[Check, ...] | None,
    limits: Limits,
    now: float,
    stop: StopPolicy = StopPolicy.NONE,
) -> Step | float | None:
    """The step that is due, else the seconds until one may be, else None.

    `checks` and `stop` are those of the unit's Queue; no checks: there is no such Queue.
    """
    phase = record.unit.phase
    if phase is Phase.TIMEOUT_BACKOFF:
        return back_in_queue(record, now)
    step = leaving(record, now, stop)
    if step is not None:
        return step
    if phase is Phase.RESERVED:
        return checked(record, checks, limits.backoff, now)
    return pending_too_long(record, limits.running_timeout, limits.backoff, now)


class Moves:
    """Every unit that holds quota or stays away from its queue is where the rules say."""

    def __init__(
        self,
        units: Informer[UnitRecord],
        queues: Informer[QueueRecord],
        clock: Callable[[], float],
        meters: Meters,
        limits: Limits,
    ) -> None:
        self._units = units
        self._queues = queues
        self._clock = clock
        self._meters = meters
        self._limits = limits
        self._work: WorkQueue[Key] = WorkQueue()
        self._reserved: dict[Key, None] = {}

    def unit_changed(self, old: UnitRecord | None, new: UnitRecord | None) -> None:
        """An informer handler."""
        seen = new or old
        if seen is None:
            return
        key = (seen.namespace, seen.name)
        if new is None or new.unit.phase is not Phase.RESERVED:
            self._reserved.pop(key, None)
        else:
            self._reserved[key] = None
        if new is not None and new.standing is not None and self._next(new) is not None:
            self._work.add(key)

    def queue_changed(self, old: QueueRecord | None, new: QueueRecord | None) -> None:
        """An informer handler: other checks are another question to the Queue's reserved units, and
        whether it is stopped is one to all that hold quota.
        """
        if new is None:
            return
        stopped = StopPolicy.NONE if old is None else old.queue.stop
        if new.queue.stop is not stopped:
            for record in self._units.values():
                if record.unit.queue == new.name and record.standing is not None:
                    self._work.add((record.namespace, record.name))
            return
        if old is not None and old.checks == new.checks:
            return
        for key in self._reserved:
            reserved = self._units.get(*key)
            if reserved is not None and reserved.unit.queue == new.name:
                self._work.add(key)

    def checks(self, queue: str) -> tuple[Check, ...] | None:
        """The admission checks of a Queue by name; None while there is no such Queue."""
        record = self._queues.get(QUEUE_NAMESPACE, queue)
        return None if record is None else record.checks

    async def run(self, writes: WriteScheduler, events: EventRecorder) -> None:
        """Move units until cancelled."""

        async def reconcile(key: Key) -> float | None:
            return await self._reconcile(key, writes, events)

        await run_workers(self._work, reconcile, WORKERS)

    def _next(self, record: UnitRecord) -> Step | float | None:
        queue = self._queues.get(QUEUE_NAMESPACE, record.unit.queue)
        checks, stop = (
            (None, StopPolicy.NONE) if queue is None else (queue.checks, queue.queue.stop)
        )
        return due(record, checks, self._limits, self._clock(), stop)

    async def _reconcile(
        self, key: Key, writes: WriteScheduler, events: EventRecorder
    ) -> float | None:
        """Seconds until the unit is to be looked at again; None: when something changes."""
        record = self._units.get(*key)
        if record is None:
            return None
        wanted = self._next(record)
        if not isinstance(wanted, Step):
            return None if wanted is None else max(LEAST_WAIT, wanted)
        try:
            step = await writes.write(wanted.lane, write_key(record.unit), self._send(key))
        except NotFound:
            return None
        except Overtaken:
            return OVERTAKEN_PAUSE
        if isinstance(step, Step):
            self._told(record, step, events)
        return None

    def _send(self, key: Key) -> Send:
        async def send(client: Client) -> Step | None:
            record = self._units.get(*key)
            return None if record is None else await take_step(client, record, self._step)

        return send

    def _step(self, record: UnitRecord) -> Step | None:
        wanted = self._next(record)
        return wanted if isinstance(wanted, Step) else None

    def _told(self, record: UnitRecord, step: Step, events: EventRecorder) -> None:
        unit, said = record.unit, step.said
        if step.lane is Lane.ADMIT:
            measure_admission(self._meters, unit, self._clock())
        if said is not None:
            record_event(events, unit, said.type, said.reason, said.message)
            _log.info("unit moved", unit=unit.key, reason=str(said.reason), why=said.message)
