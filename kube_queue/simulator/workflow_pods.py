"""The pod of one step of a Workflow. Source: github.com/argoproj/argo-workflows.

The containers Argo adds of its own are left out: they ask for nothing unless its installation says
so. Parameters are not filled in.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, Final

from kube_queue.simulator.fields import mapping, mappings, text
from kube_queue.simulator.outcome import NewPod
from kube_queue.simulator.owned_pods import Wanted

LABEL_PREFIX: Final = "workflows.argoproj.io"
_LONGEST_PREFIX: Final = 230
_SHELLS: Final = frozenset({"sh", "bash", "ash", "dash", "zsh"})
_PLACING: Final = ("nodeSelector", "tolerations", "schedulerName", "affinity")


def node_id(workflow: str, name: str) -> str:
    """The id of the node of that name; the first node's is the workflow's name."""
    return workflow if name == workflow else f"{workflow}-{zlib.crc32(name.encode())}"


def pod_name(workflow: str, name: str, template: str) -> str:
    """How the pod of that node is called."""
    if name == workflow:
        return workflow
    return f"{f'{workflow}-{template}'[:_LONGEST_PREFIX]}-{zlib.crc32(name.encode())}"


def step_pod(workflow: Mapping[str, Any], template: Mapping[str, Any], node: str) -> NewPod:
    """The pod that runs the containers of a template."""
    spec = mapping(workflow.get("spec"))
    name = text(mapping(workflow.get("metadata")).get("name"))
    common, own = mapping(spec.get("podMetadata")), mapping(template.get("metadata"))
    labels = {**mapping(common.get("labels")), **mapping(own.get("labels"))}
    annotations = {**mapping(common.get("annotations")), **mapping(own.get("annotations"))}
    pod: dict[str, Any] = {"containers": _containers(template)}
    for field in _PLACING:
        given = template.get(field) or spec.get(field)
        if given:
            pod[field] = given
    first = text(template.get("priorityClassName")) or text(spec.get("podPriorityClassName"))
    if first:
        pod["priorityClassName"] = first
    wanted = Wanted(
        pod_name(name, node, text(template.get("name"))),
        {f"{LABEL_PREFIX}/workflow": name, f"{LABEL_PREFIX}/completed": "false"},
        {f"{LABEL_PREFIX}/node-id": node_id(name, node), f"{LABEL_PREFIX}/node-name": node},
        spec={"restartPolicy": "Never"},
    )
    return NewPod({"metadata": {"labels": labels, "annotations": annotations}, "spec": pod}, wanted)


def _containers(template: Mapping[str, Any]) -> list[dict[str, Any]]:
    if isinstance(template.get("containerSet"), dict):
        return [dict(each) for each in mappings(template["containerSet"].get("containers"))]
    if isinstance(template.get("script"), dict):
        return [_script(template["script"])]
    return [{**mapping(template.get("container")), "name": "main"}]


def _script(script: Mapping[str, Any]) -> dict[str, Any]:
    """A shell is given its source with -c, where its run time can be read."""
    command = [text(each) for each in script.get("command") or () if isinstance(each, str)]
    container = {key: value for key, value in script.items() if key not in ("source", "command")}
    if command and command[0].rpartition("/")[2] in _SHELLS:
        command = [command[0], "-c", text(script.get("source"))]
    return {**container, "command": command, "name": "main"}
