"""The truth table, row by row."""

from __future__ import annotations

from itertools import product

import pytest

from kube_queue.api.lifecycle import Owner, Phase, allowed
from kube_queue.jobframework.decisions import (
    CreateUnit,
    Emit,
    MarkQueuing,
    ResumeJob,
    Topic,
    UnitStatus,
    Wait,
)
from kube_queue.jobframework.unit_status import Pods
from tests.jobframework.builders import (
    RUNNING,
    World,
    batch_world,
    conditions,
    kinds,
    running_tfjob,
    tf_world,
)


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
