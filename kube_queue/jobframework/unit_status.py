"""The status a unit gets from the job side: adopted, running, requeued, finished, its pods.

What the queue controller writes stands in controller.unit_patches.

Every function gives a merge patch of the unit's status, without preconditions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kube_queue.api.conditions import UnitCondition, requeued_conditions, set_condition, withdrawn
from kube_queue.api.lifecycle import Phase
from kube_queue.api.reasons import Reason
from kube_queue.jobframework.extension import Outcome
from kube_queue.jobframework.requests import AskedSet
from kube_queue.jobframework.unit_view import HeldSet, UnitView

_LONGEST_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class Pods:
    """A job's live pods: neither finished nor gone.

    `leaving` counts those of them that are being deleted.
    """

    on_node: int = 0
    pending: int = 0
    leaving: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.on_node + self.pending


def adopted(
    unit: UnitView, sets: Sequence[AskedSet], reason: Reason, message: str, now_text: str
) -> dict[str, Any]:
    """Dequeued and charged for `sets`, whether or not the quota has room."""
    conditions = unit.condition_list()
    for kind in (UnitCondition.QUOTA_RESERVED, UnitCondition.ADMITTED):
        conditions = set_condition(conditions, kind, True, reason, message, now_text)
    return _status(
        Phase.DEQUEUED,
        reason,
        message,
        now_text,
        conditions=conditions,
        lastAllocateTime=now_text,
        attempts=unit.unit.attempts + 1,
        admissions=[
            {
                "name": each.name,
                "replicas": each.count,
                "resources": (each.each * each.count).manifest(),
            }
            for each in sets
        ],
    )


def running(unit: UnitView, pods: Pods, now_text: str) -> dict[str, Any]:
    """Running, with its pods; its next wait, should it have to stay away, is the first again."""
    message = _pods_message(pods)
    conditions = set_condition(
        unit.condition_list(),
        UnitCondition.PODS_READY,
        True,
        Reason.PODS_READY,
        message,
        now_text,
    )
    # A null in an absent requeueState would create an empty one.
    over = {"requeueState": {"backoffs": None}} if unit.backoffs else {}
    return _status(
        Phase.RUNNING,
        Reason.PODS_READY,
        message,
        now_text,
        conditions=conditions,
        podState=_pod_state(pods),
        **over,
    )


def resized(sets: Sequence[HeldSet], now_text: str) -> dict[str, Any]:
    """The phase as it was, charged for what its job has become."""
    admissions = [
        {"name": each.name, "replicas": each.count, "resources": each.total.manifest()}
        for each in sets
    ]
    return {"status": {"admissions": admissions, "lastUpdateTime": now_text}}


def pods_seen(pods: Pods, phase: Phase, now_text: str) -> dict[str, Any]:
    """The phase as it was, its pods as they are."""
    if phase is Phase.DEQUEUED:
        return _status(
            phase, Reason.PODS_NOT_READY, _pods_message(pods), now_text, podState=_pod_state(pods)
        )
    return {"status": {"podState": _pod_state(pods)}}


def requeued(unit: UnitView, reason: Reason, message: str, now_text: str) -> dict[str, Any]:
    """Enqueued again, holding nothing."""
    conditions = requeued_conditions(unit.condition_list(), reason, message, now_text)
    return _status(
        Phase.ENQUEUED,
        reason,
        message,
        now_text,
        conditions=conditions,
        admissions=None,
        admissionChecks=None,
        podState=_pod_state(Pods()),
        # It need not wait: whoever wants it back in its queue at once has said so.
        requeueState={"count": unit.requeues + 1, "requeueAt": None},
    )


def finished(
    unit: UnitView, phase: Phase, reason: Reason, message: str, now_text: str
) -> dict[str, Any]:
    """Succeed or Failed, holding nothing."""
    conditions = withdrawn(
        unit.condition_list(),
        (UnitCondition.EVICTED, UnitCondition.PODS_READY),
        reason,
        message,
        now_text,
    )
    conditions = set_condition(conditions, UnitCondition.FINISHED, True, reason, message, now_text)
    return _status(
        phase,
        reason,
        message,
        now_text,
        conditions=conditions,
        admissions=None,
        podState=_pod_state(Pods()),
    )


def ending(outcome: Outcome) -> str:
    """How the job ended, as one sentence."""
    how = "the job succeeded" if outcome.succeeded else "the job failed"
    said = ": ".join(part for part in (outcome.reason, outcome.message) if part)
    return (f"{how}: {said}" if said else how)[:_LONGEST_MESSAGE]


def _status(
    phase: Phase, reason: Reason, message: str, now_text: str, **fields: Any
) -> dict[str, Any]:
    return {
        "status": {
            "phase": phase.value,
            "reason": reason.value,
            "message": message,
            "lastUpdateTime": now_text,
            **fields,
        }
    }


def _pod_state(pods: Pods) -> dict[str, int]:
    return {"running": pods.on_node, "pending": pods.pending}


def _pods_message(pods: Pods) -> str:
    if not pods.total:
        return "the job runs"
    return f"{pods.on_node} of {pods.total} pods have a node"
