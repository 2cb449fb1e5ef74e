"""MPIJobs of the first shape (v1alpha1), one template for all, as arena submits and runs them.

Source: github.com/kubeflow/mpi-operator v0.2.3, and arena for the annotation that holds a job until
it starts; one that has started cannot be stopped. The launcher starts once all workers are ready,
and its end is the job's; then the workers go. Here all pods belong to the job itself, without a
StatefulSet and a Job between, and a launcher that fails is not tried again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kube_queue.api.conditions import rfc3339
from kube_queue.api.names import SUSPEND_ANNOTATION
from kube_queue.simulator.fields import mapping, mappings, number, text
from kube_queue.simulator.outcome import NewPod, Outcome, until_stopped
from kube_queue.simulator.owned_pods import Wanted
from kube_queue.simulator.views import PodView

MOST_WORKERS: Final = 10_000
"""More workers than this are not made."""
_DEFAULT_PROCESSOR: Final = "nvidia.com/gpu"
_STARTED: Final = ("Active", "Succeeded", "Failed")
_ENDED: Final = ("Succeeded", "Failed")


def is_first(job: Mapping[str, Any]) -> bool:
    """Whether the job has this shape, in whatever version it is read."""
    spec = mapping(job.get("spec"))
    return "mpiReplicaSpecs" not in spec and "template" in spec


def plan(job: Mapping[str, Any], pods: Sequence[PodView], now: float) -> Outcome:
    """See Plan."""
    status = dict(mapping(job.get("status")))
    outcome = Outcome(status)
    metadata = mapping(job.get("metadata"))
    launcher = f"{text(metadata.get('name'))}-launcher"
    there = {pod.name: pod for pod in pods}
    held = mapping(metadata.get("annotations")).get(SUSPEND_ANNOTATION) == "true"
    if held and status.get("launcherStatus") not in _STARTED:
        outcome.delete = list(pods)
        return outcome
    _follow(status, there.get(launcher), now)
    if status.get("launcherStatus") in _ENDED:
        outcome.delete = [pod for pod in pods if pod.name != launcher]
        status["workerReplicas"] = 0
        return outcome
    workers = {each.wanted.name: each for each in _workers(job)}
    outcome.create = [each for name, each in workers.items() if name not in there]
    ready = [name for name in workers if name in there and there[name].ready]
    status["workerReplicas"] = len(ready)
    if len(ready) == len(workers) and launcher not in there:
        outcome.create.append(_launcher(job, launcher))
    return outcome


def _follow(status: dict[str, Any], launcher: PodView | None, now: float) -> None:
    if launcher is None:
        return
    if launcher.terminal:
        status["launcherStatus"] = launcher.phase
        status.setdefault("completionTime", rfc3339(now))
    else:
        status["launcherStatus"] = "Active"
    status.setdefault("startTime", rfc3339(now))


def _workers(job: Mapping[str, Any]) -> Iterator[NewPod]:
    spec = mapping(job.get("spec"))
    count, processors = _count(spec)
    processor = text(spec.get("processingResourceType")) or _DEFAULT_PROCESSOR
    template = _template(spec, {processor: str(processors)} if processors else {}, None)
    name = text(mapping(job.get("metadata")).get("name"))
    for index in range(min(count, MOST_WORKERS)):
        labels = {"mpi_job_name": name, "mpi_role_type": "worker"}
        yield NewPod(template, Wanted(f"{name}-worker-{index}", labels, until_stopped({})))


def _count(spec: Mapping[str, Any]) -> tuple[int, int]:
    """How many workers there are, and how many processors each gets, 0 where the template says."""
    for field in ("gpus", "processingUnits"):
        if field in spec:
            total, each = number(spec[field]), number(spec.get(f"{field}PerNode"), 1)
            if total < each:
                return 1, total
            return (0, 0) if each <= 0 or total % each else (total // each, each)
    return max(0, number(spec.get("replicas"))), 0


def _launcher(job: Mapping[str, Any], name: str) -> NewPod:
    spec = mapping(job.get("spec"))
    labels = {"mpi_job_name": text(mapping(job.get("metadata")).get("name"))}
    template = _template(spec, {}, mapping(spec.get("launcherResources")))
    wanted = Wanted(name, labels | {"mpi_role_type": "launcher"}, spec={"restartPolicy": "Never"})
    return NewPod(template, wanted)


def _template(
    spec: Mapping[str, Any], limits: Mapping[str, str], resources: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The job's template, its first container with more limits or with other resources.

    The workers' command is not the job's: they wait for the launcher's orders.
    """
    template = mapping(spec.get("template"))
    pod = mapping(template.get("spec"))
    containers = [dict(each) for each in mappings(pod.get("containers"))]
    if containers:
        first = containers[0]
        if resources is not None:
            first["resources"] = dict(resources)
        else:
            first |= {"command": ["sleep"], "args": ["365d"]}
            if limits:
                first["resources"] = _with_limits(mapping(first.get("resources")), limits)
    return {**template, "spec": {**pod, "containers": containers}}


def _with_limits(resources: Mapping[str, Any], limits: Mapping[str, str]) -> dict[str, Any]:
    requests = mapping(resources.get("requests")).items()
    return {
        **resources,
        "requests": {name: amount for name, amount in requests if name not in limits},
        "limits": {**mapping(resources.get("limits")), **limits},
    }
