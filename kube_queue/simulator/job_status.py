"""The status of a batch Job, computed from what it asks and the pods it has.

Source of the rules: the Job controller's documented behaviour in Kubernetes 1.31 and later
(SuccessCriteriaMet before Complete, FailureTarget before Failed, which come once its pods ended).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kube_queue.api.conditions import rfc3339, set_condition
from kube_queue.simulator.fields import condition_status, mapping, mappings, moment, number, text
from kube_queue.simulator.views import PodView

DEFAULT_BACKOFF_LIMIT: Final = 6
FIRST_BACKOFF_SECONDS: Final = 10.0
LAST_BACKOFF_SECONDS: Final = 600.0
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a Job asks for. `completions` None: done once any pod succeeded and none runs."""

    parallelism: int
    completions: int | None
    indexed: bool
    suspended: bool
    backoff_limit: int
    deadline_seconds: int | None
    ttl_seconds: int | None
    managed_by_us: bool
    restart_policy: str


@dataclass(frozen=True, slots=True)
class Tally:
    """A Job's pods, counted. Indexes are those of an Indexed job's completions."""

    active: tuple[PodView, ...]
    ready: int
    terminating: int
    succeeded: int
    failed: int
    restarts: int
    last_failure: int
    completed_indexes: frozenset[int]


def job_spec(job: Mapping[str, Any]) -> JobSpec:
    """What the manifest asks, with the API's defaults."""
    spec = mapping(job.get("spec"))
    completions = spec.get("completions")
    parallelism = spec.get("parallelism")
    if completions is None and parallelism is None:
        completions = 1
    template = mapping(mapping(spec.get("template")).get("spec"))
    manager = text(spec.get("managedBy"))
    return JobSpec(
        parallelism=number(parallelism, 1),
        completions=None if completions is None else number(completions, 1),
        indexed=spec.get("completionMode") == "Indexed",
        suspended=spec.get("suspend") is True,
        backoff_limit=number(spec.get("backoffLimit"), DEFAULT_BACKOFF_LIMIT),
        deadline_seconds=_optional(spec.get("activeDeadlineSeconds")),
        ttl_seconds=_optional(spec.get("ttlSecondsAfterFinished")),
        managed_by_us=manager in ("", "kubernetes.io/job-controller"),
        restart_policy=text(template.get("restartPolicy")),
    )


def tally(job: Mapping[str, Any], spec: JobSpec, pods: Sequence[PodView]) -> Tally:
    """The pods counted; what the status counted before is never uncounted when pods are deleted."""
    status = mapping(job.get("status"))
    active = tuple(pod for pod in pods if pod.active)
    indexes = parse_indexes(text(status.get("completedIndexes")))
    if spec.indexed:
        indexes |= {
            int(pod.slot) for pod in pods if pod.phase == "Succeeded" and pod.slot.isdigit()
        }
        indexes = frozenset(index for index in indexes if index < (spec.completions or 0))
    failures = [pod for pod in pods if pod.phase == "Failed"]
    return Tally(
        active=active,
        ready=sum(pod.ready for pod in active),
        terminating=sum(bool(pod.deletion) and not pod.terminal for pod in pods),
        succeeded=len(indexes)
        if spec.indexed
        else max(sum(pod.phase == "Succeeded" for pod in pods), number(status.get("succeeded"))),
        failed=max(len(failures), number(status.get("failed"))),
        restarts=sum(pod.restarts for pod in active),
        last_failure=max((pod.finished or pod.created for pod in failures), default=0),
        completed_indexes=indexes if spec.indexed else frozenset(),
    )


def is_finished(job: Mapping[str, Any]) -> bool:
    """Whether the Job is Complete or Failed."""
    conditions = mapping(job.get("status")).get("conditions")
    return "True" in (
        condition_status(conditions, "Complete"),
        condition_status(conditions, "Failed"),
    )


def failure(
    job: Mapping[str, Any], spec: JobSpec, counts: Tally, now: float
) -> tuple[str, str] | None:
    """(reason, message) when the Job has failed, also when it was found to have before."""
    status = mapping(job.get("status"))
    for condition in mappings(status.get("conditions")):
        if condition.get("type") == "FailureTarget" and condition.get("status") == "True":
            return text(condition.get("reason")), text(condition.get("message"))
    if condition_status(status.get("conditions"), "SuccessCriteriaMet") == "True":
        return None
    over = counts.failed > spec.backoff_limit
    if spec.restart_policy == "OnFailure":
        over |= counts.restarts > 0 and counts.restarts >= spec.backoff_limit
    if over:
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    if not spec.suspended and deadline_left(job, spec, now) <= 0:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def deadline_left(job: Mapping[str, Any], spec: JobSpec, now: float) -> float:
    """Seconds until its activeDeadlineSeconds are over; infinite when there are none."""
    started = moment(mapping(job.get("status")).get("startTime"))
    if spec.deadline_seconds is None or not started:
        return math.inf
    return started / _MICROSECONDS + spec.deadline_seconds - now


def succeeded(spec: JobSpec, counts: Tally) -> bool:
    """Whether enough pods have succeeded."""
    if spec.completions is None:
        return counts.succeeded > 0 and not counts.active
    return counts.succeeded >= spec.completions


def backoff_left(counts: Tally, now: float) -> float:
    """Seconds before a pod may replace one that failed: 10, 20, 40 ... 600 after the last."""
    if not counts.last_failure:
        return 0.0
    doubled = FIRST_BACKOFF_SECONDS * 2.0 ** min(counts.failed - 1, 30)
    return counts.last_failure / _MICROSECONDS + min(LAST_BACKOFF_SECONDS, doubled) - now


def next_status(job: Mapping[str, Any], spec: JobSpec, counts: Tally, now: float) -> dict[str, Any]:
    """The whole status as it should be now; equal to the present one when nothing changed."""
    status = dict(mapping(job.get("status")))
    stamp = rfc3339(now)
    failed = failure(job, spec, counts, now)
    done = failed is None and succeeded(spec, counts)
    _count(status, spec, counts)
    conditions: list[dict[str, Any]] = [dict(each) for each in mappings(status.get("conditions"))]

    def say(kind: str, value: bool, reason: str, message: str) -> None:
        if condition_status(conditions, kind) != str(value):
            fresh = set_condition(conditions, kind, value, reason, message, stamp)
            for condition in fresh:
                if condition["type"] == kind:
                    condition["lastProbeTime"] = stamp
            conditions[:] = fresh

    if failed is None and not done:
        _suspend_or_start(status, spec, say, stamp)
    if failed is not None:
        say("FailureTarget", True, *failed)
        if not counts.active and not counts.terminating:
            say("Failed", True, *failed)
    elif done:
        reached = ("CompletionsReached", "Reached expected number of succeeded pods")
        say("SuccessCriteriaMet", True, *reached)
        if not counts.active and not counts.terminating:
            say("Complete", True, *reached)
            status.setdefault("completionTime", stamp)
    if conditions:
        status["conditions"] = conditions
    return status


def _suspend_or_start(status: dict[str, Any], spec: JobSpec, say: Any, stamp: str) -> None:
    was_suspended = condition_status(status.get("conditions"), "Suspended")
    if spec.suspended:
        say("Suspended", True, "JobSuspended", "Job suspended")
        status.pop("startTime", None)
        return
    if was_suspended == "True":
        say("Suspended", False, "JobResumed", "Job resumed")
        status["startTime"] = stamp
    status.setdefault("startTime", stamp)


def _count(status: dict[str, Any], spec: JobSpec, counts: Tally) -> None:
    """The counts, those of zero left out as the API does where it does."""
    status["ready"] = counts.ready
    status["terminating"] = counts.terminating
    for name, count in (
        ("active", len(counts.active)),
        ("succeeded", counts.succeeded),
        ("failed", counts.failed),
    ):
        if count:
            status[name] = count
        else:
            status.pop(name, None)
    if spec.indexed and counts.completed_indexes:
        status["completedIndexes"] = format_indexes(counts.completed_indexes)


def parse_indexes(ranges: str) -> frozenset[int]:
    """{1, 3, 4, 5} from "1,3-5"; pieces that are no range are left out."""
    found: set[int] = set()
    for piece in ranges.split(","):
        first, _, last = piece.partition("-")
        if first.isdigit() and (last or first).isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def format_indexes(indexes: frozenset[int]) -> str:
    """ "1,3-5" from {1, 3, 4, 5}."""
    pieces: list[str] = []
    ordered = sorted(indexes)
    start = 0
    for position, index in enumerate(ordered):
        if position + 1 < len(ordered) and ordered[position + 1] == index + 1:
            continue
        first = ordered[start]
        between = "-" if index > first + 1 else ","
        pieces.append(str(first) if first == index else f"{first}{between}{index}")
        start = position + 1
    return ",".join(pieces)


def _optional(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
