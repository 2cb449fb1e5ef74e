"""Pods that wait behind a scheduling gate of ours.

Source: Kubernetes' scheduling readiness (spec.schedulingGates, stable since 1.30): a gate can be
given at creation only and taken away at any time; with any gate left the pod is Pending, without a
node, and its condition PodScheduled is False for reason SchedulingGated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.names import (
    JOB_HAS_ENQUEUED_ANNOTATION,
    SCHEDULING_GATE,
    STOPPED_ANNOTATION,
)
from kube_queue.jobframework.extension import JobPatch, Outcome
from kube_queue.jobframework.fields import entries, section, text

_MARKS = (JOB_HAS_ENQUEUED_ANNOTATION, STOPPED_ANNOTATION)


def gated(pod: Mapping[str, Any]) -> bool:
    """Whether our gate keeps the pod, or a pod of this template, from a node."""
    if not section(pod, "spec").get("schedulingGates"):
        return False
    gates = entries(pod, "spec", "schedulingGates")
    return any(each.get("name") == SCHEDULING_GATE for each in gates)


def concerns(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has our gate, or one of our marks says that it had."""
    annotations = section(pod, "metadata", "annotations")
    return gated(pod) or any(mark in annotations for mark in _MARKS)


def with_gate(pod: Mapping[str, Any], path: str = "") -> JobPatch:
    """The patch after which the new pod, or each of this template at `path`, has our gate.

    Raises InvalidManifest where the API server would refuse such a pod.
    """
    where = f"{path}.spec" if path else "spec"
    spec = section(pod, "spec")
    gates = spec.get("schedulingGates")
    if gates is not None and not isinstance(gates, list):
        raise InvalidManifest("is no list", f"{where}.schedulingGates", "list gates by name")
    if spec.get("nodeName"):
        problem = "a pod that has a node already cannot wait for one"
        raise InvalidManifest(problem, f"{where}.nodeName", "leave it out")
    if gated(pod):
        return {}
    return {"spec": {"schedulingGates": [*(gates or ()), {"name": SCHEDULING_GATE}]}}


def without_gate(pod: Mapping[str, Any]) -> JobPatch:
    """The patch after which our gate is gone and every other is where it was."""
    gates = section(pod, "spec").get("schedulingGates")
    others = [each for each in gates if not _is_ours(each)] if isinstance(gates, list) else []
    return {"spec": {"schedulingGates": others or None}}


def template(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pod as the template of one like it that nothing holds."""
    spec = pod.get("spec")
    if not isinstance(spec, Mapping):
        return {"spec": spec}
    return {"spec": {name: value for name, value in spec.items() if name != "schedulingGates"}}


def outcome(pod: Mapping[str, Any]) -> Outcome | None:
    """How the pod ended; None while it has not."""
    phase = text(pod, "status", "phase")
    if phase not in ("Succeeded", "Failed"):
        return None
    reason, message = text(pod, "status", "reason"), text(pod, "status", "message")
    return Outcome(phase == "Succeeded", reason, message)


def _is_ours(gate: object) -> bool:
    return isinstance(gate, Mapping) and gate.get("name") == SCHEDULING_GATE
