"""Admission checks: asked while quota is reserved, and what follows from what they answer."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kube_queue.api.admission_checks import Verdict, applying, checks_of, verdict
from kube_queue.api.conditions import parse_rfc3339
from kube_queue.api.types import QUEUE_UNITS, QUEUES
from kube_queue.config import Settings
from tests.controller.queueing.test_evictions import Decided, conditions
from tests.controller.queueing.world import (
    Object,
    World,
    Write,
    a_leaf,
    a_root,
    in_world,
    phase_of,
)

EXAMPLE = Path(__file__).parents[3] / "examples" / "admission_check.py"
QUICK = Settings().replaced(controller={"backoff_base_seconds": 10, "backoff_max_seconds": 35})


# --- which checks, and what they say together ---------------------------------------------------


def selecting(**selector: Any) -> bool:
    checks = checks_of([{"name": "a", "labelSelector": selector}])
    return applying(checks, {"app": "cad", "tier": "gold"}) == ("a",)


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ({}, True),
        ({"matchLabels": {"app": "cad"}}, True),
        ({"matchLabels": {"app": "cad", "tier": "iron"}}, False),
        ({"matchLabels": {"absent": ""}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["cad", "x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["x"]}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "In", "values": ["x"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["cad"]}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "absent", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "absent", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "odd"}]}, False),
        (
            {
                "matchLabels": {"app": "cad"},
                "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}],
            },
            False,
        ),
    ],
)
def test_a_check_applies_to_units_its_selector_means(selector: Object, meant: bool) -> None:
    assert selecting(**selector) is meant


@pytest.mark.parametrize("odd", [None, 7, "a", {}, [None], [{}], [{"name": 3}], [["a"]]])
def test_checks_that_cannot_be_read_are_no_checks(odd: object) -> None:
    assert checks_of(odd) == ()


@pytest.mark.parametrize(
    ("states", "says"),
    [
        ((), Verdict.READY),
        (("Ready", "Ready"), Verdict.READY),
        (("Ready", "Pending"), Verdict.PENDING),
        (("Ready", "nonsense"), Verdict.PENDING),
        (("Pending", "Retry"), Verdict.RETRY),
        (("Retry", "Rejected", "Ready"), Verdict.REJECTED),
    ],
)
def test_of_all_checks_the_strongest_word_counts(states: tuple[str, ...], says: Verdict) -> None:
    assert verdict((f"c{number}", state) for number, state in enumerate(states)) is says


# --- a Queue with checks ------------------------------------------------------------------------


async def a_checked_queue(world: World, *checks: str | Object) -> None:
    await world.create_tree(a_root(a_leaf("default", cpu=4)))
    await world.settle()
    await ask(world, *checks)
    await world.settle()


async def ask(world: World, *checks: str | Object) -> None:
    entries = [{"name": one} if isinstance(one, str) else one for one in checks]
    patch = {"spec": {"admissionChecks": entries}}
    await world.user.patch(QUEUES, "kube-queue", "root-default", patch)


async def answer(world: World, name: str, **states: str) -> None:
    found = (await world.unit(name))["status"]["admissionChecks"]
    for each in found:
        each["state"] = states.get(each["name"], each["state"])
        each["message"] = f"{each['name']} says so"
    await world.set_status(name, {"admissionChecks": found})


def states(unit: Object) -> dict[str, str]:
    return {one["name"]: one["state"] for one in unit["status"].get("admissionChecks", ())}


def used(world: World) -> int:
    return world.side.cache.quota_status()["root/default"].used.get("cpu", 0)


def reserves(write: Write) -> bool:
    return write.of_unit_status and write.body["status"].get("phase") == "Reserved"


async def a_reserved_unit(world: World, *checks: str | Object) -> Object:
    await a_checked_queue(world, *checks)
    await world.create_unit("u1", cpu=3, job="pi")
    await world.settle()
    unit = await world.unit("u1")
    assert unit["status"]["phase"] == "Reserved"
    return unit


def test_a_unit_of_a_queue_with_checks_reserves_its_quota_and_asks_them() -> None:
    async def story(world: World) -> None:
        unit = await a_reserved_unit(world, "budget", "licences")
        status = unit["status"]
        assert states(unit) == {"budget": "Pending", "licences": "Pending"}
        assert conditions(unit) == {"QuotaReserved": ("True", "QuotaReserved")}
        assert status["reason"] == "AdmissionChecksPending"
        assert status["admissions"] == [{"name": "main", "replicas": 1, "resources": {"cpu": "3"}}]
        assert "attempts" not in status
        assert used(world) == 3000
        await world.settle(600)
        assert world.count(reserves) == 1
        said = {event["involvedObject"]["kind"] for event in await world.events("QuotaReserved")}
        assert said == {"QueueUnit", "Job"}

    in_world(story)


def test_a_unit_is_admitted_once_all_its_checks_are_ready() -> None:
    async def story(world: World) -> None:
        await a_reserved_unit(world, "budget", "licences")
        await answer(world, "u1", budget="Ready")
        await world.settle(60)
        assert (await world.phases())["u1"] == "Reserved"
        await answer(world, "u1", licences="Ready")
        await world.settle()
        unit = await world.unit("u1")
        assert unit["status"]["phase"] == "Dequeued"
        assert unit["status"]["attempts"] == 1
        assert conditions(unit)["Admitted"] == ("True", "Admitted")
        assert states(unit) == {"budget": "Ready", "licences": "Ready"}
        assert used(world) == 3000
        assert len(await world.events("Scheduled")) == 2
        assert 'admission_attempts_total{result="admitted"} 1.0' in world.meters.text().decode()

    in_world(story)


def test_a_check_with_a_selector_asks_only_units_with_these_labels() -> None:
    async def story(world: World) -> None:
        selector = {"matchLabels": {"kube-queue/app": "cad"}}
        await a_checked_queue(world, {"name": "licences", "labelSelector": selector})
        await world.create_unit("cad", labels={"kube-queue/app": "cad"})
        await world.create_unit("other")
        await world.settle()
        assert await world.phases() == {"cad": "Reserved", "other": "Dequeued"}

    in_world(story)


def test_a_check_that_asks_to_try_again_sends_the_unit_away_for_a_while_that_doubles() -> None:
    async def story(world: World) -> None:
        await a_reserved_unit(world, "budget")
        for times, wait in enumerate((10, 20, 35, 35), 1):
            await answer(world, "u1", budget="Retry")
            at = world.clock()
            await world.settle(0.5)
            unit = await world.unit("u1")
            status = unit["status"]
            assert (status["phase"], status["reason"]) == ("TimeoutBackoff", "AdmissionCheckRetry")
            assert "budget (budget says so)" in status["message"]
            assert states(unit) == {"budget": "Pending"}
            assert conditions(unit)["QuotaReserved"][0] == "False"
            assert "admissions" not in status
            assert used(world) == 0
            until = parse_rfc3339(status["requeueState"]["requeueAt"]) / 1e6
            assert at + wait <= until <= at + wait + 1.5
            assert status["requeueState"]["count"] == times
            await world.settle(wait - 1)
            assert (await world.phases())["u1"] == "TimeoutBackoff"
            await world.settle(3)
            assert (await world.phases())["u1"] == "Reserved", "asked anew"

    in_world(story, QUICK)


def test_what_a_unit_that_has_to_try_again_gave_back_is_anothers_meanwhile() -> None:
    async def story(world: World) -> None:
        await a_reserved_unit(world, "budget")
        await world.create_unit("u2", cpu=3)
        await answer(world, "u1", budget="Retry")
        await world.settle(0.5)
        assert await world.phases() == {"u1": "TimeoutBackoff", "u2": "Reserved"}
        await world.finish("u2")
        await world.settle(0.5)
        assert (await world.phases())["u1"] == "TimeoutBackoff", "a release does not end its wait"

    in_world(story, QUICK)


def test_a_check_that_rejects_deactivates_the_unit_and_the_quota_goes_back() -> None:
    async def story(world: World) -> None:
        await a_reserved_unit(world, "budget", "licences")
        await answer(world, "u1", budget="Rejected", licences="Retry")
        await world.settle(30)
        unit = await world.unit("u1")
        assert unit["spec"]["active"] is False
        status = unit["status"]
        assert (status["phase"], status["reason"]) == ("Enqueued", "AdmissionCheckRejected")
        assert "budget (budget says so)" in status["message"]
        assert used(world) == 0
        assert states(unit)["budget"] == "Rejected"
        await world.change_unit("u1", {"active": True})
        await world.settle(5)
        assert states(await world.unit("u1")) == {"budget": "Pending", "licences": "Pending"}
        assert (await world.phases())["u1"] == "Reserved"

    in_world(story)


def test_checks_added_and_removed_meanwhile_are_asked_and_forgotten() -> None:
    async def story(world: World) -> None:
        await a_reserved_unit(world, "budget", "licences")
        await answer(world, "u1", budget="Ready")
        await ask(world, "budget", "weather")
        await world.settle()
        assert states(await world.unit("u1")) == {"budget": "Ready", "weather": "Pending"}
        await ask(world, "budget")
        await world.settle()
        assert (await world.phases())["u1"] == "Dequeued"

    in_world(story)


def test_a_queue_that_asks_nothing_any_more_admits_what_it_reserved() -> None:
    async def story(world: World) -> None:
        await a_reserved_unit(world, "budget")
        await ask(world)
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story)


def test_nobody_is_admitted_past_a_check_because_its_queue_is_deleted() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        queue = {
            "apiVersion": QUEUES.api_version,
            "kind": QUEUES.kind,
            "metadata": {"name": "mine", "namespace": "kube-queue"},
            "spec": {"admissionChecks": [{"name": "budget"}]},
        }
        await world.user.create(QUEUES, queue)
        await world.create_unit("u1", cpu=3, queue="mine")
        await world.settle()
        await world.user.delete(QUEUES, "kube-queue", "mine")
        await world.settle(10)
        assert (await world.phases())["u1"] == "Reserved"
        await world.user.create(QUEUES, {**queue, "spec": {}})
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story)


def test_a_reserved_unit_that_is_deactivated_waits_in_its_queue() -> None:
    async def story(world: World) -> None:
        await a_reserved_unit(world, "budget")
        await world.change_unit("u1", {"active": False})
        await world.settle()
        unit = await world.unit("u1")
        assert unit["status"]["phase"] == "Enqueued"
        assert conditions(unit)["Requeued"] == ("True", "Deactivated")
        assert conditions(unit)["QuotaReserved"][0] == "False"
        assert unit["status"]["requeueState"]["count"] == 1
        assert used(world) == 0
        await answer(world, "u1", budget="Ready")
        await world.settle(30)
        assert (await world.phases())["u1"] == "Enqueued"

    in_world(story)


def test_a_reserved_victim_goes_back_to_its_queue_at_once() -> None:
    async def story(world: World) -> None:
        decided = Decided(world, await a_reserved_unit(world, "budget"))
        await world.settle(0.2)
        writes = [w for w in world.recorder.writes if w.of_unit_status]
        assert writes[1].body["status"]["phase"] == "Enqueued"
        assert writes[1].body["status"]["reason"] == "Reclaimed"
        assert writes[1].body["status"]["requeueState"]["count"] == 1
        assert writes[1].body["status"]["admissions"] is None
        assert (decided.failed, decided.reads) == ([], [])
        said = {event["involvedObject"]["kind"] for event in await world.events("Preempted")}
        assert said == {"QueueUnit", "Job"}

    in_world(story)


def test_a_reserved_unit_that_is_deleted_gives_its_quota_back() -> None:
    async def story(world: World) -> None:
        await a_reserved_unit(world, "budget")
        await world.user.delete(QUEUE_UNITS, "default", "u1")
        await world.settle()
        assert used(world) == 0

    in_world(story)


def test_an_answer_that_comes_between_the_look_and_the_write_is_looked_at_again() -> None:
    async def story(world: World) -> None:
        await a_reserved_unit(world, "budget")
        done: list[str] = []

        async def meddle(method: str, path: str, body: Object) -> str:
            if not done and body.get("status", {}).get("phase") == "Dequeued":
                done.append(path)
                await answer(world, "u1", budget="Retry")
            return ""

        world.recorder.fault = meddle
        await answer(world, "u1", budget="Ready")
        await world.settle(3)
        assert done
        assert (await world.phases())["u1"] == "TimeoutBackoff"

    in_world(story)


ANSWERS = {
    "Pending": "Reserved",
    "Ready": "Dequeued",
    "Retry": "TimeoutBackoff",
    "Rejected": "Enqueued",
}


@pytest.mark.parametrize("state", ANSWERS)
def test_what_was_answered_while_nobody_led_is_followed_up_after_the_start(state: str) -> None:
    async def story(world: World) -> None:
        await a_reserved_unit(world, "budget")
        await world.kill()
        await answer(world, "u1", budget=state)
        await world.start()
        await world.settle(5)
        assert (await world.phases())["u1"] == ANSWERS[state]
        assert used(world) == (3000 if state in ("Pending", "Ready") else 0)

    in_world(story)


def progress(world: World) -> list[Write]:
    """Writes that were taken, of the unit itself."""
    return [w for w in world.recorder.writes if "/queueunits/u1" in w.path and w.status == 200]


async def cut_after_every_write(world: World) -> None:
    """From now on the answer to no write of the unit arrives: its process is dead by then."""
    taken = 0

    async def fault(method: str, path: str, body: Object) -> str:
        nonlocal taken
        if method != "PATCH" or "/queueunits/u1" not in path:
            return ""
        taken += 1
        return "lose-after" if taken == 1 else "lose-before"

    world.recorder.fault = fault


@pytest.mark.parametrize(
    ("answers", "end"),
    [
        (["Ready"], "Dequeued"),
        (["Retry", "Ready"], "Dequeued"),
        (["Rejected"], "Enqueued"),
        (["Retry", "Retry", "Rejected"], "Enqueued"),
    ],
)
def test_killed_after_every_single_write_a_checked_unit_goes_on_rightly(
    answers: list[str], end: str
) -> None:
    async def story(world: World) -> None:
        await a_checked_queue(world, "budget")
        await world.kill()
        await world.create_unit("u1", cpu=3)
        left = [*answers]
        for _ in range(40):
            await cut_after_every_write(world)
            await world.start()
            await world.settle(3)
            await world.kill()
            unit = await world.unit("u1")
            asked = (phase_of(unit), states(unit)) == ("Reserved", {"budget": "Pending"})
            if left and asked:
                await answer(world, "u1", budget=left.pop(0))
        unit = await world.unit("u1")
        assert unit["status"]["phase"] == end
        assert left == []
        bodies = [w.body.get("status", {}).get("phase") for w in progress(world)]
        assert bodies.count("Reserved") == len(answers), "reserved once for every question"
        assert bodies.count("Dequeued") == (end == "Dequeued")
        if end == "Enqueued":
            assert unit["spec"]["active"] is False

    in_world(story, QUICK)


# --- the example --------------------------------------------------------------------------------


def the_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("admission_check_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_of_a_check_lets_as_many_run_as_there_are_licences() -> None:
    async def story(world: World) -> None:
        check = the_example()
        selector = {"matchLabels": {"kube-queue/app": "cad"}}
        await a_checked_queue(world, {"name": "licences", "labelSelector": selector})
        for number in range(4):
            await world.create_unit(f"u{number}", labels={"kube-queue/app": "cad"})
        seen = set()
        for _ in range(200):
            await check.answer_all(world.user, 2, world.clock())
            await world.settle(1)
            phases = await world.phases()
            running = [name for name, phase in phases.items() if phase == "Dequeued"]
            assert len(running) <= 2
            seen |= set(phases.values())
            if len(running) == 2 and world.clock() % 7 < 1:
                await world.finish(running[0])
        assert set((await world.phases()).values()) <= {"Succeed", "Dequeued"}
        assert "TimeoutBackoff" in seen

    in_world(story, QUICK)
