"""KubeRay's operator for RayJobs; one turn of its state machine a look.

::

    (new) -> Initializing -> Running -> Complete | Failed
      ^         |   suspend     |                   | backoffLimit
      |         +-> Suspending <+               Retrying
      |               | no pod is left              | no pod is left
      +-- Suspended <-+ resumed                     +-> (new)

Source: github.com/ray-project/kuberay v1.7. It accepts `suspend` with and without
shutdownAfterJobFinishes, which the real one demands; without it, the pods of the cluster stay after
the end, as they do there. A cluster chosen by clusterSelector is taken for ready. A submitter that
fails is not tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kube_queue.api.conditions import rfc3339
from kube_queue.api.types import ResourceType
from kube_queue.simulator.fields import mapping, moment, number, text
from kube_queue.simulator.outcome import OperatedKind, Outcome
from kube_queue.simulator.pod_status import pod_address
from kube_queue.simulator.ray_pods import (
    cluster_pods,
    entrypoint_pod,
    generated,
    submitter_name,
    submitter_pod,
)
from kube_queue.simulator.run_time import script_of
from kube_queue.simulator.views import PodView

RAYJOBS: Final = ResourceType("ray.io", "v1", "rayjobs", "RayJob")
OPERATOR: Final = "ray.io/kuberay-operator"
LONGEST_NAME: Final = 47
_SUBMITTED_BY_POD: Final = ("", "K8sJobMode")
_MICROSECONDS: Final = 1_000_000
_OF_ONE_RUN: Final = (
    "rayClusterStatus",
    "rayClusterName",
    "dashboardURL",
    "jobId",
    "message",
    "reason",
    "rayJobInfo",
    "jobStatus",
)


@dataclass(slots=True)
class Look:
    """One look at a RayJob: what it is, what is below it, what is decided so far."""

    job: Mapping[str, Any]
    spec: Mapping[str, Any]
    pods: Mapping[str, PodView]
    outcome: Outcome
    now: float

    @property
    def status(self) -> dict[str, Any]:
        """The status that will be written."""
        return self.outcome.status

    @property
    def cluster(self) -> str:
        """The name of its RayCluster."""
        return text(self.status.get("rayClusterName"))

    @property
    def submitter(self) -> str:
        """The name of its submitter's pod; empty where it has none."""
        if text(self.spec.get("submissionMode")) not in _SUBMITTED_BY_POD:
            return ""
        return submitter_name(text(mapping(self.job.get("metadata")).get("name")), self.cluster)

    def turn(self, stands: str, **fields: str) -> None:
        """The job stands elsewhere from now on."""
        self.status["jobDeploymentStatus"] = stands
        self.status.update(fields)


def plan(job: Mapping[str, Any], pods: Sequence[PodView], now: float) -> Outcome:
    """See Plan."""
    spec = mapping(job.get("spec"))
    outcome = Outcome(dict(mapping(job.get("status"))))
    if spec.get("managedBy") not in (None, "", OPERATOR):
        return outcome
    look = Look(job, spec, {pod.name: pod for pod in pods}, outcome, now)
    problem = _invalid(look)
    if problem:
        look.turn("ValidationFailed", reason="ValidationFailed", message=problem)
        return outcome
    stands = text(look.status.get("jobDeploymentStatus"))
    if stands in ("Initializing", "Running", "Waiting"):
        _work(look, stands)
    elif stands in ("Suspending", "Retrying"):
        _take_away(look, "Suspended" if stands == "Suspending" else "")
    elif stands == "Suspended":
        if spec.get("suspend") is not True:
            look.turn("")
    elif stands in ("Complete", "Failed"):
        _shut_down(look)
    else:
        _initialize(look)
    look.status.setdefault("failed", 0)
    look.status.setdefault("succeeded", 0)
    return outcome


def _invalid(look: Look) -> str:
    if look.status.get("jobDeploymentStatus") not in (None, "", "ValidationFailed"):
        return ""
    if len(text(mapping(look.job.get("metadata")).get("name"))) > LONGEST_NAME:
        return f"RayJob name should be no more than {LONGEST_NAME} characters"
    if not look.spec.get("clusterSelector") and not mapping(look.spec.get("rayClusterSpec")):
        return "one of RayClusterSpec or ClusterSelector must be set"
    return ""


def _initialize(look: Look) -> None:
    metadata = mapping(look.job.get("metadata"))
    name, uid = text(metadata.get("name")), text(metadata.get("uid"))
    started = rfc3339(look.now)
    chosen = text(mapping(look.spec.get("clusterSelector")).get("ray.io/cluster"))
    run = (uid, started, str(look.status.get("failed")))
    look.turn(
        "Initializing",
        jobId=text(look.spec.get("jobId")) or generated(name, "job", *run),
        rayClusterName=chosen or generated(name, *run),
        jobStatus="",
        startTime=started,
    )
    look.status.pop("endTime", None)


def _work(look: Look, stands: str) -> None:
    """Its cluster is there, then its submitter; the submitter's end is the job's."""
    if look.spec.get("suspend") is True and stands != "Waiting":
        look.turn("Suspending")
        return
    if _past_deadline(look):
        return
    ready = _cluster(look)
    if stands == "Initializing" and ready:
        look.status["dashboardURL"] = f"{look.cluster}-head-svc.{_namespace(look)}.svc:8265"
        if look.spec.get("submissionMode") == "InteractiveMode":
            look.turn("Waiting")
            return
        look.turn("Running")
        _submit(look)
    elif stands == "Waiting" and text(look.spec.get("jobId")):
        look.turn("Running", jobId=text(look.spec.get("jobId")))
    elif stands == "Running":
        _follow(look, ready)


def _cluster(look: Look) -> bool:
    """Pods of the cluster that are missing will be created; whether all of them are ready."""
    wanted = {each.wanted.name: each for each in cluster_pods(look.job, look.cluster)}
    if look.spec.get("clusterSelector") or not wanted:
        return True
    look.outcome.create += [each for name, each in wanted.items() if name not in look.pods]
    there = {name: look.pods[name] for name in wanted if name in look.pods}
    surplus = {*look.pods} - {*wanted, look.submitter}
    look.outcome.delete += [look.pods[name] for name in sorted(surplus)]
    head, *_ = wanted
    ready = {name for name, pod in there.items() if pod.ready and not pod.deletion}
    status: dict[str, Any] = {
        "desiredWorkerReplicas": len(wanted) - 1,
        "availableWorkerReplicas": len(ready - {head}),
        "readyWorkerReplicas": len(ready - {head}),
    }
    if head in ready:
        status["head"] = {"podName": head, "podIP": pod_address(there[head].uid)}
    if len(ready) == len(wanted):
        status["state"] = "ready"
    look.status["rayClusterStatus"] = status
    return len(ready) == len(wanted)


def _submit(look: Look) -> None:
    name = look.submitter
    if name and name not in look.pods:
        look.outcome.create.append(submitter_pod(look.job, look.cluster))


def _follow(look: Look, ready: bool) -> None:
    """What the submitter does, or, where there is none, what the entrypoint says it does."""
    if not look.submitter:
        _follow_entrypoint(look, ready)
        return
    pod = look.pods.get(look.submitter)
    if pod is None:
        _submit(look)
    elif pod.phase == "Running":
        _runs(look, pod.started / _MICROSECONDS)
    elif pod.terminal:
        _runs(look, pod.started / _MICROSECONDS)
        _end(look, pod.exit_code if pod.phase == "Failed" else 0)


def _follow_entrypoint(look: Look, ready: bool) -> None:
    since = moment(mapping(look.status.get("rayJobInfo")).get("startTime")) / _MICROSECONDS
    if not since:
        if not ready:
            return
        since = look.now
    _runs(look, since)
    script = script_of(entrypoint_pod(look.job))
    left = since + script.seconds - look.now
    if left > 0:
        look.outcome.again = min(look.outcome.again, left)
    else:
        _end(look, script.exit_code)


def _runs(look: Look, since: float) -> None:
    look.status["jobStatus"] = "RUNNING"
    look.status["rayJobInfo"] = {
        **mapping(look.status.get("rayJobInfo")),
        "startTime": rfc3339(since),
    }


def _end(look: Look, exit_code: int) -> None:
    ended = rfc3339(look.now)
    look.status["rayJobInfo"] = {**mapping(look.status.get("rayJobInfo")), "endTime": ended}
    if exit_code == 0:
        message = "Job finished successfully."
        look.turn("Complete", jobStatus="SUCCEEDED", message=message, endTime=ended)
        look.status["succeeded"] = number(look.status.get("succeeded")) + 1
        return
    message = f"Job entrypoint command failed with exit code {exit_code}"
    look.status["jobStatus"] = "FAILED"
    _fail(look, "AppFailed", message)
    limit = look.spec.get("backoffLimit")
    if isinstance(limit, int) and number(look.status.get("failed")) < limit + 1:
        look.turn("Retrying")


def _fail(look: Look, reason: str, message: str) -> None:
    look.turn("Failed", reason=reason, message=message, endTime=rfc3339(look.now))
    look.status["failed"] = number(look.status.get("failed")) + 1


def _past_deadline(look: Look) -> bool:
    seconds = look.spec.get("activeDeadlineSeconds")
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        return False
    started = text(look.status.get("startTime"))
    left = moment(started) / _MICROSECONDS + seconds - look.now
    if left > 0:
        look.outcome.again = left
        return False
    message = (
        "The RayJob has passed the activeDeadlineSeconds. "
        f"StartTime: {started}. ActiveDeadlineSeconds: {seconds}"
    )
    _fail(look, "DeadlineExceeded", message)
    return True


def _take_away(look: Look, then: str) -> None:
    """Every pod goes; the job turns when the last one has gone."""
    look.outcome.delete += look.pods.values()
    if look.pods:
        return
    for name in _OF_ONE_RUN:
        look.status.pop(name, None)
    look.turn(then)


def _shut_down(look: Look) -> None:
    """After the end the cluster goes, if it is asked for; the submitter stays to be read."""
    if look.spec.get("shutdownAfterJobFinishes") is not True:
        return
    ended = moment(look.status.get("endTime")) / _MICROSECONDS
    left = ended + number(look.spec.get("ttlSecondsAfterFinished")) - look.now
    if left > 0:
        look.outcome.again = left
        return
    kept = look.submitter
    look.outcome.delete += [pod for name, pod in look.pods.items() if name != kept]


def _namespace(look: Look) -> str:
    return text(mapping(look.job.get("metadata")).get("namespace"))


RAYJOB: Final = OperatedKind(RAYJOBS, "rayjob-controller", plan)
