"""The part of a job's pod template that ResourceQuotas look at, as the API server would make it.

A unit carries it only where ResourceQuotas are the quotas. Defaults that the server fills in when
it creates the pods are in it already: LimitRanges, the default PriorityClass, a RuntimeClass's
overhead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube_queue.api.loose import mapping_of
from kube_queue.api.pod_shapes import crosses_namespaces
from kube_queue.api.resources import EMPTY
from kube_queue.jobframework.fields import entries, section, text
from kube_queue.jobframework.surroundings import Surroundings


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
