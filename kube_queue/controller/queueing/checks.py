"""What the admission checks of a reserved unit answer, followed up.

::

    Reserved   its Queue asks other checks by now   those are asked; who has answered stays answered
               any Rejected                         spec.active=false; next lap: Enqueued
               any Retry                            TimeoutBackoff: quota back, all asked anew later
               all Ready, or none left              Dequeued: the job is released
               its Queue is gone                    nothing, until there is one again

The strongest word counts, in this order. Nobody is admitted past a check because its Queue was
deleted by mistake: only a Queue that is there says which checks there are.
"""

from __future__ import annotations

from kube_queue.api.admission_checks import Check, CheckState, Verdict, applying, verdict
from kube_queue.api.conditions import rfc3339
from kube_queue.api.lifecycle import Phase
from kube_queue.api.reasons import Reason
from kube_queue.controller.queueing.backoff import Backoff
from kube_queue.controller.records import Standing, UnitRecord
from kube_queue.controller.steps import Said, Step
from kube_queue.controller.unit_patches import (
    backoff_patch,
    checks_patch,
    deactivation_patch,
    passed_patch,
)
from kube_queue.kube.writes import Lane


def checked(
    record: UnitRecord, checks: tuple[Check, ...] | None, backoff: Backoff, now: float
) -> Step | None:
    """What follows from the answers of its checks; `checks` are its Queue's, None: no Queue."""
    unit, standing = record.unit, record.standing
    if unit.phase is not Phase.RESERVED or standing is None or checks is None:
        return None
    names = applying(checks, dict(standing.labels))
    counting = tuple((name, state) for name, state in unit.checks if name in names)
    match verdict(counting):
        case Verdict.REJECTED:
            who = _who(standing, CheckState.REJECTED)
            said = Said("Warning", Reason.ADMISSION_CHECK_REJECTED, f"rejected by {who}")
            return Step(deactivation_patch(record), Lane.EVICT, said, subresource="")
        case Verdict.RETRY:
            return _later(record, standing, backoff, now)
        case Verdict.READY if len(counting) == len(names):
            said = Said("Normal", Reason.SCHEDULED, "Admitted: all admission checks are ready")
            return Step(passed_patch(record, names, now), Lane.ADMIT, said)
    if tuple(name for name, _ in unit.checks) != names:
        return Step(checks_patch(record, names, now), Lane.PROGRESS)
    return None


def _later(record: UnitRecord, standing: Standing, backoff: Backoff, now: float) -> Step:
    until = now + backoff.seconds(standing.backoffs + 1)
    who = _who(standing, CheckState.RETRY)
    message = f"{who} asked to try again later; not before {rfc3339(until)}"
    said = Said("Normal", Reason.ADMISSION_CHECK_RETRY, message)
    patch = backoff_patch(record, Reason.ADMISSION_CHECK_RETRY, message, until, now)
    return Step(patch, Lane.EVICT, said)


def _who(standing: Standing, state: CheckState) -> str:
    said = [
        f"{answer.name} ({answer.message})" if answer.message else answer.name
        for answer in standing.answers
        if answer.state == state
    ]
    return f"admission check {', '.join(said)}"
