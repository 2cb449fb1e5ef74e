"""The status of a Kubeflow job as the training operator writes it.

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
from kube_queue.simulator.kubeflow_kinds import KubeflowKind
from kube_queue.simulator.views import PodView

OPERATOR: Final = "kubeflow.org/training-operator"
TOGETHER_SECONDS: Final = 2.0
"""A worker that still runs this long after its job succeeded did not end together with the rest."""
MOST_REPLICAS: Final = 10_000
"""More pods of a type than this are not made."""
_RETRYABLE_EXIT_CODE: Final = 128
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Replicas:
    """One replica type of a job: how many, from which template, and what failure means."""

    kind: str
    count: int
    restart_policy: str
    template: Mapping[str, Any]

    def slot(self, index: int) -> str:
        """How the place of a pod is called: worker-0."""
        return f"{self.kind.lower()}-{index}"


@dataclass(frozen=True, slots=True)
class KubeflowSpec:
    """What a job asks for, with defaults: cleanPodPolicy Running as in arena's operator."""

    kind: KubeflowKind
    name: str
    namespace: str
    replicas: tuple[Replicas, ...]
    suspended: bool
    clean_pod_policy: str
    all_workers: bool
    any_worker: bool
    backoff_limit: int | None
    deadline_seconds: int | None
    ttl_seconds: int | None

    @property
    def chiefs(self) -> bool:
        """It has a chief or master, whose end is the job's."""
        return any(replicas.kind in self.kind.chiefs for replicas in self.replicas)

    @property
    def deciding(self) -> tuple[str, ...]:
        """The types whose end is the job's."""
        if self.chiefs:
            return self.kind.chiefs
        workers = sum(each.count for each in self.replicas if each.kind == "Worker")
        servers = any(each.kind in self.kind.servers for each in self.replicas)
        alone = self.kind.lone_worker_decides and workers == 1 and not servers
        return ("Worker",) if self.kind.workers_decide or alone else ()

    def say(self, words: str, **facts: object) -> str:
        """A message of the kind, filled in."""
        return words.format(kind=self.kind.name, namespace=self.namespace, name=self.name, **facts)

    def reason(self, suffix: str) -> str:
        """A reason as the operator spells it: TFJobRunning."""
        return f"{self.kind.name}{suffix}"


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
        self.items = [each for each in self.items if text(each.get("type")) not in replaced]
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
class KubeflowOutcome:
    """What is to be done: status to write, pods to delete, places to fill, when to look again."""

    status: dict[str, Any]
    delete: list[PodView] = field(default_factory=list)
    create: list[tuple[Replicas, int]] = field(default_factory=list)
    again: float = math.inf
    expired: bool = False


def kubeflow_spec(kind: KubeflowKind, job: Mapping[str, Any]) -> KubeflowSpec:
    """What the manifest asks; replica types are known in any case of letters."""
    metadata, spec = mapping(job.get("metadata")), mapping(job.get("spec"))
    policy = mapping(spec.get("runPolicy"))
    given = {
        str(key).lower(): value for key, value in mapping(spec.get(kind.replica_specs)).items()
    }
    marked = mapping(metadata.get("annotations")).get(SUSPEND_ANNOTATION) == "true"
    clean = text(policy.get("cleanPodPolicy")) or text(spec.get("cleanPodPolicy"))
    return KubeflowSpec(
        kind=kind,
        name=text(metadata.get("name")),
        namespace=text(metadata.get("namespace")),
        replicas=tuple(
            _replicas(kind, each, mapping(given[each.lower()]))
            for each in kind.types
            if each.lower() in given
        ),
        suspended=marked or policy.get("suspend") is True,
        clean_pod_policy=clean or "Running",
        all_workers=spec.get("successPolicy") == "AllWorkers",
        any_worker=isinstance(spec.get("elasticPolicy"), dict),
        backoff_limit=_optional(policy.get("backoffLimit")),
        deadline_seconds=_optional(policy.get("activeDeadlineSeconds")),
        ttl_seconds=_optional(policy.get("ttlSecondsAfterFinished")),
    )


def plan(
    kind: KubeflowKind, job: Mapping[str, Any], pods: Sequence[PodView], now: float
) -> KubeflowOutcome:
    """What the operator does about a job with these pods at this moment (seconds).

    It leaves a job alone that runPolicy.managedBy gives to somebody else.
    """
    spec = kubeflow_spec(kind, job)
    status = dict(mapping(job.get("status")))
    conditions = Conditions(
        [dict(each) for each in mappings(status.get("conditions"))], rfc3339(now)
    )
    outcome = KubeflowOutcome(status)
    manager = mapping(mapping(job.get("spec")).get("runPolicy")).get("managedBy")
    if manager not in (None, "", OPERATOR):
        return outcome
    if not conditions.items or conditions.status("Created") == "":
        conditions.say(
            "Created", True, spec.reason("Created"), spec.say("{kind} {name} is created.")
        )
    if "True" in (conditions.status("Succeeded"), conditions.status("Failed")):
        _clean_up(spec, conditions, outcome, pods, now)
    elif spec.suspended:
        _suspend(spec, conditions, outcome, pods)
    else:
        _work(spec, conditions, outcome, pods, now)
    outcome.status["conditions"] = conditions.items
    return outcome


def _clean_up(
    spec: KubeflowSpec,
    conditions: Conditions,
    outcome: KubeflowOutcome,
    pods: Sequence[PodView],
    now: float,
) -> None:
    """After its end: pods go by cleanPodPolicy, the job itself by its time to live.

    Policy Running takes (parameter) servers in any phase: they serve until they are stopped, and
    a stand-in that sleeps exactly as long as its workers must not be left over by a race with them.
    """
    status = outcome.status
    ended = moment(status.get("completionTime")) / _MICROSECONDS
    if spec.clean_pod_policy == "All":
        outcome.delete = list(pods)
    elif spec.clean_pod_policy != "None":
        _clean_running(spec, conditions, outcome, pods, now - ended)
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
    spec: KubeflowSpec,
    conditions: Conditions,
    outcome: KubeflowOutcome,
    pods: Sequence[PodView],
    since: float,
) -> None:
    """What still runs `since` seconds after the end is taken away, but not what is just ending.

    A kubelet looks at its containers once a second, and the operator cleans up in a lap after the
    one that saw the success: workers that end together have all ended by then. Here each end is
    told at once, so the time between is waited for.
    """
    left = TOGETHER_SECONDS - since if conditions.status("Succeeded") == "True" else 0.0
    servers = tuple(f"{each.lower()}-" for each in spec.kind.servers)
    for pod in pods:
        if pod.slot.startswith(servers):
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
    spec: KubeflowSpec, conditions: Conditions, outcome: KubeflowOutcome, pods: Sequence[PodView]
) -> None:
    message, reason = spec.say("{kind} {name} is suspended."), spec.reason("Suspended")
    outcome.delete = list(pods)
    for counts in mapping(outcome.status.get("replicaStatuses")).values():
        if isinstance(counts, dict):
            counts.pop("active", None)
    if conditions.status("Running") == "True":
        conditions.say("Running", False, reason, message)
    conditions.say("Suspended", True, reason, message)


def _work(
    spec: KubeflowSpec,
    conditions: Conditions,
    outcome: KubeflowOutcome,
    pods: Sequence[PodView],
    now: float,
) -> None:
    status = outcome.status
    if conditions.status("Suspended") == "True":
        message = spec.say("{kind} {name} is resumed.")
        conditions.say("Suspended", False, spec.reason("Resumed"), message)
        status["startTime"] = rfc3339(now)
    status.setdefault("startTime", rfc3339(now))
    started = moment(status["startTime"]) / _MICROSECONDS
    if spec.deadline_seconds is not None:
        outcome.again = started + spec.deadline_seconds - now
    over = _exceeded(spec, pods, outcome.again)
    if over:
        status.setdefault("completionTime", rfc3339(now))
        outcome.delete = list(pods)
        message = f"Job {spec.name} has failed because {over}"
        conditions.say("Failed", True, spec.reason("Failed"), message)
        return
    for replicas in spec.replicas:
        counts = _place(replicas, spec, conditions, outcome, pods)
        status["replicaStatuses"] = {
            **mapping(status.get("replicaStatuses")),
            replicas.kind: {name: count for name, count in counts.items() if count},
        }
    _judge(spec, conditions, outcome, pods)


def _exceeded(spec: KubeflowSpec, pods: Sequence[PodView], deadline_left: float) -> str:
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
    spec: KubeflowSpec,
    conditions: Conditions,
    outcome: KubeflowOutcome,
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
                spec.reason("Restarting"),
                f"job {spec.name} is restarting because {replicas.kind} replica(s) failed.",
            )
        elif pod.phase in ("Running", "Succeeded", "Failed"):
            counts[{"Running": "active"}.get(pod.phase, pod.phase.lower())] += 1
    return counts


def _judge(
    spec: KubeflowSpec, conditions: Conditions, outcome: KubeflowOutcome, pods: Sequence[PodView]
) -> None:
    """The job has succeeded, failed, or runs, by what its deciding replicas did."""
    tallies = mapping(outcome.status.get("replicaStatuses"))
    deciding = spec.deciding
    words = spec.kind.chief_words if spec.chiefs else spec.kind.worker_words
    for replicas in spec.replicas:
        tally = mapping(tallies.get(replicas.kind))
        active, done, failed = (number(tally.get(n)) for n in ("active", "succeeded", "failed"))
        if replicas.kind in deciding:
            if done >= replicas.count or (not spec.chiefs and _enough(spec, done, pods)):
                outcome.status.setdefault("completionTime", conditions.now)
                message = spec.say(words.succeeded)
                conditions.say("Succeeded", True, spec.reason("Succeeded"), message)
            elif active:
                conditions.say("Running", True, spec.reason("Running"), spec.say(words.running))
        if failed:
            outcome.status.setdefault("completionTime", conditions.now)
            message = spec.say(spec.kind.failed, count=failed, type=replicas.kind)
            conditions.say("Failed", True, spec.reason("Failed"), message)


def _enough(spec: KubeflowSpec, done: int, pods: Sequence[PodView]) -> bool:
    """Some workers have ended, and that is enough for the job."""
    if spec.kind.first_worker_decides and not spec.all_workers:
        first = next((pod for pod in pods if pod.slot == "worker-0"), None)
        return first is not None and first.phase == "Succeeded"
    return spec.any_worker and done > 0


def _is_replaced(replicas: Replicas, pod: PodView) -> bool:
    if replicas.restart_policy == "ExitCode":
        return pod.exit_code >= _RETRYABLE_EXIT_CODE
    return replicas.restart_policy in ("OnFailure", "Always")


def _replicas(kind: KubeflowKind, type_: str, spec: Mapping[str, Any]) -> Replicas:
    return Replicas(
        kind=type_,
        count=min(number(spec.get("replicas"), kind.absent.get(type_, 1)), MOST_REPLICAS),
        restart_policy=text(spec.get("restartPolicy")) or kind.restart_policy,
        template=mapping(spec.get("template")),
    )


def _optional(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
