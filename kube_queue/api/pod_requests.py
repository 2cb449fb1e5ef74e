"""What one pod asks the cluster for, by the rule kube-scheduler uses.

Per resource: the larger of (containers + restartable init containers) and, for each plain init
container, (its request + the restartable ones before it); then pod-level ``spec.resources``
replaces cpu, memory and hugepages; then overhead is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.loose import field_path
from kube_queue.api.resources import EMPTY, ResourceVector, parse_amount

_POD_LEVEL: Final = ("cpu", "memory")
_POD_LEVEL_PREFIX: Final = "hugepages-"


def pod_request(
    pod_spec: Mapping[str, Any],
    path: str = "spec",
    *,
    container_defaults: ResourceVector = EMPTY,
    runtime_overhead: ResourceVector = EMPTY,
) -> ResourceVector:
    """The sum one pod of this spec is scheduled by.

    ``container_defaults`` stands in for a resource a container neither requests nor limits (the
    namespace's LimitRange), ``runtime_overhead`` for an absent ``overhead`` (the RuntimeClass).
    Raises InvalidManifest or InvalidQuantity with the field's path, which starts with ``path``.
    """
    total = _of_containers(
        pod_spec,
        path,
        lambda container, where: _container_request(container, where, container_defaults),
    )
    total = _with_pod_level(total, pod_spec.get("resources"), f"{path}.resources")
    overhead = pod_spec.get("overhead")
    if overhead is None:
        return total + runtime_overhead
    return total + ResourceVector.parse(overhead, f"{path}.overhead")


def pod_limits(pod_spec: Mapping[str, Any], path: str = "spec") -> ResourceVector:
    """The sum of the limits of one pod of this spec, as a ResourceQuota charges them.

    Pod-level limits replace the containers'; overhead adds to what is limited at all. Raises
    InvalidManifest or InvalidQuantity with the field's path, which starts with ``path``.
    """
    total = _of_containers(pod_spec, path, _container_limits)
    amounts = dict(total.items)
    resources = pod_spec.get("resources")
    if isinstance(resources, Mapping):
        for name, amount in _amounts(resources.get("limits"), f"{path}.resources.limits").items():
            if _is_pod_level(name):
                amounts[name] = amount
    overhead = ResourceVector.parse(pod_spec.get("overhead"), f"{path}.overhead")
    for name, amount in overhead.items:
        if amounts.get(name):
            amounts[name] += amount
    return ResourceVector.of(amounts)


def limit_range_defaults(limit_ranges: Iterable[Mapping[str, Any]]) -> ResourceVector:
    """What containers without request and limit ask for under these LimitRanges.

    Of several defaults for one resource the first counts. A ``default`` limit, else a ``max``,
    stands for a missing ``defaultRequest``, else a ``min``. Raises InvalidQuantity with the path.
    """
    return _defaults(limit_ranges, ("defaultRequest", "default", "max", "min"))


def limit_range_limits(limit_ranges: Iterable[Mapping[str, Any]]) -> ResourceVector:
    """What containers without a limit are limited to under these LimitRanges.

    A ``max`` stands for a missing ``default``. Otherwise as ``limit_range_defaults``.
    """
    return _defaults(limit_ranges, ("default", "max"))


def _defaults(
    limit_ranges: Iterable[Mapping[str, Any]], sources: tuple[str, ...]
) -> ResourceVector:
    found: dict[str, int] = {}
    for limit_range in limit_ranges:
        spec = limit_range.get("spec")
        items = spec.get("limits") if isinstance(spec, Mapping) else None
        for index, item in enumerate(items if isinstance(items, Sequence) else ()):
            if not isinstance(item, Mapping) or item.get("type") != "Container":
                continue
            for source in sources:
                amounts = ResourceVector.parse(item.get(source), f"spec.limits[{index}].{source}")
                for name, amount in amounts.items:
                    found.setdefault(name, amount)
    return ResourceVector.of(found)


def _of_containers(
    pod_spec: Mapping[str, Any],
    path: str,
    asked_of: Callable[[Mapping[str, Any], str], ResourceVector],
) -> ResourceVector:
    """The most that is taken at once while the pod starts and runs."""
    steady = EMPTY
    sidecars = EMPTY
    peak = EMPTY
    for where, container in _containers(pod_spec, "containers", path):
        steady += asked_of(container, where)
    for where, container in _containers(pod_spec, "initContainers", path):
        asked = asked_of(container, where)
        if container.get("restartPolicy") == "Always":
            sidecars += asked
            peak = peak.highest(sidecars)
        else:
            peak = peak.highest(sidecars + asked)
    return (steady + sidecars).highest(peak)


def _containers(
    pod_spec: Mapping[str, Any], field: str, path: str
) -> Iterable[tuple[str, Mapping[str, Any]]]:
    containers = pod_spec.get(field)
    if containers is None:
        return
    if not isinstance(containers, (list, tuple)):
        raise InvalidManifest("a list of containers is expected", f"{path}.{field}")
    for index, container in enumerate(containers):
        where = f"{path}.{field}[{index}]"
        if not isinstance(container, Mapping):
            raise InvalidManifest("a container is expected", where)
        yield where, container


def _container_limits(container: Mapping[str, Any], path: str) -> ResourceVector:
    resources = container.get("resources")
    if resources is None:
        return EMPTY
    if not isinstance(resources, Mapping):
        raise InvalidManifest("a map with requests and limits is expected", f"{path}.resources")
    return ResourceVector.parse(resources.get("limits"), f"{path}.resources.limits")


def _container_request(
    container: Mapping[str, Any], path: str, defaults: ResourceVector
) -> ResourceVector:
    resources = container.get("resources")
    if resources is None:
        return defaults
    if not isinstance(resources, Mapping):
        raise InvalidManifest("a map with requests and limits is expected", f"{path}.resources")
    requests = resources.get("requests")
    limits = resources.get("limits")
    if not limits and not defaults:
        return ResourceVector.parse(requests, f"{path}.resources.requests")
    asked = {
        **dict(defaults.items),
        **_amounts(limits, f"{path}.resources.limits"),
        **_amounts(requests, f"{path}.resources.requests"),
    }
    return ResourceVector.of(asked)


def _amounts(quantities: object, path: str) -> dict[str, int]:
    """Amounts with zeros kept: an explicit request of zero beats a limit."""
    if quantities is None:
        return {}
    if not isinstance(quantities, Mapping):
        raise InvalidManifest("a map of resource names to quantities is expected", path)
    return {
        str(name): parse_amount(str(name), value, field_path(path, str(name)))
        for name, value in quantities.items()
    }


def _with_pod_level(total: ResourceVector, resources: object, path: str) -> ResourceVector:
    if resources is None:
        return total
    if not isinstance(resources, Mapping):
        raise InvalidManifest("a map with requests and limits is expected", path)
    amounts = dict(total.items)
    # A pod-level limit alone stands for the request only where no container asks for anything.
    for name, amount in _amounts(resources.get("limits"), f"{path}.limits").items():
        if _is_pod_level(name):
            amounts.setdefault(name, amount)
    for name, amount in _amounts(resources.get("requests"), f"{path}.requests").items():
        if _is_pod_level(name):
            amounts[name] = amount
    return ResourceVector.of(amounts)


def _is_pod_level(name: str) -> bool:
    return name in _POD_LEVEL or name.startswith(_POD_LEVEL_PREFIX)
