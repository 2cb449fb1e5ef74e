"""The condition Queuing of Kubeflow jobs, which their STATE column prints."""

from __future__ import annotations

from typing import Any

from kube_queue.jobframework.conformance import merged
from kube_queue.jobframework.extension import Hold
from kube_queue_extensions.tfjob import TFJobExtension
from tests.jobframework.builders import a_tfjob, conditions

NOW = "2026-01-31T12:00:00Z"
LATER = "2026-01-31T12:05:00Z"
TFJOB = TFJobExtension()


def with_conditions(*types: str) -> dict[str, Any]:
    return {**a_tfjob(), "status": {"conditions": conditions(*types)}}


def marked(job: dict[str, Any], waits: bool, now: str = NOW) -> dict[str, Any]:
    patch = TFJOB.queuing(job, waits, now)
    assert patch is not None
    found: dict[str, Any] = merged(job, patch)
    return found


def types(job: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["type"], each["status"]) for each in job["status"]["conditions"]]


def test_a_job_without_status_gets_its_first_condition() -> None:
    (queuing,) = marked(a_tfjob(), True)["status"]["conditions"]
    assert (queuing["type"], queuing["status"], queuing["reason"]) == (
        "Queuing",
        "True",
        "JobQueuing",
    )
    assert queuing["lastTransitionTime"] == NOW


def test_queuing_moves_to_the_end_when_the_operator_writes_after_it() -> None:
    job = marked(a_tfjob(), True)
    job["status"]["conditions"] += conditions("Created", "Suspended")
    job = marked(job, True, LATER)
    assert types(job) == [("Created", "True"), ("Suspended", "True"), ("Queuing", "True")]
    assert job["status"]["conditions"][-1]["lastTransitionTime"] == NOW
    assert TFJOB.queuing(job, True, LATER) is None


def test_queuing_turns_false_where_it_is_and_every_other_condition_stays() -> None:
    job = marked(with_conditions("Created"), True)
    job["status"]["conditions"] += conditions("Suspended")
    job = marked(job, False, LATER)
    assert types(job) == [("Created", "True"), ("Queuing", "False"), ("Suspended", "True")]
    assert job["status"]["conditions"][1]["lastTransitionTime"] == LATER
    assert TFJOB.queuing(job, False, LATER) is None


def test_a_job_that_never_showed_queuing_needs_no_write_before_its_release() -> None:
    assert TFJOB.queuing(with_conditions("Created"), False, NOW) is None


def test_a_requeued_job_shows_queuing_at_the_end_again() -> None:
    job = marked(marked(a_tfjob(), True), False)
    job["status"]["conditions"] += conditions("Running")
    assert types(marked(job, True, LATER)) == [("Running", "True"), ("Queuing", "True")]


def test_release_touches_run_policy_only_where_it_holds_the_job() -> None:
    assert "spec" not in TFJOB.resume(a_tfjob())
    held = merged(a_tfjob(), {"spec": {"runPolicy": {"suspend": True}}})
    assert TFJOB.resume(held)["spec"] == {"runPolicy": {"suspend": False}}


def test_run_policy_suspend_holds_with_or_without_the_annotation() -> None:
    free = a_tfjob(held=False)
    assert TFJOB.state(free).hold is Hold.NONE
    assert TFJOB.state(a_tfjob()).hold is Hold.MARK
    suspended = merged(free, {"spec": {"runPolicy": {"suspend": True}}})
    assert TFJOB.state(suspended).hold is Hold.SPEC


def test_a_job_handed_to_another_controller_says_whose_it_is() -> None:
    policy = {"managedBy": "kueue.x-k8s.io/multikueue"}
    job = merged(a_tfjob(), {"spec": {"runPolicy": policy}})
    assert TFJOB.state(job).managed_by == "kueue.x-k8s.io/multikueue"
    policy["managedBy"] = "kubeflow.org/training-operator"
    job = merged(a_tfjob(), {"spec": {"runPolicy": policy}})
    assert TFJOB.state(job).managed_by == ""


def test_only_the_last_true_condition_tells_that_it_runs() -> None:
    assert TFJOB.state(with_conditions("Created", "Running")).running
    assert not TFJOB.state(with_conditions("Running", "Restarting")).running
