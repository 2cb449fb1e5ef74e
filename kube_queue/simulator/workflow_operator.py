"""Argo's controller for Workflows.

It writes the phase Running before it looks at spec.suspend. While a workflow is suspended no step
starts, but those that run go on, and the phase stays. spec.shutdown ends it. A Workflow has no
status subresource. Source: github.com/argoproj/argo-workflows.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kube_queue.api.conditions import rfc3339
from kube_queue.api.types import ResourceType
from kube_queue.simulator.fields import mapping, moment, text
from kube_queue.simulator.outcome import OperatedKind, Outcome
from kube_queue.simulator.views import PodView
from kube_queue.simulator.workflow_nodes import ENDED, Walk, look_at_pods, run_template
from kube_queue.simulator.workflow_pods import LABEL_PREFIX

WORKFLOWS: Final = ResourceType("argoproj.io", "v1alpha1", "workflows", "Workflow")
COMPLETED_LABEL: Final = f"{LABEL_PREFIX}/completed"
PHASE_LABEL: Final = f"{LABEL_PREFIX}/phase"
_MICROSECONDS: Final = 1_000_000


def plan(workflow: Mapping[str, Any], pods: Sequence[PodView], now: float) -> Outcome:
    """See Plan."""
    spec = mapping(workflow.get("spec"))
    outcome = Outcome(copy.deepcopy(dict(mapping(workflow.get("status")))))
    status = outcome.status
    if text(status.get("phase")) in ENDED:
        _expire(spec, outcome, now)
        return outcome
    if not status.get("phase"):
        status |= {"phase": "Running", "startedAt": rfc3339(now)}
        outcome.labels = {PHASE_LABEL: "Running", COMPLETED_LABEL: "false"}
    nodes = {
        name: dict(node)
        for name, node in mapping(status.get("nodes")).items()
        if isinstance(node, dict)
    }
    stopped = _stopped(spec, outcome, now)
    walk = Walk(workflow, {pod.name: pod for pod in pods}, nodes, outcome, now, stopped)
    if spec.get("suspend") is True:
        look_at_pods(walk)
    else:
        phase = run_template(walk, walk.name, walk.template(text(spec.get("entrypoint"))))
        if phase in ENDED:
            _end(walk, spec, phase)
    status["nodes"] = nodes
    steps = [node for node in nodes.values() if node.get("type") == "Pod"]
    done = sum(node.get("phase") == "Succeeded" for node in steps)
    status["progress"] = f"{done}/{len(steps)}"
    return outcome


def _stopped(spec: Mapping[str, Any], outcome: Outcome, now: float) -> str:
    """Why steps are to end, as each of them then says; empty while they may run."""
    strategy = text(spec.get("shutdown"))
    if strategy:
        return f"workflow shutdown with strategy:  {strategy}"
    seconds = spec.get("activeDeadlineSeconds")
    if isinstance(seconds, int) and not isinstance(seconds, bool):
        left = moment(outcome.status.get("startedAt")) / _MICROSECONDS + seconds - now
        if left <= 0:
            return "Step exceeded its deadline"
        outcome.again = left
    return ""


def _end(walk: Walk, spec: Mapping[str, Any], phase: str) -> None:
    status = walk.outcome.status
    message = text(mapping(walk.node(walk.name)).get("message"))
    strategy = text(spec.get("shutdown"))
    if strategy and phase != "Succeeded":
        message = f"Stopped with strategy '{strategy}'"
    status |= {"phase": phase, "finishedAt": rfc3339(walk.now)}
    status["conditions"] = [{"type": "Completed", "status": "True"}]
    if message:
        status["message"] = message
    walk.outcome.labels = {PHASE_LABEL: phase, COMPLETED_LABEL: "true"}
    walk.outcome.again = _time_to_live(spec, phase)


def _expire(spec: Mapping[str, Any], outcome: Outcome, now: float) -> None:
    ended = moment(outcome.status.get("finishedAt")) / _MICROSECONDS
    left = ended + _time_to_live(spec, text(outcome.status.get("phase"))) - now
    outcome.again = left
    outcome.expired = left <= 0


def _time_to_live(spec: Mapping[str, Any], phase: str) -> float:
    strategy = mapping(spec.get("ttlStrategy"))
    ended = "secondsAfterSuccess" if phase == "Succeeded" else "secondsAfterFailure"
    for field in (ended, "secondsAfterCompletion"):
        seconds = strategy.get(field)
        if isinstance(seconds, int) and not isinstance(seconds, bool):
            return float(seconds)
    return math.inf


WORKFLOW: Final = OperatedKind(WORKFLOWS, "workflow-controller", plan, status_subresource=False)
