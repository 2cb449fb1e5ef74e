"""Why a unit waits is written late, once, in the background; a release never waits for it."""

from __future__ import annotations

import asyncio

import pytest

from kube_queue.api.reasons import Reason
from kube_queue.api.types import QUEUES
from kube_queue.config import Settings
from kube_queue.controller.queueing.reasons import worth_writing
from tests.controller.queueing.world import World, Write, a_leaf, a_root, in_world

BLOCK = Settings().replaced(controller={"strict_priority": True})


async def a_full_cluster(world: World, waiting: int = 1) -> None:
    await world.create_tree(a_root(a_leaf("default", cpu=4)))
    await world.create_unit("runs", cpu=4)
    await world.settle()
    for number in range(waiting):
        await world.create_unit(f"u{number:03}", cpu=1)


def is_reason(write: Write) -> bool:
    return write.reasons


def test_a_reason_is_written_after_two_seconds_and_not_before() -> None:
    async def story(world: World) -> None:
        await a_full_cluster(world)
        await world.settle(1.0)
        assert world.count(is_reason) == 0
        await world.settle(2.5)
        status = (await world.unit("u000"))["status"]
        assert status["phase"] == "Enqueued"
        assert status["reason"] == "InsufficientQuota"
        for fact in ("root/default", "cpu", "requested 1", "used 4", "max 4"):
            assert fact in status["message"]
        (condition,) = status["conditions"]
        assert (condition["type"], condition["status"]) == ("QuotaReserved", "False")
        assert condition["reason"] == "InsufficientQuota"

    in_world(story)


def test_a_unit_admitted_soon_is_never_told_why_it_waited() -> None:
    async def story(world: World) -> None:
        await a_full_cluster(world)
        await world.settle(0.5)
        await world.finish("runs")
        await world.settle(10)
        assert await world.admitted() == {"u000"}
        assert world.count(is_reason) == 0

    in_world(story)


def test_an_unchanged_reason_is_written_once() -> None:
    async def story(world: World) -> None:
        await a_full_cluster(world, waiting=3)
        await world.settle(600)
        assert world.count(is_reason) == 3

    in_world(story)


def test_other_numbers_under_the_same_reason_are_not_written() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.create_unit("a", cpu=2)
        await world.create_unit("b", cpu=2)
        await world.settle()
        await world.create_unit("big", cpu=4)
        await world.settle(10)
        await world.finish("a")
        await world.settle(60)
        assert world.count(is_reason) == 1

    in_world(story)


def test_a_changed_reason_is_written_again() -> None:
    async def story(world: World) -> None:
        await a_full_cluster(world)
        await world.settle(5)
        await world.change_unit("u000", {"resource": {"cpu": "9"}})
        await world.settle(5)
        status = (await world.unit("u000"))["status"]
        assert status["reason"] == "ExceedsMaxQuota"
        assert world.count(is_reason) == 2

    in_world(story)


def test_a_reason_that_changes_before_a_write_is_answered_is_written_after_it() -> None:
    async def story(world: World) -> None:
        await a_full_cluster(world)
        await world.settle(5)
        world.recorder.lateness = 5
        await world.change_unit("u000", {"resource": {"cpu": "9"}})
        await world.settle(2)
        assert (await world.unit("u000"))["status"]["reason"] == "ExceedsMaxQuota"
        await world.change_unit("u000", {"resource": {"cpu": "1"}})
        await world.settle(20)
        assert (await world.unit("u000"))["status"]["reason"] == "InsufficientQuota"

    in_world(story)


@pytest.mark.parametrize("settings", [Settings(), BLOCK])
def test_a_tree_that_changes_where_nothing_has_happened_for_long_changes_reasons(
    settings: Settings,
) -> None:
    async def story(world: World) -> None:
        await a_full_cluster(world, waiting=2)
        await world.settle(600)
        for cpu, reason in ((0, "ExceedsMaxQuota"), (4, "InsufficientQuota")):
            await world.change_tree(a_root(a_leaf("default", cpu=cpu)))
            await world.settle(5)
            assert (await world.unit("u000"))["status"]["reason"] == reason

    in_world(story, settings)


def test_a_queue_that_is_stopped_where_nothing_has_happened_for_long_changes_reasons() -> None:
    async def story(world: World) -> None:
        await a_full_cluster(world)
        await world.settle(600)
        for policy, reason in (("Hold", "QueueStopped"), ("None", "InsufficientQuota")):
            change = {"spec": {"stopPolicy": policy}}
            await world.user.patch(QUEUES, "kube-queue", "root-default", change)
            await world.settle(5)
            assert (await world.unit("u000"))["status"]["reason"] == reason

    in_world(story)


def test_those_behind_a_blocking_head_name_it() -> None:
    async def story(world: World) -> None:
        await a_full_cluster(world, waiting=2)
        await world.settle(5)
        first = (await world.unit("u000"))["status"]
        second = (await world.unit("u001"))["status"]
        assert (first["reason"], second["reason"]) == ("InsufficientQuota", "BlockedByHead")
        assert "default/u000" in second["message"]

    in_world(story, BLOCK)


def test_a_storm_of_waiting_units_does_not_delay_a_release() -> None:
    async def story(world: World) -> None:
        world.recorder.latency = 0.02
        await a_full_cluster(world, waiting=500)
        await world.settle(4)
        # Five hundred reasons at fifty a second are on their way now.
        before = world.count(is_reason)
        assert 0 < before < 400
        await world.finish("runs")
        released = asyncio.get_running_loop().time()
        await world.settle(1)
        admits = [write.at for write in world.recorder.writes if write.admits][1:]
        assert len(admits) == 4
        assert max(admits) - released < 0.2
        await world.settle(30)
        assert world.count(is_reason) <= 500

    in_world(story)


def test_reasons_status_and_events_keep_to_fifty_writes_a_second() -> None:
    async def story(world: World) -> None:
        await a_full_cluster(world, waiting=300)
        before = len(world.recorder.writes)
        await world.settle(10)
        slow = [write.at for write in world.recorder.writes[before:] if not write.admits]
        busiest = max(sum(start <= at < start + 1 for at in slow) for start in slow)
        assert busiest <= 56

    in_world(story)


def test_failed_scheduling_is_said_once_on_unit_and_job() -> None:
    async def story(world: World) -> None:
        await a_full_cluster(world, waiting=0)
        await world.create_unit("u1", cpu=3, job="job1")
        await world.settle(120)
        events = await world.events("FailedScheduling")
        assert sorted(one["involvedObject"]["name"] for one in events) == ["job1", "u1"]
        assert {one["count"] for one in events} == {1}
        assert all("InsufficientQuota" in one["message"] for one in events)

    in_world(story)


def test_failed_scheduling_is_said_again_when_its_message_changes() -> None:
    async def story(world: World) -> None:
        await a_full_cluster(world)
        await world.settle(40)
        await world.change_unit("u000", {"resource": {"cpu": "2"}})
        await world.settle(40)
        events = await world.events("FailedScheduling")
        first, second = sorted(one["message"] for one in events)
        assert "requested 1" in first and "requested 2" in second

    in_world(story)


def test_a_request_above_max_is_said_once_and_blocks_nobody() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.settle()
        await world.create_unit("huge", cpu=5, priority=10)
        await world.create_unit("small", cpu=1)
        await world.settle(60)
        assert await world.admitted() == {"small"}
        assert (await world.unit("huge"))["status"]["reason"] == "ExceedsMaxQuota"
        assert len(await world.events("FailedScheduling")) == 1

    in_world(story, BLOCK)


def test_a_restart_repeats_neither_reasons_nor_events() -> None:
    async def story(world: World) -> None:
        await a_full_cluster(world, waiting=3)
        await world.settle(10)
        reasons, events = world.count(is_reason), len(await world.events())
        await world.kill()
        await world.start()
        await world.settle(10)
        assert world.count(is_reason) == reasons
        assert len(await world.events()) == events

    in_world(story)


@pytest.mark.parametrize(
    ("stands", "reason", "written"),
    [
        ("", Reason.INSUFFICIENT_QUOTA, True),
        ("InsufficientQuota", Reason.INSUFFICIENT_QUOTA, False),
        ("InsufficientQuota", Reason.BACKOFF, False),
        ("", Reason.BACKOFF, True),
        ("Backoff", Reason.INSUFFICIENT_QUOTA, True),
        ("", Reason.ENQUEUED, False),
        ("InsufficientQuota", Reason.ENQUEUED, False),
        ("NoQueue", Reason.ENQUEUED, True),
        ("NotActive", Reason.BLOCKED_BY_HEAD, True),
    ],
)
def test_a_passing_reason_does_not_replace_a_shortage(
    stands: str, reason: Reason, written: bool
) -> None:
    assert worth_writing(stands, reason) is written
