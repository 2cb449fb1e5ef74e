"""What a unit says about its job, at first and as the job changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.queue_unit import QueueUnit
from kube_queue.api.quota import parse_tree
from kube_queue.api.resources import ResourceVector
from kube_queue.jobframework.decisions import CreateUnit, UpdateUnit
from kube_queue.jobframework.extension import PodSet
from kube_queue.jobframework.requests import asked
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue.jobframework.unit_manifest import submitted
from tests.jobframework.builders import (
    CREATED_MICRO,
    World,
    a_template,
    batch_world,
    kinds,
    tf_world,
)

TREE, _ = parse_tree(
    {
        "metadata": {"name": "tree", "namespace": "kube-system"},
        "spec": {
            "root": {
                "name": "root",
                "children": [
                    {"name": "root.defaultQuotaGroup", "namespaces": ["default"]},
                    {"name": "other", "namespaces": []},
                ],
            }
        },
    }
)


QUOTA = "quota.scheduling.alibabacloud.com/name"
PREEMPTIBLE = "quota.scheduling.alibabacloud.com/preemptible"


def created(world: World) -> dict[str, Any]:
    decision = world.plan()[0]
    assert isinstance(decision, CreateUnit)
    return decision.manifest


def warnings(world: World) -> list[tuple[str, str]]:
    decision = world.plan()[0]
    assert isinstance(decision, CreateUnit | UpdateUnit)
    return [(emit.reason.value, emit.message) for emit in decision.says if emit.warning]


def test_the_unit_of_a_tfjob_names_it_owns_nothing_and_asks_for_all_its_pods() -> None:
    unit = created(tf_world())
    assert unit["metadata"]["name"] == "job1-tf-qu"
    assert unit["spec"]["consumerRef"] == {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "namespace": "default",
        "name": "job1",
        "uid": "uid-job1",
    }
    (owner,) = unit["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"], owner["blockOwnerDeletion"]) == (
        "uid-job1",
        False,
        False,
    )
    assert unit["spec"]["resource"] == {"cpu": "3", "memory": "3Gi"}
    assert unit["spec"]["request"] == unit["spec"]["resource"]
    assert [(each["name"], each["count"]) for each in unit["spec"]["podSet"]] == [
        ("PS", 1),
        ("Worker", 2),
    ]
    assert unit["spec"]["podSet"][0]["requests"] == {"cpu": "1", "memory": "1Gi"}


def test_the_unit_is_what_the_queue_unit_model_describes() -> None:
    model = QueueUnit.model_validate(created(tf_world()))
    assert model.spec.consumer_ref is not None
    assert model.spec.consumer_ref.name == "job1"


def test_the_unit_of_a_job_asks_for_what_the_documentation_says() -> None:
    unit = created(batch_world())
    assert unit["metadata"]["name"] == "pi-job-qu"
    assert unit["spec"]["resource"]["cpu"] == "100m"


def test_quota_and_preemptible_labels_are_carried_over_and_no_others() -> None:
    labels = {
        "quota.scheduling.koordinator.sh/name": "other",
        "quota.scheduling.alibabacloud.com/preemptible": "false",
        "team": "a",
    }
    world = tf_world().job_is({"metadata": {"labels": labels}})
    world.surroundings = Surroundings(tree=TREE)
    unit = created(world)
    assert unit["metadata"]["labels"] == {k: v for k, v in labels.items() if k != "team"}
    assert unit["spec"]["queue"] == "root-other"


def test_a_preemptible_label_that_says_nothing_counts_as_true_with_a_warning() -> None:
    world = tf_world().job_is({"metadata": {"labels": {PREEMPTIBLE: "perhaps"}}})
    ((_, message),) = warnings(world)
    assert message == (
        f"metadata.labels[{PREEMPTIBLE}]: 'perhaps' is neither true nor false; it counts as true"
    )
    world.go()
    assert world.view.unit.preemptible


def test_the_queue_is_the_named_one_else_the_leafs_else_left_to_the_controller() -> None:
    assert "queue" not in created(tf_world())["spec"]
    world = tf_world()
    world.surroundings = Surroundings(tree=TREE)
    assert created(world)["spec"]["queue"] == "root-root.defaultquotagroup"
    world.job_is({"metadata": {"annotations": {"kube-queue/queue-name": "mine"}}})
    assert created(world)["spec"]["queue"] == "mine"


def test_the_time_of_submission_has_the_microseconds_of_first_sight() -> None:
    world = tf_world()
    world.first_seen = CREATED_MICRO + 250_001
    annotations = created(world)["metadata"]["annotations"]
    assert annotations["kube-queue/job-enqueue-timestamp"] == "2026-01-31T12:00:00.250001Z"


@given(st.integers(0, 2**50), st.lists(st.integers(-(10**7), 10**7)))
def test_jobs_of_one_second_keep_the_order_in_which_they_were_seen(
    created_at: int, sights: list[int]
) -> None:
    found = [submitted(created_at, created_at + sight) for sight in sorted(sights)]
    assert found == sorted(found)
    assert all(0 <= each - created_at < 1_000_000 for each in found)


def test_a_long_job_name_is_cut_not_refused() -> None:
    name = created(tf_world(name="j" * 253))["metadata"]["name"]
    assert len(name) <= 253
    assert name.endswith("-tf-qu")


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        (
            {"spec": {"tfReplicaSpecs": {"Worker": {"template": a_template("4Gbit")}}}},
            "spec.tfReplicaSpecs.Worker.template.spec.containers[0].resources.requests.cpu: ",
        ),
        (
            {"spec": {"tfReplicaSpecs": {"Worker": {"template": None}}}},
            "spec.tfReplicaSpecs.Worker.template: is missing",
        ),
        (
            {"spec": {"tfReplicaSpecs": {"Worker": {"replicas": -3}}}},
            "spec.tfReplicaSpecs.Worker.replicas: -3 is not a number of pods",
        ),
        (
            {"spec": {"tfReplicaSpecs": {"Worker": {"replicas": 10**12}}}},
            "spec.tfReplicaSpecs.Worker.replicas: 1000000000000 is not a number of pods",
        ),
        (
            {"spec": {"tfReplicaSpecs": {"Worker": {"replicas": "two"}}}},
            "spec.tfReplicaSpecs.Worker.replicas: 'two' is not a whole number",
        ),
        (
            {"spec": {"tfReplicaSpecs": {"Worker": {"replicas": True}}}},
            "spec.tfReplicaSpecs.Worker.replicas: true is not a whole number",
        ),
        (
            {"spec": {"tfReplicaSpecs": {"Worker": {"template": {"spec": {"containers": None}}}}}},
            "spec.tfReplicaSpecs.Worker.template.spec.containers: a pod needs at least one",
        ),
        (
            {"spec": {"tfReplicaSpecs": {"Wroker": {"replicas": 1, "template": a_template()}}}},
            "spec.tfReplicaSpecs.Wroker: is no replica type; use one of Chief, Evaluator, Master,",
        ),
        (
            {
                "spec": {
                    "tfReplicaSpecs": {
                        "Worker": {"replicas": 2**31 - 1, "template": a_template("1", "8Ei")}
                    }
                }
            },
            "spec.tfReplicaSpecs.Worker",
        ),
        ({"spec": {"tfReplicaSpecs": None}}, "spec.tfReplicaSpecs: is missing"),
    ],
)
def test_a_job_that_cannot_be_read_gets_a_unit_that_is_held_and_says_why(
    patch: dict[str, Any], sentence: str
) -> None:
    world = tf_world().job_is(patch)
    ((reason, message),) = warnings(world)
    assert reason == "InvalidRequest"
    assert message.startswith(sentence)
    world.go()
    assert world.view.unit.invalid, "admission must never take it for a request of nothing"
    assert world.view.problem == message
    assert world.plan() == ()


def test_a_mended_job_is_queued_with_its_request() -> None:
    world = tf_world().job_is({"spec": {"tfReplicaSpecs": {"Worker": {"replicas": -1}}}})
    world.go()
    world.job_is({"spec": {"tfReplicaSpecs": {"Worker": {"replicas": 1}}}})
    assert kinds(world.go()) == ["UpdateUnit"]
    assert not world.view.unit.invalid
    assert not world.view.problem
    assert world.view.unit.request.manifest() == {"cpu": "2", "memory": "2Gi"}
    assert world.unit is not None
    assert world.unit["spec"]["request"] == {"cpu": "2", "memory": "2Gi"}


def test_a_changed_request_of_a_waiting_job_flows_and_the_original_stands() -> None:
    world = tf_world()
    world.go()
    world.job_is({"spec": {"tfReplicaSpecs": {"Worker": {"replicas": 5}}}})
    assert kinds(world.go()) == ["UpdateUnit"]
    assert world.unit is not None
    assert world.unit["spec"]["resource"] == {"cpu": "6", "memory": "6Gi"}
    assert world.unit["spec"]["request"] == {"cpu": "3", "memory": "3Gi"}


def test_pods_moved_between_pod_sets_flow_although_the_sum_stays() -> None:
    world = tf_world()
    world.go()
    counts = {"PS": {"replicas": 2}, "Worker": {"replicas": 1}}
    world.job_is({"spec": {"tfReplicaSpecs": counts}})
    assert kinds(world.go()) == ["UpdateUnit"]
    assert [each.count for each in world.view.pod_sets] == [2, 1]


def test_of_a_released_job_pods_that_are_more_or_larger_flow_and_nothing_unreadable() -> None:
    world = tf_world()
    world.go()
    world.admit().go()
    world.job_is({"spec": {"tfReplicaSpecs": {"Worker": {"replicas": -5}}}})
    assert world.plan() == ()
    specs = {"Worker": {"replicas": 5, "template": a_template(cpu="9")}}
    world.job_is({"spec": {"tfReplicaSpecs": specs}})
    assert kinds(world.go()) == ["UnitStatus", "UpdateUnit"]
    assert world.view.unit.held.manifest() == {"cpu": "46", "memory": "6Gi"}
    assert world.view.unit.request == world.view.unit.held
    assert [each.count for each in world.view.pod_sets] == [1, 5]


def test_a_class_of_a_released_job_flows_although_its_pods_cannot_be_read() -> None:
    world = tf_world()
    world.surroundings = Surroundings(priority_classes={"high": 100})
    world.go()
    world.admit().go()
    broken = a_template(cpu="nine", priorityClassName="high")
    world.job_is({"spec": {"tfReplicaSpecs": {"Worker": {"template": broken}}}})
    assert kinds(world.go()) == ["UpdateUnit"]
    assert world.view.unit.priority == 100
    assert world.view.unit.held.manifest() == {"cpu": "3", "memory": "3Gi"}


def test_a_changed_priority_of_the_job_flows_and_an_edit_of_the_unit_stands() -> None:
    world = tf_world()
    world.go()
    assert world.unit is not None
    world.unit["spec"]["priority"] = 50
    assert world.plan() == ()
    world.job_is({"metadata": {"annotations": {"scheduling.x-k8s.io/priority": "7"}}})
    assert kinds(world.go()) == ["UpdateUnit"]
    assert (world.view.unit.priority, world.view.unit.job_priority) == (7, 7)


def test_a_changed_priority_flows_to_an_admitted_unit_too() -> None:
    world = tf_world()
    world.go()
    world.admit().go()
    world.job_is({"metadata": {"annotations": {"scheduling.x-k8s.io/priority": "7"}}})
    world.go()
    assert world.view.unit.priority == 7


CLASSES = {"low": 10, "high": 100}


@pytest.mark.parametrize(
    ("patch", "priority", "class_name"),
    [
        ({}, 0, None),
        ({"metadata": {"annotations": {"scheduling.x-k8s.io/priority": "-5"}}}, -5, None),
        (
            {
                "metadata": {"annotations": {"scheduling.x-k8s.io/priority": "5"}},
                "spec": {"runPolicy": {"schedulingPolicy": {"priorityClass": "high"}}},
            },
            5,
            None,
        ),
        ({"spec": {"runPolicy": {"schedulingPolicy": {"priorityClass": "low"}}}}, 10, "low"),
        (
            {
                "spec": {
                    "tfReplicaSpecs": {
                        "PS": {"template": a_template(priorityClassName="low")},
                        "Worker": {"template": a_template(priorityClassName="high")},
                    }
                }
            },
            100,
            "high",
        ),
    ],
)
def test_priority_comes_from_annotation_else_class_else_the_highest_pod_template(
    patch: dict[str, Any], priority: int, class_name: str | None
) -> None:
    world = tf_world().job_is(patch)
    world.surroundings = Surroundings(priority_classes=CLASSES)
    spec = created(world)["spec"]
    assert (spec["priority"], spec.get("priorityClassName")) == (priority, class_name)
    assert warnings(world) == []


def test_a_missing_priority_class_counts_as_zero_with_a_warning() -> None:
    policy = {"schedulingPolicy": {"priorityClass": "nowhere"}}
    world = tf_world().job_is({"spec": {"runPolicy": policy}})
    ((reason, message),) = warnings(world)
    assert reason == "MissingPriorityClass"
    assert "nowhere" in message
    world.go()
    assert world.view.unit.priority == 0
    world.surroundings = Surroundings(priority_classes={"nowhere": 8})
    world.go()
    assert world.view.unit.priority == 8


@pytest.mark.parametrize("written", ["high", "1e3", "99999999999", "", "3.5"])
def test_an_unreadable_priority_is_ignored_with_a_warning(written: str) -> None:
    annotation = {"scheduling.x-k8s.io/priority": written}
    world = tf_world().job_is({"metadata": {"annotations": annotation}})
    ((_, message),) = warnings(world)
    assert "scheduling.x-k8s.io/priority" in message
    world.go()
    assert world.view.unit.priority == 0


def test_the_clusters_default_class_counts_where_nothing_is_named() -> None:
    world = tf_world()
    world.surroundings = Surroundings(priority_classes=CLASSES, default_priority_class="low")
    assert created(world)["spec"]["priority"] == 10


def test_defaults_of_the_namespace_and_overhead_of_the_runtime_are_asked_for() -> None:
    template = {"spec": {"containers": [{"name": "main"}], "runtimeClassName": "kata"}}
    world = batch_world(template=template)
    world.surroundings = Surroundings(
        container_defaults={"default": ResourceVector.of({"cpu": 200})},
        overheads={"kata": ResourceVector.of({"cpu": 50})},
    )
    assert created(world)["spec"]["resource"] == {"cpu": "250m"}


def test_more_groups_of_pods_than_a_unit_takes_are_refused_in_one_sentence() -> None:
    groups = [PodSet(f"role{number}", 1, "spec", template=a_template()) for number in range(33)]
    with pytest.raises(InvalidManifest, match="33 groups of pods"):
        asked(groups, "default", Surroundings())


def test_labels_of_a_waiting_job_flow_until_it_is_admitted() -> None:
    world = tf_world()
    world.go()
    world.job_is({"metadata": {"labels": {QUOTA: "other", PREEMPTIBLE: "false"}}})
    assert kinds(world.go()) == ["UpdateUnit"]
    assert (world.view.unit.quota, world.view.unit.preemptible) == ("other", False)
    world.job_is({"metadata": {"labels": {QUOTA: None, PREEMPTIBLE: None}}})
    assert kinds(world.go()) == ["UpdateUnit"]
    assert (world.view.unit.quota, world.view.unit.preemptible) == ("", True)
    world.admit().go()
    world.job_is({"metadata": {"labels": {QUOTA: "other"}}})
    assert world.plan() == ()
