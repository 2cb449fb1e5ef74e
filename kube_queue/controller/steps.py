"""One step of a unit at a time, decided on what it is and carried out on nothing else.

::

    record ──▶ plan ──▶ Step ──▶ patch(uid, resourceVersion) ──▶ done, its event is true
      ▲                               │ Conflict
      └─────────── read again ◀───────┘          plan says None: nothing is left to do
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from kube_queue.api.errors import Conflict, KubeQueueError
from kube_queue.api.reasons import Reason
from kube_queue.api.types import QUEUE_UNITS
from kube_queue.api.units import Unit
from kube_queue.controller.records import UnitRecord, unit_record
from kube_queue.kube.client import Client
from kube_queue.kube.events import EventRecorder, EventType, ObjectRef
from kube_queue.kube.writes import Lane

CONFLICTS: Final = 5
"""Times one step is planned again after a change of its unit, before others have a turn."""


class KeepsChanging(KubeQueueError):
    """The unit changed under every try to write it."""


@dataclass(frozen=True, slots=True)
class Said:
    """An event on a unit and on its job."""

    type: EventType
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """One write of a unit, and what is told once it is made."""

    patch: dict[str, Any]
    lane: Lane
    said: Said | None = None
    subresource: str = "status"


Plan = Callable[[UnitRecord], Step | None]
"""What is to be written about this record, if anything."""


async def take_step(client: Client, record: UnitRecord, plan: Plan) -> Step | None:
    """The step that was made; None: there was none to make.

    Raises KeepsChanging, and every refusal but Conflict.
    """
    uid = record.uid
    for _ in range(CONFLICTS):
        step = plan(record) if record.uid == uid else None
        if step is None:
            return None
        place = (QUEUE_UNITS, record.namespace, record.name)
        try:
            await client.patch(*place, step.patch, subresource=step.subresource)
        except Conflict:
            record = unit_record(await client.get(*place))
        else:
            return step
    raise KeepsChanging(f"{record.unit.key} keeps changing while it is being written")


def write_key(unit: Unit) -> tuple[str, str, str]:
    """The key under which every write of a unit waits its turn: one object, one at a time."""
    return QUEUE_UNITS.plural, unit.namespace, unit.name


def unit_reference(unit: Unit) -> ObjectRef:
    """The unit as Events name it."""
    return ObjectRef(QUEUE_UNITS.api_version, QUEUE_UNITS.kind, unit.namespace, unit.name, unit.uid)


def record_event(
    events: EventRecorder, unit: Unit, type_: EventType, reason: Reason, message: str
) -> None:
    """An event on the unit and, where it has one, on its job."""
    events.record(unit_reference(unit), type_, reason, message)
    if unit.job is not None:
        events.record(unit.job, type_, reason, message)
