"""Pods of v1 that carry the label of a group: they wait, and are released, all at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.loose import field_path, shown
from kube_queue.api.names import POD_GROUP_TOTAL_COUNT_ANNOTATION
from kube_queue.api.pod_groups import POD_MAKERS, pod_group
from kube_queue.api.types import PODS
from kube_queue.jobframework.extension import JobPatch, JobState, Outcome, PodSet
from kube_queue.jobframework.fields import MAX_COUNT, section, text
from kube_queue.jobframework.joining import members_of
from kube_queue.jobframework.ownership import controller_of
from kube_queue_extensions import gates, groups

_DIGITS: Final = re.compile(r"[0-9]{1,10}\Z", re.ASCII)
PATH: Final = field_path("metadata.annotations", POD_GROUP_TOTAL_COUNT_ANNOTATION)


class PodGroupExtension:
    """Held by our gate on every pod; one pod set for all pods that ask alike.

    Ended when as many pods as it has have succeeded, or, one of them having failed and nobody
    having put another in its place, when none is left that could.
    """

    name = "podgroup"
    aliases: tuple[str, ...] = ()
    by_name = True
    resource = PODS
    suffix = "group"

    def group(self, pod: Mapping[str, Any]) -> str:
        """See Grouped. The pods of a job that is queued itself are of no group."""
        name = pod_group(section(pod, "metadata"))
        owner = controller_of(pod) if name else None
        return name if owner is None or _kind(owner) in POD_MAKERS else ""

    def head(self, name: str, pods: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """See Grouped."""
        return pods[0] if pods else None

    def free(self, pod: Mapping[str, Any]) -> bool:
        """See Grouped."""
        return not gates.gated(pod)

    def concerns(self, pod: Mapping[str, Any]) -> bool:
        """See Selective. Whoever names a group is part of it, with the gate or without."""
        return bool(self.group(pod)) or any(map(gates.concerns, members_of(pod).values()))

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        pods = _counting(manifest)
        outcome = _outcome(manifest)
        return JobState(
            hold=groups.hold_of(pods),
            running=groups.runs(pods),
            outcome=outcome,
            alive=0 if outcome is not None else groups.alive(pods),
        )

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        pods = _standing(manifest)
        total = _demand_total(pods)
        if len(pods) < total:
            problem = f"not all of its {total} pods are there yet"
            raise InvalidManifest(problem, "", "it waits until they are")
        if len(pods) > total:
            problem = f"has {len(pods)} pods, and they say {total}"
            raise InvalidManifest(problem, "", "delete what is too much, or mend the number on all")
        sets, _ = groups.by_shape(pods, "pods")
        return tuple(sets)

    def finished(self, manifest: Mapping[str, Any]) -> Mapping[str, int]:
        """See Reclaimable."""
        _, sets_of = groups.by_shape(pods := _standing(manifest), "pods")
        done = [sets_of[text(pod, "metadata", "name")] for pod in pods if groups.ended(pod)]
        return {name: done.count(name) for name in dict.fromkeys(done)}

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension. Its first pod names it, whichever of the others are there."""
        first = next(iter(members_of(manifest).values()), {})
        return text(first, "spec", "priorityClassName")

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return groups.released(_counting(manifest))

    def hold(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See HeldAtFirst."""
        return groups.held(members_of(manifest).values())

    def replaced(self, manifest: Mapping[str, Any]) -> bool:
        """See Replaced."""
        return groups.controlled(_counting(manifest))


def _standing(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Its pods without those that failed, in whose place others may have come."""
    pods = members_of(manifest).values()
    return [pod for pod in pods if text(pod, "status", "phase") != "Failed"]


def _counting(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """No more of them than the group has pods: what is too much is never released."""
    pods = _standing(manifest)
    try:
        return pods[: _demand_total(pods)]
    except InvalidManifest:
        return pods


def _demand_total(pods: Sequence[Mapping[str, Any]]) -> int:
    """How many pods the group has, by the word of every one. Raises InvalidManifest."""
    said: dict[int, str] = {}
    for pod in pods:
        name = text(pod, "metadata", "name")
        written = section(pod, "metadata", "annotations").get(POD_GROUP_TOTAL_COUNT_ANNOTATION)
        digits = written if isinstance(written, str) and _DIGITS.match(written) else "0"
        count = int(digits)
        if not 1 <= count <= MAX_COUNT:
            what = "is missing" if written is None else f"{shown(written)} is no number of pods"
            raise InvalidManifest(
                what, f"pods[{name}].{PATH}", "write how many pods the group has, in quotes"
            )
        said.setdefault(count, name)
    if len(said) > 1:
        words = ", ".join(f"{count} on {name}" for count, name in sorted(said.items()))
        raise InvalidManifest(f"pods say different numbers: {words}", PATH, "write one number")
    return next(iter(said), 0)


def _outcome(manifest: Mapping[str, Any]) -> Outcome | None:
    pods = members_of(manifest).values()
    done = [(pod, gates.outcome(pod)) for pod in pods]
    try:
        total = _demand_total(_standing(manifest))
    except InvalidManifest:
        total = len(done)
    succeeded = sum(end is not None and end.succeeded for _, end in done)
    if succeeded and succeeded >= total:
        return Outcome(True, message=f"{succeeded} pods succeeded")
    failed = [(pod, end) for pod, end in done if end is not None and not end.succeeded]
    if not failed or any(end is None for _, end in done):
        return None
    pod, end = failed[0]
    said = f"pod {text(pod, 'metadata', 'name')} failed"
    return Outcome(False, end.reason, f"{said}: {end.message}" if end.message else said)


def _kind(owner: Mapping[str, Any]) -> tuple[str, str]:
    return text(owner, "apiVersion").rpartition("/")[0], text(owner, "kind")
