"""A unit that has to give its quota back, for another or because it is held, is told so once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson
import pytest

from kube_queue.admission.decisions import Decision, Evict
from kube_queue.api.names import EVICTABLE_ANNOTATION, RECLAIM_REQUESTED_ANNOTATION
from kube_queue.api.reasons import Reason
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


# --- for another unit ---------------------------------------------------------------------------

FOR = "quota root/default belongs to QueueUnit team-a/p1 (uid 1-2-3)"


class Decided:
    """The next cycle evicts the unit; what the cache is told of it afterwards."""

    def __init__(self, world: World, unit: Object, reason: Reason = Reason.RECLAIMED) -> None:
        self.failed: list[str] = []
        self.reads: list[str] = []
        cache, meta = world.side.cache, unit["metadata"]
        decide: Callable[..., list[Decision]] = cache.cycle
        decisions = [Evict(meta["uid"], "default", meta["name"], "1-2-3", reason, FOR)]

        def cycle(now: float, limit: int = 0) -> list[Decision]:
            found = [*decide(now, limit), *decisions]
            decisions.clear()
            return found

        cache.cycle = cycle  # type: ignore[method-assign]
        cache.eviction_failed = self.failed.append  # type: ignore[method-assign]
        world.recorder.fault = self.watched(world.recorder.fault)
        world.side._loop.wake()

    def watched(self, inner: Callable[..., object]) -> Callable[..., object]:
        async def fault(method: str, path: str, body: Object) -> str:
            if method == "GET" and "/queueunits/" in path:
                self.reads.append(path)
            return str(await inner(method, path, body))  # type: ignore[misc]

        return fault


@pytest.mark.parametrize("phase", ["Dequeued", "Running"])
def test_a_victim_is_told_who_takes_its_quota_and_keeps_phase_and_quota(phase: str) -> None:
    async def story(world: World) -> None:
        before = await an_admitted_unit(world, phase=phase)
        decided = Decided(world, before)
        await world.settle(30)
        unit = await world.unit("u1")
        assert conditions(unit) == {**conditions(before), "Evicted": ("True", "Reclaimed")}
        assert (unit["status"]["phase"], unit["status"]["reason"]) == (phase, "Reclaimed")
        assert unit["status"]["message"] == FOR
        assert unit["status"]["admissions"] == before["status"]["admissions"]
        assert world.count(evicts) == 1
        assert decided.reads == [], "the informer keeps what the write needs"
        assert decided.failed == []
        events = await world.events("Preempted")
        assert {event["involvedObject"]["kind"] for event in events} == {"QueueUnit", "Job"}
        assert {event["message"] for event in events} == {f"Reclaimed: {FOR}"}
        counted = 'kube_queue_evictions_total{reason="Reclaimed"} 1.0'
        assert counted in world.meters.text().decode()
        known = world.side.cache.unit(unit["metadata"]["uid"])
        assert known is not None
        assert known.preemptor == "1-2-3"

    in_world(story)


def test_a_victim_that_changed_meanwhile_and_still_holds_quota_is_told_all_the_same() -> None:
    async def story(world: World) -> None:
        unit = await an_admitted_unit(world)

        async def meddle(method: str, path: str, body: Object) -> str:
            if body.get("status", {}).get("reason") == "Reclaimed" and not world.count(evicts):
                await world.set_status("u1", {"phase": "Running"})
            return ""

        world.recorder.fault = meddle
        decided = Decided(world, unit)
        await world.settle(5)
        assert (await world.unit("u1"))["status"]["phase"] == "Running"
        assert [write.status for write in world.recorder.writes if evicts(write)] == [409, 200]
        assert decided.failed == []

    in_world(story)


@pytest.mark.parametrize("fate", ["finished", "deleted", "evicted", "another"])
def test_a_victim_that_needs_no_telling_any_more_is_not_told(fate: str) -> None:
    async def story(world: World) -> None:
        unit = await an_admitted_unit(world)

        async def meddle(method: str, path: str, body: Object) -> str:
            if body.get("status", {}).get("reason") == "Reclaimed" and not world.count(evicts):
                if fate == "finished":
                    await world.finish("u1")
                elif fate == "evicted":
                    found = (await world.unit("u1"))["status"]["conditions"]
                    told = {"type": "Evicted", "status": "True", "reason": "Deactivated"}
                    await world.set_status("u1", {"conditions": [*found, {**told, "message": ""}]})
                else:
                    await world.user.delete(QUEUE_UNITS, "default", "u1")
                    if fate == "another":
                        await world.create_unit("u1", cpu=3)
                        await world.set_status("u1", {"phase": "Running"})
            return ""

        world.recorder.fault = meddle
        decided = Decided(world, unit)
        await world.settle(10)
        refusal = 404 if fate == "deleted" else 409
        assert [write.status for write in world.recorder.writes if evicts(write)] == [refusal]
        assert await world.events("Preempted") == []
        assert decided.failed == []

    in_world(story)


@pytest.mark.parametrize("fate", ["lose-before", "lose-after"])
def test_an_eviction_of_unknown_outcome_is_repeated_until_it_is_known(fate: str) -> None:
    async def story(world: World) -> None:
        unit = await an_admitted_unit(world)
        lost: list[str] = []

        async def lose(method: str, path: str, body: Object) -> str:
            if len(lost) < 10 and body.get("status", {}).get("reason") == "Reclaimed":
                lost.append(path)
                return fate
            return ""

        world.recorder.fault = lose
        decided = Decided(world, unit)
        await world.settle(120)
        landed = [w for w in world.recorder.writes if evicts(w) and w.status == 200]
        assert len(landed) == 1
        assert conditions(await world.unit("u1"))["Evicted"] == ("True", "Reclaimed")
        assert decided.failed == []

    in_world(story)


def test_an_eviction_that_is_not_allowed_is_told_to_the_cache() -> None:
    async def story(world: World) -> None:
        unit = await an_admitted_unit(world)

        async def refuse(method: str, path: str, body: Object) -> str:
            return "forbid" if body.get("status", {}).get("reason") == "Reclaimed" else ""

        world.recorder.fault = refuse
        decided = Decided(world, unit)
        await world.settle(10)
        assert decided.failed == [unit["metadata"]["uid"]]
        assert await world.events("Preempted") == []

    in_world(story)


def test_an_evicted_unit_whose_job_side_gave_its_quota_back_may_be_admitted_again() -> None:
    async def story(world: World) -> None:
        unit = await an_admitted_unit(world)
        Decided(world, unit)
        await world.settle(5)
        found = (await world.unit("u1"))["status"]["conditions"]
        over = [{**one, "status": "False"} for one in found]
        status = {"phase": "Enqueued", "conditions": over, "admissions": None}
        await world.set_status("u1", status)
        await world.settle(5)
        again = await world.unit("u1")
        assert again["status"]["phase"] == "Dequeued"
        assert again["status"]["attempts"] == 2
        assert conditions(again)["Evicted"][0] == "False"

    in_world(story)


# --- kinds that cannot be stopped ---------------------------------------------------------------


async def one_that_cannot_be_stopped(world: World, phase: str) -> Object:
    await world.create_tree(a_root(a_leaf("default", cpu=4)))
    await world.create_unit("u1", cpu=3, job="pi", annotations={"kube-queue/evictable": "false"})
    await world.settle()
    await world.set_status("u1", {"phase": phase})
    await world.settle()
    return await world.unit("u1")


@pytest.mark.parametrize("phase", ["Dequeued", "Running"])
def test_deactivating_what_cannot_be_stopped_is_refused_and_said(phase: str) -> None:
    async def story(world: World) -> None:
        before = await one_that_cannot_be_stopped(world, phase)
        await world.change_unit("u1", {"active": False})
        await world.settle(60)
        unit = await world.unit("u1")
        assert conditions(unit) == conditions(before), "it is not evicted"
        assert (unit["status"]["phase"], unit["status"]["reason"]) == (phase, "NotEvictable")
        assert "cannot be stopped" in unit["status"]["message"]
        said = await world.events("NotEvictable")
        assert {event["involvedObject"]["kind"] for event in said} == {"QueueUnit", "Job"}
        refusals = [w for w in world.recorder.writes if w.body.get("status", {}).get("reason")]
        assert sum(w.body["status"]["reason"] == "NotEvictable" for w in refusals) == 1
        await world.change_unit("u1", {"active": True})
        await world.settle(5)
        reason = (await world.unit("u1"))["status"]["reason"]
        assert reason == ("PodsReady" if phase == "Running" else "Admitted")

    in_world(story)


def test_what_cannot_be_stopped_is_held_before_it_was_released() -> None:
    async def story(world: World) -> None:
        await one_that_cannot_be_stopped(world, "Enqueued")
        await world.kill()
        await world.set_status("u1", {"phase": "Reserved"})
        await world.change_unit("u1", {"active": False})
        await world.start()
        await world.settle(5)
        assert (await world.phases())["u1"] == "Enqueued"

    in_world(story)


def test_a_victim_that_cannot_be_stopped_is_told_to_the_cache_and_goes_on() -> None:
    async def story(world: World) -> None:
        unit = await one_that_cannot_be_stopped(world, "Running")
        decided = Decided(world, unit)
        await world.settle(10)
        assert decided.failed == [unit["metadata"]["uid"]]
        assert "Evicted" not in conditions(await world.unit("u1"))

    in_world(story)


def test_a_unit_that_the_scheduler_asks_to_go_is_evicted_as_reclaimed_and_asked_once() -> None:
    async def story(world: World) -> None:
        await an_admitted_unit(world)
        asked = {"metadata": {"annotations": {RECLAIM_REQUESTED_ANNOTATION: "uid-1"}}}
        await world.user.patch(QUEUE_UNITS, "default", "u1", asked)
        await world.settle(5)
        unit = await world.unit("u1")
        assert conditions(unit)["Evicted"] == ("True", "Reclaimed")
        assert "taken back by pods of uid uid-1" in unit["status"]["message"]
        assert RECLAIM_REQUESTED_ANNOTATION not in unit["metadata"].get("annotations", {})
        assert world.count(evicts) == 1

    in_world(story)


def test_a_unit_that_cannot_be_stopped_says_so_to_the_scheduler_and_goes_on() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.create_unit("u1", cpu=3, job="pi", annotations={EVICTABLE_ANNOTATION: "false"})
        await world.settle()
        asked = {"metadata": {"annotations": {RECLAIM_REQUESTED_ANNOTATION: "uid-1"}}}
        await world.user.patch(QUEUE_UNITS, "default", "u1", asked)
        await world.settle(5)
        unit = await world.unit("u1")
        assert unit["status"]["phase"] == "Dequeued"
        assert RECLAIM_REQUESTED_ANNOTATION not in unit["metadata"]["annotations"]
        assert {event["type"] for event in await world.events("NotEvictable")} == {"Warning"}

    in_world(story)


def test_a_unit_that_waits_is_not_evicted_later_for_a_request_that_came_too_late() -> None:
    async def story(world: World) -> None:
        await an_admitted_unit(world)
        await world.create_unit("u2", cpu=3)
        asked = {"metadata": {"annotations": {RECLAIM_REQUESTED_ANNOTATION: "uid-1"}}}
        await world.user.patch(QUEUE_UNITS, "default", "u2", asked)
        await world.settle(5)
        found = (await world.unit("u2"))["metadata"].get("annotations", {})
        assert RECLAIM_REQUESTED_ANNOTATION not in found
        await world.finish("u1")
        await world.settle(5)
        assert (await world.unit("u2"))["status"]["phase"] == "Dequeued"
        assert world.count(evicts) == 0

    in_world(story)
