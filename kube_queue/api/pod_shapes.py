"""What a ResourceQuota looks at in a pod: requests, limits, and the facts its scopes ask for.

A pod template is read as the API server reads the pod made of it: a limit stands for a missing
request. What it fills in from LimitRanges and PriorityClasses has to be in the template already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import Any, Final

from kube_queue.api.errors import InvalidInput
from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.pod_requests import pod_limits, pod_request
from kube_queue.api.resources import ResourceVector

COMPUTE: Final = ("cpu", "memory")
"""What a quota on them makes every container specify; what decides whether a pod is best effort."""
_UNNAMED: Final = "main"
"""What an admission calls a pod set without a name."""
_SHARED: Final = 65_536


@dataclass(frozen=True, slots=True)
class PodShape:
    """One pod, or each of several alike."""

    requests: ResourceVector
    limits: ResourceVector
    unspecified: tuple[tuple[str, str], ...] = ()
    """(``requests.cpu``, ``requests.memory``, ``limits.cpu`` or ``limits.memory``, container) for
    every container that does not specify it."""
    best_effort: bool = False
    terminating: bool = False
    """It has an active deadline."""
    priority_class: str = ""
    crosses_namespaces: bool = False
    """A pod affinity term of it looks at other namespaces."""
    ended: bool = False
    """Succeeded or failed: it exists and takes nothing."""


@dataclass(frozen=True, slots=True)
class PodGroup:
    """``count`` pods of one shape; ``name`` is their pod set's."""

    name: str
    count: int
    shape: PodShape


PodGroups = tuple[PodGroup, ...]


def pod_shape(spec: Mapping[str, Any]) -> PodShape:
    """The shape of pods with this spec. Raises InvalidManifest or InvalidQuantity."""
    return shared_shape(
        PodShape(
            requests=pod_request(spec),
            limits=pod_limits(spec),
            unspecified=tuple(_unspecified(spec)),
            best_effort=_best_effort(spec),
            terminating=_has_deadline(spec),
            priority_class=intern(text_of(spec.get("priorityClassName"))),
            crosses_namespaces=crosses_namespaces(spec),
        )
    )


def request_shape(requests: ResourceVector, priority_class: str = "") -> PodShape:
    """The shape of pods of which only the requests are known: their limits are at least that."""
    return shared_shape(
        PodShape(
            requests=requests,
            limits=requests,
            best_effort=not any(requests[name] for name in COMPUTE),
            priority_class=intern(priority_class),
        )
    )


def shapes_of_pod_sets(
    pod_sets: object, request: ResourceVector, priority_class: str = ""
) -> PodGroups:
    """The groups of a unit's spec.podSet; without readable ones, one pod that asks for all."""
    groups: list[PodGroup] = []
    if isinstance(pod_sets, (list, tuple)):
        for pod_set in pod_sets:
            group = _group(mapping_of(pod_set), priority_class)
            if group is None:
                groups.clear()
                break
            groups.append(group)
    return shared_groups(tuple(groups) or (_one_pod(request, priority_class),))


def shapes_of_admissions(admissions: object, asked: PodGroups) -> PodGroups:
    """The groups that hold quota: as many pods of each as status.admissions says.

    A set that the unit asks for no more is taken by the resources it holds. Where nothing is said,
    all is said in one, or nothing of it can be read, everything asked for is held.
    """
    if not isinstance(admissions, (list, tuple)) or not admissions:
        return asked
    by_name = {group.name or _UNNAMED: group for group in asked}
    if len(admissions) == 1 and text_of(mapping_of(admissions[0]).get("name")) not in by_name:
        return asked
    held: list[PodGroup] = []
    for entry in map(mapping_of, admissions):
        name, count = text_of(entry.get("name")), entry.get("replicas")
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            return asked
        group = by_name.get(name)
        if group is not None:
            held.append(PodGroup(group.name, count, group.shape))
            continue
        try:
            whole = ResourceVector.parse(entry.get("resources"))
        except InvalidInput:
            return asked
        held.append(PodGroup(intern(name), 1, request_shape(whole)))
    return shared_groups(tuple(held))


def crosses_namespaces(spec: Mapping[str, Any]) -> bool:
    """Whether a pod affinity term of the spec names namespaces or selects them."""
    affinity = mapping_of(spec.get("affinity"))
    for kind in ("podAffinity", "podAntiAffinity"):
        rules = mapping_of(affinity.get(kind))
        for field, inner in (
            ("requiredDuringSchedulingIgnoredDuringExecution", ""),
            ("preferredDuringSchedulingIgnoredDuringExecution", "podAffinityTerm"),
        ):
            for entry in _list(rules.get(field)):
                term = mapping_of(mapping_of(entry).get(inner)) if inner else mapping_of(entry)
                if term.get("namespaces") or term.get("namespaceSelector") is not None:
                    return True
    return False


@lru_cache(maxsize=_SHARED)
def shared_shape(shape: PodShape) -> PodShape:
    """One value for all pods of this shape."""
    return shape


@lru_cache(maxsize=_SHARED)
def shared_groups(groups: PodGroups) -> PodGroups:
    """One value for all units of these groups."""
    return groups


def _group(pod_set: Mapping[str, Any], priority_class: str) -> PodGroup | None:
    count = pod_set.get("count")
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        return None
    template, requests = pod_set.get("template"), pod_set.get("requests")
    try:
        if template is not None:
            shape = pod_shape(mapping_of(mapping_of(template).get("spec")))
        elif requests is not None:
            shape = request_shape(ResourceVector.parse(requests), priority_class)
        else:
            return None
    except InvalidInput:
        return None
    return PodGroup(intern(text_of(pod_set.get("name"))), count, shape)


def _one_pod(request: ResourceVector, priority_class: str) -> PodGroup:
    return PodGroup("", 1, request_shape(request, priority_class))


def _unspecified(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if _has_pod_level(spec):
        return
    for container in _containers(spec):
        limits, requests = _resources(container)
        name = text_of(container.get("name"))
        for resource in COMPUTE:
            if resource not in requests and resource not in limits:
                yield f"requests.{resource}", name
            if resource not in limits:
                yield f"limits.{resource}", name


def _best_effort(spec: Mapping[str, Any]) -> bool:
    # Where a pod has resources of its own, they alone decide.
    holders = [spec] if isinstance(spec.get("resources"), Mapping) else list(_containers(spec))
    for holder in holders:
        for amounts in _resources(holder):
            if ResourceVector.parse({name: amounts.get(name, 0) for name in COMPUTE}):
                return False
    return True


def _has_pod_level(spec: Mapping[str, Any]) -> bool:
    return any(
        name in COMPUTE or str(name).startswith("hugepages-")
        for amounts in _resources(spec)
        for name in amounts
    )


def _has_deadline(spec: Mapping[str, Any]) -> bool:
    seconds = spec.get("activeDeadlineSeconds")
    return isinstance(seconds, int) and not isinstance(seconds, bool) and seconds >= 0


def _containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for field in ("containers", "initContainers"):
        yield from map(mapping_of, _list(spec.get(field)))


def _resources(holder: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Limits and requests of a container, or of a pod itself."""
    resources = mapping_of(holder.get("resources"))
    return mapping_of(resources.get("limits")), mapping_of(resources.get("requests"))


def _list(value: object) -> list[Any] | tuple[Any, ...]:
    return value if isinstance(value, (list, tuple)) else []
