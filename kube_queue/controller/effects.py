"""Carries decisions out: one patch of status for each unit, and what its answer means.

::

    Admit ──▶ patch(uid, resourceVersion) ──▶ done: the watch confirms the assumption
                 │ Conflict
                 ▼
              read the unit again
                 ├─ it holds quota already (our own earlier try, or an adoption) ──▶ done
                 ├─ nothing the decision rests on has changed ──▶ patch again, new version
                 └─ anything else ──▶ forget: quota returned, the unit is decided anew

    Evict ──▶ patch(uid, resourceVersion) ──▶ done: the job side suspends the job
                 │ Conflict
                 ▼
              read the unit again
                 ├─ it still holds quota and was not told ──▶ patch again, new version
                 └─ anything else ──▶ nothing: the watch tells

Where the Queue has admission checks that apply to the unit, Admit writes phase Reserved and asks
them; what they answer is followed up in queueing.checks.

Where the placement check is on, a unit whose pods the nodes have no room for is held back: it gives
its quota back, says why, and has no turn until nodes or pods change. Only where others were evicted
for it does its quota stay assumed, or they would come back and be evicted again at its next turn.

The quota of an assumed unit is returned only when it is certain that the unit does not hold it: as
long as the outcome is unknown (no answer, or a server's fault) the write is repeated, and its
precondition makes the repetition harmless. An eviction that is refused for good is told to the
cache, which then no longer counts on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from kube_queue.admission.decisions import Admit, Decision, Evict, Requeue
from kube_queue.api.admission_checks import Check, applying, selective
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
from kube_queue.controller.evicting import NotEvictable, eviction
from kube_queue.controller.held_back import HeldBack
from kube_queue.controller.records import UnitRecord, labels_of, unit_record
from kube_queue.controller.steps import (
    CONFLICTS,
    KeepsChanging,
    Step,
    record_event,
    take_step,
    write_key,
)
from kube_queue.controller.unit_patches import admission_patch, reservation_patch, words_patch
from kube_queue.kube.client import Client
from kube_queue.kube.events import EventRecorder
from kube_queue.kube.writes import Done, Failed, Lane, Outcome, WriteScheduler
from kube_queue.observability.meters import Meters

UNKNOWN_PAUSE: Final = 2.0
"""Seconds until a write of unknown outcome is repeated, after the write scheduler gave up."""
REFUSED_PAUSE: Final = 5.0
"""Seconds until the cache is told that a unit cannot be evicted."""

_log = structlog.get_logger("controller.effects")


class NoRoom(KubeQueueError):
    """The nodes have no room for the unit's pods now."""


class DecideAgain(KubeQueueError):
    """The unit is no longer what the decision was made for."""


def nothing_to_remark(leaf: str) -> str:
    """For quotas that speak for themselves."""
    return ""


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
    checks: Callable[[str], tuple[Check, ...] | None]
    """The admission checks of a Queue by name; None: there is no such Queue."""
    project: Callable[[dict[str, Any]], UnitRecord] = unit_record
    """What the units' informer keeps of one."""
    remark: Callable[[str], str] = nothing_to_remark
    """What is to be said of a quota besides its path."""
    no_room: Callable[[Mapping[str, Any]], str] | None = None
    """Why the nodes have no room for the pods of a QueueUnit now, empty where they have; None:
    nobody asks."""


@dataclass(frozen=True, slots=True)
class _Written:
    """The unit holds its quota since this version, and waits for these checks."""

    version: str
    checks: tuple[str, ...] = ()


class Effects:
    """Writes the cache's decisions; `settled` is called when a write's end made room for more."""

    def __init__(self, means: Means, *, most_open: int, settled: Callable[[], None]) -> None:
        self._means = means
        self._most_open = most_open
        self._settled = settled
        self._open: dict[str, Unit] = {}
        self._answered: dict[str, float] = {}
        self._held_back = HeldBack(means.cache, self._open_again, settled)
        self._let_through: set[str] = set()
        """uids of units that the nodes have room for, while their admission is being written."""
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
            elif isinstance(decision, Evict):
                self._evict(decision)
            elif isinstance(decision, Requeue):
                requeued += 1
        if requeued:
            self._means.meters.attempt("requeued", requeued)

    def stop(self) -> None:
        """Nothing more is written from here."""
        self._stopped = True
        self._held_back.stop()

    def unit_changed(self, old: UnitRecord | None, new: UnitRecord | None) -> None:
        """An informer handler: the lag of the watch behind our own writes is measured."""
        seen = new or old
        if new is None and old is not None:
            self._held_back.gone(old.uid)
        elif old is not None and new is not None and new.uid in self._held_back:
            self._held_back_changed(old.unit, new.unit)
        if seen is not None and (answered := self._answered.pop(seen.uid, None)) is not None:
            self._means.meters.lagged(asyncio.get_running_loop().time() - answered)

    def _held_back_changed(self, old: Unit, new: Unit) -> None:
        # Its words are written here: they say nothing new of it.
        if not _only_words(old, new):
            self._held_back.changed(new.uid)

    def nodes_changed(self) -> None:
        """Nodes may have room for who was held back: soon they all have a turn."""
        self._held_back.nodes_changed()

    def _open_again(self, decision: Admit, unit: Unit) -> None:
        self._open[unit.uid] = unit
        self._write(decision, unit)

    def _admit(self, decision: Admit) -> None:
        unit = self._means.cache.unit(decision.uid)
        record = None if unit is None else self._means.record(unit.namespace, unit.name)
        if unit is None or record is None or record.uid != decision.uid:
            self._means.cache.forget(decision.uid, self._means.clock())
            return
        self._held_back.gone(decision.uid)
        self._open[decision.uid] = unit
        self._write(decision, unit)

    def _write(self, decision: Admit, unit: Unit) -> None:
        async def send(client: Client) -> _Written:
            return await self._carry_out(client, decision, unit)

        def done(outcome: Outcome) -> None:
            self._ended(decision, unit, outcome)

        self._means.writes.submit(Lane.ADMIT, write_key(unit), send, done)

    async def _carry_out(self, client: Client, decision: Admit, unit: Unit) -> _Written:
        """The unit holds its quota. Raises DecideAgain."""
        checks = self._means.checks(decision.queue)
        if checks is None:
            raise DecideAgain(f"Queue {decision.queue} is gone")
        names = applying(checks, {})
        record = self._means.record(unit.namespace, unit.name)
        if record is None or selective(checks) or not _same_question(record.unit, unit):
            record, names = await self._read(client, unit, checks)
        await self._ask_nodes(client, record, unit)
        for _ in range(CONFLICTS):
            if record.uid == unit.uid and record.unit.phase in HOLDS_QUOTA:
                reserved = record.unit.phase is Phase.RESERVED
                return _Written(record.resource_version, names if reserved else ())
            if not _same_question(record.unit, unit):
                raise DecideAgain(f"{unit.key} changed while it was being admitted")
            now = self._means.clock()
            quota = f"{decision.leaf}{self._means.remark(decision.leaf)}"
            if names:
                patch = reservation_patch(record, quota, names, now)
            else:
                patch = admission_patch(record, quota, now)
            try:
                written = await client.patch(
                    QUEUE_UNITS, unit.namespace, unit.name, patch, subresource="status"
                )
            except Conflict:
                self._means.meters.attempt("conflict")
                record, names = await self._read(client, unit, checks)
            else:
                return _Written(str(written["metadata"]["resourceVersion"]), names)
        raise DecideAgain(f"{unit.key} keeps changing while it is being admitted")

    async def _ask_nodes(self, client: Client, record: UnitRecord, unit: Unit) -> None:
        """The nodes have room for the unit, or nobody asks. Raises NoRoom.

        Whoever was let through is not asked again while its write is repeated: an earlier one may
        have been carried out.
        """
        no_room = self._means.no_room
        if no_room is None or unit.uid in self._let_through or record.unit.phase in HOLDS_QUOTA:
            return
        problem = no_room(await client.get(QUEUE_UNITS, unit.namespace, unit.name))
        if problem:
            raise NoRoom(problem)
        self._let_through.add(unit.uid)

    async def _read(
        self, client: Client, unit: Unit, checks: tuple[Check, ...]
    ) -> tuple[UnitRecord, tuple[str, ...]]:
        """The unit as it is, and the checks that apply to its labels, which nobody keeps."""
        obj = await client.get(QUEUE_UNITS, unit.namespace, unit.name)
        return self._means.project(obj), applying(checks, labels_of(obj))

    def _ended(self, decision: Admit, unit: Unit, outcome: Outcome) -> None:
        if self._stopped:
            return
        if isinstance(outcome, Failed) and _unknown(outcome.error):
            loop = asyncio.get_running_loop()
            loop.call_later(UNKNOWN_PAUSE, self._again, decision, unit, str(outcome.error))
            return
        self._open.pop(decision.uid, None)
        self._let_through.discard(decision.uid)
        if isinstance(outcome, Done):
            self._admitted(decision, unit, outcome.result)
        elif isinstance(outcome, Failed) and isinstance(outcome.error, NoRoom):
            self._hold(decision, unit, str(outcome.error))
        elif isinstance(outcome, Failed):
            self._refused(decision, unit, outcome.error)
        self._settled()

    def _hold(self, decision: Admit, unit: Unit, problem: str) -> None:
        """The unit is released once the nodes have room; until then it says why it is not."""
        self._held_back.hold(decision, unit, problem)
        record = self._means.record(unit.namespace, unit.name)
        if record is None or record.uid != unit.uid:
            return
        reason = Reason.NODES_HAVE_NO_ROOM
        if record.unit.reason == reason and record.unit.message == problem:
            return
        if record.unit.reason != reason:
            self._means.meters.attempt("held")
            record_event(self._means.events, unit, "Warning", reason, problem)

        async def send(client: Client) -> Step | None:
            known = self._means.record(unit.namespace, unit.name) or record
            return await take_step(client, known, words)

        def words(found: UnitRecord) -> Step | None:
            if found.uid != unit.uid or found.unit.phase in HOLDS_QUOTA:
                return None
            patch = words_patch(found, reason, problem, self._means.clock())
            return Step(patch, Lane.REASON)

        self._means.writes.submit(Lane.REASON, write_key(unit), send)

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
            self._let_through.discard(decision.uid)
            self._settled()
        else:
            self._write(decision, unit)

    def _admitted(self, decision: Admit, unit: Unit, written: _Written) -> None:
        means = self._means
        means.cache.confirm(unit.uid, written.version)
        seen = means.record(unit.namespace, unit.name)
        if seen is not None and seen.resource_version == written.version:
            means.meters.lagged(0.0)
        elif seen is not None:
            self._answered[unit.uid] = asyncio.get_running_loop().time()
        if written.checks:
            means.meters.attempt("reserved")
            said = f"Quota {decision.leaf} is reserved until {', '.join(written.checks)} answer"
            record_event(means.events, unit, "Normal", Reason.QUOTA_RESERVED, said)
            return
        measure_admission(means.meters, unit, means.clock())
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

    # --- evictions ------------------------------------------------------------------------------

    def _evict(self, decision: Evict) -> None:
        """Told to leave by its decision's words; whatever else it is by then stays as it is."""
        record = self._means.record(decision.namespace, decision.name)
        if record is None or record.uid != decision.uid:
            return  # gone: what it held went back with it

        async def send(client: Client) -> Step | None:
            known = self._means.record(decision.namespace, decision.name) or record
            return await take_step(
                client,
                known if known.uid == decision.uid else record,
                lambda found: eviction(
                    found, decision.reason, decision.message, self._means.clock()
                ),
            )

        def done(outcome: Outcome) -> None:
            self._eviction_ended(decision, record.unit, outcome)

        self._means.writes.submit(Lane.EVICT, write_key(record.unit), send, done)

    def _eviction_ended(self, decision: Evict, unit: Unit, outcome: Outcome) -> None:
        if self._stopped:
            return
        if isinstance(outcome, Done):
            if isinstance(step := outcome.result, Step) and step.said is not None:
                told = step.said
                record_event(self._means.events, unit, told.type, told.reason, told.message)
                _log.info("unit evicted", unit=unit.key, reason=str(decision.reason))
        elif isinstance(outcome, Failed) and isinstance(outcome.error, NotFound):
            return
        elif isinstance(outcome, Failed) and not _unknown(outcome.error):
            if not isinstance(outcome.error, NotEvictable):
                _log.warning("an eviction was refused", unit=unit.key, problem=str(outcome.error))
            # Told at once, the same unit might be chosen again, and again at once.
            asyncio.get_running_loop().call_later(REFUSED_PAUSE, self._eviction_refused, decision)
        else:
            # Also where another write of this unit took the place of this one.
            asyncio.get_running_loop().call_later(UNKNOWN_PAUSE, self._evict_again, decision)

    def _eviction_refused(self, decision: Evict) -> None:
        if not self._stopped:
            self._means.cache.eviction_failed(decision.uid)
            self._settled()

    def _evict_again(self, decision: Evict) -> None:
        if not self._stopped:
            self._evict(decision)


def measure_admission(meters: Meters, unit: Unit, now: float) -> None:
    """One more unit was admitted, so long after its job was submitted."""
    meters.attempt("admitted")
    kind = unit.job.kind if unit.job is not None else ""
    meters.admitted(unit.queue, kind, now - unit.submitted / 1e6)


def _same_question(seen: Unit, decided: Unit) -> bool:
    """Whether the unit still is what was decided on, its words and version aside."""
    return decided == replace(
        seen,
        resource_version=decided.resource_version,
        reason=decided.reason,
        message=decided.message,
    )


def _only_words(old: Unit, new: Unit) -> bool:
    """Whether the unit's reason or message changed, and nothing else of it."""
    return _same_question(new, old) and (old.reason, old.message) != (new.reason, new.message)


def _unknown(error: KubeQueueError) -> bool:
    return isinstance(error, (ConnectionLost, ServerFault, TooManyRequests, KeepsChanging))
