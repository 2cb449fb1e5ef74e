"""MPIJob of kubeflow.org: v1, v2beta1 and v1alpha1.

Sources. v1: github.com/kubeflow/training-operator v1.9.3; v2beta1: github.com/kubeflow/mpi-operator
v0.8.0: exactly one launcher, absent replicas of workers mean 0, slotsPerWorker only fills the host
file. v1alpha1: mpi-operator v0.2.3 and github.com/kubeflow/arena: one template for all pods; the
launcher's first container loses its requests, or has launcherResources; workers are `replicas`, or
gpus (processingUnits) by gpusPerNode (processingUnitsPerNode), absent 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.types import ResourceType
from kube_queue.jobframework.extension import JobPatch, JobState, Outcome, PodSet
from kube_queue.jobframework.fields import (
    demand_count,
    demand_map,
    demand_section,
    number,
    section,
    text,
)
from kube_queue_extensions import kubeflow

MPIJOBS: Final = ResourceType("kubeflow.org", "v1", "mpijobs", "MPIJob")
MPIJOBS_V2BETA1: Final = ResourceType("kubeflow.org", "v2beta1", "mpijobs", "MPIJob")
MPIJOBS_V1ALPHA1: Final = ResourceType("kubeflow.org", "v1alpha1", "mpijobs", "MPIJob")

LAUNCHER: Final = "Launcher"
WORKER: Final = "Worker"
DEFAULT_PROCESSOR: Final = "nvidia.com/gpu"
DEFAULT_PER_NODE: Final = 1
"""What the operator's own flags say about jobs that do not."""


class MPIJobExtension:
    """Held as every Kubeflow job, v1alpha1 by its annotation only; a launcher and its workers.

    Stopped by runPolicy.suspend. v1alpha1 knows no way to stop, nor has it a condition to show that
    it waits.
    """

    name = "mpiv1"
    aliases: tuple[str, ...] = ("mpijob",)
    resource = MPIJOBS
    versions = (MPIJOBS, MPIJOBS_V2BETA1, MPIJOBS_V1ALPHA1)
    suffix = "mpi"

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        found = kubeflow.state(manifest)
        if not _is_first(manifest):
            return found
        launcher = text(manifest, "status", "launcherStatus")
        runs = launcher == "Active"
        ended = launcher in ("Succeeded", "Failed")
        workers = max(0, number(manifest, "status", "workerReplicas"))
        return JobState(
            hold=found.hold,
            running=runs,
            outcome=Outcome(launcher == "Succeeded") if ended else None,
            alive=workers + int(runs),
            managed_by=found.managed_by,
        )

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        spec = demand_section(manifest, "spec")
        if _is_first(manifest):
            return _of_one_template(spec)
        return _of_replica_specs(spec)

    def finished(self, manifest: Mapping[str, Any]) -> Mapping[str, int]:
        """See Reclaimable. v1alpha1 counts only workers that are ready."""
        return {} if _is_first(manifest) else kubeflow.finished(manifest, "mpiReplicaSpecs")

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension."""
        return kubeflow.priority_class(manifest)

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return kubeflow.resume(manifest)

    def suspend(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Suspendable."""
        patch = kubeflow.suspend(manifest)
        if _is_first(manifest):
            del patch["spec"]
        return patch

    def evictable(self, manifest: Mapping[str, Any]) -> bool:
        """See SometimesEvictable."""
        return not _is_first(manifest)

    def queuing(self, manifest: Mapping[str, Any], waits: bool, now_text: str) -> JobPatch | None:
        """See ShowsQueuing."""
        return None if _is_first(manifest) else kubeflow.queuing(manifest, waits, now_text)


def _is_first(manifest: Mapping[str, Any]) -> bool:
    """Whether the job has the shape of v1alpha1, in whatever version it was read."""
    spec = section(manifest, "spec")
    if "mpiReplicaSpecs" in spec:
        return False
    return "template" in spec or manifest.get("apiVersion") == MPIJOBS_V1ALPHA1.api_version


def _of_replica_specs(spec: Mapping[str, Any]) -> tuple[PodSet, ...]:
    path = "spec.mpiReplicaSpecs"
    specs = demand_section({"spec": spec}, "spec", "mpiReplicaSpecs")
    for kind in specs:
        if kind not in (LAUNCHER, WORKER):
            problem = "is no replica type"
            raise InvalidManifest(problem, f"{path}.{kind}", f"use {LAUNCHER} and {WORKER}")
    launcher = demand_section({path: specs}, path, LAUNCHER)
    count = demand_count(launcher.get("replicas"), 1, f"{path}.{LAUNCHER}.replicas")
    if count != 1:
        # Its operator refuses the job: released, it would hold quota for ever.
        problem = f"there is one launcher, not {count}"
        raise InvalidManifest(problem, f"{path}.{LAUNCHER}.replicas", "write 1, or leave it out")
    found = [_replica(launcher, LAUNCHER, 1)]
    if specs.get(WORKER) is not None:
        worker = demand_section({path: specs}, path, WORKER)
        count = demand_count(worker.get("replicas"), 0, f"{path}.{WORKER}.replicas")
        found.append(_replica(worker, WORKER, count))
    return tuple(found)


def _replica(replica: Mapping[str, Any], kind: str, count: int) -> PodSet:
    where = f"spec.mpiReplicaSpecs.{kind}"
    return PodSet(kind, count, where, template=demand_section({where: replica}, where, "template"))


def _of_one_template(spec: Mapping[str, Any]) -> tuple[PodSet, ...]:
    template = demand_section({"spec": spec}, "spec", "template")
    pod = demand_section({"spec.template": template}, "spec.template", "spec")
    containers = pod.get("containers")
    if not isinstance(containers, list) or not containers or not isinstance(containers[0], Mapping):
        problem = "a pod needs at least one container"
        raise InvalidManifest(problem, "spec.template.spec.containers", "add one")
    first, *others = containers
    launcher = {**first, "resources": spec.get("launcherResources")}
    workers, worker = _workers(spec, first)
    return (
        PodSet(LAUNCHER, 1, "spec", template=_template(pod, [launcher, *others])),
        PodSet(WORKER, workers, "spec", template=_template(pod, [worker, *others])),
    )


def _template(pod: Mapping[str, Any], containers: list[Any]) -> dict[str, Any]:
    return {"spec": {**pod, "containers": containers}}


def _workers(
    spec: Mapping[str, Any], container: Mapping[str, Any]
) -> tuple[int, Mapping[str, Any]]:
    """How many workers there are, and the first container of each."""
    given = [name for name in ("gpus", "processingUnits", "replicas") if spec.get(name) is not None]
    if len(given) > 1:
        problem = f"{given[0]} and {given[1]} exclude each other"
        raise InvalidManifest(problem, f"spec.{given[1]}", "keep one of them")
    if not given or given == ["replicas"]:
        return demand_count(spec.get("replicas"), 0, "spec.replicas"), container
    total = demand_count(spec[given[0]], 0, f"spec.{given[0]}")
    per_node = f"{given[0]}PerNode"
    most = demand_count(spec.get(per_node), DEFAULT_PER_NODE, f"spec.{per_node}")
    if total >= most and (most == 0 or total % most):
        problem = f"{total} is no multiple of {most} per node"
        raise InvalidManifest(problem, f"spec.{given[0]}", f"change it or spec.{per_node}")
    workers, each = (1, total) if total < most else (total // most, most)
    processor = text(spec, "processingResourceType") or DEFAULT_PROCESSOR
    return workers, _with_processors(container, processor, each)


def _with_processors(
    container: Mapping[str, Any], processor: str, amount: int
) -> Mapping[str, Any]:
    path = "spec.template.spec.containers[0].resources"
    resources = demand_map(container.get("resources"), path)
    limits = demand_map(resources.get("limits"), f"{path}.limits")
    requests = demand_map(resources.get("requests"), f"{path}.requests")
    return {
        **container,
        "resources": {
            **resources,
            "requests": {name: each for name, each in requests.items() if name != processor},
            "limits": {**limits, processor: amount},
        },
    }
