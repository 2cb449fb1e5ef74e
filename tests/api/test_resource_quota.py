"""What ResourceQuotas bound, count and refuse."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.pod_shapes import (
    PodGroup,
    PodShape,
    pod_shape,
    request_shape,
    shapes_of_admissions,
    shapes_of_pod_sets,
)
from kube_queue.api.resource_quota import (
    ResourceQuota,
    charge_of,
    counts_pods,
    leaf_of,
    namespace_leaf,
    namespace_of,
    read_resource_quota,
    refusal,
    tree_of_namespaces,
)
from kube_queue.api.resources import ResourceVector, format_amount
from kube_queue.api.units import project_unit, with_pods

Object = dict[str, Any]


def quota(hard: Object, name: str = "q", **spec: Any) -> ResourceQuota:
    metadata = {"namespace": "team", "name": name}
    return read_resource_quota({"metadata": metadata, "spec": {"hard": hard, **spec}})


def container(name: str = "main", **resources: Object) -> Object:
    return {"name": name, "resources": resources}


def pods(count: int = 1, **spec: Any) -> PodGroup:
    return PodGroup("worker", count, pod_shape(spec))


def plain(cpu: str = "1", count: int = 1, **spec: Any) -> PodGroup:
    return pods(count, containers=[container(requests={"cpu": cpu})], **spec)


def charged(quotas: tuple[ResourceQuota, ...], *groups: PodGroup) -> dict[str, int]:
    return dict(charge_of(quotas, groups).items)


# --- keys -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["cpu", "requests.cpu"])
def test_cpu_means_requests_cpu(key: str) -> None:
    assert charged((quota({key: "4"}),), plain("1500m", count=2)) == {f"q:{key}": 3000}


@pytest.mark.parametrize(
    ("key", "amount"),
    [
        ("memory", 2 * 2**30),
        ("requests.memory", 2 * 2**30),
        ("limits.memory", 4 * 2**30),
        ("limits.cpu", 4000),
        ("ephemeral-storage", 2 * 10**9),
        ("requests.ephemeral-storage", 2 * 10**9),
        ("limits.ephemeral-storage", 4 * 10**9),
        ("requests.nvidia.com/gpu", 2),
        ("hugepages-2Mi", 2 * 2**21),
        ("requests.hugepages-2Mi", 2 * 2**21),
        ("pods", 2),
        ("count/pods", 2),
    ],
)
def test_each_key_about_pods_is_charged_its_own_amount(key: str, amount: int) -> None:
    requests = {
        "cpu": "1",
        "memory": "1Gi",
        "ephemeral-storage": "1G",
        "nvidia.com/gpu": 1,
        "hugepages-2Mi": "2Mi",
    }
    limits = {**requests, "cpu": "2", "memory": "2Gi", "ephemeral-storage": "2G"}
    group = pods(2, containers=[container(requests=requests, limits=limits)])
    assert charged((quota({key: "100Gi"}),), group) == {f"q:{key}": amount}


@pytest.mark.parametrize(
    "key",
    [
        "count/jobs.batch",
        "count/deployments.apps",
        "services",
        "requests.storage",
        "persistentvolumeclaims",
        "gold.storageclass.storage.k8s.io/requests.storage",
        "nvidia.com/gpu",
    ],
)
def test_keys_that_are_not_about_pods_are_not_checked(key: str) -> None:
    assert not counts_pods(key)
    assert quota({key: "0"}).hard == ()


def test_two_quotas_of_a_namespace_keep_their_sums_apart() -> None:
    both = (quota({"cpu": "4"}, "a"), quota({"cpu": "2", "pods": "1"}, "b"))
    assert charged(both, plain("1")) == {"a:cpu": 1000, "b:cpu": 1000, "b:pods": 1}


def test_an_amount_that_cannot_be_read_allows_nothing() -> None:
    assert quota({"cpu": "lots", "pods": "3"}).hard == (("cpu", 0), ("pods", 3))


def test_amounts_are_exact_beyond_64_bits() -> None:
    huge = str(2**70)
    group = pods(3, containers=[container(requests={"memory": huge})])
    assert charged((quota({"memory": huge}),), group) == {"q:memory": 3 * 2**70}


def test_a_bound_is_printed_in_the_unit_of_its_key() -> None:
    assert format_amount("compute:requests.cpu", 1500) == "1500m"
    assert format_amount("compute:limits.memory", 2**30) == "1Gi"


# --- scopes -----------------------------------------------------------------------------------

BEST_EFFORT = pods(containers=[container()])
BURSTABLE = plain()
WITH_DEADLINE = plain(activeDeadlineSeconds=60)


@pytest.mark.parametrize(
    ("scope", "counted", "passed"),
    [
        ("BestEffort", BEST_EFFORT, BURSTABLE),
        ("NotBestEffort", BURSTABLE, BEST_EFFORT),
        ("Terminating", WITH_DEADLINE, BURSTABLE),
        ("NotTerminating", BURSTABLE, WITH_DEADLINE),
    ],
)
def test_a_scope_counts_only_the_pods_it_names(
    scope: str, counted: PodGroup, passed: PodGroup
) -> None:
    scoped = (quota({"pods": "1"}, scopes=[scope]),)
    assert charged(scoped, counted) == {"q:pods": 1}
    assert charged(scoped, passed) == {}


def test_all_scopes_of_a_quota_have_to_be_met() -> None:
    scoped = (quota({"pods": "1"}, scopes=["NotTerminating", "NotBestEffort"]),)
    assert charged(scoped, BURSTABLE) == {"q:pods": 1}
    assert charged(scoped, BEST_EFFORT) == {}
    assert charged(scoped, WITH_DEADLINE) == {}


def test_a_scope_decides_for_each_pod_set_of_a_job_alone() -> None:
    scoped = (quota({"pods": "9"}, scopes=["BestEffort"]),)
    assert charged(scoped, BEST_EFFORT, plain(count=5)) == {"q:pods": 1}


def of_class(*rule: Any) -> tuple[ResourceQuota]:
    entry: Object = {"scopeName": "PriorityClass", "operator": rule[0]}
    if len(rule) > 1:
        entry["values"] = list(rule[1:])
    return (quota({"pods": "1"}, scopeSelector={"matchExpressions": [entry]}),)


@pytest.mark.parametrize(
    ("rule", "none", "high", "low"),
    [
        (("In", "high"), False, True, False),
        (("NotIn", "high"), True, False, True),
        (("Exists",), False, True, True),
        (("DoesNotExist",), True, False, False),
        (("Whatever", "high"), False, False, False),
    ],
)
def test_a_selector_of_priority_classes_counts_as_its_operator_says(
    rule: tuple[str, ...], none: bool, high: bool, low: bool
) -> None:
    found = [
        bool(charged(of_class(*rule), plain(priorityClassName=name)))
        for name in ("", "high", "low")
    ]
    assert found == [none, high, low]


def test_the_scope_priority_class_means_that_there_is_one() -> None:
    scoped = (quota({"pods": "1"}, scopes=["PriorityClass"]),)
    assert charged(scoped, plain(priorityClassName="any")) == {"q:pods": 1}
    assert charged(scoped, plain()) == {}


def test_affinity_to_other_namespaces_is_a_scope() -> None:
    scoped = (quota({"pods": "1"}, scopes=["CrossNamespacePodAffinity"]),)
    term = {"topologyKey": "zone", "namespaces": ["other"]}
    hard = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    soft = {
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]
    }
    assert charged(scoped, plain(affinity={"podAffinity": hard})) == {"q:pods": 1}
    assert charged(scoped, plain(affinity={"podAntiAffinity": soft})) == {"q:pods": 1}
    assert charged(scoped, plain()) == {}


def test_a_scope_that_is_not_about_pods_counts_none() -> None:
    scoped = (quota({"pods": "1"}, scopes=["VolumeAttributesClass"]),)
    assert charged(scoped, plain()) == {}


# --- refusals ---------------------------------------------------------------------------------


def said(quotas: tuple[ResourceQuota, ...], *groups: PodGroup) -> str:
    return refusal(quotas, groups)


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("cpu", "requests.cpu"),
        ("requests.cpu", "requests.cpu"),
        ("memory", "requests.memory"),
        ("limits.cpu", "limits.cpu"),
        ("limits.memory", "limits.memory"),
    ],
)
def test_a_quota_on_cpu_or_memory_refuses_pods_that_do_not_specify_it(key: str, what: str) -> None:
    sentence = said((quota({key: "4"}),), pods(2, containers=[container("a"), container("b")]))
    assert sentence == f"ResourceQuota team/q refuses pods of worker: must specify {what} for: a, b"


@pytest.mark.parametrize("key", ["pods", "requests.nvidia.com/gpu", "ephemeral-storage"])
def test_a_quota_on_anything_else_refuses_nothing(key: str) -> None:
    assert said((quota({key: "4"}),), pods(containers=[container()])) == ""


def test_every_init_container_has_to_specify_it_too() -> None:
    group = plain(initContainers=[container("setup")])
    assert "for: setup" in said((quota({"cpu": "4"}),), group)


def test_a_limit_specifies_the_request_as_well() -> None:
    group = pods(containers=[container(limits={"cpu": "1"})])
    assert said((quota({"requests.cpu": "4", "limits.cpu": "4"}),), group) == ""


def test_zero_is_specified() -> None:
    group = pods(containers=[container(requests={"cpu": 0}, limits={"cpu": 0})])
    assert said((quota({"cpu": "4", "limits.cpu": "4"}),), group) == ""


def test_a_pod_with_resources_of_its_own_need_not_specify_them_by_container() -> None:
    group = pods(resources={"requests": {"cpu": "2"}}, containers=[container()])
    quotas = (quota({"cpu": "4", "limits.memory": "4Gi"}),)
    assert said(quotas, group) == ""
    assert charged(quotas, group) == {"q:cpu": 2000}


def test_a_quota_refuses_no_pods_outside_its_scopes() -> None:
    scoped = (quota({"cpu": "4"}, scopes=["Terminating"]),)
    assert said(scoped, pods(containers=[container()])) == ""


def test_pods_of_which_only_requests_are_known_are_not_refused() -> None:
    group = PodGroup("driver", 1, request_shape(ResourceVector.parse({"cpu": "1"})))
    quotas = (quota({"limits.cpu": "4", "limits.memory": "1Gi"}),)
    assert said(quotas, group) == ""
    assert charged(quotas, group) == {"q:limits.cpu": 1000}


# --- limits of a pod ----------------------------------------------------------------------------


def test_limits_of_init_containers_count_as_the_most_at_once() -> None:
    shape = pod_shape(
        {
            "containers": [container(limits={"cpu": "1"}), container(limits={"cpu": "1"})],
            "initContainers": [
                {**container(limits={"cpu": "1"}), "restartPolicy": "Always"},
                container(limits={"cpu": "5"}),
            ],
        }
    )
    assert shape.limits["cpu"] == 6000


def test_overhead_adds_to_what_is_limited_only() -> None:
    spec = {
        "containers": [container(limits={"cpu": "1"}, requests={"cpu": "1", "memory": "1Gi"})],
        "overhead": {"cpu": "100m", "memory": "1Gi"},
    }
    shape = pod_shape(spec)
    assert dict(shape.limits.items) == {"cpu": 1100}
    assert dict(shape.requests.items) == {"cpu": 1100, "memory": 2 * 2**30}


def test_a_pod_that_ended_still_exists() -> None:
    ended = PodShape(ResourceVector.parse({"cpu": "1"}), ResourceVector.of({}), ended=True)
    quotas = (quota({"cpu": "4", "pods": "4", "count/pods": "4"}),)
    assert charged(quotas, PodGroup("", 2, ended)) == {"q:count/pods": 2}


# --- units --------------------------------------------------------------------------------------


def unit(*pod_sets: Object, status: Object | None = None, **spec: Any) -> Any:
    whole = {
        "metadata": {"namespace": "team", "name": "u", "uid": "u"},
        "spec": {"podSet": list(pod_sets) or None, **spec},
        "status": status or {},
    }
    return with_pods(project_unit(whole), whole)


def a_set(name: str, count: int, cpu: str, limit: str = "") -> Object:
    limits = {"cpu": limit} if limit else {}
    spec = {"containers": [container(requests={"cpu": cpu}, limits=limits)]}
    return {"name": name, "count": count, "template": {"spec": spec}}


def test_a_unit_is_charged_for_each_of_its_pod_sets() -> None:
    asked = unit(a_set("ps", 1, "1"), a_set("worker", 3, "2", limit="4")).asked_pods
    quotas = (quota({"cpu": "9", "limits.cpu": "99", "pods": "9"}),)
    assert charged(quotas, *asked) == {"q:cpu": 7000, "q:limits.cpu": 12000, "q:pods": 4}


def test_a_unit_without_pod_sets_counts_as_one_pod() -> None:
    asked = unit(resource={"cpu": "2"}, priorityClassName="high").asked_pods
    assert charged((quota({"cpu": "9", "pods": "9"}),), *asked) == {"q:cpu": 2000, "q:pods": 1}
    assert charged(of_class("In", "high"), *asked) == {"q:pods": 1}


def test_a_unit_holds_as_many_pods_as_its_admissions_say() -> None:
    status = {
        "phase": "Running",
        "admissions": [{"name": "worker", "replicas": 2, "resources": {"cpu": "4"}}],
    }
    held = unit(a_set("ps", 1, "1"), a_set("worker", 3, "2"), status=status).held_pods
    assert charged((quota({"cpu": "9", "pods": "9"}),), *held) == {"q:cpu": 4000, "q:pods": 2}


def test_an_admission_in_one_sum_holds_everything_the_unit_asks_for() -> None:
    asked = shapes_of_pod_sets([a_set("a", 1, "1"), a_set("b", 1, "1")], ResourceVector.of({}))
    whole = [{"name": "main", "replicas": 1, "resources": {"cpu": "2"}}]
    assert shapes_of_admissions(whole, asked) == asked


def test_an_admitted_set_that_is_asked_for_no_more_is_held_by_its_resources() -> None:
    asked = shapes_of_pod_sets([a_set("a", 1, "1")], ResourceVector.of({}))
    entries = [
        {"name": "a", "replicas": 1, "resources": {"cpu": "1"}},
        {"name": "gone", "replicas": 3, "resources": {"cpu": "5"}},
    ]
    held = shapes_of_admissions(entries, asked)
    assert charged((quota({"cpu": "9"}),), *held) == {"q:cpu": 6000}


def test_a_unit_that_waits_holds_nothing() -> None:
    assert unit(a_set("a", 1, "1")).held_pods == ()


# --- the tree -----------------------------------------------------------------------------------


def test_a_namespace_is_one_leaf_whose_min_and_max_are_its_quotas() -> None:
    leaf = namespace_leaf("team", (quota({"cpu": "4"}, "a"), quota({"pods": "2"}, "b")))
    assert leaf.path == leaf_of("team") == "ns-team"
    assert namespace_of(leaf.path) == "team"
    assert dict(leaf.max) == dict(leaf.min) == {"a:cpu": 4000, "b:pods": 2}


def test_leaves_of_namespaces_stand_side_by_side() -> None:
    tree = tree_of_namespaces([namespace_leaf("a", ()), namespace_leaf("b", ())])
    assert [leaf.path for leaf in tree.leaves()] == ["ns-a", "ns-b"]
    assert tree.chain("ns-a") == ("ns-a",)
    found = tree.leaf_for("", "b")
    assert found is not None and found.path == "ns-b"


@pytest.mark.parametrize("odd", [None, [], "x", {"hard": []}, {"hard": {"cpu": {}}, "scopes": "x"}])
def test_nothing_a_quota_holds_raises(odd: Any) -> None:
    found = read_resource_quota({"metadata": {"name": "q"}, "spec": odd})
    assert all(amount == 0 for _, amount in found.hard)
