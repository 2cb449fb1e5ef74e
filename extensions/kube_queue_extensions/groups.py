"""Groups of gated pods: where one stands, what it asks for, how all of it is held and released.

`pods` are always the pods that count, the oldest first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kube_queue.jobframework.extension import Hold, JobPatch, PodSet
from kube_queue.jobframework.fields import section, text
from kube_queue.jobframework.ownership import controller_of
from kube_queue_extensions import gates

Pod = Mapping[str, Any]
_SHAPE = (
    "containers",
    "initContainers",
    "resources",
    "overhead",
    "runtimeClassName",
    "priorityClassName",
    "nodeSelector",
)


def ended(pod: Pod) -> bool:
    """Whether the pod has ended, well or badly."""
    return gates.outcome(pod) is not None


def hold_of(pods: Sequence[Pod]) -> Hold:
    """What holds the group: some of it that waits, while some does not, was never meant to."""
    waiting = [gates.gated(pod) for pod in pods]
    if not any(waiting):
        return Hold.NONE
    return Hold.SPEC if all(waiting) else Hold.MARK


def runs(pods: Sequence[Pod]) -> bool:
    """Whether all that was released and has not ended runs, and there is some."""
    phases = [
        text(pod, "status", "phase") for pod in pods if not gates.gated(pod) and not ended(pod)
    ]
    return bool(phases) and all(phase == "Running" for phase in phases)


def alive(pods: Iterable[Pod]) -> int:
    """How many of them were released and have not ended."""
    return sum(not gates.gated(pod) and not ended(pod) for pod in pods)


def by_shape(pods: Sequence[Pod], name: str) -> tuple[list[PodSet], dict[str, str]]:
    """One pod set for all that ask alike, and of which set each pod is, by its name."""
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        found.setdefault(_shape(pod), []).append(pod)
    sets: list[PodSet] = []
    sets_of: dict[str, str] = {}
    for number, alike in enumerate(found.values()):
        called = name if len(found) == 1 else f"{name}-{number}"
        path = f"pods[{_name(alike[0])}]"
        template = gates.template(alike[0])
        sets.append(PodSet(called, len(alike), path, template=template, whole=True))
        sets_of.update({_name(pod): called for pod in alike})
    return sets, sets_of


def held(pods: Iterable[Pod]) -> JobPatch:
    """The patch after which each of these new pods has the gate. Raises InvalidManifest."""
    patches = {_name(pod): gates.with_gate(pod) for pod in pods}
    return {"members": {name: patch for name, patch in patches.items() if patch}}


def released(pods: Iterable[Pod]) -> JobPatch:
    """The patch after which none of them has the gate."""
    return {
        "members": {_name(pod): gates.without_gate(pod) for pod in pods if gates.gated(pod)},
    }


def controlled(pods: Sequence[Pod]) -> bool:
    """Whether somebody makes every one of them anew once it is gone."""
    left = [pod for pod in pods if not ended(pod)]
    return bool(left) and all(controller_of(pod) is not None for pod in left)


def _name(pod: Pod) -> str:
    return text(pod, "metadata", "name")


def _shape(pod: Pod) -> str:
    """Text that differs where the pods' requests, classes or nodes may."""
    spec = section(pod, "spec")
    told = {field: _asks(spec.get(field)) for field in _SHAPE}
    return json.dumps(told, sort_keys=True)


def _asks(value: Any) -> Any:
    """Of containers only what they ask for: an index in a pod's environment is no other shape."""
    if not isinstance(value, list):
        return value
    return [
        {name: each.get(name) for name in ("resources", "restartPolicy")}
        if isinstance(each, Mapping)
        else each
        for each in value
    ]
