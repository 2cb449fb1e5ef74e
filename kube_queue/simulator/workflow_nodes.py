"""The nodes of a Workflow: which steps run, wait, have ended, and which pods that asks for.

Source: github.com/argoproj/argo-workflows. Played are templates with a container, a script, a
container set, steps, a DAG (`dependencies`, and names in `depends`, which must all succeed) and
`suspend`, with `withItems` and `withSequence.count`. `when`, retries, hooks, parameters and other
kinds of templates are not: such a template is an Error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kube_queue.api.conditions import rfc3339
from kube_queue.simulator.fields import mapping, mappings, moment, number, text
from kube_queue.simulator.outcome import Outcome
from kube_queue.simulator.views import PodView
from kube_queue.simulator.workflow_pods import node_id, pod_name, step_pod

ENDED: Final = frozenset({"Succeeded", "Failed", "Error", "Omitted"})
DEEPEST: Final = 50
"""Templates that call templates deeper than this are an Error."""
MOST_NODES: Final = 5000
MOST_TASKS: Final = 500
"""A DAG of more tasks is an Error: finding the next ones takes the square of their number."""
_OF_PODS: Final = ("container", "script", "containerSet")
_MICROSECONDS: Final = 1_000_000
_NAMES: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z]+)?")
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd]?)")
_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

Node = dict[str, Any]


@dataclass(slots=True)
class Walk:
    """One walk through a workflow's templates; nodes and the outcome are filled on the way."""

    workflow: Mapping[str, Any]
    pods: Mapping[str, PodView]
    nodes: dict[str, Node]
    outcome: Outcome
    now: float
    stopped: str
    """Why no step may run any more; empty: they may."""

    @property
    def name(self) -> str:
        """The workflow's name, which is its first node's."""
        return text(mapping(self.workflow.get("metadata")).get("name"))

    def template(self, name: str) -> Mapping[str, Any] | None:
        """The template of that name."""
        templates = mappings(mapping(self.workflow.get("spec")).get("templates"))
        return next((each for each in templates if each.get("name") == name), None)

    def node(self, name: str) -> Node | None:
        """The node of that name, if it has been started."""
        found = self.nodes.get(node_id(self.name, name))
        if found is not None:
            # Whoever writes a status may have left it out; the identity says what it is.
            found["name"] = name
        return found

    def start(self, name: str, kind: str, template: str) -> Node:
        """A new node that is Pending."""
        node = {
            "id": node_id(self.name, name),
            "name": name,
            "displayName": name.rpartition(".")[2] or name,
            "type": kind,
            "templateName": template,
            "phase": "Pending",
            "startedAt": rfc3339(self.now),
        }
        self.nodes[node["id"]] = node
        return node

    def turn(self, node: Node, phase: str, message: str = "") -> str:
        """The node is in that phase from now on."""
        node["phase"] = phase
        if message:
            node["message"] = message
        if phase in ENDED:
            node.setdefault("finishedAt", rfc3339(self.now))
        return phase


def run_template(walk: Walk, name: str, template: Mapping[str, Any] | None, depth: int = 0) -> str:
    """The phase of the node of that name, which runs that template."""
    node = walk.node(name)
    if node is not None and text(node.get("phase")) in ENDED:
        return text(node["phase"])
    label = text(template.get("name")) if template is not None else ""
    fault = _fault(walk, template, depth)
    if fault or template is None:
        return walk.turn(node or walk.start(name, "Skipped", label), "Error", fault)
    if any(isinstance(template.get(kind), dict) for kind in _OF_PODS):
        return _pod(walk, node or walk.start(name, "Pod", label), template)
    if isinstance(template.get("suspend"), dict):
        return _suspend(walk, node or walk.start(name, "Suspend", label), template["suspend"])
    if isinstance(template.get("steps"), list):
        return _steps(walk, node or walk.start(name, "Steps", label), template["steps"], depth)
    return _dag(walk, node or walk.start(name, "DAG", label), mapping(template.get("dag")), depth)


def look_at_pods(walk: Walk) -> None:
    """Nodes that have a pod say what it does; nothing new is started."""
    for node in walk.nodes.values():
        pod = walk.pods.get(
            pod_name(walk.name, text(node.get("name")), text(node.get("templateName")))
        )
        if node.get("type") == "Pod" and text(node.get("phase")) not in ENDED and pod is not None:
            _follow(walk, node, pod)


def _fault(walk: Walk, template: Mapping[str, Any] | None, depth: int) -> str:
    if template is None:
        return "template not found"
    if depth > DEEPEST or len(walk.nodes) >= MOST_NODES:
        return "the workflow has too many steps"
    kinds = (*_OF_PODS, "suspend", "dag")
    if isinstance(template.get("steps"), list):
        return ""
    if not any(isinstance(template.get(kind), dict) for kind in kinds):
        return "the simulator does not run templates of this kind"
    return ""


def _pod(walk: Walk, node: Node, template: Mapping[str, Any]) -> str:
    name = text(node["name"])
    pod = walk.pods.get(pod_name(walk.name, name, text(template.get("name"))))
    if pod is not None:
        return _follow(walk, node, pod)
    if walk.stopped:
        return walk.turn(node, "Failed", walk.stopped)
    if node["phase"] == "Running":
        return walk.turn(node, "Error", "pod deleted")
    walk.outcome.create.append(step_pod(walk.workflow, template, name))
    return "Pending"


def _follow(walk: Walk, node: Node, pod: PodView) -> str:
    if pod.phase == "Succeeded":
        return walk.turn(node, "Succeeded")
    if pod.phase == "Failed":
        return walk.turn(node, "Failed", f"main: Error (exit code {pod.exit_code})")
    if walk.stopped:
        walk.outcome.delete.append(pod)
        return walk.turn(node, "Failed", walk.stopped)
    return walk.turn(node, pod.phase)


def _suspend(walk: Walk, node: Node, suspend: Mapping[str, Any]) -> str:
    """It waits for its duration, or until somebody sets the node's phase."""
    if walk.stopped:
        return walk.turn(node, "Failed", walk.stopped)
    seconds = _seconds(suspend.get("duration"))
    left = moment(node.get("startedAt")) / _MICROSECONDS + seconds - walk.now
    if left <= 0:
        return walk.turn(node, "Succeeded")
    walk.outcome.again = min(walk.outcome.again, left)
    return walk.turn(node, "Running")


def _steps(walk: Walk, node: Node, groups: list[Any], depth: int) -> str:
    """Group after group; the steps of a group run together."""
    walk.turn(node, "Running")
    for index, group in enumerate(groups):
        steps = mappings(group) if isinstance(group, list) else mappings([group])
        phases: dict[str, str] = {}
        for step in steps:
            for shown in _copies(step):
                name = f"{node['name']}[{index}].{shown}"
                phases[name] = run_template(walk, name, _called(walk, step), depth + 1)
        if any(phase not in ENDED for phase in phases.values()):
            return "Running"
        for name, phase in phases.items():
            if phase in ("Failed", "Error"):
                child = node_id(walk.name, name)
                return walk.turn(node, "Failed", f"child '{child}' failed")
    return walk.turn(node, "Succeeded")


def _dag(walk: Walk, node: Node, dag: Mapping[str, Any], depth: int) -> str:
    """Each task once the tasks it depends on have succeeded; after a failure none is started."""
    walk.turn(node, "Running")
    tasks = {text(task.get("name")): task for task in mappings(dag.get("tasks"))}
    if len(tasks) > MOST_TASKS:
        return walk.turn(node, "Error", f"the simulator runs at most {MOST_TASKS} tasks of a DAG")
    phases: dict[str, str] = {}
    failed = any(
        mapping(walk.node(f"{node['name']}.{shown}")).get("phase") in ("Failed", "Error")
        for task in tasks.values()
        for shown in _copies(task)
    )
    while True:
        ready = [
            name
            for name, task in tasks.items()
            if name not in phases
            and all(phases.get(before) == "Succeeded" for before in _before(task))
        ]
        if not ready:
            break
        for name in ready:
            phases[name] = _task(walk, f"{node['name']}", tasks[name], depth, start=not failed)
            failed |= phases[name] in ("Failed", "Error")
    if any(phase not in ENDED for phase in phases.values()):
        return "Running"
    if failed:
        return walk.turn(node, "Failed", "a task of the DAG failed")
    if len(phases) < len(tasks):
        return walk.turn(node, "Error", "tasks depend on each other, or on none that exists")
    return walk.turn(node, "Succeeded")


def _task(walk: Walk, parent: str, task: Mapping[str, Any], depth: int, *, start: bool) -> str:
    """The phase of a task with all its copies; Omitted when it may not be started any more."""
    phases = []
    for shown in _copies(task):
        name = f"{parent}.{shown}"
        if not start and walk.node(name) is None:
            return "Omitted"
        phases.append(run_template(walk, name, _called(walk, task), depth + 1))
    for worst in ("Pending", "Running", "Error", "Failed"):
        if worst in phases:
            return worst
    return "Succeeded"


def _called(walk: Walk, step: Mapping[str, Any]) -> Mapping[str, Any] | None:
    inline = step.get("inline")
    if isinstance(inline, dict):
        return {"name": "inline", **inline}
    return walk.template(text(step.get("template")))


def _before(task: Mapping[str, Any]) -> set[str]:
    named = task.get("dependencies")
    if isinstance(named, list):
        return {text(each) for each in named}
    return {each.partition(".")[0] for each in _NAMES.findall(text(task.get("depends")))}


def _copies(step: Mapping[str, Any]) -> Iterator[str]:
    """The names a step runs under: its own, or one for each of its items."""
    name = text(step.get("name"))
    items = step.get("withItems")
    count = len(items) if isinstance(items, list) else -1
    written = mapping(step.get("withSequence")).get("count")
    if isinstance(written, str) and written.isdecimal():
        count = int(written)
    elif isinstance(written, int):
        count = number(written)
    if count < 0:
        yield name
    for index in range(min(count, MOST_NODES)):
        yield f"{name}({index})"


def _seconds(value: object) -> float:
    found = _DURATION.fullmatch(str(value).strip()) if isinstance(value, (str, int)) else None
    return math.inf if found is None else float(found[1]) * _UNITS[found[2]]
