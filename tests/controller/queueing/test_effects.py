"""An admission is written once, whatever happens to its write; quota follows what is certain."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from kube_queue.api.types import QUEUE_UNITS
from tests.controller.queueing.world import Object, World, a_leaf, a_root, in_world

Meddle = Callable[[World], object]


async def a_cluster(world: World, cpu: int = 4) -> None:
    await world.create_tree(a_root(a_leaf("default", cpu)))
    await world.settle()


def is_admission(method: str, body: Object) -> bool:
    return method == "PATCH" and body.get("status", {}).get("phase") == "Dequeued"


def used(world: World) -> int:
    return world.side.cache.quota_status()["root/default"].used.get("cpu", 0)


def meddling(world: World, meddle: Callable[[], object]) -> None:
    """`meddle` happens on the server between the first decision and its write."""
    done = False

    async def fault(method: str, path: str, body: Object) -> str:
        nonlocal done
        if is_admission(method, body) and not done:
            done = True
            answer = meddle()
            if asyncio.iscoroutine(answer):
                await answer
        return ""

    world.recorder.fault = fault


@pytest.mark.parametrize("fate", ["lose-before", "lose-after"])
def test_a_lost_answer_neither_admits_twice_nor_loses_the_unit(fate: str) -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        lost = 0

        async def fault(method: str, path: str, body: Object) -> str:
            nonlocal lost
            if is_admission(method, body) and lost < 3:
                lost += 1
                return fate
            return ""

        world.recorder.fault = fault
        await world.create_unit("u1", cpu=3)
        await world.create_unit("u2", cpu=3)
        await world.settle(10)
        (first,) = await world.admitted()
        landed = [w for w in world.recorder.writes if w.admits and w.status == 200]
        assert len(landed) == 1
        assert used(world) == 3000
        await world.finish(first)
        await world.settle(10)
        assert len(await world.admitted()) == 1
        assert used(world) == 3000

    in_world(story)


def test_quota_stays_taken_while_the_outcome_is_unknown() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        away = True

        async def fault(method: str, path: str, body: Object) -> str:
            if away and method != "GET":
                return "lose-after" if "/u1/" in path else "lose-before"
            return "lose-before" if away else ""

        world.recorder.fault = fault
        await world.create_unit("u1", cpu=3)
        await world.settle(120)
        assert used(world) == 3000
        away = False
        await world.settle(30)
        assert await world.admitted() == {"u1"}
        assert used(world) == 3000
        assert world.count(lambda w: w.admits and w.status == 200) == 1

    in_world(story)


def test_a_change_that_does_not_concern_the_decision_only_costs_one_more_write() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.kill()
        await world.create_unit("u1")

        async def label() -> None:
            patch = {"metadata": {"labels": {"team": "a"}}}
            await world.user.patch(QUEUE_UNITS, "default", "u1", patch)

        meddling(world, label)
        await world.start()
        await world.settle(0.5)
        assert await world.admitted() == {"u1"}
        assert [w.status for w in world.recorder.writes if w.admits] == [409, 200]
        conflicts = 'kube_queue_admission_attempts_total{result="conflict"} 1.0'
        assert conflicts in world.meters.text().decode()

    in_world(story)


def test_a_unit_that_grew_beyond_the_quota_meanwhile_is_decided_again() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.create_unit("other", cpu=2)
        await world.settle()
        meddling(world, lambda: world.change_unit("u1", {"resource": {"cpu": "3"}}))
        await world.create_unit("u1", cpu=1)
        await world.settle(5)
        assert await world.admitted() == {"other"}
        assert used(world) == 2000
        await world.finish("other")
        await world.settle(5)
        assert await world.admitted() == {"u1"}
        assert used(world) == 3000

    in_world(story)


def test_a_unit_deactivated_meanwhile_is_not_admitted() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        meddling(world, lambda: world.change_unit("u1", {"active": False}))
        await world.create_unit("u1", cpu=3)
        await world.settle(5)
        assert await world.admitted() == set()
        assert used(world) == 0

    in_world(story)


def test_a_unit_deleted_meanwhile_gives_its_quota_to_the_next() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        meddling(world, lambda: world.user.delete(QUEUE_UNITS, "default", "u1"))
        await world.create_unit("u1", cpu=3)
        await world.create_unit("u2", cpu=3)
        await world.settle(5)
        assert await world.admitted() == {"u2"}
        assert used(world) == 3000

    in_world(story)


def test_a_unit_deleted_and_created_anew_meanwhile_is_another_unit() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)

        async def anew() -> None:
            await world.user.delete(QUEUE_UNITS, "default", "u1")
            await world.create_unit("u1", cpu=2)

        meddling(world, anew)
        await world.create_unit("u1", cpu=3)
        await world.settle(5)
        assert await world.admitted() == {"u1"}
        (held,) = (await world.unit("u1"))["status"]["admissions"]
        assert held["resources"] == {"cpu": "2"}
        assert used(world) == 2000

    in_world(story)


def test_a_unit_adopted_meanwhile_is_charged_once_and_written_by_its_adopter_only() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        adopted = {
            "phase": "Dequeued",
            "reason": "ReleasedByHand",
            "admissions": [{"name": "main", "replicas": 1, "resources": {"cpu": "3"}}],
        }
        meddling(world, lambda: world.set_status("u1", adopted))
        await world.create_unit("u1", cpu=3)
        await world.settle(5)
        assert (await world.unit("u1"))["status"]["reason"] == "ReleasedByHand"
        assert [w.status for w in world.recorder.writes if w.admits] == [409]
        assert used(world) == 3000

    in_world(story)


def test_a_refused_admission_returns_its_quota_and_is_tried_again_after_a_backoff() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        tried: list[float] = []

        async def fault(method: str, path: str, body: Object) -> str:
            if is_admission(method, body) and len(tried) < 3:
                tried.append(asyncio.get_running_loop().time())
                return "forbid"
            return ""

        world.recorder.fault = fault
        await world.create_unit("u1", cpu=3)
        await world.settle(0.5)
        assert used(world) == 0
        await world.settle(30)
        assert await world.admitted() == {"u1"}
        gaps = [round(b - a) for a, b in itertools.pairwise(tried)]
        assert gaps == [1, 2]
        failed = 'kube_queue_admission_attempts_total{result="failed"} 3.0'
        assert failed in world.meters.text().decode()

    in_world(story)


def test_the_room_of_a_refused_unit_is_anothers_meanwhile() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)

        async def fault(method: str, path: str, body: Object) -> str:
            return "forbid" if is_admission(method, body) and "/u1/" in path else ""

        world.recorder.fault = fault
        await world.create_unit("u1", cpu=3)
        await world.settle(0.1)
        await world.create_unit("u2", cpu=3)
        await world.settle(20)
        assert await world.admitted() == {"u2"}
        assert used(world) == 3000

    in_world(story)


def test_the_lag_of_the_watch_behind_our_own_writes_is_measured() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.create_unit("u1")
        await world.settle()
        assert "kube_queue_informer_lag_seconds_count 1.0" in world.meters.text().decode()

    in_world(story)
