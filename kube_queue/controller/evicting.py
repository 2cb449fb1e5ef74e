"""How a unit is told to give its quota back, whoever wants it.

::

    Reserved                          it has no job: Enqueued at once
    Dequeued, Running                 condition Evicted; phase and quota stay till its pods are gone
      of a kind that cannot be stopped  refused
    told already, or holds no quota   nothing
"""

from __future__ import annotations

from typing import Final

from kube_queue.api.errors import KubeQueueError
from kube_queue.api.lifecycle import HOLDS_QUOTA, Phase
from kube_queue.api.reasons import Reason
from kube_queue.controller.records import UnitRecord
from kube_queue.controller.steps import Said, Step
from kube_queue.controller.unit_patches import eviction_patch, return_patch
from kube_queue.kube.writes import Lane

FOR_ANOTHER: Final = frozenset({Reason.PREEMPTED, Reason.RECLAIMED})
"""Reasons of evictions that make room for another unit."""


class NotEvictable(KubeQueueError):
    """Jobs of the unit's kind cannot be stopped."""


def eviction(record: UnitRecord, reason: Reason, message: str, now: float) -> Step | None:
    """The step by which the unit loses its quota; None where it is on its way or holds none.

    Raises NotEvictable.
    """
    unit = record.unit
    if unit.phase not in HOLDS_QUOTA:
        return None
    event = Reason.PREEMPTED if reason in FOR_ANOTHER else Reason.EVICTED
    said = Said("Normal", event, f"{reason}: {message}")
    if unit.phase is Phase.RESERVED:
        return Step(return_patch(record, reason, message, now), Lane.EVICT, said)
    if unit.evicted:
        return None
    if not unit.evictable:
        raise NotEvictable(f"{unit.key} stands for a job that cannot be stopped")
    return Step(eviction_patch(record, reason, message, now), Lane.EVICT, said)
