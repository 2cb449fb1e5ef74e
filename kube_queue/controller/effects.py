"""Carries decisions out: one patch of status for each admitted unit, and what its answer means.

::

    Admit ──▶ patch(uid, resourceVersion) ──▶ done: the watch confirms the assumption
                 │ Conflict
                 ▼
              read the unit again
                 ├─ it holds quota already (our own earlier try, or an adoption) ──▶ done
                 ├─ nothing the decision rests on has changed ──▶ patch again, new version
                 └─ anything else ──▶ forget: quota returned, the unit is decided anew

The quota of an assumed unit is returned only when it is certain that the unit does not hold it: as
long as the outcome is unknown (no answer, or a server's fault) the write is repeated, and its
precondition makes the repetition harmless.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from kube_queue.admission.decisions import Admit, Decision, Requeue
from kube_queue.api.conditions import UnitCondition, rfc3339, set_condition
from kube_queue.api.errors import (
    Conflict,
    ConnectionLost,
    KubeQueueError,
    NotFound,
    ServerFault,
    TooManyRequests,
)
from kube_queue.api.lifecycle import HOLDS_QUOTA, Phase
from kube_queue.api.reasons import Reason
from kube_queue.api.types import QUEUE_UNITS
from kube_queue.api.units import Unit
from kube_queue.cache import Cache
from kube_queue.controller.records import UnitRecord, conditions_manifest, unit_record
from kube_queue.kube.client import Client
from kube_queue.kube.events import EventRecorder, EventType, ObjectRef
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.writes import Done, Failed, Lane, Outcome, WriteScheduler
from kube_queue.observability.meters import Meters

CONFLICTS: Final = 5
"""Times one admission is written again after a change that does not concern it."""
UNKNOWN_PAUSE: Final = 2.0
"""Seconds until a write of unknown outcome is repeated, after the write scheduler gave up."""

_log = structlog.get_logger("controller.effects")


class DecideAgain(KubeQueueError):
    """The unit is no longer what the decision was made for."""


@dataclass(frozen=True, slots=True)
class Means:
    """What effects are made with."""

    cache: Cache
    writes: WriteScheduler
    events: EventRecorder
    meters: Meters
    clock: Callable[[], float]
    record: Callable[[str, str], UnitRecord | None]
    """A unit by namespace and name, as its informer keeps it."""


class Effects:
    """Writes the cache's decisions; `settled` is called when a write's end made room for more."""

    def __init__(self, means: Means, *, most_open: int, settled: Callable[[], None]) -> None:
        self._means = means
        self._most_open = most_open
        self._settled = settled
        self._open: dict[str, Unit] = {}
        self._answered: dict[str, float] = {}
        self._stopped = False

    @property
    def room(self) -> int:
        """How many more admissions may be decided now.

        Deciding ahead of the wire gains nothing: a unit decided later is chosen among more.
        """
        return max(0, self._most_open - len(self._open))

    @property
    def open(self) -> int:
        """Admissions decided whose write has not ended."""
        return len(self._open)

    def apply(self, decisions: Iterable[Decision]) -> None:
        """Every decision is on its way."""
        requeued = 0
        for decision in decisions:
            if isinstance(decision, Admit):
                self._admit(decision)
            elif isinstance(decision, Requeue):
                requeued += 1
        if requeued:
            self._means.meters.attempt("requeued", requeued)

    def stop(self) -> None:
        """Nothing more is written from here."""
        self._stopped = True

    def unit_changed(self, old: UnitRecord | None, new: UnitRecord | None) -> None:
        """An informer handler: the lag of the watch behind our own writes is measured."""
        seen = new or old
        if seen is not None and (answered := self._answered.pop(seen.uid, None)) is not None:
            self._means.meters.lagged(asyncio.get_running_loop().time() - answered)

    def _admit(self, decision: Admit) -> None:
        unit = self._means.cache.unit(decision.uid)
        record = None if unit is None else self._means.record(unit.namespace, unit.name)
        if unit is None or record is None or record.uid != decision.uid:
            self._means.cache.forget(decision.uid, self._means.clock())
            return
        self._open[decision.uid] = unit
        self._write(decision, unit)

    def _write(self, decision: Admit, unit: Unit) -> None:
        async def send(client: Client) -> str:
            return await self._carry_out(client, decision, unit)

        def done(outcome: Outcome) -> None:
            self._ended(decision, unit, outcome)

        self._means.writes.submit(Lane.ADMIT, write_key(unit), send, done)

    async def _carry_out(self, client: Client, decision: Admit, unit: Unit) -> str:
        """The resourceVersion at which the unit holds its quota. Raises DecideAgain."""
        record = self._means.record(unit.namespace, unit.name)
        if record is None or not _same_question(record.unit, unit):
            record = unit_record(await client.get(QUEUE_UNITS, unit.namespace, unit.name))
        for _ in range(CONFLICTS):
            if record.uid == unit.uid and record.unit.phase in HOLDS_QUOTA:
                return record.resource_version
            if not _same_question(record.unit, unit):
                raise DecideAgain(f"{unit.key} changed while it was being admitted")
            patch = admission_patch(record, decision, self._means.clock())
            try:
                written = await client.patch(
                    QUEUE_UNITS, unit.namespace, unit.name, patch, subresource="status"
                )
            except Conflict:
                self._means.meters.attempt("conflict")
                record = unit_record(await client.get(QUEUE_UNITS, unit.namespace, unit.name))
            else:
                return str(written["metadata"]["resourceVersion"])
        raise DecideAgain(f"{unit.key} keeps changing while it is being admitted")

    def _ended(self, decision: Admit, unit: Unit, outcome: Outcome) -> None:
        if self._stopped:
            return
        if isinstance(outcome, Failed) and _unknown(outcome.error):
            loop = asyncio.get_running_loop()
            loop.call_later(UNKNOWN_PAUSE, self._again, decision, unit, str(outcome.error))
            return
        self._open.pop(decision.uid, None)
        if isinstance(outcome, Done):
            self._admitted(decision, unit, outcome.result)
        elif isinstance(outcome, Failed):
            self._refused(decision, unit, outcome.error)
        self._settled()

    def _again(self, decision: Admit, unit: Unit, problem: str) -> None:
        if self._stopped:
            return
        _log.warning(
            "the outcome of an admission is unknown, writing it again",
            unit=unit.key,
            problem=problem,
        )
        if self._means.cache.unit(decision.uid) is None:
            # Deleted meanwhile: its quota went back with it.
            self._open.pop(decision.uid, None)
            self._settled()
        else:
            self._write(decision, unit)

    def _admitted(self, decision: Admit, unit: Unit, version: str) -> None:
        means = self._means
        now = means.clock()
        means.cache.confirm(unit.uid, version)
        means.meters.attempt("admitted")
        kind = unit.job.kind if unit.job is not None else ""
        means.meters.admitted(unit.queue, kind, now - unit.submitted / 1e6)
        seen = means.record(unit.namespace, unit.name)
        if seen is not None and seen.resource_version == version:
            means.meters.lagged(0.0)
        elif seen is not None:
            self._answered[unit.uid] = asyncio.get_running_loop().time()
        said = f"Admitted to quota {decision.leaf} from queue {unit.queue}"
        record_event(means.events, unit, "Normal", Reason.SCHEDULED, said)
        _log.debug("unit admitted", unit=unit.key, queue=unit.queue, quota=decision.leaf)

    def _refused(self, decision: Admit, unit: Unit, error: KubeQueueError) -> None:
        means = self._means
        if isinstance(error, DecideAgain):
            _log.debug("deciding again", unit=unit.key, problem=str(error))
        elif not isinstance(error, NotFound):
            means.meters.attempt("failed")
            _log.warning("an admission was refused", unit=unit.key, problem=str(error))
        means.cache.forget(decision.uid, means.clock())


def write_key(unit: Unit) -> tuple[str, str, str]:
    """The key under which every write of a unit waits its turn: one object, one at a time."""
    return QUEUE_UNITS.plural, unit.namespace, unit.name


def unit_reference(unit: Unit) -> ObjectRef:
    """The unit as Events name it."""
    return ObjectRef(QUEUE_UNITS.api_version, QUEUE_UNITS.kind, unit.namespace, unit.name, unit.uid)


def admission_patch(record: UnitRecord, decision: Admit, now: float) -> dict[str, Any]:
    """The one write that admits a unit: phase, quota per pod set, conditions, reason and message.

    It fits only this very unit at this very version.
    """
    unit = record.unit
    at = rfc3339(now)
    message = f"Admitted to quota {decision.leaf}."
    conditions: list[dict[str, Any]] = [*conditions_manifest(record.conditions)]
    for type_, reason in (
        (UnitCondition.QUOTA_RESERVED, Reason.QUOTA_RESERVED),
        (UnitCondition.ADMITTED, Reason.ADMITTED),
    ):
        conditions = set_condition(conditions, type_, True, reason, message, at)
    if unit.evicted:
        # An eviction is over once the unit is admitted anew; left True it would evict again.
        conditions = set_condition(
            conditions, UnitCondition.EVICTED, False, Reason.ADMITTED, message, at
        )
    status = {
        "phase": Phase.DEQUEUED.value,
        "reason": Reason.ADMITTED.value,
        "message": message,
        "lastUpdateTime": at,
        "lastAllocateTime": at,
        "admissions": _admissions(record, decision),
        "conditions": conditions,
    }
    return merge_patch(unit.uid, unit.resource_version, {"status": status})


def record_event(
    events: EventRecorder, unit: Unit, type_: EventType, reason: Reason, message: str
) -> None:
    """An event on the unit and, where it has one, on its job."""
    events.record(unit_reference(unit), type_, reason, message)
    if unit.job is not None:
        events.record(unit.job, type_, reason, message)


def _admissions(record: UnitRecord, decision: Admit) -> list[Mapping[str, Any]]:
    if record.pod_sets and record.unit.request == decision.request:
        return [
            {
                "name": pod_set.name or "main",
                "replicas": pod_set.count,
                "resources": pod_set.total.manifest(),
            }
            for pod_set in record.pod_sets
        ]
    return [{"name": "main", "replicas": 1, "resources": decision.request.manifest()}]


def _same_question(seen: Unit, decided: Unit) -> bool:
    """Whether the unit still is what was decided on, its words and version aside."""
    return decided == replace(
        seen,
        resource_version=decided.resource_version,
        reason=decided.reason,
        message=decided.message,
    )


def _unknown(error: KubeQueueError) -> bool:
    return isinstance(error, (ConnectionLost, ServerFault, TooManyRequests))
