"""How long a job may run: where that is said, and what becomes of a job that runs longer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kube_queue.jobframework.decisions import (
    CreateUnit,
    Emit,
    StopJob,
    SuspendJob,
    UnitStatus,
    UpdateUnit,
    Wait,
)
from kube_queue.jobframework.unit_status import Pods
from tests.jobframework.builders import (
    NOW,
    RUNNING,
    Manifest,
    World,
    a_job,
    batch_world,
    conditions,
    kinds,
    tf_world,
)
from tests.jobframework.test_stopping import OnlyResumable

LIMIT = "kube-queue/maximum-execution-time-seconds"
EXPECTED = "kube-queue/expected-run-seconds"
EVICTABLE = "kube-queue/evictable"
STOPPED = "kube-queue/stopped"


class OnlyStoppable(OnlyResumable):
    """A kind whose running jobs cannot be held, but ended."""

    def stop(self, manifest: Mapping[str, Any]) -> Manifest:
        return {"spec": {"activeDeadlineSeconds": 1}}


def annotated(**annotations: str | None) -> Manifest:
    names = {"limit": LIMIT, "expected": EXPECTED}
    return {"metadata": {"annotations": {names[key]: v for key, v in annotations.items()}}}


def running(world: World, limit: int = 60) -> World:
    """Its job runs since NOW and may do so for `limit` seconds."""
    world.job_is(annotated(limit=str(limit)))
    world.go()
    world.admit().go()
    running = {"status": {"active": 1, "ready": 1}}
    world.job_is(RUNNING if (world.job or {})["kind"] == "TFJob" else running)
    world.pods = Pods(on_node=1)
    world.go()
    assert world.phase == "Running"
    return world


def after(world: World, seconds: float) -> World:
    world.now = NOW + seconds
    return world


def annotations(found: Manifest | None) -> Manifest:
    assert found is not None
    return dict(found["metadata"].get("annotations", {}))


# --- said on the job, carried to its unit -------------------------------------------------------


def test_a_jobs_word_on_its_run_time_is_on_its_unit_from_the_start() -> None:
    world = batch_world().job_is(annotated(limit="3600", expected="1800"))
    world.go()
    unit = world.view.unit
    assert (unit.limit_seconds, unit.expected_seconds) == (3600, 1800)


@pytest.mark.parametrize("odd", ["", "soon", "-1", "0", "1.5", "1h", " 60", "99999999999", "２"])
@pytest.mark.parametrize("name", ["limit", "expected"])
def test_a_run_time_that_cannot_be_read_is_ignored_with_a_warning(name: str, odd: str) -> None:
    world = batch_world().job_is(annotated(**{name: odd}))
    creation = world.plan()[0]
    assert isinstance(creation, CreateUnit)
    (warning,) = [each for each in creation.says if each.warning]
    assert warning.reason == "InvalidJob"
    assert "is no whole number of seconds" in warning.message
    world.go()
    assert (world.view.unit.limit_seconds, world.view.unit.expected_seconds) == (0, 0)


def test_a_run_time_that_becomes_unreadable_while_the_job_waits_is_warned_of_too() -> None:
    world = batch_world()
    world.go()
    world.job_is(annotated(limit="soon"))
    (warning,) = world.plan()
    assert isinstance(warning, Emit)
    assert warning.warning


def test_the_expected_run_time_follows_the_job_while_it_waits() -> None:
    world = batch_world().job_is(annotated(expected="1800"))
    world.go()
    world.job_is(annotated(expected="600"))
    assert kinds(world.go()) == ["UpdateUnit"]
    assert world.view.unit.expected_seconds == 600
    world.job_is(annotated(expected=None))
    assert kinds(world.go()) == ["UpdateUnit"]
    assert world.view.unit.expected_seconds == 0
    assert world.plan() == ()


def test_the_limit_follows_the_job_even_while_it_runs() -> None:
    world = running(batch_world())
    world.job_is(annotated(limit="7200"))
    assert any(isinstance(each, UpdateUnit) for each in world.go())
    assert world.view.unit.limit_seconds == 7200


def test_the_units_own_limit_stands_where_the_job_says_nothing() -> None:
    world = batch_world()
    world.go()
    assert world.unit is not None
    world.unit["spec"]["maximumExecutionTimeSeconds"] = 30
    assert world.plan() == ()
    assert world.view.unit.limit_seconds == 30


def test_a_unit_says_when_its_job_cannot_be_stopped() -> None:
    world = World(a_job(), OnlyResumable())
    world.go()
    assert not world.view.unit.evictable
    assert world.plan() == ()
    world = tf_world()
    world.go()
    assert EVICTABLE not in annotations(world.unit)


def test_a_unit_that_does_not_say_yet_that_its_job_cannot_be_stopped_is_mended() -> None:
    world = World(a_job(), OnlyResumable())
    world.go()
    assert world.unit is not None
    del world.unit["metadata"]["annotations"][EVICTABLE]
    world.admit().go()
    assert not world.view.unit.evictable


def test_a_unit_whose_job_can_be_stopped_by_now_no_longer_says_the_contrary() -> None:
    world = batch_world()
    world.go()
    assert world.unit is not None
    world.unit["metadata"]["annotations"][EVICTABLE] = "false"
    assert kinds(world.go()) == ["UpdateUnit"]
    assert world.view.unit.evictable


def test_labels_for_admission_checks_are_carried_to_the_unit() -> None:
    labels = {"kube-queue/licence": "matlab", "app.kubernetes.io/instance": "argo"}
    world = batch_world().job_is({"metadata": {"labels": labels}})
    world.go()
    assert (world.unit or {})["metadata"]["labels"] == {"kube-queue/licence": "matlab"}


# --- past it ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0, 59, 60.9])
def test_a_job_within_its_limit_is_looked_at_again_when_it_is_over(seconds: float) -> None:
    world = after(running(batch_world()), seconds)
    (wait,) = world.plan()
    assert isinstance(wait, Wait)
    assert wait.seconds == pytest.approx(61 - seconds)


@pytest.mark.parametrize("kind", [tf_world, batch_world])
def test_a_job_past_its_limit_is_suspended_and_its_unit_fails_once_its_pods_are_gone(
    kind: Any,
) -> None:
    world = after(running(kind()), 61)
    (stop,) = world.plan()
    assert isinstance(stop, SuspendJob)
    world.step()
    assert world.plan() == ()
    assert world.phase == "Running"
    world.pods = Pods()
    world.job_is({"status": {"conditions": conditions("Suspended")}})
    (end,) = [each for each in world.go() if isinstance(each, UnitStatus)]
    assert [emit.reason.value for emit in end.says] == ["MaximumExecutionTimeExceeded"]
    status = (world.unit or {})["status"]
    assert (world.phase, status["reason"]) == ("Failed", "MaximumExecutionTimeExceeded")
    assert "longer than 60 s" in status["message"]
    assert "admissions" not in status


def test_a_job_stopped_for_good_is_neither_released_nor_queued_again() -> None:
    world = after(running(batch_world()), 61)
    world.go()
    world.pods = Pods()
    world.job_is({"status": {"active": 0, "ready": 0, "conditions": conditions("Suspended")}})
    world.go()
    assert world.plan() == ()
    world.unit = None
    assert world.plan() == (), "its unit deleted: it is not queued anew"
    world.job_is({"metadata": {"annotations": {STOPPED: None}}})
    assert kinds(world.go()) == ["CreateUnit"], "its owner allows it"


def test_a_unit_made_for_a_job_that_was_stopped_for_good_goes() -> None:
    world = batch_world()
    world.go()
    world.job_is({"metadata": {"annotations": {STOPPED: "MaximumExecutionTimeExceeded"}}})
    assert kinds(world.go()) == ["DeleteUnit"]


def test_a_job_stopped_for_good_and_released_by_hand_before_it_came_to_rest_is_stopped_again() -> (
    None
):
    world = after(running(batch_world()), 61)
    world.step()
    world.job_is({"spec": {"suspend": False}})
    assert kinds(world.go()) == ["SuspendJob"]


def test_a_job_suspended_by_its_user_before_its_limit_is_requeued_however_long_that_takes() -> None:
    world = after(running(batch_world()), 59)
    world.job_is({"spec": {"suspend": True}})
    world.go()
    after(world, 600)
    world.pods = Pods()
    world.job_is({"status": {"active": 0, "ready": 0, "conditions": conditions("Suspended")}})
    world.go()
    assert (world.phase, world.view.unit.reason) == ("Enqueued", "SuspendedByUser")


def test_an_evicted_job_that_is_held_already_is_requeued_past_its_limit() -> None:
    world = running(batch_world()).evict()
    world.go()
    after(world, 600)
    world.pods = Pods()
    world.job_is({"status": {"active": 0, "ready": 0, "conditions": conditions("Suspended")}})
    world.go()
    assert (world.phase, world.view.unit.reason) == ("Enqueued", "Preempted")


def test_a_kind_that_cannot_be_held_is_ended_and_its_unit_fails_with_it() -> None:
    world = after(running(World(a_job(), OnlyStoppable())), 61)
    (stop,) = world.plan()
    assert isinstance(stop, StopJob)
    assert stop.patch["spec"] == {"activeDeadlineSeconds": 1}
    world.step()
    assert kinds(world.go()) == [], "asked once"
    world.job_is({"status": {"conditions": conditions("Failed", reason="DeadlineExceeded")}})
    world.go()
    assert (world.phase, world.view.unit.reason) == ("Failed", "MaximumExecutionTimeExceeded")


def test_a_job_that_still_succeeds_while_it_is_ended_has_succeeded() -> None:
    world = after(running(World(a_job(), OnlyStoppable())), 61)
    world.go()
    world.job_is({"status": {"conditions": conditions("Complete")}})
    world.go()
    assert world.phase == "Succeed"


def test_a_kind_that_can_be_neither_held_nor_ended_says_so_and_goes_on() -> None:
    world = after(running(World(a_job(), OnlyResumable())), 61)
    said = [each for each in world.plan() if isinstance(each, Emit)]
    assert [(emit.reason.value, emit.warning) for emit in said] == [("NotEvictable", True)]
    assert "StopJob" not in kinds(world.go())
    assert world.phase == "Running"
