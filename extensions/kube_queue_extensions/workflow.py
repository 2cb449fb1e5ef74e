"""Workflow of argoproj.io/v1alpha1, queued as a whole.

Sources: the ack-kube-queue documentation (spec.suspend with a template `kube-queue-suspend`, the
annotation kube-queue/min-resources) and github.com/argoproj/argo-workflows (phases; `Running` is
written before the controller looks at spec.suspend; a suspended workflow's running steps go on;
spec.shutdown: Terminate ends it).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import yaml

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.loose import shown
from kube_queue.api.names import (
    MAX_JOBS,
    MIN_RESOURCES_ANNOTATION,
    WORKFLOW_SUSPEND_TEMPLATE,
)
from kube_queue.api.reasons import Reason
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.types import ResourceType
from kube_queue.api.units import MIN_RESOURCES_PATH
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, Outcome, PodSet
from kube_queue.jobframework.fields import entries, section, text

WORKFLOWS: Final = ResourceType("argoproj.io", "v1alpha1", "workflows", "Workflow")
LONGEST_ANNOTATION: Final = 2048
_HINT: Final = "write a resource list, such as {cpu: 5, memory: 5G}"
_LIVE: Final = frozenset({"Pending", "Running"})
_NATIVE: Final = frozenset({"cpu", "memory", "ephemeral-storage"})


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

    def stop(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Stoppable."""
        return {"spec": {"shutdown": "Terminate"}}

    def warnings(self, manifest: Mapping[str, Any]) -> tuple[tuple[Reason, str], ...]:
        """See Warns."""
        if section(manifest, "metadata", "annotations").get(MIN_RESOURCES_ANNOTATION) is not None:
            return ()
        message = f"{MIN_RESOURCES_PATH}: is missing, so the job counts as asking for nothing"
        return ((Reason.MISSING_MIN_RESOURCES, f"{message}; {_HINT}"),)


def min_resources(written: object) -> ResourceVector:
    """The resource list that the annotation spells in YAML or JSON, amounts rounded up.

    Raises InvalidManifest or InvalidQuantity with the annotation's path.
    """
    if not isinstance(written, str):
        raise InvalidManifest(f"{shown(written)} is no text", MIN_RESOURCES_PATH, _HINT)
    if len(written) > LONGEST_ANNOTATION:
        problem = f"is longer than {LONGEST_ANNOTATION} characters"
        raise InvalidManifest(problem, MIN_RESOURCES_PATH, _HINT)
    amounts = dict(_read(written))
    for name in amounts:
        if name == MAX_JOBS or not _is_resource(name):
            problem = f"{shown(name)} is no resource of a pod"
            raise InvalidManifest(problem, MIN_RESOURCES_PATH, _HINT)
    return ResourceVector.parse(amounts, MIN_RESOURCES_PATH)


@lru_cache(maxsize=1024)
def _read(written: str) -> tuple[tuple[str, str], ...]:
    """Names and amounts as they are written: YAML's own numbers (0x10, 1_000, 1:30) are others."""
    root: yaml.Node | None = None
    # A list of resources is flat, and PyYAML takes seconds for a page of brackets.
    if "[" not in written and written.count("{") <= 1:
        try:
            root = yaml.compose(written, yaml.BaseLoader)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            problem = f"{shown(written)} is neither YAML nor JSON"
            raise InvalidManifest(problem, MIN_RESOURCES_PATH, _HINT) from error
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    found: dict[str, str] = {}
    for name, amount in pairs:
        if not isinstance(name, yaml.ScalarNode) or not isinstance(amount, yaml.ScalarNode):
            problem = f"{shown(written)} is no list of resources"
            raise InvalidManifest(problem, MIN_RESOURCES_PATH, _HINT)
        if name.value in found:
            problem = f"names {shown(name.value)} a second time"
            raise InvalidManifest(problem, MIN_RESOURCES_PATH, "keep one of them")
        found[name.value] = amount.value
    if not found:
        raise InvalidManifest(f"{shown(written)} names no resource", MIN_RESOURCES_PATH, _HINT)
    return tuple(found.items())


def _is_resource(name: str) -> bool:
    domain, slash, rest = name.partition("/")
    return name in _NATIVE or name.startswith("hugepages-") or bool(slash and domain and rest)


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
