"""The status a unit gets from the queue controller: reserved, admitted, evicted, sent back.

Every function gives a merge patch that fits only this very unit at this very version. What the job
side writes stands in jobframework.unit_status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any

from kube_queue.api.admission_checks import CheckState
from kube_queue.api.conditions import (
    GIVEN_BACK,
    UnitCondition,
    requeued_conditions,
    rfc3339,
    set_condition,
    withdrawn,
)
from kube_queue.api.lifecycle import Phase
from kube_queue.api.reasons import Reason
from kube_queue.controller.records import Standing, UnitRecord, conditions_manifest
from kube_queue.kube.patches import merge_patch

Patch = dict[str, Any]

_NEVER_BACK = Standing(0, 0, None)


def admission_patch(record: UnitRecord, quota: str, now: float) -> Patch:
    """The one write that admits a unit: phase, quota per pod set, conditions and words."""
    message = f"Admitted to quota {quota}."
    conditions = _granted(record, message, now)
    return _status(
        record,
        now,
        Reason.ADMITTED,
        message,
        phase=Phase.DEQUEUED.value,
        lastAllocateTime=rfc3339(now),
        attempts=record.unit.attempts + 1,
        admissions=_admissions(record),
        conditions=set_condition(
            conditions, UnitCondition.ADMITTED, True, Reason.ADMITTED, message, rfc3339(now)
        ),
    )


def reservation_patch(record: UnitRecord, quota: str, checks: Iterable[str], now: float) -> Patch:
    """Quota is set aside, and every one of the checks is asked."""
    names = tuple(checks)
    message = f"Quota {quota} is reserved; waits for {asked(names)}."
    return _status(
        record,
        now,
        Reason.ADMISSION_CHECKS_PENDING,
        message,
        phase=Phase.RESERVED.value,
        lastAllocateTime=rfc3339(now),
        admissions=_admissions(record),
        conditions=_granted(record, message, now),
        admissionChecks=[_pending(name, now) for name in names],
    )


def passed_patch(record: UnitRecord, checks: Iterable[str], now: float) -> Patch:
    """The reserved unit is admitted: every check is ready, or none is left."""
    names = tuple(checks)
    message = f"Admitted: {asked(names)} ready." if names else "Admitted: no check is left."
    return _status(
        record,
        now,
        Reason.ADMITTED,
        message,
        phase=Phase.DEQUEUED.value,
        attempts=record.unit.attempts + 1,
        conditions=set_condition(
            conditions_manifest(record.conditions),
            UnitCondition.ADMITTED,
            True,
            Reason.ADMITTED,
            message,
            rfc3339(now),
        ),
    )


def checks_patch(record: UnitRecord, checks: Iterable[str], now: float) -> Patch:
    """These checks are asked; those that have answered stay answered."""
    names = tuple(checks)
    answers = record.standing.answers if record.standing is not None else ()
    given = {answer.name: answer.manifest() for answer in answers}
    return _status(
        record,
        now,
        Reason.ADMISSION_CHECKS_PENDING,
        f"Quota is reserved; waits for {asked(names)}.",
        admissionChecks=[given.get(name) or _pending(name, now) for name in names],
    )


def eviction_patch(record: UnitRecord, reason: Reason, message: str, now: float) -> Patch:
    """Told to give its quota back; phase and quota stay until its pods are gone."""
    conditions = conditions_manifest(record.conditions)
    return _status(
        record,
        now,
        reason,
        message,
        conditions=set_condition(
            conditions, UnitCondition.EVICTED, True, reason, message, rfc3339(now)
        ),
    )


def words_patch(record: UnitRecord, reason: Reason, message: str, now: float) -> Patch:
    """Nothing but what is said about the unit changes."""
    return _status(record, now, reason, message)


def return_patch(record: UnitRecord, reason: Reason, message: str, now: float) -> Patch:
    """Reserved no more but Enqueued again: there is no job to wait for."""
    standing = record.standing or _NEVER_BACK
    return _status(
        record,
        now,
        reason,
        message,
        phase=Phase.ENQUEUED.value,
        admissions=None,
        requeueState={"count": standing.requeues + 1, "requeueAt": None},
        conditions=requeued_conditions(
            conditions_manifest(record.conditions), reason, message, rfc3339(now)
        ),
    )


def backoff_patch(
    record: UnitRecord, reason: Reason, message: str, until: float, now: float
) -> Patch:
    """Out of its queue until then, holding nothing, and all its checks to be asked anew.

    A reserved unit has no pods. How many an admitted one has left is for the job side to tell.
    """
    standing = record.standing or _NEVER_BACK
    reserved = record.unit.phase is Phase.RESERVED
    return _status(
        record,
        now,
        reason,
        message,
        phase=Phase.TIMEOUT_BACKOFF.value,
        admissions=None,
        podState={"running": 0, "pending": 0} if reserved else None,
        requeueState={
            "count": standing.requeues + 1,
            "backoffs": standing.backoffs + 1,
            # Times on the wire are cut to seconds, and a wait must not become shorter by that.
            "requeueAt": rfc3339(ceil(until)),
        },
        admissionChecks=[_pending(name, now) for name, _ in record.unit.checks] or None,
        conditions=withdrawn(
            conditions_manifest(record.conditions), GIVEN_BACK, reason, message, rfc3339(now)
        ),
    )


def comeback_patch(record: UnitRecord, now: float) -> Patch:
    """In its queue again after a backoff, at its job's old place."""
    message = f"The wait after {record.unit.reason or Reason.BACKOFF} is over."
    return _status(
        record,
        now,
        Reason.REQUEUED,
        message,
        phase=Phase.ENQUEUED.value,
        conditions=set_condition(
            conditions_manifest(record.conditions),
            UnitCondition.REQUEUED,
            True,
            Reason.REQUEUED,
            message,
            rfc3339(now),
        ),
    )


def deactivation_patch(record: UnitRecord) -> Patch:
    """spec.active is false, in a patch of the unit itself."""
    return merge_patch(record.unit.uid, record.unit.resource_version, {"spec": {"active": False}})


def asked(checks: tuple[str, ...]) -> str:
    """The checks by name, as a sentence calls them."""
    if len(checks) == 1:
        return f"admission check {checks[0]}"
    return f"admission checks {', '.join(checks)}"


def _granted(record: UnitRecord, message: str, now: float) -> list[dict[str, Any]]:
    """Its conditions once quota is reserved for it; an earlier eviction is over by that.

    Left True, it would evict again.
    """
    at = rfc3339(now)
    conditions = set_condition(
        conditions_manifest(record.conditions),
        UnitCondition.QUOTA_RESERVED,
        True,
        Reason.QUOTA_RESERVED,
        message,
        at,
    )
    return withdrawn(conditions, (UnitCondition.EVICTED,), Reason.ADMITTED, message, at)


def _admissions(record: UnitRecord) -> list[Mapping[str, Any]]:
    # In the unit's own words: what its quota is charged may be counted in others.
    if record.pod_sets:
        return [
            {
                "name": pod_set.name or "main",
                "replicas": pod_set.count,
                "resources": pod_set.total.manifest(),
            }
            for pod_set in record.pod_sets
        ]
    return [{"name": "main", "replicas": 1, "resources": record.unit.request.manifest()}]


def _pending(name: str, now: float) -> dict[str, str]:
    return {
        "name": name,
        "state": CheckState.PENDING.value,
        "message": "",
        "lastTransitionTime": rfc3339(now),
    }


def _status(record: UnitRecord, now: float, reason: Reason, message: str, **fields: Any) -> Patch:
    status = {
        "reason": reason.value,
        "message": message,
        "lastUpdateTime": rfc3339(now),
        **fields,
    }
    unit = record.unit
    return merge_patch(unit.uid, unit.resource_version, {"status": status})
