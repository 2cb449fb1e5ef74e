"""The truth table, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest

from kube_queue.api.lifecycle import Owner, Phase, allowed
from kube_queue.jobframework.decisions import (
    CreateUnit,
    Emit,
    MarkQueuing,
    ResumeJob,
    SuspendJob,
    Topic,
    UnitStatus,
    Wait,
)
from kube_queue.jobframework.extension import JobPatch, JobState, PodSet
from kube_queue.jobframework.unit_status import Pods
from kube_queue_extensions.job import JobExtension as BatchJob
from tests.jobframework.builders import World, a_job, batch_world, conditions, kinds, tf_world

RUNNING = {"status": {"conditions": conditions("Created", "Running")}}


def running_tfjob(name: str = "job1") -> World:
    world = tf_world(name=name)
    world.go()
    world.admit().go()
    world.job_is(RUNNING)
    world.pods = Pods(on_node=3)
    world.go()
    assert world.phase == "Running"
    return world


def test_a_held_job_gets_a_unit_and_then_shows_that_it_waits() -> None:
    world = tf_world()
    assert kinds(world.go()) == ["CreateUnit", "MarkQueuing"]
    assert world.phase == "Enqueued"


def test_a_held_job_that_shows_nothing_costs_one_write() -> None:
    assert kinds(batch_world().go()) == ["CreateUnit"]


def test_nothing_is_written_twice_about_a_job_that_waits() -> None:
    world = tf_world()
    world.go()
    assert world.plan() == ()


def test_an_admitted_tfjob_stops_showing_that_it_waits_before_it_is_released() -> None:
    world = tf_world()
    world.go()
    world.admit()
    first, second = world.go()
    assert isinstance(first, MarkQueuing)
    assert not first.waits
    assert isinstance(second, ResumeJob)
    assert world.job is not None
    annotations = world.job["metadata"]["annotations"]
    assert annotations["scheduling.x-k8s.io/suspend"] == "false"
    assert annotations["kube-queue/job-has-enqueued"] == "true"


def test_a_job_admitted_before_it_showed_that_it_waits_is_released_in_one_write() -> None:
    world = tf_world()
    world.step()
    world.admit()
    assert kinds(world.go()) == ["ResumeJob"]


def test_release_of_a_job_is_one_patch_with_its_mark() -> None:
    world = batch_world()
    world.go()
    world.admit()
    (release,) = world.go()
    assert isinstance(release, ResumeJob)
    assert release.patch == {
        "spec": {"suspend": False},
        "metadata": {"annotations": {"kube-queue/job-has-enqueued": "true"}},
    }


def test_a_released_job_whose_pods_do_not_run_yet_is_left_alone() -> None:
    world = tf_world()
    world.go()
    world.admit().go()
    assert world.plan() == ()
    assert world.phase == "Dequeued"


def test_a_unit_runs_when_its_job_runs() -> None:
    world = running_tfjob()
    status = (world.unit or {})["status"]
    assert status["podState"] == {"running": 3, "pending": 0}
    assert status["reason"] == "PodsReady"


@pytest.mark.parametrize(("ending", "phase"), [("Succeeded", "Succeed"), ("Failed", "Failed")])
def test_a_unit_ends_as_its_job_ended_and_holds_nothing(ending: str, phase: str) -> None:
    world = running_tfjob()
    said = conditions(ending, reason="TheEnd", message="it is over")
    world.job_is({"status": {"conditions": conditions("Created") + said}})
    world.go()
    status = (world.unit or {})["status"]
    assert world.phase == phase
    assert "TheEnd: it is over" in status["message"]
    assert "admissions" not in status
    assert world.view.condition("Finished")["status"] == "True"
    assert world.plan() == ()


def test_a_job_that_ended_before_it_was_seen_running_is_finished_in_one_write() -> None:
    world = batch_world()
    world.go()
    world.admit().go()
    world.job_is({"status": {"conditions": conditions("Complete")}})
    assert kinds(world.go()) == ["UnitStatus"]
    assert world.phase == "Succeed"


def test_a_finished_job_without_a_unit_gets_none() -> None:
    world = tf_world()
    world.job_is({"status": {"conditions": conditions("Succeeded")}})
    assert world.plan() == ()


def test_a_free_job_that_never_was_queued_is_left_alone() -> None:
    assert tf_world(held=False).plan() == ()
    assert batch_world(held=False).plan() == ()


def test_a_job_released_by_hand_is_adopted_and_charged_for_its_pod_sets() -> None:
    world = tf_world()
    world.go()
    world.job_is({"metadata": {"annotations": {"scheduling.x-k8s.io/suspend": "false"}}})
    (adoption,) = [each for each in world.plan() if isinstance(each, UnitStatus)]
    assert adoption.certain
    world.go()
    status = (world.unit or {})["status"]
    assert (world.phase, status["reason"]) == ("Dequeued", "ReleasedByHand")
    assert world.view.unit.held.manifest() == {"cpu": "3", "memory": "3Gi"}
    assert world.job is not None
    assert world.job["metadata"]["annotations"]["kube-queue/job-has-enqueued"] == "true"


def test_a_running_job_that_was_released_once_and_lost_its_unit_gets_one_charged() -> None:
    world = running_tfjob()
    world.unit = None
    world.go()
    assert world.phase == "Running"
    assert world.view.unit.held.manifest() == {"cpu": "3", "memory": "3Gi"}


def test_a_unit_deleted_while_its_job_waits_comes_back_in_its_place() -> None:
    world = tf_world()
    world.first_seen = 0
    world.go()
    submitted = world.view.unit.submitted
    world.unit = None
    world.go()
    assert world.view.unit.submitted // 1_000_000 == submitted // 1_000_000
    assert world.phase == "Enqueued"


def test_the_unit_of_a_former_job_of_the_same_name_makes_way() -> None:
    world = running_tfjob()
    world.job_is({"metadata": {"uid": "uid-new", "annotations": {}}})
    world.job_is({"metadata": {"annotations": {"scheduling.x-k8s.io/suspend": "true"}}})
    assert kinds(world.go())[:2] == ["DeleteUnit", "CreateUnit"]
    assert world.view.unit.job is not None
    assert world.view.unit.job.uid == "uid-new"


def test_the_unit_of_a_vanished_job_is_left_to_garbage_collection_for_a_while() -> None:
    world = tf_world()
    world.go()
    world.job = None
    (wait,) = world.plan()
    assert isinstance(wait, Wait)
    assert wait.topic is Topic.JOB_GONE
    world.waited = {Topic.JOB_GONE: wait.seconds}
    world.go()
    assert world.unit is None


def test_a_unit_written_by_hand_for_a_job_that_never_was_is_left_alone() -> None:
    world = tf_world()
    world.go()
    world.job = None
    assert world.unit is not None
    del world.unit["metadata"]["annotations"]
    world.waited = {Topic.JOB_GONE: 1e6}
    assert world.plan() == ()


def test_a_job_being_deleted_is_not_touched() -> None:
    world = tf_world()
    world.job_is({"metadata": {"deletionTimestamp": "2026-01-31T12:00:05Z"}})
    assert world.plan() == ()


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


@pytest.mark.parametrize("phase", ["Reserved", "TimeoutBackoff"])
@pytest.mark.parametrize(("ending", "end"), [("Succeeded", "Succeed"), ("Failed", "Failed")])
def test_a_unit_whose_job_ended_out_of_turn_ends_as_well(phase: str, ending: str, end: str) -> None:
    world = tf_world()
    world.go()
    world.unit_status(phase=phase)
    world.job_is({"status": {"conditions": conditions(ending)}})
    assert kinds(world.go()) == ["UnitStatus"]
    assert world.phase == end


def test_a_job_released_by_hand_while_its_checks_run_is_adopted() -> None:
    world = tf_world()
    world.go()
    world.unit_status(phase="Reserved")
    world.job_is({"metadata": {"annotations": {"scheduling.x-k8s.io/suspend": "false"}}})
    world.go()
    assert (world.phase, world.view.unit.reason) == ("Dequeued", "ReleasedByHand")


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


def test_a_job_that_runs_has_its_next_wait_begin_anew() -> None:
    world = tf_world()
    world.go()
    world.admit().unit_status(requeueState={"count": 4, "backoffs": 3}).go()
    world.job_is(RUNNING)
    world.go()
    assert (world.unit or {})["status"]["requeueState"] == {"count": 4}


def test_a_job_that_runs_for_the_first_time_gets_no_requeue_state() -> None:
    assert "requeueState" not in (running_tfjob().unit or {})["status"]


def test_every_adoption_is_an_admission_more() -> None:
    world = tf_world()
    world.go()
    world.job_is({"metadata": {"annotations": {"scheduling.x-k8s.io/suspend": "false"}}})
    world.go()
    assert (world.unit or {})["status"]["attempts"] == 1


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


def test_pod_state_follows_in_one_write_for_a_burst() -> None:
    world = running_tfjob()
    world.pods = Pods(on_node=2, pending=1)
    (wait,) = world.plan()
    assert isinstance(wait, Wait)
    world.waited = {Topic.POD_STATE: wait.seconds}
    (write,) = [each for each in world.plan() if isinstance(each, UnitStatus)]
    assert write.patch == {"status": {"podState": {"running": 2, "pending": 1}}}
    world.apply(write)
    assert world.plan() == ()


@pytest.mark.parametrize(
    "patch",
    [
        {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "team"}}},
        {"spec": {"managedBy": "kueue.x-k8s.io/multikueue"}},
        {
            "metadata": {
                "ownerReferences": [
                    {
                        "apiVersion": "jobset.x-k8s.io/v1alpha2",
                        "kind": "JobSet",
                        "name": "set",
                        "uid": "u",
                        "controller": True,
                    }
                ]
            }
        },
    ],
)
def test_a_suspended_job_of_somebody_else_is_left_alone(patch: dict[str, object]) -> None:
    assert batch_world().job_is(patch).plan() == ()


def test_a_suspended_job_of_a_cron_job_is_queued() -> None:
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": "nightly",
        "uid": "u",
        "controller": True,
    }
    world = batch_world().job_is({"metadata": {"ownerReferences": [owner]}})
    assert isinstance(world.plan()[0], CreateUnit)


def test_a_waiting_job_that_is_handed_to_somebody_else_loses_its_unit() -> None:
    world = batch_world()
    world.go()
    world.job_is({"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "team"}}})
    assert kinds(world.go()) == ["DeleteUnit"]


HOLDS = {
    "free": {"metadata": {"annotations": {"scheduling.x-k8s.io/suspend": "false"}}},
    "marked": {"metadata": {"annotations": {"scheduling.x-k8s.io/suspend": "true"}}},
    "suspended": {"spec": {"runPolicy": {"suspend": True}}},
}
STATES = {
    "new": {},
    "running": RUNNING,
    "stopped": {"status": {"conditions": conditions("Suspended")}},
    "succeeded": {"status": {"conditions": conditions("Succeeded")}},
    "failed": {"status": {"conditions": conditions("Failed")}},
}
PODS = {"none": Pods(), "some": Pods(on_node=2, pending=1), "leaving": Pods(on_node=3, leaving=3)}
REST = list(product(PODS, ["", *Phase], [False, True], [{}, dict.fromkeys(Topic, 1e6)]))


@pytest.mark.parametrize(("hold", "state"), list(product(HOLDS, STATES)))
def test_from_every_state_the_plan_comes_to_rest_by_legal_moves_only(hold: str, state: str) -> None:
    for pods, phase, evicted, waited in REST:
        world = tf_world()
        world.go()
        world.job_is(HOLDS[hold]).job_is(STATES[state]).unit_status(phase=phase)
        if evicted:
            world.evict()
        world.pods, world.waited = PODS[pods], waited
        comes_to_rest(world, f"{pods} pods, {phase}, evicted={evicted}, waited={bool(waited)}")


def comes_to_rest(world: World, case: str) -> None:
    for _ in range(10):
        before = world.view.unit.phase
        releases = [each for each in world.plan() if isinstance(each, ResumeJob)]
        assert not releases or before in (Phase.DEQUEUED, Phase.RUNNING), case
        if not world.step():
            return
        after = world.view.unit.phase
        assert after is before or allowed(before, after, Owner.JOB_SIDE), case
        if before in (Phase.DEQUEUED, Phase.RUNNING) and after is Phase.ENQUEUED:
            assert not world.pods.total, f"{case}: quota is free only when the pods are gone"
    raise AssertionError(f"{case}: the plan never rests")


def test_events_become_true_with_the_write_they_belong_to() -> None:
    (creation, *_rest) = tf_world().plan()
    assert isinstance(creation, CreateUnit)
    assert [(emit.reason.value, emit.warning) for emit in creation.says] == [("Enqueued", False)]
    assert all(isinstance(emit, Emit) for emit in creation.says)
