"""Workflow of argoproj.io/v1alpha1, queued as a whole.

Sources: the ack-kube-queue documentation (spec.suspend with a template `kube-queue-suspend`, the
annotation kube-queue/min-resources) and github.com/argoproj/argo-workflows (phases; `Running` is
written before the controller looks at spec.suspend; a suspended workflow's running steps go on;
spec.shutdown: Terminate ends it).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.names import MIN_RESOURCES_ANNOTATION, WORKFLOW_SUSPEND_TEMPLATE
from kube_queue.api.reasons import Reason
from kube_queue.api.resources import EMPTY
from kube_queue.api.types import ResourceType
from kube_queue.api.units import MIN_RESOURCES_PATH
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, Outcome, PodSet
from kube_queue.jobframework.fields import entries, section, text
from kube_queue_extensions.min_resources import HINT, min_resources

WORKFLOWS: Final = ResourceType("argoproj.io", "v1alpha1", "workflows", "Workflow")
_LIVE: Final = frozenset({"Pending", "Running"})


class WorkflowExtension:
    """Held by spec.suspend and a template kube-queue-suspend; asks for what its annotation says.

    Cannot be stopped: steps that run go on when it is suspended. spec.shutdown ends it.
    """

    name = "workflow"
    aliases: tuple[str, ...] = ("argo",)
    resource = WORKFLOWS
    suffix = "wf"

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        suspended = section(manifest, "spec").get("suspend") is True
        status = section(manifest, "status")
        phase = text(status, "phase")
        outcome = None
        if phase in ("Succeeded", "Failed", "Error"):
            outcome = Outcome(phase == "Succeeded", phase, text(status, "message"))
        nodes = section(status, "nodes")
        return JobState(
            hold=Hold.SPEC if suspended and _queueable(manifest) else Hold.NONE,
            running=phase == "Running" and not suspended,
            outcome=outcome,
            alive=sum(_lives(nodes, name) for name in nodes),
        )

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        annotations = section(manifest, "metadata", "annotations")
        written = annotations.get(MIN_RESOURCES_ANNOTATION)
        asks = EMPTY if written is None else min_resources(written)
        return (PodSet("main", 1, MIN_RESOURCES_PATH, requests=asks),)

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension."""
        return text(manifest, "spec", "podPriorityClassName")

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return {"spec": {"suspend": False}}

    def hold(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See HeldAtFirst. Argo allows no templates beside a reference to a WorkflowTemplate."""
        if section(manifest, "spec", "workflowTemplateRef"):
            raise InvalidManifest(
                f"leaves no room for the template {WORKFLOW_SUSPEND_TEMPLATE}, without which a "
                "Workflow is not queued",
                "spec.workflowTemplateRef",
                "write the templates into the Workflow",
            )
        if _queueable(manifest):
            return {"spec": {"suspend": True}}
        written = section(manifest, "spec").get("templates")
        if written is not None and not isinstance(written, list):
            raise InvalidManifest("is not a list", "spec.templates", "list templates")
        others = [
            one
            for one in written or ()
            if not isinstance(one, Mapping) or one.get("name") != WORKFLOW_SUSPEND_TEMPLATE
        ]
        mark = {"name": WORKFLOW_SUSPEND_TEMPLATE, "suspend": {}}
        return {"spec": {"suspend": True, "templates": [*others, mark]}}

    def stop(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Stoppable."""
        return {"spec": {"shutdown": "Terminate"}}

    def warnings(self, manifest: Mapping[str, Any]) -> tuple[tuple[Reason, str], ...]:
        """See Warns."""
        if section(manifest, "metadata", "annotations").get(MIN_RESOURCES_ANNOTATION) is not None:
            return ()
        message = f"{MIN_RESOURCES_PATH}: is missing, so the job counts as asking for nothing"
        return ((Reason.MISSING_MIN_RESOURCES, f"{message}; {HINT}"),)


def _queueable(manifest: Mapping[str, Any]) -> bool:
    return any(
        text(template, "name") == WORKFLOW_SUSPEND_TEMPLATE
        and isinstance(template.get("suspend"), Mapping)
        for template in entries(manifest, "spec", "templates")
    )


def _lives(nodes: Mapping[str, Any], name: str) -> bool:
    node = nodes[name]
    if not isinstance(node, Mapping) or node.get("type") != "Pod":
        return False
    return text(node, "phase") in _LIVE
