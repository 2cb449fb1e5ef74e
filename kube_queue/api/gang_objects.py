"""PodGroup objects of all three kinds as gangs read them; odd content is a problem, never an error.

==========================  ==================================================================
scheduling.sigs.k8s.io      spec.minMember, scheduleTimeoutSeconds; our own definition
scheduling.x-k8s.io         the same, of the scheduler-plugins
scheduling.k8s.io           Kubernetes' own: spec.schedulingPolicy.gang.minCount (without gang each
                            pod by itself), spec.schedulingConstraints.topology[0].key
==========================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube_queue.api.gangs import GangSource, PodGroup
from kube_queue.api.loose import mapping_of, shown, text_of
from kube_queue.api.node_selectors import list_of

_LARGEST = 2**31 - 1


def pod_group_of(obj: Mapping[str, Any], source: GangSource) -> PodGroup:
    """The PodGroup an object of this kind stands for."""
    metadata, spec, status = (mapping_of(obj.get(part)) for part in ("metadata", "spec", "status"))
    problems: list[str] = []
    native = source is GangSource.SCHEDULING_GROUP
    return PodGroup(
        namespace=text_of(metadata.get("namespace")),
        name=text_of(metadata.get("name")),
        uid=text_of(metadata.get("uid")),
        resource_version=text_of(metadata.get("resourceVersion")),
        source=source,
        min_member=_min_count(spec, problems) if native else _min_member(spec, problems),
        topology_key=_topology_key(spec) if native else "",
        satisfied=_is_true(status, "Satisfied"),
        phase=text_of(status.get("phase")),
        controller_uid=_controller_uid(metadata),
        problem="; ".join(problems),
        satisfied_by=frozenset(map(text_of, list_of(status, "satisfiedBy"))),
    )


def _min_member(spec: Mapping[str, Any], problems: list[str]) -> int:
    value = spec.get("minMember")
    if value is None:
        return 1
    return _counted(value, "spec.minMember", problems)


def _min_count(spec: Mapping[str, Any], problems: list[str]) -> int:
    policy = mapping_of(spec.get("schedulingPolicy"))
    if "gang" not in policy:
        # The policy "basic": its pods have nothing to wait for.
        return 1
    path = "spec.schedulingPolicy.gang.minCount"
    return _counted(mapping_of(policy["gang"]).get("minCount"), path, problems)


def _counted(value: object, path: str, problems: list[str]) -> int:
    count = _count(value)
    if count is None:
        problems.append(f"{path}: {shown(value)} is no number of pods")
        return 0
    return count


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        return None
    return value


def _topology_key(spec: Mapping[str, Any]) -> str:
    topology = list_of(mapping_of(spec.get("schedulingConstraints")), "topology")
    return text_of(mapping_of(topology[0]).get("key")) if topology else ""


def _is_true(status: Mapping[str, Any], type_: str) -> bool:
    conditions = map(mapping_of, list_of(status, "conditions"))
    return any(each.get("type") == type_ and each.get("status") == "True" for each in conditions)


def _controller_uid(metadata: Mapping[str, Any]) -> str:
    for entry in map(mapping_of, list_of(metadata, "ownerReferences")):
        if entry.get("controller") is True:
            return text_of(entry.get("uid"))
    return ""
