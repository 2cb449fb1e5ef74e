"""The projection of a unit reads every field and never raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.lifecycle import Phase
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.units import JobRef, Unit, order_key, project_unit, unit_name

NOON = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z in microseconds


def a_unit(
    spec: dict[str, Any] | None = None, status: object = None, **metadata: Any
) -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "ns",
            "name": "job1-tf-qu",
            "uid": "uid-1",
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-31T12:00:00Z",
            **metadata,
        },
        "spec": {"resource": {"cpu": "3", "memory": "3Gi"}, **(spec or {})},
        "status": status,
    }


def test_every_field_is_read() -> None:
    unit = project_unit(
        a_unit(
            spec={
                "consumerRef": {
                    "apiVersion": "kubeflow.org/v1",
                    "kind": "TFJob",
                    "namespace": "ns",
                    "name": "job1",
                    "uid": "job-uid",
                },
                "queue": "team-a",
                "priority": 5,
                "active": True,
            },
            status={
                "phase": "Dequeued",
                "reason": "Admitted",
                "message": "quota reserved",
                "attempts": 2,
                "requeueState": {"count": 1, "requeueAt": "2026-01-31T12:00:01Z"},
                "conditions": [{"type": "Evicted", "status": "True"}],
                "admissions": [
                    {"name": "PS", "replicas": 1, "resources": {"cpu": "1", "memory": "1Gi"}},
                    {"name": "Worker", "replicas": 2, "resources": {"cpu": "2", "memory": "2Gi"}},
                ],
            },
            labels={
                "quota.scheduling.alibabacloud.com/name": "root.a",
                "quota.scheduling.alibabacloud.com/preemptible": "false",
            },
            annotations={
                "kube-queue/job-enqueue-timestamp": "2026-01-31T12:00:00.000042Z",
                "kube-queue/job-priority": "-3",
            },
        )
    )
    assert unit == Unit(
        namespace="ns",
        name="job1-tf-qu",
        uid="uid-1",
        resource_version="7",
        job=JobRef("kubeflow.org/v1", "TFJob", "ns", "job1", "job-uid"),
        queue="team-a",
        quota="root.a",
        preemptible=False,
        priority=5,
        request=ResourceVector.parse({"cpu": 3, "memory": "3Gi"}),
        held=ResourceVector.parse({"cpu": 3, "memory": "3Gi"}),
        active=True,
        phase=Phase.DEQUEUED,
        reason="Admitted",
        message="quota reserved",
        submitted=NOON + 42,
        requeue_at=NOON + 1_000_000,
        attempts=2,
        evicted=True,
        job_priority=-3,
        invalid="",
    )
    assert unit.key == "ns/job1-tf-qu"


def test_a_bare_unit_waits_with_every_default() -> None:
    unit = project_unit({"metadata": {"namespace": "ns", "name": "n"}})
    assert unit.phase is Phase.ENQUEUED
    assert (unit.active, unit.preemptible, unit.priority, unit.job) == (True, True, 0, None)
    assert (unit.request, unit.held, unit.invalid) == (EMPTY, EMPTY, "")


def test_equal_requests_of_different_units_are_one_object() -> None:
    first, second = project_unit(a_unit()), project_unit(a_unit(name="other"))
    assert first.request is second.request


@pytest.mark.parametrize("phase", ["", "Enqueued", "Succeed", "Failed", "TimeoutBackoff"])
def test_a_unit_that_holds_no_quota_is_charged_nothing(phase: str) -> None:
    admissions = [{"name": "w", "resources": {"cpu": "1"}}]
    unit = project_unit(a_unit(status={"phase": phase, "admissions": admissions}))
    assert unit.held is EMPTY


@pytest.mark.parametrize("phase", ["Reserved", "Dequeued", "Running"])
def test_a_unit_that_holds_quota_without_saying_how_much_is_charged_its_request(
    phase: str,
) -> None:
    unit = project_unit(a_unit(status={"phase": phase}))
    assert unit.held is unit.request
    assert unit.held["cpu"] == 3000


def test_admissions_that_cannot_be_read_charge_at_least_the_request() -> None:
    admissions = [
        {"name": "a", "resources": {"cpu": "9"}},
        {"name": "b", "resources": {"cpu": "x"}},
    ]
    unit = project_unit(a_unit(status={"phase": "Running", "admissions": admissions}))
    assert unit.held["cpu"] == 9000
    assert unit.held["memory"] == 3 * 2**30


@pytest.mark.parametrize(
    ("spec", "status", "sentence"),
    [
        ({"resource": {"cpu": "4x"}}, {}, "spec.resource.cpu: '4x' is no quantity"),
        ({"resource": []}, {}, "spec.resource: a map of resource names"),
        ({"priority": "high"}, {}, "spec.priority: 'high' is no 32-bit integer"),
        ({"priority": 2**31}, {}, "spec.priority: 2147483648 is no 32-bit integer"),
        ({"active": "no"}, {}, "spec.active: 'no' is neither true nor false"),
        ({}, {"phase": "Lost"}, "status.phase: no phase is called 'Lost'"),
        ({"resource": None, "podSet": 3}, {}, "spec.podSet: a list of pod sets is expected"),
        (
            {"resource": None, "podSet": [{"name": "a", "count": 1}]},
            {},
            "spec.podSet[0]: requests or a template is expected",
        ),
    ],
)
def test_a_unit_that_cannot_be_read_is_kept_and_says_so(
    spec: dict[str, Any], status: object, sentence: str
) -> None:
    unit = project_unit(a_unit(spec=spec, status=status))
    assert unit.invalid.startswith(sentence)
    assert unit.key == "ns/job1-tf-qu"
    assert unit.phase is Phase.ENQUEUED


def test_what_the_job_side_could_not_read_is_told_in_its_own_words() -> None:
    unit = a_unit(spec={"resource": {"cpu": "4x"}})
    unit["metadata"]["annotations"] = {"kube-queue/invalid-request": "spec.tfReplicaSpecs: is 3"}
    assert project_unit(unit).invalid == "spec.tfReplicaSpecs: is 3"


def test_without_a_total_the_pod_sets_are_summed() -> None:
    container = {"resources": {"requests": {"cpu": "500m"}}}
    pod_sets = [
        {"name": "head", "count": 1, "requests": {"cpu": "1"}},
        {"name": "workers", "count": 4, "template": {"spec": {"containers": [container]}}},
    ]
    unit = project_unit(a_unit(spec={"resource": None, "podSet": pod_sets}))
    assert unit.request == ResourceVector.parse({"cpu": 3})


@pytest.mark.parametrize(
    ("labels", "quota", "preemptible"),
    [
        ({}, "", True),
        ({"quota.scheduling.koordinator.sh/name": "k"}, "k", True),
        (
            {
                "quota.scheduling.koordinator.sh/name": "k",
                "quota.scheduling.alibabacloud.com/name": "a",
            },
            "a",
            True,
        ),
        ({"quota.scheduling.koordinator.sh/preemptible": "False"}, "", False),
        ({"quota.scheduling.alibabacloud.com/preemptible": "true"}, "", True),
        ({"quota.scheduling.alibabacloud.com/name": 3}, "", True),
    ],
)
def test_quota_and_preemptible_come_from_either_label(
    labels: dict[str, Any], quota: str, preemptible: bool
) -> None:
    unit = project_unit(a_unit(labels=labels))
    assert (unit.quota, unit.preemptible) == (quota, preemptible)


@pytest.mark.parametrize("annotation", [None, "", "yesterday", 5, "2026-13-01T00:00:00Z"])
def test_an_unreadable_submission_time_falls_back_to_the_units_own(annotation: object) -> None:
    annotations = {"kube-queue/job-enqueue-timestamp": annotation}
    assert project_unit(a_unit(annotations=annotations)).submitted == NOON


def test_order_is_priority_then_submission_then_name() -> None:
    def unit(name: str, priority: int, second: int) -> Unit:
        created = f"2026-01-31T12:00:0{second}Z"
        return project_unit(
            a_unit(spec={"priority": priority}, name=name, creationTimestamp=created)
        )

    units = [unit("d", 0, 1), unit("c", 0, 0), unit("b", 0, 0), unit("a", 9, 9), unit("e", -1, 0)]
    assert [one.name for one in sorted(units, key=order_key)] == ["a", "b", "c", "d", "e"]


def test_a_long_job_name_is_cut_and_hashed_and_stays_unique() -> None:
    assert unit_name("job1", "tf") == "job1-tf-qu"
    long = unit_name("x" * 250, "tf")
    assert len(long) <= 253
    assert long.endswith("-tf-qu")
    assert long != unit_name("x" * 251, "tf")
    assert len(unit_name("x" * 247, "tf")) == 253


FIELDS = (
    *("metadata", "spec", "status", "labels", "annotations", "resource", "podSet", "consumerRef"),
    *("priority", "active", "phase", "conditions", "admissions", "resources", "requeueState"),
    *("name", "count", "cpu", "requests"),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)
    ),
    max_leaves=30,
)


@given(json_values, json_values, json_values)
def test_no_content_makes_the_projection_raise(
    metadata: object, spec: object, status: object
) -> None:
    unit = project_unit({"metadata": metadata, "spec": spec, "status": status})
    assert isinstance(unit.priority, int)
    assert "\n" not in unit.invalid


@pytest.mark.parametrize(
    ("phase", "conditions", "started", "ended"),
    [
        ("Running", [("PodsReady", "True", "10")], 10, 0),
        ("Running", [], 50, 0),
        ("Dequeued", [("PodsReady", "True", "10")], 0, 0),
        ("Succeed", [("PodsReady", "False", "40"), ("Finished", "True", "40")], 0, 40),
        ("Failed", [], 0, 50),
        ("Enqueued", [("Finished", "True", "40")], 0, 0),
    ],
)
def test_a_run_lasts_from_ready_pods_to_the_end_of_its_job(
    phase: str, conditions: list[tuple[str, str, str]], started: int, ended: int
) -> None:
    moment = "1970-01-01T00:00:{}Z"
    written = [
        {"type": kind, "status": truth, "lastTransitionTime": moment.format(second)}
        for kind, truth, second in conditions
    ]
    status = {"phase": phase, "conditions": written, "lastUpdateTime": moment.format("50")}
    unit = project_unit({"status": status})
    assert (unit.started, unit.ended) == (started * 1_000_000, ended * 1_000_000)


@pytest.mark.parametrize(
    ("phase", "truth", "left"),
    [
        ("Enqueued", "True", ("1-2-3", 1_000_000)),
        ("Enqueued", "False", ("", 0)),
        ("Dequeued", "True", ("", 0)),
        ("TimeoutBackoff", "True", ("", 0)),
    ],
)
def test_a_unit_that_waits_again_names_the_one_it_made_room_for(
    phase: str, truth: str, left: tuple[str, int]
) -> None:
    requeued = {
        "type": "Requeued",
        "status": truth,
        "message": "makes room for QueueUnit team/needs-it (uid 1-2-3)",
        "lastTransitionTime": "1970-01-01T00:00:01Z",
    }
    unit = project_unit({"status": {"phase": phase, "conditions": [requeued]}})
    assert (unit.left_for, unit.left_at) == left


@pytest.mark.parametrize(("phase", "allocated"), [("Running", 7), ("Enqueued", 0)])
def test_when_quota_was_granted_last_is_known_after_it_went_back(
    phase: str, allocated: int
) -> None:
    status = {"phase": phase, "lastAllocateTime": "1970-01-01T00:00:07Z"}
    unit = project_unit({"status": status})
    assert (unit.granted, unit.allocated) == (7_000_000, allocated * 1_000_000)


@pytest.mark.parametrize("status", ["True", "False"])
def test_a_unit_names_the_one_its_last_eviction_was_for(status: str) -> None:
    message = "makes room for QueueUnit team/needs-it (uid 1-2-3)"
    condition = {"type": "Evicted", "status": status, "message": message}
    seen = project_unit({"metadata": {"name": "u"}, "status": {"conditions": [condition]}})
    assert seen.preemptor == "1-2-3"
    assert seen.evicted is (status == "True")
