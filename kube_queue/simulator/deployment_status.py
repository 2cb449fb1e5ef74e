"""What a Deployment's status says: its counts, and whether it is available and progresses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kube_queue.api.conditions import rfc3339
from kube_queue.simulator.deployment import NO_DEADLINE, PodSet, Rollout, total
from kube_queue.simulator.fields import mappings, moment, number, text
from kube_queue.simulator.replica_set import put_count

PROGRESSING: Final = "Progressing"
AVAILABLE: Final = "Available"
FAILURE: Final = "ReplicaFailure"
_MICROSECONDS: Final = 1_000_000
_COMPLETE: Final = "NewReplicaSetAvailable"
_TIMED_OUT: Final = "ProgressDeadlineExceeded"
_PAUSED: Final = "DeploymentPaused"

Status = dict[str, Any]
Condition = dict[str, Any]


def counted(
    asked: Rollout,
    present: Mapping[str, Any],
    new: PodSet | None,
    every: Sequence[PodSet],
    now: float,
) -> Status:
    """The status with the counts of now, and whether enough pods are available."""
    status = dict(present)
    available = sum(each.available for each in every)
    status["observedGeneration"] = asked.generation
    counts = {
        "replicas": sum(each.actual for each in every),
        "updatedReplicas": new.actual if new is not None else 0,
        "readyReplicas": sum(each.ready for each in every),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total(every) - available),
    }
    for name, count in counts.items():
        put_count(status, name, count)
    status["terminatingReplicas"] = sum(each.terminating for each in every)
    if available >= asked.replicas - asked.max_unavailable:
        said = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        said = (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    put_condition(status, AVAILABLE, *said, now)
    return status


def estimated(
    asked: Rollout, present: Mapping[str, Any], status: Status, new: PodSet | None, now: float
) -> Status:
    """The counted status, and whether the rollout progresses, is complete or takes too long.

    `present` is the status as it was: more pods that are updated, ready or available, or fewer old
    ones, are progress.
    """
    if asked.deadline_seconds >= NO_DEADLINE:
        drop_condition(status, PROGRESSING)
        return status
    held = condition(status, PROGRESSING)
    settled = number(status.get("replicas")) == number(status.get("updatedReplicas"))
    if settled and held.get("reason") == _COMPLETE:
        return status
    name = f'Deployment "{asked.name}"' if new is None else f'ReplicaSet "{new.name}"'
    if is_complete(asked, status):
        words = f"{name} has successfully progressed."
        put_condition(status, PROGRESSING, "True", _COMPLETE, words, now)
    elif _is_progress(present, status):
        since = text(held.get("lastTransitionTime")) if held.get("status") == "True" else ""
        drop_condition(status, PROGRESSING)
        words = f"{name} is progressing."
        put_condition(status, PROGRESSING, "True", "ReplicaSetUpdated", words, now)
        if since:
            status["conditions"][-1]["lastTransitionTime"] = since
    elif deadline_left(asked, status, now) <= 0:
        words = f"{name} has timed out progressing."
        put_condition(status, PROGRESSING, "False", _TIMED_OUT, words, now)
    return status


def failed(status: Status, new: PodSet | None, every: Sequence[PodSet]) -> None:
    """The status repeats why a set cannot create its pods, the new set's word first."""
    ordered = [*([new] if new is not None else []), *every]
    failures = [each.failure for each in ordered if each.failure is not None]
    drop_condition(status, FAILURE)
    if failures:
        since = failures[0].get("lastTransitionTime")
        status.setdefault("conditions", []).append({**failures[0], "lastUpdateTime": since})


def paused(asked: Rollout, status: Status, now: float) -> None:
    """Pausing and resuming are told, so that no time passes towards the deadline meanwhile."""
    held = condition(status, PROGRESSING)
    if asked.deadline_seconds >= NO_DEADLINE or held.get("reason") == _TIMED_OUT:
        return
    if asked.paused:
        put_condition(status, PROGRESSING, "Unknown", _PAUSED, "Deployment is paused", now)
    elif held.get("reason") == _PAUSED:
        words = "Deployment is resumed"
        put_condition(status, PROGRESSING, "Unknown", "DeploymentResumed", words, now)


def began(asked: Rollout, status: Status, reason: str, words: str, now: float) -> None:
    """A rollout begins, or a set of its template was found where nothing was said before."""
    if asked.deadline_seconds < NO_DEADLINE:
        put_condition(status, PROGRESSING, "True", reason, words, now)


def is_complete(asked: Rollout, status: Mapping[str, Any]) -> bool:
    """Whether every pod is updated and available, and none of an old set is left."""
    counts = {
        number(status.get(name)) for name in ("updatedReplicas", "replicas", "availableReplicas")
    }
    seen = number(status.get("observedGeneration")) >= asked.generation
    return counts == {asked.replicas} and seen


def deadline_left(asked: Rollout, status: Mapping[str, Any], now: float) -> float:
    """Seconds until the rollout counts as stuck; infinite when it does not, or does already."""
    held = condition(status, PROGRESSING)
    if asked.deadline_seconds >= NO_DEADLINE or not held:
        return math.inf
    if held.get("reason") in (_COMPLETE, _TIMED_OUT, _PAUSED):
        return math.inf
    since = moment(held.get("lastUpdateTime")) / _MICROSECONDS
    return since + asked.deadline_seconds - now


def condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of that type; empty when there is none."""
    for one in mappings(status.get("conditions")):
        if one.get("type") == kind:
            return one
    return {}


def put_condition(
    status: Status, kind: str, value: str, reason: str, words: str, now: float
) -> None:
    """The condition says this; one of the same status and reason is left as it is.

    It moves to the end, as Kubernetes moves it.
    """
    held = condition(status, kind)
    if held.get("status") == value and held.get("reason") == reason:
        return
    stamp = rfc3339(now)
    since = text(held.get("lastTransitionTime")) if held.get("status") == value else stamp
    drop_condition(status, kind)
    status.setdefault("conditions", []).append(
        {
            "type": kind,
            "status": value,
            "lastUpdateTime": stamp,
            "lastTransitionTime": since,
            "reason": reason,
            "message": words,
        }
    )


def drop_condition(status: Status, kind: str) -> None:
    """The status has no condition of that type."""
    kept: list[Condition] = [
        dict(one) for one in mappings(status.get("conditions")) if one.get("type") != kind
    ]
    if kept:
        status["conditions"] = kept
    else:
        status.pop("conditions", None)


def _is_progress(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    def grown(name: str) -> int:
        return number(after.get(name)) - number(before.get(name))

    old_grown = grown("replicas") - grown("updatedReplicas")
    more = max(map(grown, ("updatedReplicas", "readyReplicas", "availableReplicas")))
    return more > 0 or old_grown < 0
