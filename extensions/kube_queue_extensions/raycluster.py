"""RayCluster of ray.io/v1, one that nobody's RayJob or RayService made. Source: see rayjob."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube_queue.api.types import ResourceType
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, PodSet
from kube_queue.jobframework.fields import demand_section, section, text
from kube_queue_extensions import ray

RAYCLUSTERS: Final = ResourceType("ray.io", "v1", "rayclusters", "RayCluster")


class RayClusterExtension:
    """Held by spec.suspend; the head and the worker groups.

    Stopped by spec.suspend, which takes all its pods away. Runs while KubeRay calls it ready, and
    never ends: it gives its quota back when it is deleted.
    """

    name = "raycluster"
    aliases: tuple[str, ...] = ()
    endless = True
    resource = RAYCLUSTERS
    suffix = "raycluster"

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        held = section(manifest, "spec").get("suspend") is True
        status = section(manifest, "status")
        stands = text(status, "state")
        return JobState(
            hold=Hold.SPEC if held else Hold.NONE,
            running=not held and stands == "ready",
            alive=ray.alive(status),
            stopped=held and stands == "suspended",
            managed_by=ray.managed_by(manifest),
        )

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        return ray.pod_sets(demand_section(manifest, "spec"), "spec")

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension. A RayCluster names none apart from its pod templates'."""
        return ""

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return {"spec": {"suspend": False}}

    def suspend(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Suspendable."""
        return {"spec": {"suspend": True}}
