"""Brings one job and its unit one step further, as often as anything about them changes.

::

    changed --> workqueue --> reconcile: plan --write?--> lane of the write scheduler
                    ^                                            |
                    |                                  send: plan again, carry out
                    |                                            |
                    +--------------- told: keep the answer ------+

What waits in a lane is only a key: what to write is decided on the present when its turn comes. So
a storm of new jobs costs little memory, delays no release, and writes nothing that is out of date.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import structlog
from cachetools import LRUCache

from kube_queue.api.errors import (
    AlreadyExists,
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    KubeQueueError,
    NotFound,
)
from kube_queue.api.reasons import Reason
from kube_queue.api.types import QUEUE_UNITS
from kube_queue.controller.jobs.answers import Answers
from kube_queue.controller.jobs.kinds import Kinds
from kube_queue.controller.jobs.patience import Patience
from kube_queue.controller.jobs.records import JobKey, JobRecord
from kube_queue.controller.jobs.writing import (
    JobWrite,
    delete_job,
    lane_of,
    write_job,
    write_unit,
)
from kube_queue.jobframework.decisions import (
    Decision,
    DeleteJob,
    DeleteUnit,
    Emit,
    Wait,
    Write,
)
from kube_queue.jobframework.ownership import Borders
from kube_queue.jobframework.plan import Scene, plan
from kube_queue.jobframework.unit_view import UnitView, view_unit
from kube_queue.jobframework.view import JobView, view_job
from kube_queue.kube.client import Client
from kube_queue.kube.events import EventRecorder, EventType, ObjectRef
from kube_queue.kube.lanes import Lane
from kube_queue.kube.workqueue import WorkQueue
from kube_queue.kube.writes import Done, Failed, Outcome, Overtaken, WriteScheduler

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 60.0
SAID = 8192
"""Events that are not said again for the same object."""

# What a fault in an extension raises on a manifest it did not expect.
EXTENSION_FAULTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

_log = structlog.get_logger("controller.jobs")


class Sight(Protocol):
    """What the informers have told."""

    def ready(self, key: JobKey) -> bool:
        """Everything that decides about this job has been listed once."""

    def job(self, key: JobKey) -> JobRecord | None:
        """The job."""

    def unit(self, key: JobKey) -> UnitView | None:
        """The object that has the name of the job's unit."""

    async def read(self, client: Client, key: JobKey) -> JobRecord | None:
        """The job as the server has it now, not as the watch told."""

    def borders(self) -> Borders:
        """Which jobs are ours."""

    def scene(self, key: JobKey, uid: str) -> Scene:
        """The rest; the job's pods are those that the object of this uid controls."""


@dataclass(frozen=True, slots=True)
class Present:
    """One job and its unit as they are, as far as is known."""

    job: JobRecord | None
    unit: UnitView | None


_NOTHING = Present(None, None)


class Reconciler:
    """Reconciles keys; never two writes of one key at once, and never one twice on purpose."""

    def __init__(
        self,
        kinds: Kinds,
        sight: Sight,
        queue: WorkQueue[JobKey],
        writes: WriteScheduler,
        events: EventRecorder,
    ) -> None:
        self.jobs = Answers[JobRecord]()
        self.units = Answers[UnitView]()
        self._kinds = kinds
        self._sight = sight
        self._queue = queue
        self._writes = writes
        self._events = events
        self._patience = Patience()
        self._doubted: set[JobKey] = set()
        self._pending: set[tuple[Lane, JobKey]] = set()
        self._failures: Counter[JobKey] = Counter()
        self._said: LRUCache[tuple[str, str, str], bool] = LRUCache(maxsize=SAID)
        self._stopped = False

    def stop(self) -> None:
        """Nothing more is decided here; what is queued may still be written, or given up."""
        self._stopped = True

    async def reconcile(self, client: Client, key: JobKey) -> float | None:
        """The next step about this job is under way; the seconds until it is worth another look."""
        # A long queue of keys with nothing to wait for must not keep the loop to itself.
        await asyncio.sleep(0)
        if not self._sight.ready(key):
            return None
        present = await self._present_for_sure(client, key)
        if present == _NOTHING:
            self._failures.pop(key, None)
        decisions = self._plan(key, present)
        for each in decisions:
            if isinstance(each, Emit):
                self._say(key, each)
        write = _write_in(decisions)
        if write is not None:
            lane = lane_of(write, present.unit)
            if (lane, key) not in self._pending:
                self._pending.add((lane, key))
                send = partial(self._send, key, lane)
                self._writes.submit(lane, key, send, partial(self._told, key, lane))
        return self._patience.asked(key, (each for each in decisions if isinstance(each, Wait)))

    # The write scheduler calls these two.

    async def _send(self, key: JobKey, lane: Lane, client: Client) -> tuple[Emit, ...]:
        """Carry out what is to be written now, if it still is for this lane; what it makes true."""
        present = await self._present_for_sure(client, key)
        write = self._write_for(key, lane, present)
        if write.certain:
            present = await self._read(client, key)
            write = self._write_for(key, lane, present)
        await self._carry_out(client, key, write, present)
        return write.says

    def _told(self, key: JobKey, lane: Lane, outcome: Outcome) -> None:
        self._pending.discard((lane, key))
        if self._stopped:
            return
        if isinstance(outcome, Done):
            self._failures.pop(key, None)
            for emit in outcome.result:
                self._say(key, emit)
            self._queue.add(key)
        elif isinstance(outcome, Failed):
            self._failed(key, outcome.error)
        else:
            # What there was to write changed while it waited; perhaps something else is left.
            self._queue.add_after(key, FIRST_PAUSE)

    def _failed(self, key: JobKey, error: KubeQueueError) -> None:
        # Whatever it was, something is not as it seemed.
        self._doubted.add(key)
        self._failures[key] += 1
        if isinstance(error, Conflict | AlreadyExists) and self._failures[key] <= 3:
            self._queue.add(key)
            return
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures[key], 20))
        self._queue.add_after(key, pause)
        _log.warning("a write about a job failed", job=_spelt(key), problem=str(error))
        if isinstance(error, Invalid | BadRequest | Forbidden):
            self._say(key, Emit(Reason.INVALID_JOB, f"the job cannot be queued: {error}", True))

    # Seeing and deciding.

    def _present(self, key: JobKey) -> Present:
        return Present(
            self.jobs.present(key, self._sight.job(key)),
            self.units.present(key, self._sight.unit(key)),
        )

    async def _present_for_sure(self, client: Client, key: JobKey) -> Present:
        """What is known of the job, read again first where that is in doubt."""
        known = self._present(key)
        if key not in self._doubted and not (self.jobs.stale(key) or self.units.stale(key)):
            return known
        self._doubted.discard(key)
        try:
            return await self._read(client, key)
        except KubeQueueError:
            self._doubted.add(key)
            raise

    async def _read(self, client: Client, key: JobKey) -> Present:
        """Both objects as the server has them now, not as the watch told."""
        unit: UnitView | None = None
        # The unit first: a job released in between is then seen, not taken for released by hand.
        try:
            found = await client.get(QUEUE_UNITS, key.namespace, self._kinds.unit_name(key))
            unit = view_unit(found)
            self.units.keep(key, unit)
        except NotFound:
            self.units.forget(key)
        job = await self._sight.read(client, key)
        if job is not None:
            self.jobs.keep(key, job)
        else:
            self.jobs.forget(key)
        return Present(job, unit)

    def _plan(self, key: JobKey, present: Present) -> tuple[Decision, ...]:
        extension = self._kinds.by_name[key.extension]
        uid = present.job.uid if present.job is not None else ""
        scene = replace(self._sight.scene(key, uid), waited=self._patience.waited(key))
        try:
            view: JobView | None = None
            if present.job is not None:
                view = view_job(extension, present.job.manifest(), self._sight.borders())
            return plan(view, present.unit, scene)
        except EXTENSION_FAULTS as fault:
            # One extension's fault about one job is that job's misfortune, nobody else's.
            _log.exception("an extension cannot read a job", job=_spelt(key))
            problem = f"{extension.name} cannot read the job: {type(fault).__name__}: {fault}"
            self._say(key, Emit(Reason.INVALID_JOB, problem, warning=True))
            return ()

    def _write_for(self, key: JobKey, lane: Lane, present: Present) -> Write:
        write = _write_in(self._plan(key, present))
        if write is None:
            raise Overtaken("nothing is left to write")
        if lane_of(write, present.unit) is not lane:
            raise Overtaken("something else is to be written")
        return write

    # Writing.

    async def _carry_out(self, client: Client, key: JobKey, write: Write, present: Present) -> None:
        resource, extension = (
            self._kinds.resources[key.extension],
            self._kinds.by_name[key.extension],
        )
        if isinstance(write, DeleteJob):
            assert present.job is not None
            await delete_job(client, extension, resource, present.job)
            return
        if isinstance(write, JobWrite):
            assert present.job is not None
            self.jobs.keep(key, await write_job(client, extension, resource, write, present.job))
            return
        answer = await write_unit(client, write, present.unit)
        if not isinstance(write, DeleteUnit):
            self.units.keep(key, view_unit(answer))
        elif present.unit is not None:
            self.units.gone(key, present.unit.uid)

    def _say(self, key: JobKey, emit: Emit) -> None:
        present = self._present(key)
        kind: EventType = "Warning" if emit.warning else "Normal"
        resource = self._kinds.resources[key.extension]
        refs: list[ObjectRef] = []
        if present.job is not None:
            job = present.job
            refs.append(
                ObjectRef(resource.api_version, resource.kind, key.namespace, key.name, job.uid)
            )
        if present.unit is not None:
            unit = present.unit
            refs.append(
                ObjectRef(
                    QUEUE_UNITS.api_version,
                    QUEUE_UNITS.kind,
                    unit.namespace,
                    unit.name,
                    unit.uid,
                )
            )
        for ref in refs:
            spoken = (ref.uid, emit.reason.value, emit.message)
            if spoken not in self._said:
                self._said[spoken] = True
                self._events.record(ref, kind, emit.reason.value, emit.message)


def _write_in(decisions: tuple[Decision, ...]) -> Write | None:
    return next((each for each in decisions if not isinstance(each, Emit | Wait)), None)


def _spelt(key: JobKey) -> str:
    return f"{key.extension} {key.namespace}/{key.name}"
