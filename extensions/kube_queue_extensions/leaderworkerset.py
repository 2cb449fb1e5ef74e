"""The replica groups of a LeaderWorkerSet of leaderworkerset.x-k8s.io/v1: a leader and its workers.

Source: github.com/kubernetes-sigs/lws: there is nothing in it that holds one. Its controller makes
a StatefulSet of leaders; each leader pod controls a StatefulSet of its workers, which is there as
soon as the leader is created, held or not, unless startupPolicy is LeaderReady or the annotation
leaderworkerset.sigs.k8s.io/exclusive-topology asks for the leader's node first. Every pod carries
labels with the set's name and the index of its group, and an annotation with the group's size. A
leader is called <set>-<index>; with it its whole group goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.loose import field_path, shown
from kube_queue.api.names import MIN_RESOURCES_ANNOTATION
from kube_queue.api.types import PODS, ResourceType
from kube_queue.api.units import MIN_RESOURCES_PATH
from kube_queue.jobframework.extension import JobPatch, JobState, PodSet
from kube_queue.jobframework.fields import (
    MAX_COUNT,
    demand_count,
    demand_section,
    section,
    text,
)
from kube_queue.jobframework.joining import members_of
from kube_queue_extensions import gates, groups
from kube_queue_extensions.min_resources import min_resources

LEADERWORKERSETS: Final = ResourceType(
    "leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet"
)
NAME_LABEL: Final = "leaderworkerset.sigs.k8s.io/name"
INDEX_LABEL: Final = "leaderworkerset.sigs.k8s.io/group-index"
SIZE_ANNOTATION: Final = "leaderworkerset.sigs.k8s.io/size"
SIZE_PATH: Final = field_path("metadata.annotations", SIZE_ANNOTATION)
MOST_ASKED_ABOUT: Final = 4096


class LeaderWorkerSetExtension:
    """Held by our gate on every pod; the leader and its workers, or what an annotation says.

    Evicted by deleting its pods: a new leader comes, and with it a new group, all of them held. It
    never ends.
    """

    name = "leaderworkerset"
    aliases = ("lws",)
    by_name = False
    endless = True
    makers = (LEADERWORKERSETS,)
    resource = PODS
    suffix = "lws"

    def group(self, pod: Mapping[str, Any]) -> str:
        """See Grouped. It is called as its leader is."""
        labels = section(pod, "metadata", "labels")
        name, index = text(labels, NAME_LABEL), text(labels, INDEX_LABEL)
        return f"{name}-{index}" if name and index else ""

    def head(self, name: str, pods: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """See Grouped."""
        return next((pod for pod in pods if text(pod, "metadata", "name") == name), None)

    def free(self, pod: Mapping[str, Any]) -> bool:
        """See Grouped."""
        return not gates.gated(pod)

    def concerns(self, pod: Mapping[str, Any]) -> bool:
        """See Selective."""
        return gates.concerns(pod) or any(map(gates.concerns, members_of(pod).values()))

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        pods = list(members_of(manifest).values())
        return JobState(
            hold=groups.hold_of(pods), running=groups.runs(pods), alive=groups.alive(pods)
        )

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        written = section(manifest, "metadata", "annotations").get(MIN_RESOURCES_ANNOTATION)
        if written is not None:
            return (PodSet("main", 1, MIN_RESOURCES_PATH, requests=min_resources(written)),)
        pods = members_of(manifest)
        leader = pods.pop(text(manifest, "metadata", "name"), None)
        if leader is None:
            raise InvalidManifest("its leader is not there", "", "it waits until it is")
        size = _size(leader)
        if len(pods) != size - 1:
            hint = f"where workers wait for their leader, write {MIN_RESOURCES_ANNOTATION} on it"
            raise InvalidManifest(f"its {size - 1} workers are not all there yet", "", hint)
        first, _ = groups.by_shape([leader], "leader")
        others, _ = groups.by_shape(list(pods.values()), "workers")
        return (*first, *others)

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension. Its leader names it."""
        return text(manifest, "members", text(manifest, "metadata", "name"), "spec", _CLASS)

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return groups.released(members_of(manifest).values())

    def hold(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See HeldAtFirst."""
        return groups.held(members_of(manifest).values())

    def replaced(self, manifest: Mapping[str, Any]) -> bool:
        """See Replaced. Whoever made the leader makes another."""
        return groups.controlled(list(members_of(manifest).values()))

    def held_in_template(self, maker: Mapping[str, Any], metadata: Mapping[str, Any]) -> JobPatch:
        """See MadeFromTemplates."""
        path = "spec.leaderWorkerTemplate"
        templates = demand_section(maker, "spec", "leaderWorkerTemplate")
        changed: dict[str, Any] = {}
        for name in ("leaderTemplate", "workerTemplate"):
            if name == "leaderTemplate" and templates.get(name) is None:
                continue
            template = demand_section({path: templates}, path, name)
            demand_section({path: templates}, path, name, "spec")
            gate = gates.with_gate(template, f"{path}.{name}")
            changed[name] = {"metadata": dict(metadata), **gate}
        return {"spec": {"leaderWorkerTemplate": changed}}

    def made(self, maker: Mapping[str, Any]) -> Mapping[str, Any]:
        """See MadeFromTemplates. The first of its groups, its workers being there."""
        path = "spec.leaderWorkerTemplate"
        templates = demand_section(maker, "spec", "leaderWorkerTemplate")
        worker = demand_section({path: templates}, path, "workerTemplate")
        leader = templates.get("leaderTemplate") or worker
        size = demand_count(templates.get("size"), 1, f"{path}.size")
        if not 1 <= size <= MOST_ASKED_ABOUT:
            problem = f"{shown(size)} is no size of a group"
            raise InvalidManifest(problem, f"{path}.size", f"use 1 to {MOST_ASKED_ABOUT}")
        called = section(maker, "metadata")
        name = f"{called.get('name') or str(called.get('generateName')) + 'new'}-0"
        namespace = text(called, "namespace")
        pods = {
            each: _pod(worker if number else leader, each, namespace, size)
            for number in range(size)
            for each in [f"{name}-{number}" if number else name]
        }
        return {
            "apiVersion": PODS.api_version,
            "kind": PODS.kind,
            "metadata": pods[name]["metadata"],
            "members": pods,
        }


_CLASS: Final = "priorityClassName"


def _size(leader: Mapping[str, Any]) -> int:
    written = text(leader, "metadata", "annotations", SIZE_ANNOTATION)
    count = int(written) if written.isascii() and written.isdecimal() and len(written) <= 10 else 0
    if not 1 <= count <= MAX_COUNT:
        name = text(leader, "metadata", "name")
        raise InvalidManifest(
            f"{shown(written)} is no size of a group",
            f"pods[{name}].{SIZE_PATH}",
            "let LWS write it",
        )
    return count


def _pod(template: Mapping[str, Any], name: str, namespace: str, size: int) -> dict[str, Any]:
    metadata = section(template, "metadata")
    annotations = {**section(metadata, "annotations"), SIZE_ANNOTATION: str(size)}
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": section(metadata, "labels"),
            "annotations": annotations,
        },
        "spec": template.get("spec"),
    }
