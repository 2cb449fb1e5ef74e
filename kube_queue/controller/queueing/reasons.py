"""Why units wait, written into their status late and in the background.

A unit that is admitted soon is never written twice: its reason is written once it has waited a
while, and again when the Reason (not its numbers) changes. One look at all waiting units finds what
is due; the writes then go out a few at a time, each as true as at the moment it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from kube_queue.api.conditions import UnitCondition, rfc3339, set_condition
from kube_queue.api.errors import Conflict, NotFound
from kube_queue.api.lifecycle import HOLDS_QUOTA, Phase
from kube_queue.api.reasons import Reason
from kube_queue.api.types import QUEUE_UNITS
from kube_queue.cache import Cache
from kube_queue.controller.records import UnitRecord, conditions_manifest
from kube_queue.controller.steps import record_event, write_key
from kube_queue.kube.client import Client
from kube_queue.kube.events import EventRecorder
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.writes import Lane, Outcome, WriteScheduler

AT_ONCE: Final = 8
"""Reason writes handed to the write scheduler at a time."""
SHORTEST_LOOK: Final = 0.5
"""Seconds between two looks at the waiting units, at least."""
LOOKED_AT_A_SECOND: Final = 2_000
"""Waiting units looked at per second on average: with 100,000 a look every fifty seconds."""
CHUNK: Final = 500
"""Waiting units looked at before others have a turn."""
EVENT_EVERY: Final = 30.0
"""Seconds between two FailedScheduling events of one unit whose Reason stays the same."""

SHORTAGES: Final = frozenset(
    {Reason.INSUFFICIENT_QUOTA, Reason.INSUFFICIENT_MIN, Reason.MAX_JOBS_REACHED}
)
"""There is not enough left, and more may come."""
PASSING: Final = frozenset({Reason.ENQUEUED, Reason.BACKOFF})
"""Between two tries: says nothing new about a unit that is known to be short of something."""
TOLD_AS_EVENT: Final = SHORTAGES | {
    Reason.EXCEEDS_MAX_QUOTA,
    Reason.NO_QUOTA,
    Reason.NO_QUEUE,
    Reason.NO_TREE,
    Reason.INVALID_REQUEST,
    Reason.INVALID_MIN_RESOURCES,
}


def worth_writing(stands: str, reason: Reason) -> bool:
    """Whether a unit whose status says `stands` ("" = nothing yet) is to be told this reason."""
    if reason is Reason.NOT_ACTIVE and stands == Reason.ADMISSION_CHECK_REJECTED:
        # Why it is not active says more than that it is not.
        return False
    if reason is Reason.BACKOFF:
        return stands not in SHORTAGES and stands != reason
    if reason is Reason.ENQUEUED:
        # Its turn comes at once or never: only words that are no longer true are worth replacing.
        return bool(stands) and stands not in SHORTAGES and stands not in PASSING
    return stands != reason


class ReasonWriter:
    """Keeps status.reason and message of waiting units true, with a delay.

    `stirred` says that reasons may have changed. `after` is how many seconds a unit waits before
    its reason is written at all.
    """

    def __init__(
        self,
        cache: Cache,
        record: Callable[[str, str], UnitRecord | None],
        clock: Callable[[], float],
        *,
        after: float,
    ) -> None:
        self._cache = cache
        self._record = record
        self._clock = clock
        self._after = after
        self._stirred = asyncio.Event()
        self._settled = asyncio.Event()
        self._due: dict[str, None] = {}
        self._under_way: set[str] = set()
        self._changed_since: set[str] = set()
        """Whose reason was another when looked at while one was being written."""
        self._told: dict[str, tuple[str, int, float]] = {}
        """Reason, hash of the message and time of each unit's last event."""

    def stirred(self) -> None:
        """A decision was taken, or the cache had news."""
        self._stirred.set()

    def unit_changed(self, old: UnitRecord | None, new: UnitRecord | None) -> None:
        """An informer handler: forgets units that wait no more."""
        if new is None or new.unit.phase in HOLDS_QUOTA:
            gone = old or new
            if gone is not None:
                self._told.pop(gone.uid, None)
                self._due.pop(gone.uid, None)

    async def run(self, writes: WriteScheduler, events: EventRecorder) -> None:
        """Look and write until cancelled."""
        self.stirred()
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            seen, next_due = await self._look(events)
            await self._write_due(writes)
            if next_due is not None:
                asyncio.get_running_loop().call_later(next_due, self.stirred)
            await asyncio.sleep(max(SHORTEST_LOOK, seen / LOOKED_AT_A_SECOND))

    async def _look(self, events: EventRecorder) -> tuple[int, float | None]:
        """How many wait, and in how many seconds the next of them has waited long enough."""
        now = self._clock()
        next_due: float | None = None
        seen = 0
        for seen, entry in enumerate(self._cache.waiting(), 1):
            if seen % CHUNK == 0:
                await asyncio.sleep(0)
            left = entry.since + self._after - now
            if left > 0:
                next_due = left if next_due is None else min(left, next_due)
                continue
            self._consider(entry.uid, entry.reason, entry.message, events)
        return seen, next_due

    def _consider(self, uid: str, reason: Reason, message: str, events: EventRecorder) -> None:
        unit = self._cache.unit(uid)
        if unit is None or unit.phase is not Phase.ENQUEUED:
            return  # gone, or its phase has a reason of its own
        if worth_writing(unit.reason, reason):
            if uid in self._under_way:
                self._changed_since.add(uid)
            else:
                self._due[uid] = None
        if reason not in TOLD_AS_EVENT:
            return
        told = self._told.get(uid)
        if told is not None and told[:2] == (reason, hash(message)):
            return
        now = self._clock()
        if told is None or told[0] != reason or now - told[2] >= EVENT_EVERY:
            self._told[uid] = (reason, hash(message), now)
            # After a restart what the status says already was told before.
            if told is not None or unit.reason != reason:
                said = f"{reason}: {message}"
                record_event(events, unit, "Warning", Reason.FAILED_SCHEDULING, said)

    async def _write_due(self, writes: WriteScheduler) -> None:
        while self._due:
            while self._due and len(self._under_way) < AT_ONCE:
                uid = next(iter(self._due))
                del self._due[uid]
                self._write(writes, uid)
            if self._due:
                self._settled.clear()
                await self._settled.wait()

    def _write(self, writes: WriteScheduler, uid: str) -> None:
        unit = self._cache.unit(uid)
        if unit is None:
            return
        namespace, name = unit.namespace, unit.name

        async def send(client: Client) -> None:
            patch = self._patch(namespace, name, uid)
            if patch is None:
                return
            try:
                await client.patch(QUEUE_UNITS, namespace, name, patch, subresource="status")
            except (Conflict, NotFound):
                return  # admitted, changed or gone meanwhile: the watch tells

        def done(_: Outcome) -> None:
            self._under_way.discard(uid)
            self._settled.set()
            if uid in self._changed_since:
                # The watch may have told of this write before its answer came, and tells no more.
                self._changed_since.discard(uid)
                self.stirred()

        self._under_way.add(uid)
        writes.submit(Lane.REASON, write_key(unit), send, done)

    def _patch(self, namespace: str, name: str, uid: str) -> dict[str, Any] | None:
        """The present reason as a patch; None when there is nothing (more) to say."""
        record = self._record(namespace, name)
        answer = self._cache.why(uid)
        if record is None or record.uid != uid or answer is None:
            return None
        reason, message = answer.reason, answer.message
        if record.unit.phase is not Phase.ENQUEUED:
            return None
        if not worth_writing(record.unit.reason, reason):
            return None
        at = rfc3339(self._clock())
        conditions = set_condition(
            conditions_manifest(record.conditions),
            UnitCondition.QUOTA_RESERVED,
            False,
            reason,
            message,
            at,
        )
        status = {
            "phase": Phase.ENQUEUED.value,
            "reason": str(reason),
            "message": message,
            "lastUpdateTime": at,
            "conditions": conditions,
        }
        return merge_patch(uid, record.resource_version, {"status": status})
