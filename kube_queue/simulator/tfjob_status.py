"""The status of a TFJob as Kubeflow's training operator writes it.

Source of the rules: github.com/kubeflow/training-operator v1.8.1 (condition types, reasons,
messages, and that a condition whose status or reason changes moves to the end of the list, so the
last condition is the STATE that kubectl prints). Conditions of other writers stay where they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kube_queue.api.conditions import rfc3339
from kube_queue.api.names import SUSPEND_ANNOTATION
from kube_queue.simulator.fields import condition_status, mapping, mappings, moment, number, text
from kube_queue.simulator.views import PodView

REPLICA_TYPES: Final = ("Chief", "Evaluator", "Master", "PS", "Worker")
TOGETHER_SECONDS: Final = 2.0
"""A worker that still runs this long after its job succeeded did not end together with the rest."""
_CHIEFS: Final = ("Chief", "Master")
_RETRYABLE_EXIT_CODE: Final = 128
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Replicas:
    """One replica type of a TFJob: how many, from which template, and what failure means."""

    kind: str
    count: int
    restart_policy: str
    template: Mapping[str, Any]

    def slot(self, index: int) -> str:
        """How the place of a pod is called: worker-0."""
        return f"{self.kind.lower()}-{index}"


@dataclass(frozen=True, slots=True)
class TFJobSpec:
    """What a TFJob asks for, with defaults: cleanPodPolicy Running as in arena's operator."""

    name: str
    namespace: str
    replicas: tuple[Replicas, ...]
    suspended: bool
    clean_pod_policy: str
    all_workers: bool
    backoff_limit: int | None
    deadline_seconds: int | None
    ttl_seconds: int | None

    @property
    def chiefs(self) -> bool:
        """It has a chief or master, whose end is the job's."""
        return any(replicas.kind in _CHIEFS for replicas in self.replicas)


@dataclass(slots=True)
class Conditions:
    """The list of conditions while it is being rewritten."""

    items: list[dict[str, Any]]
    now: str

    def status(self, kind: str) -> str:
        """ "True", "False" or empty when the condition is absent."""
        return condition_status(self.items, kind)

    def say(self, kind: str, value: bool, reason: str, message: str) -> None:
        """The condition says so and, if that is news, is the last; Failed is the last word."""
        if self.status("Failed") == "True":
            return
        held = next((each for each in self.items if each.get("type") == kind), None)
        if held is not None and (held.get("status"), held.get("reason")) == (str(value), reason):
            return
        since = self.now
        if held is not None and held.get("status") == str(value):
            since = text(held.get("lastTransitionTime")) or since
        replaced = {kind, {"Restarting": "Running", "Running": "Restarting"}.get(kind, kind)}
        self.items = [each for each in self.items if each.get("type") not in replaced]
        if kind in ("Succeeded", "Failed"):
            for each in self.items:
                if each.get("type") == "Running":
                    each["status"] = "False"
        self.items.append(
            {
                "type": kind,
                "status": str(value),
                "reason": reason,
                "message": message,
                "lastUpdateTime": self.now,
                "lastTransitionTime": since,
            }
        )


@dataclass(slots=True)
class Outcome:
    """What is to be done: status to write, pods to delete, places to fill, when to look again."""

    status: dict[str, Any]
    delete: list[PodView] = field(default_factory=list)
    create: list[tuple[Replicas, int]] = field(default_factory=list)
    again: float = math.inf
    expired: bool = False


def tfjob_spec(job: Mapping[str, Any]) -> TFJobSpec:
    """What the manifest asks; replica types are known in any case of letters."""
    metadata, spec = mapping(job.get("metadata")), mapping(job.get("spec"))
    policy = mapping(spec.get("runPolicy"))
    given = {str(key).lower(): value for key, value in mapping(spec.get("tfReplicaSpecs")).items()}
    marked = mapping(metadata.get("annotations")).get(SUSPEND_ANNOTATION) == "true"
    return TFJobSpec(
        name=text(metadata.get("name")),
        namespace=text(metadata.get("namespace")),
        replicas=tuple(
            _replicas(kind, mapping(given[kind.lower()]))
            for kind in REPLICA_TYPES
            if kind.lower() in given
        ),
        suspended=marked or policy.get("suspend") is True,
        clean_pod_policy=text(policy.get("cleanPodPolicy")) or "Running",
        all_workers=spec.get("successPolicy") == "AllWorkers",
        backoff_limit=_optional(policy.get("backoffLimit")),
        deadline_seconds=_optional(policy.get("activeDeadlineSeconds")),
        ttl_seconds=_optional(policy.get("ttlSecondsAfterFinished")),
    )


def plan(job: Mapping[str, Any], pods: Sequence[PodView], now: float) -> Outcome:
    """What the operator does about a TFJob with these pods at this moment (seconds)."""
    spec = tfjob_spec(job)
    status = dict(mapping(job.get("status")))
    conditions = Conditions(
        [dict(each) for each in mappings(status.get("conditions"))], rfc3339(now)
    )
    outcome = Outcome(status)
    if not conditions.items or conditions.status("Created") == "":
        conditions.say("Created", True, "TFJobCreated", f"TFJob {spec.name} is created.")
    if "True" in (conditions.status("Succeeded"), conditions.status("Failed")):
        _clean_up(spec, conditions, outcome, pods, now)
    elif spec.suspended:
        _suspend(spec, conditions, outcome, pods)
    else:
        _work(spec, conditions, outcome, pods, now)
    outcome.status["conditions"] = conditions.items
    return outcome


def _clean_up(
    spec: TFJobSpec, conditions: Conditions, outcome: Outcome, pods: Sequence[PodView], now: float
) -> None:
    """After its end: pods go by cleanPodPolicy, the job itself by its time to live.

    Policy Running takes the parameter servers in any phase: they serve until they are stopped, and
    a stand-in that sleeps exactly as long as its workers must not be left over by a race with them.
    """
    status = outcome.status
    ended = moment(status.get("completionTime")) / _MICROSECONDS
    if spec.clean_pod_policy == "All":
        outcome.delete = list(pods)
    elif spec.clean_pod_policy != "None":
        _clean_running(conditions, outcome, pods, now - ended)
    if conditions.status("Succeeded") == "True":
        status["replicaStatuses"] = {
            kind: _settled(mapping(counts))
            for kind, counts in mapping(status.get("replicaStatuses")).items()
        }
    if spec.ttl_seconds is not None and ended:
        left = ended + spec.ttl_seconds - now
        outcome.again = min(outcome.again, left)
        outcome.expired = left <= 0


def _clean_running(
    conditions: Conditions, outcome: Outcome, pods: Sequence[PodView], since: float
) -> None:
    """What still runs `since` seconds after the end is taken away, but not what is just ending.

    A kubelet looks at its containers once a second, and the operator cleans up in a lap after the
    one that saw the success: workers that end together have all ended by then. Here each end is
    told at once, so the time between is waited for.
    """
    left = TOGETHER_SECONDS - since if conditions.status("Succeeded") == "True" else 0.0
    for pod in pods:
        if pod.slot.startswith("ps-"):
            outcome.delete.append(pod)
        elif pod.phase == "Running" and left > 0:
            outcome.again = left
        elif not pod.terminal:
            outcome.delete.append(pod)


def _settled(counts: Mapping[str, Any]) -> dict[str, Any]:
    """The counts of a job that succeeded: what still ran then has succeeded too."""
    settled = {name: count for name, count in counts.items() if name != "active"}
    succeeded = number(counts.get("succeeded")) + number(counts.get("active"))
    return {**settled, "succeeded": succeeded} if succeeded else settled


def _suspend(
    spec: TFJobSpec, conditions: Conditions, outcome: Outcome, pods: Sequence[PodView]
) -> None:
    message = f"TFJob {spec.name} is suspended."
    outcome.delete = list(pods)
    for counts in mapping(outcome.status.get("replicaStatuses")).values():
        if isinstance(counts, dict):
            counts.pop("active", None)
    if conditions.status("Running") == "True":
        conditions.say("Running", False, "TFJobSuspended", message)
    conditions.say("Suspended", True, "TFJobSuspended", message)


def _work(
    spec: TFJobSpec, conditions: Conditions, outcome: Outcome, pods: Sequence[PodView], now: float
) -> None:
    status = outcome.status
    if conditions.status("Suspended") == "True":
        conditions.say("Suspended", False, "TFJobResumed", f"TFJob {spec.name} is resumed.")
        status["startTime"] = rfc3339(now)
    status.setdefault("startTime", rfc3339(now))
    started = moment(status["startTime"]) / _MICROSECONDS
    if spec.deadline_seconds is not None:
        outcome.again = started + spec.deadline_seconds - now
    over = _exceeded(spec, pods, outcome.again)
    if over:
        status.setdefault("completionTime", rfc3339(now))
        outcome.delete = list(pods)
        conditions.say("Failed", True, "TFJobFailed", f"Job {spec.name} has failed because {over}")
        return
    for replicas in spec.replicas:
        counts = _place(replicas, spec, conditions, outcome, pods)
        status["replicaStatuses"] = {
            **mapping(status.get("replicaStatuses")),
            replicas.kind: {name: count for name, count in counts.items() if count},
        }
    _judge(spec, conditions, outcome, pods)


def _exceeded(spec: TFJobSpec, pods: Sequence[PodView], deadline_left: float) -> str:
    """Why the job is given up, as its message ends; empty when it goes on."""
    if spec.backoff_limit is not None:
        counted = {
            replicas.slot(index)
            for replicas in spec.replicas
            if replicas.restart_policy in ("OnFailure", "Always", "ExitCode")
            for index in range(replicas.count)
        }
        restarts = sum(
            pod.restarts for pod in pods if pod.slot in counted and pod.phase == "Running"
        )
        if restarts and restarts >= spec.backoff_limit:
            return "it has reached the specified backoff limit"
    return "it was active longer than specified deadline" if deadline_left <= 0 else ""


def _place(
    replicas: Replicas,
    spec: TFJobSpec,
    conditions: Conditions,
    outcome: Outcome,
    pods: Sequence[PodView],
) -> dict[str, int]:
    """Every place of the replica type has one pod, or will; the pods are counted.

    A pod that is being deleted keeps its place and counts for nothing.
    """
    counts = {"active": 0, "succeeded": 0, "failed": 0}
    wanted = {replicas.slot(index): index for index in range(replicas.count)}
    prefix = f"{replicas.kind.lower()}-"
    mine = [pod for pod in pods if pod.slot.startswith(prefix)]
    taken = {pod.slot for pod in mine}
    outcome.create += [(replicas, index) for slot, index in wanted.items() if slot not in taken]
    for pod in mine:
        if pod.deletion:
            continue
        if pod.slot not in wanted:
            outcome.delete.append(pod)
        elif pod.phase == "Failed" and _is_replaced(replicas, pod):
            outcome.delete.append(pod)
            conditions.say(
                "Restarting",
                True,
                "TFJobRestarting",
                f"job {spec.name} is restarting because {replicas.kind} replica(s) failed.",
            )
        elif pod.phase in ("Running", "Succeeded", "Failed"):
            counts[{"Running": "active"}.get(pod.phase, pod.phase.lower())] += 1
    return counts


def _judge(
    spec: TFJobSpec, conditions: Conditions, outcome: Outcome, pods: Sequence[PodView]
) -> None:
    """The job has succeeded, failed, or runs, by what its deciding replicas did."""
    named = f"TFJob {spec.namespace}/{spec.name}"
    tallies = mapping(outcome.status.get("replicaStatuses"))
    first = next((pod for pod in pods if pod.slot == "worker-0"), None)
    worker_0_done = first is not None and first.phase == "Succeeded" and not spec.all_workers
    deciding = _CHIEFS if spec.chiefs else ("Worker",)
    for replicas in spec.replicas:
        tally = mapping(tallies.get(replicas.kind))
        active, done, failed = (number(tally.get(n)) for n in ("active", "succeeded", "failed"))
        if replicas.kind in deciding:
            if done >= replicas.count or (worker_0_done and not spec.chiefs):
                outcome.status.setdefault("completionTime", conditions.now)
                conditions.say(
                    "Succeeded", True, "TFJobSucceeded", f"{named} successfully completed."
                )
            elif active:
                conditions.say("Running", True, "TFJobRunning", f"{named} is running.")
        if failed:
            outcome.status.setdefault("completionTime", conditions.now)
            message = f"{named} has failed because {failed} {replicas.kind} replica(s) failed."
            conditions.say("Failed", True, "TFJobFailed", message)


def _is_replaced(replicas: Replicas, pod: PodView) -> bool:
    if replicas.restart_policy == "ExitCode":
        return pod.exit_code >= _RETRYABLE_EXIT_CODE
    return replicas.restart_policy in ("OnFailure", "Always")


def _replicas(kind: str, spec: Mapping[str, Any]) -> Replicas:
    return Replicas(
        kind=kind,
        count=number(spec.get("replicas"), 1),
        restart_policy=text(spec.get("restartPolicy")) or "Never",
        template=mapping(spec.get("template")),
    )


def _optional(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
