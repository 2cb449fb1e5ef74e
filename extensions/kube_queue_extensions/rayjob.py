"""RayJob of ray.io/v1 and v1alpha1.

Source: github.com/ray-project/kuberay, v1.7 (API types, validation, builders of pods): a worker
group's replicas, absent 0, are kept between minReplicas and maxReplicas, times numOfHosts; the
submitter asks for 500m and 200Mi unless submitterPodTemplate says otherwise, a pod of its own in
K8sJobMode (the default) and a container of the head in SidecarMode; enableInTreeAutoscaling adds a
container of 500m and 512Mi to the head, unless autoscalerOptions.resources says otherwise;
`suspend` is refused with clusterSelector and without shutdownAfterJobFinishes, which in turn
excludes deletionStrategy.deletionRules. What init containers the operator adds depends on its own
settings and is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.loose import shown
from kube_queue.api.types import ResourceType
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, Outcome, PodSet
from kube_queue.jobframework.fields import MAX_COUNT, demand_section, number, section, text
from kube_queue_extensions import ray

RAYJOBS: Final = ResourceType("ray.io", "v1", "rayjobs", "RayJob")
RAYJOBS_V1ALPHA1: Final = ResourceType("ray.io", "v1alpha1", "rayjobs", "RayJob")

SUBMITTER_RESOURCES: Final = {"requests": {"cpu": "500m", "memory": "200Mi"}}
MODES: Final = ("K8sJobMode", "SidecarMode", "HTTPMode", "InteractiveMode")


class RayJobExtension:
    """Held by spec.suspend; the head, the worker groups and the submitter.

    Stopped by spec.suspend, which takes its RayCluster away. Its deployment status tells whether it
    runs; one that KubeRay refuses (ValidationFailed) has failed.
    """

    name = "rayjob"
    aliases: tuple[str, ...] = ("rayjobv1alpha1",)
    resource = RAYJOBS
    versions = (RAYJOBS, RAYJOBS_V1ALPHA1)
    suffix = "ray"

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        held = section(manifest, "spec").get("suspend") is True
        status = section(manifest, "status")
        stands = text(status, "jobDeploymentStatus")
        return JobState(
            hold=Hold.SPEC if held else Hold.NONE,
            running=not held and stands in ("Running", "Waiting"),
            outcome=_outcome(status, stands),
            alive=ray.alive(section(status, "rayClusterStatus")),
            stopped=held and stands == "Suspended",
            managed_by=ray.managed_by(manifest),
        )

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        spec = demand_section(manifest, "spec")
        if spec.get("clusterSelector"):
            problem = "a job that runs on a RayCluster of its own choice cannot be held"
            hint = "leave it out, or do not suspend the job"
            raise InvalidManifest(problem, "spec.clusterSelector", hint)
        mode = MODES[0] if spec.get("submissionMode") in (None, "") else spec["submissionMode"]
        if mode not in MODES:
            problem = f"{shown(mode)} is no way to submit"
            raise InvalidManifest(problem, "spec.submissionMode", f"use {', '.join(MODES)}")
        cluster = demand_section(manifest, "spec", "rayClusterSpec")
        beside = []
        if mode == "SidecarMode":
            beside.append({"name": ray.SUBMITTER, "resources": SUBMITTER_RESOURCES})
        found = _autoscaled(manifest, ray.pod_sets(cluster, "spec.rayClusterSpec", beside))
        if mode != "K8sJobMode":
            return found
        template: Mapping[str, Any] = {
            "spec": {"containers": [{"name": ray.SUBMITTER, "resources": SUBMITTER_RESOURCES}]}
        }
        if spec.get("submitterPodTemplate") is not None:
            template = demand_section(manifest, "spec", "submitterPodTemplate")
        return (*found, PodSet(ray.SUBMITTER, 1, "spec.submitterPodTemplate", template=template))

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension. A RayJob names none apart from its pod templates'."""
        return ""

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return {"spec": {"suspend": False}}

    def suspend(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Suspendable. KubeRay fails a job that is suspended without the second field."""
        return {"spec": {"suspend": True, "shutdownAfterJobFinishes": True}}

    def hold(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See HeldAtFirst."""
        if section(manifest, "spec", "deletionStrategy").get("deletionRules"):
            raise InvalidManifest(
                "excludes spec.shutdownAfterJobFinishes, without which KubeRay suspends no job",
                "spec.deletionStrategy.deletionRules",
                "leave it out, or do not queue the job",
            )
        return self.suspend(manifest)

    def evictable(self, manifest: Mapping[str, Any]) -> bool:
        """See SometimesEvictable."""
        spec = section(manifest, "spec")
        return not section(spec, "deletionStrategy").get("deletionRules") and not spec.get(
            "clusterSelector"
        )


def _autoscaled(manifest: Mapping[str, Any], found: tuple[PodSet, ...]) -> tuple[PodSet, ...]:
    """The pod sets of its cluster as the autoscaler has made them.

    It changes the RayCluster, of which the RayJob's status tells the number of all workers: with
    several groups nobody can tell whose they are.
    """
    spec = section(manifest, "spec")
    scales = section(spec, "rayClusterSpec").get("enableInTreeAutoscaling") is True
    if spec.get("suspend") is True or not scales or len(found) != 2:
        return found
    head, workers = found
    wanted = number(manifest, "status", "rayClusterStatus", "desiredWorkerReplicas")
    return (head, replace(workers, count=max(workers.count, min(wanted, MAX_COUNT))))


def _outcome(status: Mapping[str, Any], stands: str) -> Outcome | None:
    if stands not in ("Complete", "Failed", "ValidationFailed"):
        return None
    job = text(status, "jobStatus")
    succeeded = stands == "Complete" and job == "SUCCEEDED"
    reason = text(status, "reason") or (stands if succeeded or not job else job)
    return Outcome(succeeded, reason, text(status, "message"))
