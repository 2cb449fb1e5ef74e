"""TrainJob of trainer.kubeflow.org/v1alpha1.

Source: github.com/kubeflow/trainer v2: numNodes nodes of resourcesPerNode each override what the
referenced runtime says; conditions Suspended, Complete, Failed; jobsStatus counts Jobs by state.
The runtime is another object, so what a TrainJob leaves to it cannot be told from the TrainJob: its
annotation kube-queue/min-resources says what the whole job asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.names import MIN_RESOURCES_ANNOTATION
from kube_queue.api.types import ResourceType
from kube_queue.api.units import MIN_RESOURCES_PATH
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, Outcome, PodSet
from kube_queue.jobframework.fields import (
    demand_count,
    demand_map,
    demand_section,
    entries,
    number,
    section,
    text,
)
from kube_queue_extensions.min_resources import min_resources

TRAINJOBS: Final = ResourceType("trainer.kubeflow.org", "v1alpha1", "trainjobs", "TrainJob")
CONTROLLER: Final = "trainer.kubeflow.org/trainjob-controller"


class TrainJobExtension:
    """Held by spec.suspend; its training nodes, or what its annotation says.

    Stopped by spec.suspend. Runs when one of its Jobs has all its pods ready.
    """

    name = "trainjob"
    aliases: tuple[str, ...] = ()
    resource = TRAINJOBS
    suffix = "train"

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        held = section(manifest, "spec").get("suspend") is True
        conditions = entries(manifest, "status", "conditions")
        true = {text(each, "type"): each for each in conditions if each.get("status") == "True"}
        jobs = entries(manifest, "status", "jobsStatus")
        outcome = None
        for kind in ("Complete", "Failed"):
            if kind in true and outcome is None:
                said = true[kind]
                outcome = Outcome(kind == "Complete", text(said, "reason"), text(said, "message"))
        managed_by = text(manifest, "spec", "managedBy")
        return JobState(
            hold=Hold.SPEC if held else Hold.NONE,
            running=not held and any(number(each, "ready") > 0 for each in jobs),
            outcome=outcome,
            alive=sum(max(0, number(each, "active")) for each in jobs),
            stopped=held and "Suspended" in true,
            managed_by="" if managed_by == CONTROLLER else managed_by,
        )

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        annotations = section(manifest, "metadata", "annotations")
        written = annotations.get(MIN_RESOURCES_ANNOTATION)
        if written is not None:
            return (PodSet("main", 1, MIN_RESOURCES_PATH, requests=min_resources(written)),)
        path = "spec.trainer"
        trainer = demand_map(demand_section(manifest, "spec").get("trainer"), path)
        for field in ("numNodes", "resourcesPerNode"):
            if trainer.get(field) is None:
                problem = "is left to the runtime, so what the job asks for cannot be told"
                hint = f"write it, or the annotation {MIN_RESOURCES_ANNOTATION}"
                raise InvalidManifest(problem, f"{path}.{field}", hint)
        count = demand_count(trainer["numNodes"], 1, f"{path}.numNodes")
        resources = demand_map(trainer["resourcesPerNode"], f"{path}.resourcesPerNode")
        template = {"spec": {"containers": [{"name": "node", "resources": resources}]}}
        return (PodSet("node", count, path, template=template),)

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension. A TrainJob leaves it to its runtime."""
        return ""

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return {"spec": {"suspend": False}}

    def suspend(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Suspendable."""
        return {"spec": {"suspend": True}}
