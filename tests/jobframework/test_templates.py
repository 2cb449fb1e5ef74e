"""What a unit carries of its job's templates: what ResourceQuotas look at, and what nodes do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kube_queue.api.pod_requests import limit_range_limits
from kube_queue.api.pod_shapes import pod_shape
from kube_queue.api.resources import ResourceVector
from kube_queue.jobframework.decisions import CreateUnit, UpdateUnit
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue.jobframework.templates import lean_template, whereabouts
from tests.jobframework.builders import World, batch_world

BY_NAMESPACE = Surroundings(by_namespace=True)


def lean(surroundings: Surroundings = BY_NAMESPACE, **spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = lean_template({"spec": spec}, "team", surroundings)["spec"]
    return found


def test_only_what_resource_quotas_look_at_is_carried() -> None:
    container = {
        "name": "main",
        "image": "x",
        "env": [{"name": "A", "value": "b"}],
        "resources": {"requests": {"cpu": "1"}},
    }
    found = lean(containers=[container], nodeSelector={"a": "b"}, activeDeadlineSeconds=9)
    assert found == {
        "containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}],
        "activeDeadlineSeconds": 9,
    }


def test_a_limit_range_fills_in_limits_and_requests() -> None:
    ranges = [{"spec": {"limits": [{"type": "Container", "default": {"cpu": "2"}}]}}]
    around = replace(
        BY_NAMESPACE,
        container_defaults={"team": ResourceVector.parse({"cpu": "500m"})},
        container_limits={"team": limit_range_limits(ranges)},
    )
    shape = pod_shape(lean(around, containers=[{"name": "main"}]))
    assert (shape.requests["cpu"], shape.limits["cpu"]) == (500, 2000)
    own = {"name": "main", "resources": {"limits": {"cpu": "1"}}}
    shape = pod_shape(lean(around, containers=[own]))
    assert (shape.requests["cpu"], shape.limits["cpu"]) == (1000, 1000)


def test_the_default_priority_class_stands_for_a_missing_one() -> None:
    around = replace(BY_NAMESPACE, default_priority_class="normal")
    assert lean(around, containers=[])["priorityClassName"] == "normal"
    assert lean(around, containers=[], priorityClassName="high")["priorityClassName"] == "high"


def test_the_overhead_of_its_runtime_class_is_carried() -> None:
    around = replace(BY_NAMESPACE, overheads={"kata": ResourceVector.parse({"cpu": "250m"})})
    assert lean(around, runtimeClassName="kata")["overhead"] == {"cpu": "250m"}
    own = lean(around, runtimeClassName="kata", overhead={"cpu": "1"})
    assert own["overhead"] == {"cpu": "1"}


def test_affinity_is_carried_only_where_it_crosses_namespaces() -> None:
    term: dict[str, Any] = {"topologyKey": "zone"}
    rule = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert "affinity" not in lean(affinity=rule)
    term["namespaces"] = ["other"]
    assert lean(affinity=rule)["affinity"] == rule


def test_the_unit_of_a_job_goes_to_its_namespaces_queue_and_carries_the_template() -> None:
    world = batch_world()
    world.surroundings = BY_NAMESPACE
    world.go()
    assert world.unit is not None
    assert world.unit["spec"]["queue"] == "ns-default"
    [pods] = world.unit["spec"]["podSet"]
    assert pods["requests"]["cpu"] == "100m"
    assert pod_shape(pods["template"]["spec"]).requests["cpu"] == 100
    assert world.go() == []


def test_a_changed_limit_range_changes_the_template_of_a_waiting_unit() -> None:
    world = batch_world()
    world.surroundings = BY_NAMESPACE
    world.go()
    limits = {"default": ResourceVector.parse({"cpu": "3"})}
    world.surroundings = replace(BY_NAMESPACE, container_limits=limits)
    world.go()
    assert world.unit is not None
    [pods] = world.unit["spec"]["podSet"]
    assert pod_shape(pods["template"]["spec"]).limits["cpu"] == 3000


def test_under_a_quota_tree_units_carry_no_template_and_lose_a_former_one() -> None:
    world = batch_world()
    world.surroundings = BY_NAMESPACE
    world.go()
    world.surroundings = Surroundings()
    world.go()
    assert world.unit is not None
    [pods] = world.unit["spec"]["podSet"]
    assert "template" not in pods
    assert world.go() == []


ASKS_NODES = Surroundings(asks_nodes=True)
WHERE: dict[str, Any] = {
    "nodeSelector": {"pool": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
}


def asking_nodes() -> World:
    world = batch_world()
    world.surroundings = ASKS_NODES
    return world


def job_of(world: World) -> dict[str, Any]:
    assert world.job is not None
    return world.job


def test_where_nodes_are_asked_a_unit_says_where_its_pods_may_be_and_no_more() -> None:
    ports = [{"containerPort": 80}, {"containerPort": 22, "hostPort": 22, "name": None}]
    container = {
        "name": "main",
        "image": "x",
        "env": [{"name": "A", "value": "b"}],
        "ports": ports,
        "resources": {"requests": {"cpu": "1"}},
    }
    world = asking_nodes()
    template = job_of(world)["spec"]["template"]
    template["metadata"] = {"labels": {"app": "pi"}, "annotations": {"a": "b"}}
    template["spec"] |= {**WHERE, "containers": [container], "serviceAccountName": "x"}
    (decision,) = world.plan()
    assert isinstance(decision, CreateUnit)
    (pod_set,) = decision.manifest["spec"]["podSet"]
    assert pod_set["template"] == {
        "metadata": {"labels": {"app": "pi"}},
        "spec": {
            **WHERE,
            "containers": [
                {
                    "name": "main",
                    "ports": [{"containerPort": 22, "hostPort": 22}],
                    "resources": {"requests": {"cpu": "1"}},
                }
            ],
        },
    }


def test_a_unit_says_which_domain_its_pods_want_and_as_which_gang() -> None:
    world = asking_nodes()
    gang = {"pod-group.scheduling.sigs.k8s.io/name": "g"}
    told = {
        "alibabacloud.com/topology-aware-constraint": "{}",
        "gang.scheduling.koordinator.sh/name": "g",
    }
    template = job_of(world)["spec"]["template"]
    template["metadata"] = {"labels": gang, "annotations": {**told, "a": "b"}}
    template["spec"]["schedulerName"] = "kube-queue-scheduler"
    (decision,) = world.plan()
    assert isinstance(decision, CreateUnit)
    template = decision.manifest["spec"]["podSet"][0]["template"]
    assert template["metadata"] == {"labels": gang, "annotations": told}
    assert template["spec"]["schedulerName"] == "kube-queue-scheduler"
    world.go()
    assert world.plan() == ()


def test_a_job_that_may_be_elsewhere_changes_its_waiting_unit_once() -> None:
    world = asking_nodes()
    job_of(world)["spec"]["template"]["spec"] |= WHERE
    world.go()
    assert world.plan() == ()
    job_of(world)["spec"]["template"]["spec"]["nodeSelector"] = {"pool": "cpu"}
    (decision,) = world.plan()
    assert isinstance(decision, UpdateUnit)
    (pod_set,) = decision.patch["spec"]["podSet"]
    assert pod_set["template"]["spec"]["nodeSelector"] == {"pool": "cpu"}
    world.go()
    assert world.plan() == ()


def test_nobody_asks_nodes_unless_told_to() -> None:
    world = batch_world()
    job_of(world)["spec"]["template"]["spec"] |= WHERE
    (decision,) = world.plan()
    assert isinstance(decision, CreateUnit)
    assert "template" not in decision.manifest["spec"]["podSet"][0]


def test_nulls_say_what_absent_fields_do() -> None:
    affinity = {"podAffinity": None, "nodeAffinity": {"x": [{"y": None, "z": 1}]}}
    less = {"nodeAffinity": {"x": [{"z": 1}]}}
    assert whereabouts({"spec": {"affinity": affinity}}) == whereabouts(
        {"spec": {"affinity": less}}
    )
    assert whereabouts({"spec": {"nodeSelector": None, "tolerations": []}}) == ""
