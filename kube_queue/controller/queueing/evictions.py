"""A unit with spec.active=false gives its quota back, if its job can be stopped.

::

    spec.active=false    Reserved                      Enqueued at once: there is no job to stop
                         Dequeued, Running             condition Evicted; the job side suspends the
                                                       job and moves the unit once its pods are gone
                           of a kind that cannot stop  refused: said on the unit, which goes on
    true again           before its pods are gone      what is begun is carried through
                         after a refusal               the refusal is no longer said

A stopped Queue takes the same way: under Hold its reserved units go back, under HoldAndDrain also
those that were admitted.

A unit that the scheduler asks to go, by the annotation kube-queue/reclaim-requested-by, is evicted
as Reclaimed; the annotation is taken off once that is done or cannot be, and never tells twice.
"""

from __future__ import annotations

from typing import Final

from kube_queue.api.admission_checks import CheckState, Verdict, verdict
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import RECLAIM_REQUESTED_ANNOTATION
from kube_queue.api.queues import StopPolicy
from kube_queue.api.reasons import Reason
from kube_queue.controller.evicting import NotEvictable, eviction
from kube_queue.controller.records import UnitRecord
from kube_queue.controller.steps import Said, Step
from kube_queue.controller.unit_patches import words_patch
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.writes import Lane

DEACTIVATED: Final = "spec.active is false: the job is stopped and waits until it is true again"
REFUSED: Final = (
    "spec.active is false, but jobs of this kind cannot be stopped once they run: it goes on and "
    "keeps its quota"
)
STAYS: Final = (
    "its Queue is drained, but jobs of this kind cannot be stopped once they run: it goes on and "
    "keeps its quota"
)
CANNOT_STOP: Final = "jobs of this kind cannot be stopped once they run"
_REFUSALS: Final = frozenset({REFUSED, STAYS})
_ADMITTED: Final = frozenset({Phase.DEQUEUED, Phase.RUNNING})


def leaving(record: UnitRecord, now: float, stop: StopPolicy = StopPolicy.NONE) -> Step | None:
    """What follows from spec.active, from a stopped Queue, or from an eviction of a unit that has
    no job yet.
    """
    unit = record.unit
    reclaimed_by = record.standing.reclaimed_by if record.standing is not None else ""
    if reclaimed_by:
        return _reclaimed(record, reclaimed_by, now)
    if unit.phase is Phase.RESERVED:
        if unit.active and not unit.evicted and stop is StopPolicy.NONE:
            return None
        return eviction(record, *_why_reserved(record), now)
    if unit.phase not in _ADMITTED or unit.evicted:
        return None
    refused = unit.message if unit.reason == Reason.NOT_EVICTABLE else ""
    if unit.active and stop is not StopPolicy.HOLD_AND_DRAIN:
        return _goes_on(record, now) if refused in _REFUSALS else None
    reason, message, refusal = Reason.DEACTIVATED, DEACTIVATED, REFUSED
    if unit.active:
        reason, message, refusal = Reason.QUEUE_STOPPED, _stopped(unit.queue), STAYS
    try:
        return eviction(record, reason, message, now)
    except NotEvictable:
        if refused == refusal:
            return None
        said = Said("Warning", Reason.NOT_EVICTABLE, refusal)
        patch = words_patch(record, Reason.NOT_EVICTABLE, refusal, now)
        return Step(patch, Lane.PROGRESS, said)


def _reclaimed(record: UnitRecord, uid: str, now: float) -> Step:
    """The unit goes for the pod or PodGroup of this uid; when it is told, the asking is over."""
    over = merge_patch(
        record.uid,
        record.resource_version,
        {"metadata": {"annotations": {RECLAIM_REQUESTED_ANNOTATION: None}}},
    )
    message = f"its quota is taken back by pods of uid {uid}"
    try:
        step = eviction(record, Reason.RECLAIMED, message, now)
    except NotEvictable:
        said = Said("Warning", Reason.NOT_EVICTABLE, f"{message}, but {CANNOT_STOP}")
        return Step(over, Lane.PROGRESS, said, subresource="")
    return step if step is not None else Step(over, Lane.PROGRESS, subresource="")


def _stopped(queue: str) -> str:
    return f"Queue {queue} is stopped: it waits until the Queue is started"


def _goes_on(record: UnitRecord, now: float) -> Step:
    running = record.unit.phase is Phase.RUNNING
    reason, message = (
        (Reason.PODS_READY, "the job runs") if running else (Reason.ADMITTED, "Admitted.")
    )
    return Step(words_patch(record, reason, message, now), Lane.PROGRESS)


def _why_reserved(record: UnitRecord) -> tuple[Reason, str]:
    unit = record.unit
    if unit.active and unit.evicted:
        return Reason.EVICTED, unit.message or Reason.EVICTED.meaning
    if unit.active:
        return Reason.QUEUE_STOPPED, _stopped(unit.queue)
    if verdict(unit.checks) is not Verdict.REJECTED:
        return Reason.DEACTIVATED, "spec.active is false: it waits until it is true again"
    answers = record.standing.answers if record.standing is not None else ()
    said = [
        f"{answer.name} ({answer.message})" if answer.message else answer.name
        for answer in answers
        if answer.state == CheckState.REJECTED
    ]
    return Reason.ADMISSION_CHECK_REJECTED, f"rejected by admission check {', '.join(said)}"
