"""Units are admitted once, by one write each, in the order of their queue."""

from __future__ import annotations

import pytest

from kube_queue.api.types import QUEUE_UNITS
from kube_queue.config import Settings
from tests.controller.queueing.world import World, a_leaf, a_root, in_world


async def a_cluster(world: World, cpu: int = 4) -> None:
    await world.create_tree(a_root(a_leaf("default", cpu)))
    await world.settle()


def admit_order(world: World) -> list[str]:
    return [write.path.split("/")[-2] for write in world.recorder.writes if write.admits]


def test_a_unit_that_fits_is_admitted_by_one_write() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.create_unit(
            "u1",
            cpu=3,
            job="job1",
            podSet=[
                {"name": "PS", "count": 1, "requests": {"cpu": "1"}},
                {"name": "Worker", "count": 2, "requests": {"cpu": "1"}},
            ],
        )
        await world.settle()
        status = (await world.unit("u1"))["status"]
        assert status["phase"] == "Dequeued"
        assert status["reason"] == "Admitted"
        assert "root/default" in status["message"]
        assert status["lastAllocateTime"].startswith("2026-01-01T00:00:0")
        assert [
            (one["name"], one["replicas"], one["resources"]) for one in status["admissions"]
        ] == [("PS", 1, {"cpu": "1"}), ("Worker", 2, {"cpu": "2"})]
        assert {one["type"]: one["status"] for one in status["conditions"]} == {
            "QuotaReserved": "True",
            "Admitted": "True",
        }
        assert world.count(lambda write: write.of_unit_status) == 1

    in_world(story)


@pytest.mark.parametrize(
    "pod_sets", [None, [{"name": "main", "count": 1, "requests": {"cpu": "1"}}]]
)
def test_what_is_held_is_what_was_asked_even_where_pod_sets_do_not_add_up(
    pod_sets: list[object] | None,
) -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.create_unit("u1", cpu=3, podSet=pod_sets)
        await world.settle()
        (held,) = (await world.unit("u1"))["status"]["admissions"]
        assert held["resources"] == {"cpu": "3"}

    in_world(story)


def test_the_admission_carries_uid_and_version_as_preconditions() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        created = await world.create_unit("u1")
        await world.settle()
        (write,) = [write for write in world.recorder.writes if write.admits]
        assert write.body["metadata"] == {
            "uid": created["metadata"]["uid"],
            "resourceVersion": created["metadata"]["resourceVersion"],
        }

    in_world(story)


def test_two_hundred_units_take_two_hundred_admission_writes_and_reasons_stay_unwritten() -> None:
    async def story(world: World) -> None:
        await a_cluster(world, cpu=200)
        for number in range(200):
            await world.create_unit(f"u{number}")
        await world.settle()
        assert len(await world.admitted()) == 200
        assert sorted(admit_order(world)) == sorted(f"u{number}" for number in range(200))
        assert world.count(lambda write: write.reasons) == 0

    in_world(story)


def test_a_unit_that_does_not_fit_is_admitted_when_another_ends() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.create_unit("u1", cpu=3)
        await world.settle()
        await world.create_unit("u2", cpu=3)
        await world.settle()
        assert await world.admitted() == {"u1"}
        await world.finish("u1")
        await world.settle(0.1)
        assert await world.admitted() == {"u2"}

    in_world(story)


def test_deleting_an_admitted_unit_frees_its_quota() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.create_unit("u1", cpu=3)
        await world.settle()
        await world.create_unit("u2", cpu=3)
        await world.user.delete(QUEUE_UNITS, "default", "u1")
        await world.settle(0.1)
        assert await world.admitted() == {"u2"}

    in_world(story)


def test_a_raised_priority_re_sorts_the_queue_at_once() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.create_unit("runs", cpu=4)
        await world.settle()
        for name in ("u1", "u2", "u3"):
            await world.create_unit(name, cpu=4)
            await world.settle()
        await world.change_unit("u3", {"priority": 20})
        await world.change_unit("u2", {"priority": 10})
        await world.settle()
        for name in ("runs", "u3", "u2"):
            await world.finish(name)
            await world.settle()
        assert admit_order(world) == ["runs", "u3", "u2", "u1"]

    settings = Settings().replaced(controller={"strict_consistency": True})
    in_world(story, settings)


def test_an_inactive_unit_is_held_until_it_is_active() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.create_unit("u1", active=False)
        await world.settle(5)
        assert await world.admitted() == set()
        assert (await world.unit("u1"))["status"]["reason"] == "NotActive"
        await world.change_unit("u1", {"active": True})
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story)


def test_a_unit_without_a_queue_gets_the_one_of_its_leaf() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.create_unit("u1", queue="")
        await world.settle()
        unit = await world.unit("u1")
        assert unit["spec"]["queue"] == "root-default"
        assert unit["status"]["phase"] == "Dequeued"

    in_world(story)


def test_a_unit_that_was_there_before_queue_and_tree_is_admitted_when_they_come() -> None:
    async def story(world: World) -> None:
        await world.create_unit("u1")
        await world.settle(4)
        assert (await world.unit("u1"))["status"]["reason"] == "NoTree"
        await a_cluster(world)
        assert await world.admitted() == {"u1"}

    in_world(story)


def test_a_unit_that_cannot_be_read_is_held_says_why_and_others_go_on() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        container = {"name": "c", "resources": {"requests": {"cpu": "much"}}}
        pods = {"name": "main", "count": 1, "template": {"spec": {"containers": [container]}}}
        await world.create_unit("bad", resource=None, podSet=[pods])
        await world.create_unit("good")
        await world.settle(4)
        assert await world.admitted() == {"good"}
        status = (await world.unit("bad"))["status"]
        assert status["reason"] == "InvalidRequest"
        assert "spec.podSet[0].template.spec.containers[0]" in status["message"]

    in_world(story)


def test_an_admission_ends_an_eviction() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.kill()
        await world.create_unit("u1")
        evicted = {"type": "Evicted", "status": "True", "reason": "Reclaimed", "message": "m"}
        await world.set_status("u1", {"phase": "Enqueued", "conditions": [evicted]})
        await world.start()
        await world.settle()
        status = (await world.unit("u1"))["status"]
        assert status["phase"] == "Dequeued"
        (condition,) = [one for one in status["conditions"] if one["type"] == "Evicted"]
        assert condition["status"] == "False"

    in_world(story)


def test_an_adopted_unit_is_charged_even_above_max() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.create_unit("u1", cpu=3)
        await world.settle()
        await world.create_unit("u2", cpu=3)
        await world.create_unit("u3", cpu=1)
        held = [{"name": "main", "replicas": 1, "resources": {"cpu": "3"}}]
        await world.set_status("u2", {"phase": "Dequeued", "admissions": held})
        await world.settle()
        assert world.side.cache.quota_status()["root/default"].used["cpu"] in (6000, 7000)
        await world.finish("u3")
        await world.finish("u1")
        await world.create_unit("u4", cpu=1)
        await world.settle()
        assert world.side.cache.quota_status()["root/default"].used["cpu"] == 4000

    in_world(story)


def test_no_more_is_decided_than_can_be_written_soon() -> None:
    async def story(world: World) -> None:
        await a_cluster(world, cpu=500)
        world.recorder.latency = 0.5
        for number in range(500):
            await world.create_unit(f"u{number}")
        await world.settle(0.3)
        # 32 writes under way and as many behind them; the rest is still the queue's.
        used = world.side.cache.quota_status()["root/default"].used["cpu"]
        assert 32_000 <= used <= 2 * 32_000
        await world.settle(20)
        assert len(await world.admitted()) == 500
        assert world.count(lambda write: write.admits) == 500

    in_world(story)


def test_a_late_unit_of_high_priority_passes_those_not_decided_yet() -> None:
    async def story(world: World) -> None:
        await a_cluster(world, cpu=500)
        world.recorder.latency = 0.5
        for number in range(300):
            await world.create_unit(f"u{number}")
        await world.settle(0.3)
        await world.create_unit("late", priority=100)
        await world.settle(20)
        assert admit_order(world).index("late") <= 3 * 32

    in_world(story, Settings().replaced(controller={"strict_consistency": True}))


@pytest.mark.parametrize("limit", [1, 7])
def test_cycles_of_any_size_admit_everything_that_fits(limit: int) -> None:
    async def story(world: World) -> None:
        await a_cluster(world, cpu=20)
        for number in range(30):
            await world.create_unit(f"u{number}")
        await world.settle()
        assert len(await world.admitted()) == 20

    in_world(story, Settings().replaced(controller={"cycle_limit": limit}))


def test_nothing_is_written_while_nothing_changes() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.create_unit("u1", cpu=3)
        await world.create_unit("u2", cpu=3)
        await world.settle(30)
        before = len(world.recorder.writes)
        await world.settle(3600)
        assert len(world.recorder.writes) == before

    in_world(story)


def test_the_oversell_rate_multiplies_what_may_be_admitted() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", max={"kube-queue/max-jobs": 10})))
        for number in range(14):
            await world.create_unit(f"u{number:02}")
        await world.settle()
        assert len(await world.admitted()) == 12

    in_world(story, Settings().replaced(controller={"oversell_rate": 1.25}))


def test_scheduled_is_said_on_the_unit_and_on_its_job() -> None:
    async def story(world: World) -> None:
        await a_cluster(world)
        await world.create_unit("u1", job="job1")
        await world.settle(2)
        events = await world.events("Scheduled")
        assert sorted(one["involvedObject"]["kind"] for one in events) == ["Job", "QueueUnit"]
        assert all("root/default" in one["message"] for one in events)

    in_world(story)
