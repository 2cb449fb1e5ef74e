"""Takes quota back from admitted units that may not keep it: their condition Evicted becomes True.

::

    admitted and spec.active=false ──▶ read it again ─┬─ still so ──▶ patch(uid, resourceVersion)
              ▲                                       └─ not so ───▶ nothing
              └──────────────── Conflict ─────────────────────────────────┘

Phase and quota stay as they are: the job side suspends the job and, once its pods are gone, moves
the unit back to its queue. What is begun is carried through, even if spec.active is true again
before the pods are gone: the unit then waits for its turn like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from kube_queue.api.conditions import UnitCondition, rfc3339, set_condition
from kube_queue.api.errors import Conflict, NotFound
from kube_queue.api.lifecycle import Phase
from kube_queue.api.reasons import Reason
from kube_queue.api.types import QUEUE_UNITS
from kube_queue.api.units import Unit, project_unit
from kube_queue.controller.effects import record_event, write_key
from kube_queue.controller.records import UnitRecord, conditions_manifest, conditions_of
from kube_queue.kube.client import Client
from kube_queue.kube.events import EventRecorder
from kube_queue.kube.informer import Informer
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.workqueue import WorkQueue, run_workers
from kube_queue.kube.writes import Lane, WriteScheduler

WORKERS: Final = 16
DEACTIVATED: Final = "spec.active is false: the job is stopped and waits until it is true again"

# A unit whose quota is only reserved has no job to stop: whoever reserved it gives it back.
_ADMITTED: Final = frozenset({Phase.DEQUEUED, Phase.RUNNING})

_log = structlog.get_logger("controller.evictions")


class Evictions:
    """Every admitted unit with spec.active=false has Evicted=True, written once.

    Reconciles by namespace and name; what a killed process left undone is found again in what the
    informer lists.
    """

    def __init__(self, units: Informer[UnitRecord], clock: Callable[[], float]) -> None:
        self._units = units
        self._clock = clock
        self._work: WorkQueue[tuple[str, str]] = WorkQueue()

    def unit_changed(self, _old: UnitRecord | None, new: UnitRecord | None) -> None:
        """An informer handler."""
        if new is not None and has_to_leave(new.unit):
            self._work.add((new.namespace, new.name))

    async def run(self, writes: WriteScheduler, events: EventRecorder) -> None:
        """Evict until cancelled."""

        async def reconcile(key: tuple[str, str]) -> float | None:
            return await self._reconcile(key, writes, events)

        await run_workers(self._work, reconcile, WORKERS)

    async def _reconcile(
        self, key: tuple[str, str], writes: WriteScheduler, events: EventRecorder
    ) -> float | None:
        record = self._units.get(*key)
        if record is None or not has_to_leave(record.unit):
            return None
        unit = record.unit

        async def send(client: Client) -> bool:
            return await self._evict(client, unit)

        try:
            written = await writes.write(Lane.EVICT, write_key(unit), send)
        except Conflict:
            return 0.0  # it changed between our look and our patch: look again
        except NotFound:
            return None
        if written:
            said = f"{Reason.DEACTIVATED}: {DEACTIVATED}"
            record_event(events, unit, "Normal", Reason.EVICTED, said)
            _log.info("unit evicted", unit=unit.key, reason=str(Reason.DEACTIVATED))
        return None

    async def _evict(self, client: Client, seen: Unit) -> bool:
        """Whether it was for us to write. Raises Conflict and NotFound."""
        # Conditions of admitted units are not kept in memory; the present ones must not be lost.
        obj = await client.get(QUEUE_UNITS, seen.namespace, seen.name)
        unit = project_unit(obj)
        if unit.uid != seen.uid or not has_to_leave(unit):
            return False
        patch = eviction_patch(obj, unit, self._clock())
        await client.patch(QUEUE_UNITS, unit.namespace, unit.name, patch, subresource="status")
        return True


def has_to_leave(unit: Unit) -> bool:
    """Whether the unit holds quota it may not keep and has not been told so."""
    return not unit.active and not unit.evicted and unit.phase in _ADMITTED


def eviction_patch(obj: Mapping[str, Any], unit: Unit, now: float) -> dict[str, Any]:
    """The write that evicts a deactivated unit; it fits only this unit at this version."""
    at = rfc3339(now)
    status = {
        "reason": Reason.DEACTIVATED.value,
        "message": DEACTIVATED,
        "lastUpdateTime": at,
        "conditions": set_condition(
            conditions_manifest(conditions_of(obj)),
            UnitCondition.EVICTED,
            True,
            Reason.DEACTIVATED,
            DEACTIVATED,
            at,
        ),
    }
    return merge_patch(unit.uid, unit.resource_version, {"status": status})
