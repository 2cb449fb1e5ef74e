"""The controller's rules about units that have left their queue, on every state there is."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from kube_queue.api.admission_checks import Check
from kube_queue.api.conditions import rfc3339
from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA, Owner, Phase, allowed
from kube_queue.api.queues import StopPolicy
from kube_queue.controller.queueing.backoff import Backoff
from kube_queue.controller.queueing.moves import Limits, due
from kube_queue.controller.records import unit_record
from kube_queue.controller.steps import Step
from kube_queue.jobframework.conformance import merged

Object = dict[str, Any]
NOW = 1_800_000_000.0
LIMITS = Limits(60, Backoff(60, 3600))
CHECKS = {"none": (), "one": (Check("a"),), "another": (Check("b"),), "no queue": None}
ANSWERS: list[list[str]] = [[], ["Pending"], ["Ready"], ["Retry"], ["Rejected"], ["odd"]]
STATES = list(product([True, False], [False, True], [True, False], ANSWERS, CHECKS))


def a_unit(
    phase: str,
    *,
    active: bool = True,
    evicted: bool = False,
    evictable: bool = True,
    answers: tuple[str, ...] | list[str] = (),
    since: float = NOW - 10,
    pods: int | None = 0,
    requeue_at: float = NOW - 1,
    reason: str = "",
    message: str = "",
) -> Object:
    conditions = [
        {"type": kind, "status": "True", "reason": kind, "message": "m"}
        | {"lastTransitionTime": rfc3339(since)}
        for kind in ("QuotaReserved", "Admitted", *(["Evicted"] if evicted else []))
    ]
    status: Object = {
        "phase": phase,
        "reason": reason,
        "message": message,
        "conditions": conditions,
        "admissions": [{"name": "main", "replicas": 1, "resources": {"cpu": "1"}}],
        "admissionChecks": [
            {"name": name, "state": state} for name, state in zip("ac", answers, strict=False)
        ],
        "requeueState": {"count": 1, "backoffs": 1, "requeueAt": rfc3339(requeue_at)},
    }
    if pods is not None:
        status["podState"] = {"running": pods, "pending": 0}
    return {
        "metadata": {
            "namespace": "default",
            "name": "u1",
            "uid": "uid-1",
            "resourceVersion": "7",
            "annotations": {} if evictable else {"kube-queue/evictable": "false"},
        },
        "spec": {
            "active": active,
            "queue": "q",
            "resource": {"cpu": "1"},
            "consumerRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "pi", "uid": "j"},
        },
        "status": status,
    }


def step_of(
    unit: Object, checks: str = "one", now: float = NOW, stop: StopPolicy = StopPolicy.NONE
) -> Step | float | None:
    return due(unit_record(unit), CHECKS[checks], LIMITS, now, stop)


@pytest.mark.parametrize("phase", ["", *Phase])
def test_from_every_state_the_rules_come_to_rest_by_the_controllers_moves_only(phase: str) -> None:
    for active, evicted, evictable, answers, checks in STATES:
        for since, pods in product([NOW - 10, NOW - 1000], [None, 0, 2]):
            unit = a_unit(
                phase,
                active=active,
                evicted=evicted,
                evictable=evictable,
                answers=answers,
                since=since,
                pods=pods,
            )
            comes_to_rest(unit, checks)


@pytest.mark.parametrize("stop", [StopPolicy.HOLD, StopPolicy.HOLD_AND_DRAIN])
@pytest.mark.parametrize("phase", ["", *Phase])
def test_in_a_stopped_queue_every_state_comes_to_rest_and_none_is_admitted(
    phase: str, stop: StopPolicy
) -> None:
    for active, evicted, evictable, answers, checks in STATES:
        unit = a_unit(phase, active=active, evicted=evicted, evictable=evictable, answers=answers)
        rested = unit_record(comes_to_rest(unit, checks, stop)).unit
        if phase == Phase.RESERVED:
            assert rested.phase not in HOLDS_QUOTA
        if phase in (Phase.DEQUEUED, Phase.RUNNING) and evictable and active:
            assert rested.evicted is (evicted or stop is StopPolicy.HOLD_AND_DRAIN)


def comes_to_rest(unit: Object, checks: str, stop: StopPolicy = StopPolicy.NONE) -> Object:
    case = f"{unit['spec']['active']} {unit['status']} {checks} {stop}"
    for _ in range(6):
        before = unit_record(unit).unit
        step = step_of(unit, checks, stop=stop)
        if not isinstance(step, Step):
            return unit
        assert before.phase not in FINISHED, case
        unit = merged(unit, step.patch)
        after = unit_record(unit).unit
        if after.phase is not before.phase:
            assert allowed(before.phase, after.phase, Owner.CONTROLLER), case
        if after.phase not in HOLDS_QUOTA:
            assert "admissions" not in unit["status"] or before.phase not in HOLDS_QUOTA, case
        if after.phase is Phase.DEQUEUED and before.phase is Phase.RESERVED:
            assert before.active, case
            assert after.attempts == before.attempts + 1, case
        if before.phase in (Phase.DEQUEUED, Phase.RUNNING) and not before.evictable:
            assert (after.phase, after.evicted) == (before.phase, before.evicted), case
    raise AssertionError(f"never rests: {case}")


RESERVED = [
    (["Pending"], "one", None, None),
    (["Ready"], "one", "Dequeued", None),
    (["Retry"], "one", "TimeoutBackoff", None),
    (["Rejected"], "one", None, False),
    (["odd"], "one", None, None),
    (["Ready", "Rejected"], "one", "Dequeued", None),
    (["Ready", "Pending"], "one", "Dequeued", None),
    (["Pending"], "none", "Dequeued", None),
    (["Rejected"], "none", "Dequeued", None),
    (["Ready"], "another", None, None),
    (["Ready"], "no queue", None, None),
    (["Rejected"], "no queue", None, None),
]


@pytest.mark.parametrize(("answers", "checks", "phase", "active"), RESERVED)
def test_only_the_checks_its_queue_asks_now_decide_about_a_reserved_unit(
    answers: list[str], checks: str, phase: str | None, active: bool | None
) -> None:
    step = step_of(a_unit("Reserved", answers=answers), checks)
    patch = step.patch if isinstance(step, Step) else {}
    assert patch.get("status", {}).get("phase") == phase
    assert patch.get("spec", {}).get("active") == active


@pytest.mark.parametrize("answers", ANSWERS)
@pytest.mark.parametrize("checks", CHECKS)
def test_a_reserved_unit_that_may_not_stay_goes_back_whatever_its_checks_say(
    answers: list[str], checks: str
) -> None:
    for unit in (
        a_unit("Reserved", answers=answers, active=False),
        a_unit("Reserved", answers=answers, evicted=True),
    ):
        step = step_of(unit, checks)
        assert isinstance(step, Step)
        assert step.patch["status"]["phase"] == "Enqueued"


@pytest.mark.parametrize(
    ("at", "left"), [(NOW - 10, 51.0), (NOW - 60, 1.0), (NOW - 59.5, 1.5), (NOW + 5, 66.0)]
)
def test_until_a_job_has_had_its_time_it_is_only_looked_at_again(at: float, left: float) -> None:
    unit = a_unit("Dequeued", since=at)
    found = step_of(unit)
    assert isinstance(found, float)
    # Times on the wire are cut to seconds.
    assert left - 1 <= found <= left + 1
    assert isinstance(step_of(unit, now=NOW + found), Step)


def test_a_wait_is_never_shorter_than_it_should_be() -> None:
    for fraction in (0.0, 0.3, 0.999):
        now = NOW + fraction
        step = step_of(a_unit("Dequeued", since=NOW - 1000), now=now)
        assert isinstance(step, Step)
        unit = merged(a_unit("Dequeued"), step.patch)
        left = step_of(unit, now=now)
        assert isinstance(left, float)
        assert 120 <= left < 121


@pytest.mark.parametrize(("pods", "back"), [(None, False), (2, False), (0, True)])
def test_the_way_back_waits_for_pods_that_are_known_to_be_gone(
    pods: int | None, back: bool
) -> None:
    step = step_of(a_unit("TimeoutBackoff", pods=pods))
    assert isinstance(step, Step) is back
