"""The part of a job's pod template that somebody looks at, as the API server would make it.

A unit carries what ResourceQuotas look at where they are the quotas, and what nodes look at where
they are asked before its job is released. Defaults that the server fills in when
it creates the pods are in it already: LimitRanges, the default PriorityClass, a RuntimeClass's
overhead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from kube_queue.api.gangs import GANG_ANNOTATIONS
from kube_queue.api.loose import mapping_of
from kube_queue.api.names import CONSTRAINT_ANNOTATION
from kube_queue.api.pod_shapes import crosses_namespaces
from kube_queue.api.resources import EMPTY
from kube_queue.jobframework.fields import entries, section, text
from kube_queue.jobframework.surroundings import Surroundings

_WHEREABOUTS: Final = (
    "nodeSelector",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "hostNetwork",
)
_CONSTRAINED: Final = ("schedulerName", "schedulingGroup")
"""Who places the pods, and as which gang: matters where a gang wants one domain."""


def lean_template(
    template: Mapping[str, Any], namespace: str, surroundings: Surroundings
) -> dict[str, Any]:
    """What of the template decides how ResourceQuotas of the namespace charge its pods."""
    given = section(template, "spec")
    spec: dict[str, Any] = {}
    for field in ("containers", "initContainers"):
        containers = [_container(one, namespace, surroundings) for one in entries(given, field)]
        if containers:
            spec[field] = containers
    for field in ("resources", "activeDeadlineSeconds"):
        if given.get(field) is not None:
            spec[field] = given[field]
    overhead = given.get("overhead")
    if overhead is None:
        overhead = surroundings.overheads.get(text(given, "runtimeClassName"), EMPTY).manifest()
    if overhead:
        spec["overhead"] = overhead
    priority_class = text(given, "priorityClassName") or surroundings.default_priority_class
    if priority_class:
        spec["priorityClassName"] = priority_class
    if crosses_namespaces(given):
        spec["affinity"] = given["affinity"]
    return {"spec": spec}


def template_for_nodes(
    template: Mapping[str, Any], namespace: str, surroundings: Surroundings
) -> dict[str, Any]:
    """What of the template decides on which nodes its pods may be, ResourceQuotas aside."""
    plain = replace(surroundings, container_limits={}, default_priority_class="")
    return with_whereabouts(lean_template(template, namespace, plain), template)


def with_whereabouts(lean: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """The lean template, and what the whole one says of where its pods may be."""
    metadata, where = _whereabouts(template)
    spec = {**section(lean, "spec"), **where}
    for field in ("containers", "initContainers"):
        held = [_host_ports(one) for one in entries(template, "spec", field)]
        if any(held):
            spec[field] = [
                {**one, "ports": ports} if ports else one
                for one, ports in zip(entries(lean, "spec", field), held, strict=True)
            ]
    return {**({"metadata": metadata} if metadata else {}), "spec": spec}


def whereabouts(template: Mapping[str, Any]) -> str:
    """One text for all templates whose pods may be on the same nodes, room aside; empty for those
    that say nothing of it.
    """
    if not template:
        return ""
    metadata, found = _whereabouts(template)
    for field in ("containers", "initContainers"):
        ports = [_host_ports(one) for one in entries(template, "spec", field)]
        if any(ports):
            found[field] = ports
    if metadata:
        found["metadata"] = metadata
    return json.dumps(found, sort_keys=True) if found else ""


def _whereabouts(template: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What metadata and spec of the template say of the places of its pods."""
    labels, annotations = (section(template, "metadata", of) for of in ("labels", "annotations"))
    spec = section(template, "spec")
    metadata = {"labels": dict(labels)} if labels else {}
    fields: tuple[str, ...] = _WHEREABOUTS
    if annotations.get(CONSTRAINT_ANNOTATION):
        fields += _CONSTRAINED
        kept = (name for name in GANG_ANNOTATIONS if name in annotations)
        metadata["annotations"] = {name: annotations[name] for name in kept}
    return metadata, {name: _without_nulls(spec[name]) for name in fields if spec.get(name)}


def _host_ports(container: Mapping[str, Any]) -> list[dict[str, Any]]:
    ports = [_without_nulls(one) for one in entries(container, "ports") if one.get("hostPort")]
    return [dict(one) for one in ports]


def _without_nulls(value: Any) -> Any:
    """A null says what an absent field does, and may not come back from the API server."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value


def _container(
    container: Mapping[str, Any], namespace: str, surroundings: Surroundings
) -> dict[str, Any]:
    resources = mapping_of(container.get("resources"))
    own = mapping_of(resources.get("limits"))
    limits = {**surroundings.container_limits.get(namespace, EMPTY).manifest(), **own}
    requests = {
        **surroundings.container_defaults.get(namespace, EMPTY).manifest(),
        **own,
        **mapping_of(resources.get("requests")),
    }
    lean: dict[str, Any] = {"name": text(container, "name")}
    if container.get("restartPolicy") is not None:
        lean["restartPolicy"] = container["restartPolicy"]
    filled = {"limits": limits, "requests": requests}
    kept = {name: amounts for name, amounts in filled.items() if amounts}
    if kept:
        lean["resources"] = kept
    return lean
