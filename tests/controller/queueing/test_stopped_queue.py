"""Stopping a Queue, draining it, and starting it again."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.api.errors import Invalid
from kube_queue.api.types import QUEUES
from tests.controller.queueing.test_evictions import conditions, evicts
from tests.controller.queueing.world import World, a_leaf, a_root, in_world, phase_of

CHECK = [{"name": "budget"}]


async def change_queue(world: World, **spec: Any) -> None:
    await world.user.patch(QUEUES, "kube-queue", "root-default", {"spec": spec})
    await world.settle()


async def a_world_with_one_admitted(world: World, **unit: Any) -> None:
    await world.create_tree(a_root(a_leaf("default", cpu=4)))
    await world.create_unit("u1", cpu=3, job="pi", **unit)
    await world.settle()


def test_a_held_queue_lets_what_runs_go_on_and_admits_nothing_more() -> None:
    async def story(world: World) -> None:
        await a_world_with_one_admitted(world)
        await change_queue(world, stopPolicy="Hold")
        await world.create_unit("u2", cpu=1)
        await world.settle(5)
        assert await world.phases() == {"u1": "Dequeued", "u2": "Enqueued"}
        waits = (await world.unit("u2"))["status"]
        assert waits["reason"] == "QueueStopped"
        assert waits["message"] == "Queue root-default is stopped (spec.stopPolicy: Hold)"
        assert world.count(evicts) == 0
        await change_queue(world, stopPolicy=None)
        assert await world.admitted() == {"u1", "u2"}

    in_world(story)


@pytest.mark.parametrize("phase", ["Dequeued", "Running"])
def test_a_drained_queue_evicts_what_runs_and_takes_it_back_when_started(phase: str) -> None:
    async def story(world: World) -> None:
        await a_world_with_one_admitted(world)
        if phase == "Running":
            await world.set_status("u1", {"phase": "Running"})
        await change_queue(world, stopPolicy="HoldAndDrain")
        unit = await world.unit("u1")
        assert conditions(unit)["Evicted"] == ("True", "QueueStopped")
        assert phase_of(unit) == phase
        assert world.count(evicts) == 1
        # What the job side does once the job's pods are gone.
        await world.set_status("u1", {"phase": "Enqueued", "conditions": [], "admissions": None})
        await world.settle(5)
        assert await world.admitted() == set()
        await change_queue(world, stopPolicy="None")
        assert await world.admitted() == {"u1"}
        assert world.count(evicts) == 1

    in_world(story)


def test_a_queue_drained_while_nobody_led_is_drained_after_the_start() -> None:
    async def story(world: World) -> None:
        await a_world_with_one_admitted(world)
        await world.kill()
        await world.user.patch(
            QUEUES, "kube-queue", "root-default", {"spec": {"stopPolicy": "HoldAndDrain"}}
        )
        await world.start()
        await world.settle(5)
        assert conditions(await world.unit("u1"))["Evicted"] == ("True", "QueueStopped")

    in_world(story)


@pytest.mark.parametrize("stop", ["Hold", "HoldAndDrain"])
def test_reserved_units_of_a_stopped_queue_give_their_quota_back_at_once(stop: str) -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.settle()
        await change_queue(world, admissionChecks=CHECK)
        await world.create_unit("u1", cpu=3)
        await world.settle()
        assert await world.phases() == {"u1": "Reserved"}
        await change_queue(world, stopPolicy=stop)
        await world.settle(5)
        unit = await world.unit("u1")
        assert phase_of(unit) == "Enqueued"
        assert unit["status"]["reason"] == "QueueStopped"
        assert not unit["status"].get("admissions")

    in_world(story)


def test_what_cannot_be_stopped_says_so_and_goes_on_in_a_drained_queue() -> None:
    async def story(world: World) -> None:
        await a_world_with_one_admitted(world, annotations={"kube-queue/evictable": "false"})
        await change_queue(world, stopPolicy="HoldAndDrain")
        status = (await world.unit("u1"))["status"]
        assert (status["phase"], status["reason"]) == ("Dequeued", "NotEvictable")
        assert "its Queue is drained" in status["message"]
        await change_queue(world, stopPolicy=None)
        assert (await world.unit("u1"))["status"]["reason"] == "Admitted"
        assert world.count(evicts) == 0

    in_world(story)


def test_a_word_that_is_no_stop_policy_is_refused_at_the_door() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.settle()
        with pytest.raises(Invalid, match="stopPolicy"):
            await change_queue(world, stopPolicy="Stop")

    in_world(story)
