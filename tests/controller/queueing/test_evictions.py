"""An admitted unit that is deactivated is told once that it has to give its quota back."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from kube_queue.api.types import QUEUE_UNITS
from kube_queue.serving.visibility import Visibility
from tests.controller.queueing.world import Object, World, Write, a_leaf, a_root, in_world


def evicts(write: Write) -> bool:
    conditions = write.body.get("status", {}).get("conditions", []) if write.of_unit_status else []
    return any((one["type"], one["status"]) == ("Evicted", "True") for one in conditions)


def conditions(unit: Object) -> dict[str, tuple[str, str]]:
    found = unit["status"].get("conditions", [])
    return {one["type"]: (one["status"], one["reason"]) for one in found}


async def an_admitted_unit(world: World, name: str = "u1", phase: str = "Dequeued") -> Object:
    await world.create_tree(a_root(a_leaf("default", cpu=4)))
    await world.create_unit(name, cpu=3, job="pi")
    await world.settle()
    if phase != "Dequeued":
        await world.set_status(name, {"phase": phase})
        await world.settle()
    return await world.unit(name)


@pytest.mark.parametrize("phase", ["Dequeued", "Running"])
def test_deactivating_an_admitted_unit_evicts_it_and_leaves_phase_and_quota_alone(
    phase: str,
) -> None:
    async def story(world: World) -> None:
        before = await an_admitted_unit(world, phase=phase)
        await world.create_unit("u2", cpu=3)
        await world.change_unit("u1", {"active": False})
        await world.settle(30)
        unit = await world.unit("u1")
        status = unit["status"]
        assert conditions(unit) == {**conditions(before), "Evicted": ("True", "Deactivated")}
        assert (status["phase"], status["reason"]) == (phase, "Deactivated")
        assert "spec.active is false" in status["message"]
        assert status["admissions"] == before["status"]["admissions"]
        assert await world.admitted() == ({"u1"} if phase == "Dequeued" else set())
        (write,) = [write for write in world.recorder.writes if evicts(write)]
        assert write.body["metadata"]["uid"] == unit["metadata"]["uid"]
        assert write.body["metadata"]["resourceVersion"]
        said = {event["involvedObject"]["kind"] for event in await world.events("Evicted")}
        assert said == {"QueueUnit", "Job"}

    in_world(story)


def test_an_evicted_unit_is_explained_by_what_it_waits_for() -> None:
    async def story(world: World) -> None:
        await an_admitted_unit(world)
        await world.change_unit("u1", {"active": False})
        await world.settle()
        visibility = Visibility(lambda: world.side, world.clock)
        _, answer = await visibility.answer("explain", {"namespace": "default", "name": "pi"})
        words = orjson.loads(answer)
        assert (words["phase"], words["reason"]) == ("Dequeued", "Deactivated")
        assert words["waitsFor"] == "waits until the pods of its job are gone"

    in_world(story)


def test_a_unit_deactivated_while_nobody_led_is_evicted_after_the_start_and_only_once() -> None:
    async def story(world: World) -> None:
        await an_admitted_unit(world)
        await world.kill()
        await world.change_unit("u1", {"active": False})
        for _ in range(3):
            await world.start()
            await world.settle(5)
            await world.kill()
        assert conditions(await world.unit("u1"))["Evicted"] == ("True", "Deactivated")
        assert world.count(evicts) == 1

    in_world(story)


def test_a_unit_that_waits_or_has_ended_is_not_evicted() -> None:
    async def story(world: World) -> None:
        await an_admitted_unit(world)
        await world.create_unit("u2", cpu=3)
        await world.settle()
        await world.finish("u1")
        await world.create_unit("u3", cpu=3, active=False)
        await world.change_unit("u1", {"active": False})
        await world.settle(10)
        assert world.count(evicts) == 0

    in_world(story)


def test_a_change_between_the_look_and_the_write_is_looked_at_again() -> None:
    async def story(world: World) -> None:
        await an_admitted_unit(world)
        meddled: list[str] = []

        async def meddle(method: str, path: str, body: Object) -> str:
            if not meddled and body.get("status", {}).get("reason") == "Deactivated":
                meddled.append(path)
                ready = {"type": "PodsReady", "status": "True", "reason": "PodsReady"}
                found = (await world.unit("u1"))["status"]["conditions"]
                status = {"phase": "Running", "conditions": [*found, {**ready, "message": "x"}]}
                await world.set_status("u1", status)
            return ""

        world.recorder.fault = meddle
        await world.change_unit("u1", {"active": False})
        await world.settle(5)
        unit = await world.unit("u1")
        assert meddled
        assert unit["status"]["phase"] == "Running"
        assert conditions(unit)["PodsReady"] == ("True", "PodsReady")
        assert conditions(unit)["Evicted"] == ("True", "Deactivated")
        assert [write.status for write in world.recorder.writes if evicts(write)] == [409, 200]

    in_world(story)


def test_an_eviction_whose_answer_is_lost_is_not_written_twice() -> None:
    async def story(world: World) -> None:
        await an_admitted_unit(world)
        lost: list[str] = []

        async def lose(method: str, path: str, body: Object) -> str:
            if not lost and body.get("status", {}).get("reason") == "Deactivated":
                lost.append(path)
                return "lose-after"
            return ""

        world.recorder.fault = lose
        await world.change_unit("u1", {"active": False})
        await world.settle(10)
        assert world.count(evicts) == 1
        assert conditions(await world.unit("u1"))["Evicted"] == ("True", "Deactivated")

    in_world(story)


def test_a_refused_eviction_is_tried_again_until_it_is_allowed() -> None:
    async def story(world: World) -> None:
        await an_admitted_unit(world)
        allowed = asyncio.Event()

        async def refuse(method: str, path: str, body: Object) -> str:
            deactivates = body.get("status", {}).get("reason") == "Deactivated"
            return "forbid" if deactivates and not allowed.is_set() else ""

        world.recorder.fault = refuse
        await world.change_unit("u1", {"active": False})
        await world.settle(20)
        assert "Evicted" not in conditions(await world.unit("u1"))
        allowed.set()
        await world.settle(60)
        assert conditions(await world.unit("u1"))["Evicted"] == ("True", "Deactivated")

    in_world(story)


def test_a_unit_that_goes_while_it_is_evicted_gives_its_quota_back() -> None:
    async def story(world: World) -> None:
        await an_admitted_unit(world)
        await world.create_unit("u2", cpu=3)
        await world.settle()
        world.recorder.latency = 0.5
        await world.change_unit("u1", {"active": False})
        await asyncio.sleep(0.2)
        await world.user.delete(QUEUE_UNITS, "default", "u1")
        await world.settle(5)
        assert await world.admitted() == {"u2"}
        assert [write.status for write in world.recorder.writes if evicts(write)] == [404]

    in_world(story)
