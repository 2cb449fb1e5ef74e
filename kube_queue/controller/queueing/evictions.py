"""A unit with spec.active=false gives its quota back, if its job can be stopped.

::

    spec.active=false    Reserved                      Enqueued at once: there is no job to stop
                         Dequeued, Running             condition Evicted; the job side suspends the
                                                       job and moves the unit once its pods are gone
                           of a kind that cannot stop  refused: said on the unit, which goes on
    true again           before its pods are gone      what is begun is carried through
                         after a refusal               the refusal is no longer said
"""

from __future__ import annotations

from typing import Final

from kube_queue.api.admission_checks import CheckState, Verdict, verdict
from kube_queue.api.lifecycle import Phase
from kube_queue.api.reasons import Reason
from kube_queue.controller.evicting import NotEvictable, eviction
from kube_queue.controller.records import UnitRecord
from kube_queue.controller.steps import Said, Step
from kube_queue.controller.unit_patches import words_patch
from kube_queue.kube.writes import Lane

DEACTIVATED: Final = "spec.active is false: the job is stopped and waits until it is true again"
REFUSED: Final = (
    "spec.active is false, but jobs of this kind cannot be stopped once they run: it goes on and "
    "keeps its quota"
)
_ADMITTED: Final = frozenset({Phase.DEQUEUED, Phase.RUNNING})


def leaving(record: UnitRecord, now: float) -> Step | None:
    """What follows from spec.active, or from an eviction of a unit that has no job yet."""
    unit = record.unit
    if unit.phase is Phase.RESERVED:
        if unit.active and not unit.evicted:
            return None
        return eviction(record, *_why_reserved(record), now)
    if unit.phase not in _ADMITTED or unit.evicted:
        return None
    refused = unit.reason == Reason.NOT_EVICTABLE and unit.message == REFUSED
    if unit.active:
        return _goes_on(record, now) if refused else None
    try:
        return eviction(record, Reason.DEACTIVATED, DEACTIVATED, now)
    except NotEvictable:
        if refused:
            return None
        said = Said("Warning", Reason.NOT_EVICTABLE, REFUSED)
        patch = words_patch(record, Reason.NOT_EVICTABLE, REFUSED, now)
        return Step(patch, Lane.PROGRESS, said)


def _goes_on(record: UnitRecord, now: float) -> Step:
    running = record.unit.phase is Phase.RUNNING
    reason, message = (
        (Reason.PODS_READY, "the job runs") if running else (Reason.ADMITTED, "Admitted.")
    )
    return Step(words_patch(record, reason, message, now), Lane.PROGRESS)


def _why_reserved(record: UnitRecord) -> tuple[Reason, str]:
    unit = record.unit
    if unit.active:
        return Reason.EVICTED, unit.message or Reason.EVICTED.meaning
    if verdict(unit.checks) is not Verdict.REJECTED:
        return Reason.DEACTIVATED, "spec.active is false: it waits until it is true again"
    answers = record.standing.answers if record.standing is not None else ()
    said = [
        f"{answer.name} ({answer.message})" if answer.message else answer.name
        for answer in answers
        if answer.state == CheckState.REJECTED
    ]
    return Reason.ADMISSION_CHECK_REJECTED, f"rejected by admission check {', '.join(said)}"
