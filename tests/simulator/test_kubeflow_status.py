"""Pure rules of a Kubeflow job's status."""

from functools import partial
from typing import Any

from kube_queue.simulator import kubeflow_status
from kube_queue.simulator.kubeflow_kinds import TFJOB

plan = partial(kubeflow_status.plan, TFJOB)

NOW = 1_767_225_600.0


def tfjob(*, suspended: bool = False, status: dict[str, Any] | None = None) -> dict[str, Any]:
    annotations = {"scheduling.x-k8s.io/suspend": "true"} if suspended else {}
    return {
        "metadata": {"name": "job1", "namespace": "default", "annotations": annotations},
        "spec": {"tfReplicaSpecs": {"PS": {"replicas": 1}, "worker": {"replicas": 2}}},
        "status": status or {},
    }


def types(status: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["type"], each["status"]) for each in status["conditions"]]


def test_a_held_job_is_created_and_suspended_and_gets_no_pods():
    outcome = plan(tfjob(suspended=True), [], NOW)
    assert types(outcome.status) == [("Created", "True"), ("Suspended", "True")]
    assert not outcome.create
    assert "startTime" not in outcome.status


def test_run_policy_holds_a_job_as_the_annotation_does():
    job = tfjob()
    job["spec"]["runPolicy"] = {"suspend": True}
    assert types(plan(job, [], NOW).status)[-1] == ("Suspended", "True")


def test_looking_again_at_a_held_job_changes_nothing():
    first = plan(tfjob(suspended=True), [], NOW).status
    assert plan(tfjob(suspended=True, status=first), [], NOW + 60).status == first


def test_a_condition_of_somebody_else_keeps_its_place():
    queuing = {"type": "Queuing", "status": "True", "reason": "JobQueuing", "message": "waits"}
    held = plan(tfjob(suspended=True), [], NOW).status
    held["conditions"] = [*held["conditions"], queuing]
    again = plan(tfjob(suspended=True, status=held), [], NOW).status
    assert types(again)[-1] == ("Queuing", "True")

    released = plan(tfjob(status=held), [], NOW).status
    assert queuing in released["conditions"]
    assert types(released)[-1] == ("Suspended", "False")


def test_replica_types_are_known_in_any_case_of_letters():
    outcome = plan(tfjob(), [], NOW)
    assert [(replicas.kind, index) for replicas, index in outcome.create] == [
        ("PS", 0),
        ("Worker", 0),
        ("Worker", 1),
    ]


def test_a_manifest_full_of_nonsense_asks_for_nothing():
    for nonsense in (None, 3, "x", [], {"tfReplicaSpecs": [1]}, {"tfReplicaSpecs": {"PS": 4}}):
        outcome = plan({"metadata": {"name": "a", "namespace": "b"}, "spec": nonsense}, [], NOW)
        assert all(replicas.kind == "PS" for replicas, _ in outcome.create)
