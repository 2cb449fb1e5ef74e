"""Pod of v1, by itself or one of a Deployment's, ReplicaSet's or StatefulSet's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube_queue.api.names import POD_GROUP_LABEL
from kube_queue.api.types import PODS, ResourceType
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, PodSet
from kube_queue.jobframework.fields import demand_section, section, text
from kube_queue.jobframework.ownership import controller_of
from kube_queue_extensions import gates

MAKERS: Final = (
    ResourceType("apps", "v1", "deployments", "Deployment"),
    ResourceType("apps", "v1", "replicasets", "ReplicaSet"),
    ResourceType("apps", "v1", "statefulsets", "StatefulSet"),
)
APPWRAPPER_LABEL: Final = "workload.codeflare.dev/appwrapper"
"""On every pod of an AppWrapper, whose own unit counts it."""
GROUP_LABELS: Final = (POD_GROUP_LABEL, "leaderworkerset.sigs.k8s.io/name")
"""On every pod of a group, of either kind of groups."""


class PodExtension:
    """Held by our scheduling gate; what the pod itself asks for.

    A pod cannot be suspended again. One that a controller makes anew is evicted by its deletion:
    the next one has the gate again. Ended for good by a deadline that is over.
    """

    name = "pod"
    aliases = ("deployment", "statefulset")
    makers = MAKERS
    resource = PODS
    suffix = "pod"

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        held = gates.gated(manifest)
        outcome = gates.outcome(manifest)
        wrapper = text(manifest, "metadata", "labels", APPWRAPPER_LABEL)
        return JobState(
            hold=Hold.SPEC if held else Hold.NONE,
            running=text(manifest, "status", "phase") == "Running",
            outcome=outcome,
            alive=int(not held and outcome is None),
            managed_by=f"AppWrapper {wrapper}" if wrapper else "",
        )

    def concerns(self, manifest: Mapping[str, Any]) -> bool:
        """See Selective. What is part of a group is not queued by itself."""
        labels = section(manifest, "metadata", "labels")
        return gates.concerns(manifest) and not any(each in labels for each in GROUP_LABELS)

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        return (PodSet("main", 1, "", template=gates.template(manifest), whole=True),)

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension. A pod names it where every template does."""
        return ""

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return gates.without_gate(manifest)

    def hold(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See HeldAtFirst."""
        return gates.with_gate(manifest)

    def replaced(self, manifest: Mapping[str, Any]) -> bool:
        """See Replaced."""
        return controller_of(manifest) is not None

    def stop(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Stoppable. The deadline counts from the pod's start, so it is over."""
        return {"spec": {"activeDeadlineSeconds": 1}}

    def held_in_template(self, maker: Mapping[str, Any], metadata: Mapping[str, Any]) -> JobPatch:
        """See MadeFromTemplates."""
        demand_section(maker, "spec", "template", "spec")
        gate = gates.with_gate(demand_section(maker, "spec", "template"), "spec.template")
        return {"spec": {"template": {"metadata": dict(metadata), **gate}}}

    def made(self, maker: Mapping[str, Any]) -> Mapping[str, Any]:
        """See MadeFromTemplates."""
        template = demand_section(maker, "spec", "template")
        metadata = section(template, "metadata")
        called = section(maker, "metadata")
        name = called.get("name") or called.get("generateName")
        return {
            "apiVersion": PODS.api_version,
            "kind": PODS.kind,
            "metadata": {
                "namespace": text(called, "namespace"),
                "generateName": f"{name}-",
                "labels": section(metadata, "labels"),
                "annotations": section(metadata, "annotations"),
            },
            "spec": demand_section(maker, "spec", "template", "spec"),
        }
