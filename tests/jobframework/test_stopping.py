"""What becomes of jobs that are to stop, and of pods that stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube_queue.jobframework.decisions import (
    Emit,
    SuspendJob,
    Topic,
    UnitStatus,
    Wait,
)
from kube_queue.jobframework.extension import JobPatch, JobState, PodSet
from kube_queue.jobframework.unit_status import Pods
from kube_queue_extensions.job import JobExtension as BatchJob
from tests.jobframework.builders import (
    World,
    a_job,
    batch_world,
    conditions,
    kinds,
    running_tfjob,
    tf_world,
)


def test_a_job_suspended_by_its_user_waits_again_once_its_pods_are_gone() -> None:
    world = running_tfjob()
    world.job_is({"spec": {"runPolicy": {"suspend": True}}})
    assert world.plan() == ()
    world.pods = Pods()
    world.job_is({"status": {"conditions": conditions("Created", "Suspended")}})
    world.go()
    status = (world.unit or {})["status"]
    assert (world.phase, status["reason"]) == ("Enqueued", "SuspendedByUser")
    assert "spec.active=false" in status["message"]
    assert "admissions" not in status
    assert world.view.unit.held.manifest() == {}


def test_where_the_operator_does_not_say_it_stopped_pods_must_stay_away_a_while() -> None:
    world = running_tfjob()
    world.job_is({"spec": {"runPolicy": {"suspend": True}}})
    world.pods = Pods()
    (wait,) = world.plan()
    assert isinstance(wait, Wait)
    world.waited = {Topic.PODS_GONE: wait.seconds}
    world.go()
    assert world.phase == "Enqueued"


def test_the_annotation_put_back_on_a_running_job_is_reset_not_obeyed() -> None:
    world = running_tfjob()
    world.job_is({"metadata": {"annotations": {"scheduling.x-k8s.io/suspend": "true"}}})
    assert kinds(world.go()) == ["ResumeJob"]
    assert world.phase == "Running"


def test_an_evicted_unit_has_its_job_suspended_then_waits_again_and_may_run_again() -> None:
    world = running_tfjob()
    world.evict()
    (suspend,) = world.plan()
    assert isinstance(suspend, SuspendJob)
    world.step()
    assert world.phase == "Running"
    assert world.plan() == ()
    world.pods = Pods()
    world.job_is({"status": {"conditions": conditions("Suspended")}})
    world.go()
    status = (world.unit or {})["status"]
    assert (world.phase, status["reason"]) == ("Enqueued", "Preempted")
    assert not world.view.unit.evicted
    assert world.view.condition("Requeued")["status"] == "True"
    assert world.job is not None
    assert world.job["status"]["conditions"][-1]["type"] == "Queuing"
    world.admit().go()
    assert world.job["spec"]["runPolicy"]["suspend"] is False


def test_a_unit_evicted_before_its_job_ran_is_requeued_without_a_release_in_between() -> None:
    world = batch_world()
    world.go()
    world.admit().evict()
    world.job_is({"status": {"conditions": conditions("Suspended")}})
    assert "ResumeJob" not in kinds(world.go())
    assert world.phase == "Enqueued"


def test_a_unit_whose_job_timed_out_pending_has_its_job_suspended() -> None:
    world = tf_world()
    world.go()
    world.admit().go()
    world.unit_status(phase="TimeoutBackoff")
    assert kinds(world.go()) == ["SuspendJob", "MarkQueuing", "Wait"]
    assert world.phase == "TimeoutBackoff"


def test_a_unit_that_timed_out_is_told_when_the_pods_of_its_job_are_gone() -> None:
    world = tf_world()
    world.go()
    world.admit().go()
    world.unit_status(phase="TimeoutBackoff", podState=None)
    world.pods = Pods(pending=3)
    world.waited = {Topic.POD_STATE: 1e6}
    world.go()
    assert (world.unit or {})["status"]["podState"] == {"running": 0, "pending": 3}
    world.pods = Pods()
    world.job_is({"status": {"conditions": conditions("Suspended")}})
    world.go()
    assert (world.unit or {})["status"]["podState"] == {"running": 0, "pending": 0}
    assert world.phase == "TimeoutBackoff"
    assert [each for each in world.plan() if not isinstance(each, Wait)] == []


def test_a_requeue_is_counted_clears_what_the_admission_left_and_starts_no_wait() -> None:
    world = running_tfjob()
    checks = [{"name": "a", "state": "Ready"}]
    old = {"count": 2, "requeueAt": "2026-01-31T12:00:00Z"}
    world.unit_status(requeueState=old, admissionChecks=checks).evict().go()
    world.pods = Pods()
    world.job_is({"status": {"conditions": conditions("Suspended")}})
    world.go()
    status = (world.unit or {})["status"]
    assert status["requeueState"] == {"count": 3}
    assert "admissionChecks" not in status
    assert "admissions" not in status
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "PodsReady": "False",
        "Evicted": "False",
        "Requeued": "True",
    }


def test_a_requeue_is_told_as_the_end_of_the_eviction_that_was_told_before() -> None:
    world = running_tfjob()
    world.evict().go()
    world.pods = Pods()
    world.job_is({"status": {"conditions": conditions("Suspended")}})
    (write,) = (each for each in world.plan() if isinstance(each, UnitStatus))
    (news,) = write.says
    world.go()
    found = (world.unit or {})["status"]["conditions"]
    said = next(each["message"] for each in found if each["type"] == "Requeued")
    assert news.message == f"its pods are gone and it waits again: {said}"


def test_a_held_job_whose_pods_stay_is_adopted_with_a_warning() -> None:
    world = tf_world()
    world.go()
    world.pods = Pods(on_node=3)
    (wait,) = world.plan()
    assert isinstance(wait, Wait)
    world.waited = {Topic.SUSPEND_IGNORED: wait.seconds}
    adoption = next(each for each in world.plan() if isinstance(each, UnitStatus))
    assert [emit.reason.value for emit in adoption.says if emit.warning] == ["SuspendIgnored"]
    world.go()
    assert world.phase == "Dequeued"
    assert world.view.unit.held.manifest() == {"cpu": "3", "memory": "3Gi"}


def test_pods_on_their_way_out_are_no_sign_of_an_operator_that_ignores_the_hold() -> None:
    world = tf_world()
    world.go()
    world.pods = Pods(on_node=3, leaving=3)
    world.waited = {Topic.SUSPEND_IGNORED: 1e6}
    assert world.plan() == ()


def test_counts_left_over_in_the_status_of_a_job_that_was_stopped_are_no_pods() -> None:
    world = running_tfjob()
    world.evict().go()
    world.pods = Pods()
    stopped = conditions("Suspended")
    counts = {"Worker": {"active": 2}}
    world.job_is({"status": {"conditions": stopped, "replicaStatuses": counts}})
    world.go()
    assert world.phase == "Enqueued"
    world.waited = {Topic.SUSPEND_IGNORED: 1e6}
    world.go()
    assert world.phase == "Enqueued"


def test_a_wait_that_is_over_but_for_rounding_is_over() -> None:
    world = tf_world()
    world.go()
    world.pods = Pods(on_node=3)
    (wait,) = world.plan()
    assert isinstance(wait, Wait)
    world.waited = {Topic.SUSPEND_IGNORED: wait.seconds - 1e-9}
    world.go()
    assert world.phase == "Dequeued"


class OnlyResumable:
    """A kind whose running jobs cannot be stopped, otherwise like Job."""

    name, aliases, suffix = "resumable", (), "job"
    resource = BatchJob.resource

    def __init__(self) -> None:
        self._like = BatchJob()

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        return self._like.state(manifest)

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        return self._like.pod_sets(manifest)

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        return self._like.priority_class(manifest)

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        return self._like.resume(manifest)


def test_a_job_that_cannot_be_stopped_says_so_when_evicted_and_goes_on() -> None:
    world = World(a_job(), OnlyResumable())
    world.go()
    world.admit().go()
    world.evict()
    world.job_is({"status": {"active": 1, "ready": 1}})
    decided = world.go()
    assert "SuspendJob" not in kinds(decided)
    assert world.phase == "Running"
    said = [each for each in world.plan() if isinstance(each, Emit)]
    assert [(emit.reason.value, emit.warning) for emit in said] == [("NotEvictable", True)]
