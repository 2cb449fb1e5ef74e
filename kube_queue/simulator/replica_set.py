"""A ReplicaSet, decided: which pods are its own, which go first, and what its status says.

Source of the rules: the ReplicaSet controller's behaviour in Kubernetes 1.36.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kube_queue.api.conditions import rfc3339, set_condition
from kube_queue.api.selectors import Selector
from kube_queue.simulator.fields import condition_status, mapping, mappings, number, text
from kube_queue.simulator.label_selector import selector_of
from kube_queue.simulator.views import PodView

_MICROSECONDS: Final = 1_000_000
_NANOSECONDS: Final = 1_000_000_000
_PHASES: Final = {"Pending": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class SetSpec:
    """What a ReplicaSet asks for, with the API's defaults."""

    uid: str
    replicas: int
    selector: Selector | None
    """None: it selects nothing, and the set is left alone."""
    template_labels: Mapping[str, str]
    min_ready_seconds: int
    leaving: bool
    """It is being deleted: its pods are the garbage collector's."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The pods of a set: its active and terminating ones, those to adopt and those to let go."""

    active: tuple[PodView, ...]
    terminating: tuple[PodView, ...]
    adopt: tuple[PodView, ...]
    release: tuple[PodView, ...]


def set_spec(manifest: Mapping[str, Any]) -> SetSpec:
    """What the manifest asks for; it never raises on bad content."""
    metadata, spec = mapping(manifest.get("metadata")), mapping(manifest.get("spec"))
    labels = mapping(mapping(mapping(spec.get("template")).get("metadata")).get("labels"))
    return SetSpec(
        uid=text(metadata.get("uid")),
        replicas=number(spec.get("replicas"), 1),
        selector=selector_of(spec.get("selector")),
        template_labels={key: text(value) for key, value in labels.items()},
        min_ready_seconds=number(spec.get("minReadySeconds")),
        leaving=bool(metadata.get("deletionTimestamp")),
    )


def claim(spec: SetSpec, owned: Iterable[PodView], orphans: Iterable[PodView]) -> Claim:
    """Whose the pods are: its own while the selector matches, and orphans it matches.

    A pod that has ended is nobody's replica; a set that is being deleted adopts nobody.
    """
    if spec.selector is None:
        return Claim((), (), (), ())
    active, terminating, release = [], [], []
    for pod in owned:
        matches = spec.selector.selects(pod.labels)
        if pod.terminal:
            continue
        if pod.deletion:
            if matches:
                terminating.append(pod)
        elif matches:
            active.append(pod)
        else:
            release.append(pod)
    adopt: list[PodView] = []
    if not spec.leaving:
        adopt = [pod for pod in orphans if pod.active and spec.selector.selects(pod.labels)]
    return Claim(tuple(active), tuple(terminating), tuple(adopt), tuple(release))


def to_delete(
    active: Sequence[PodView], related: Iterable[PodView], surplus: int, now: float
) -> list[PodView]:
    """The `surplus` pods that go first, in that order.

    `related` are the active pods of all sets of the same owner, its own among them: of pods that
    are otherwise equal, the one goes whose node has more of those. Ages are compared by powers of
    two, so that pods of about the same age are chosen from by chance, not by their birth.
    """
    on_node = Counter(pod.node for pod in related if pod.node)
    keyed = sorted(active, key=lambda pod: _deletion_key(pod, on_node[pod.node], now))
    return keyed[:surplus]


def _deletion_key(pod: PodView, together: int, now: float) -> tuple[object, ...]:
    return (
        bool(pod.node),
        _PHASES.get(pod.phase, 1),
        pod.ready,
        pod.deletion_cost,
        -together,
        _age_rank(pod.ready_since, now) if pod.ready else -1,
        -pod.restarts,
        _age_rank(pod.created, now),
        pod.uid,
    )


def _age_rank(since: int, now: float) -> int:
    """The power of two of the nanoseconds since then; a moment unknown or to come is youngest."""
    age = int((now - since / _MICROSECONDS) * _NANOSECONDS)
    return int(math.log2(age)) if since and age > 0 else -1


def available(pod: PodView, min_ready_seconds: int, now: float) -> bool:
    """Whether the pod has been ready for long enough."""
    return pod.ready and now >= pod.ready_since / _MICROSECONDS + min_ready_seconds


def next_available(active: Iterable[PodView], min_ready_seconds: int, now: float) -> float:
    """Seconds until a ready pod becomes available by itself; infinite when none will."""
    waits = (
        pod.ready_since / _MICROSECONDS + min_ready_seconds - now
        for pod in active
        if pod.ready and not available(pod, min_ready_seconds, now)
    )
    return min(waits, default=math.inf)


def next_status(
    manifest: Mapping[str, Any], spec: SetSpec, claimed: Claim, problem: str, now: float
) -> dict[str, Any]:
    """The whole status as it should be now; equal to the present one when nothing changed.

    `problem` is why a pod could not be created or deleted; empty when all could. Of problems that
    follow one another the first is told.
    """
    status = dict(mapping(manifest.get("status")))
    active = claimed.active
    labels = spec.template_labels.items()
    status["observedGeneration"] = number(mapping(manifest.get("metadata")).get("generation"))
    counts = {
        "fullyLabeledReplicas": sum(labels <= pod.labels.items() for pod in active),
        "readyReplicas": sum(pod.ready for pod in active),
        "availableReplicas": sum(available(pod, spec.min_ready_seconds, now) for pod in active),
    }
    for name, count in counts.items():
        put_count(status, name, count)
    status["replicas"] = len(active)
    status["terminatingReplicas"] = len(claimed.terminating)
    conditions = [dict(one) for one in mappings(status.get("conditions"))]
    if not problem:
        conditions = [one for one in conditions if one.get("type") != "ReplicaFailure"]
    elif not condition_status(conditions, "ReplicaFailure"):
        reason = "FailedCreate" if len(active) < spec.replicas else "FailedDelete"
        stamp = rfc3339(now)
        conditions = set_condition(conditions, "ReplicaFailure", True, reason, problem, stamp)
    if conditions:
        status["conditions"] = conditions
    else:
        status.pop("conditions", None)
    return status


def put_count(status: dict[str, Any], name: str, count: int) -> None:
    """The status says the count; a count of none is left out, as the API leaves it out."""
    if count:
        status[name] = count
    else:
        status.pop(name, None)
