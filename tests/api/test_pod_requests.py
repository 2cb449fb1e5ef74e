"""A pod asks for what kube-scheduler would reserve for it."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.errors import InvalidInput
from kube_queue.api.pod_requests import limit_range_defaults, pod_request
from kube_queue.api.resources import EMPTY, ResourceVector


def asking(cpu: str | None = None, limit: str | None = None, **fields: Any) -> dict[str, Any]:
    resources: dict[str, Any] = {}
    if cpu is not None:
        resources["requests"] = {"cpu": cpu}
    if limit is not None:
        resources["limits"] = {"cpu": limit}
    return {"name": "c", "resources": resources, **fields}


def sidecar(cpu: str) -> dict[str, Any]:
    return asking(cpu, restartPolicy="Always")


def cpu_of(pod_spec: dict[str, Any], runtime_overhead: ResourceVector = EMPTY) -> int:
    return pod_request(pod_spec, runtime_overhead=runtime_overhead)["cpu"]


@pytest.mark.parametrize(
    ("pod_spec", "millicores"),
    [
        ({"containers": [asking("1"), asking("500m")]}, 1500),
        ({"containers": [asking("1")], "initContainers": [asking("3")]}, 3000),
        ({"containers": [asking("2")], "initContainers": [asking("1"), asking("1")]}, 2000),
        ({"containers": [asking("1")], "initContainers": [sidecar("1")]}, 2000),
        ({"containers": [asking("1")], "initContainers": [sidecar("1"), asking("3")]}, 4000),
        ({"containers": [asking("1")], "initContainers": [asking("3"), sidecar("1")]}, 3000),
        ({"containers": [asking("1")], "overhead": {"cpu": "250m"}}, 1250),
        ({"containers": [asking(limit="2")]}, 2000),
        ({"containers": [asking("0", limit="2")]}, 0),
        ({"containers": [asking("1"), asking("1")], "resources": {"requests": {"cpu": 5}}}, 5000),
        ({"containers": [asking("4")], "resources": {"requests": {"cpu": 1}}}, 1000),
        ({"containers": [asking()], "resources": {"limits": {"cpu": 3}}}, 3000),
        ({"containers": [asking("1")], "resources": {"limits": {"cpu": 3}}}, 1000),
        ({}, 0),
        ({"containers": None}, 0),
        ({"containers": [{"name": "c"}]}, 0),
    ],
)
def test_the_kubernetes_rule(pod_spec: dict[str, Any], millicores: int) -> None:
    assert cpu_of(pod_spec) == millicores


def test_pod_level_resources_leave_devices_to_the_containers() -> None:
    container = {"resources": {"limits": {"nvidia.com/gpu": 2, "hugepages-2Mi": "4Mi"}}}
    level = {"requests": {"nvidia.com/gpu": 9, "hugepages-2Mi": "8Mi"}}
    request = pod_request({"containers": [container], "resources": level})
    assert request.items == (("hugepages-2Mi", 8 * 2**20), ("nvidia.com/gpu", 2))


def test_defaults_stand_in_only_where_a_container_says_nothing() -> None:
    defaults = ResourceVector.parse({"cpu": "250m", "memory": "1Gi"})
    pod_spec = {"containers": [{"name": "silent"}, asking("1"), asking(limit="2"), asking("0")]}
    request = pod_request(pod_spec, container_defaults=defaults)
    assert request["cpu"] == 250 + 1000 + 2000
    assert request["memory"] == 4 * 2**30


def test_the_runtimes_overhead_counts_only_without_the_pods_own() -> None:
    overhead = ResourceVector.parse({"cpu": "1"})
    assert cpu_of({"containers": [asking("1")]}, runtime_overhead=overhead) == 2000
    own = {"containers": [asking("1")], "overhead": {"cpu": "100m"}}
    assert cpu_of(own, runtime_overhead=overhead) == 1100


@pytest.mark.parametrize(
    ("pod_spec", "path"),
    [
        ({"containers": [asking("x")]}, "spec.containers[0].resources.requests.cpu"),
        (
            {"containers": [], "initContainers": [asking("1"), asking("1", limit="-2")]},
            "spec.initContainers[1].resources.limits.cpu",
        ),
        ({"containers": {}}, "spec.containers"),
        ({"containers": ["c"]}, "spec.containers[0]"),
        ({"containers": [{"resources": []}]}, "spec.containers[0].resources"),
        ({"containers": [], "overhead": {"cpu": []}}, "spec.overhead.cpu"),
        (
            {"containers": [], "resources": {"requests": {"cpu": "?"}}},
            "spec.resources.requests.cpu",
        ),
        ({"containers": [], "resources": "1"}, "spec.resources"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_path(pod_spec: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        pod_request(pod_spec)
    assert refusal.value.path == path


@pytest.mark.parametrize(
    ("item", "millicores"),
    [
        ({"defaultRequest": {"cpu": "1"}, "default": {"cpu": "2"}}, 1000),
        ({"default": {"cpu": "2"}, "max": {"cpu": "3"}, "min": {"cpu": "1"}}, 2000),
        ({"max": {"cpu": "3"}, "min": {"cpu": "1"}}, 3000),
        ({"min": {"cpu": "1"}}, 1000),
        ({}, 0),
    ],
)
def test_a_limit_range_gives_its_nearest_default(item: dict[str, Any], millicores: int) -> None:
    limit_range = {"spec": {"limits": [{"type": "Pod", "min": {"cpu": 9}}]}}
    limit_range["spec"]["limits"].append({"type": "Container", **item})
    assert limit_range_defaults([limit_range])["cpu"] == millicores


def test_of_two_limit_ranges_the_first_counts_for_each_resource() -> None:
    first = {"spec": {"limits": [{"type": "Container", "default": {"cpu": 1}}]}}
    second = {"spec": {"limits": [{"type": "Container", "default": {"cpu": 2, "memory": 5}}]}}
    assert limit_range_defaults([first, second]).items == (("cpu", 1000), ("memory", 5))
    assert limit_range_defaults([{}, {"spec": None}]) is EMPTY
