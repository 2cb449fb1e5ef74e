"""Status of the quota tree: the scheduler writes it where no queue controller does."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from kube_queue.api.types import ELASTIC_QUOTA_TREES, LEASES, PODS
from kube_queue.app.controller import run_controller
from kube_queue.app.in_process import InProcessTransport
from kube_queue.config import Settings
from kube_queue.kube.client import Client
from tests.controller.queueing.world import Recorder, a_leaf, a_root
from tests.controller.scheduling.world import Object, World, Write, a_node, a_pod, in_world

GRACE = 30.0
OWNED = {
    owner: Settings().replaced(controller={"quota_status_owner": owner})
    for owner in ("auto", "queue", "scheduler")
}


def of_the_tree(write: Write) -> bool:
    return "/elasticquotatrees/" in write.path and write.path.endswith("/status")


async def tree_status(world: World, name: str = "elasticquotatree") -> Object:
    tree = await world.user.get(ELASTIC_QUOTA_TREES, "kube-system", name)
    found: Object = tree.get("status") or {}
    return found


async def root_cpu(world: World) -> tuple[str, str]:
    """(used, request) of cpu at the root; empty words where there is no status."""
    root = (await tree_status(world)).get("root") or {}
    return root.get("used", {}).get("cpu", ""), root.get("request", {}).get("cpu", "")


async def two_of_three(world: World) -> None:
    """A quota of 2 cpu, and three pods of 1 cpu."""
    await world.create_tree(a_root(a_leaf("default", cpu=2)))
    await world.create(a_node("n1"), *[a_pod(f"p{n}").asking(cpu="1") for n in range(3)])


def a_lease(seconds: int = 15, holder: str = "queue") -> Object:
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"namespace": "kube-queue", "name": "kube-queue-controller"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": seconds},
    }


class Queue:
    """A process of the queue controller beside the scheduler."""

    def __init__(self, world: World, **changes: Any) -> None:
        self.recorder = Recorder(InProcessTransport(world.server))
        settings = Settings().replaced(serving={"enabled": False}, **changes)
        self._task = asyncio.create_task(
            run_controller(Client(self.recorder), settings, clock=world.clock, rng=random.Random(7))
        )

    @property
    def writes(self) -> list[Write]:
        return [write for write in self.recorder.writes if of_the_tree(write)]

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def test_without_a_queue_controller_the_scheduler_shows_used_and_request() -> None:
    async def story(world: World) -> None:
        await two_of_three(world)
        await world.settle(GRACE - 5)
        assert await root_cpu(world) == ("", "")
        await world.settle(10)
        assert await root_cpu(world) == ("2", "3")
        status = await tree_status(world)
        (leaf,) = status["root"]["children"]
        assert (leaf["name"], leaf["used"], leaf["request"]) == (
            "default",
            {"cpu": "2"},
            {"cpu": "3"},
        )
        (valid,) = status["conditions"]
        assert (valid["type"], valid["status"]) == ("Valid", "True")
        await world.delete_pod("p0")
        await world.delete_pod("p1")
        await world.settle(3)
        assert await root_cpu(world) == ("1", "1")
        await world.delete_pod("p2")
        await world.settle(3)
        (leaf,) = (await tree_status(world))["root"]["children"]
        assert (leaf["used"], leaf["request"]) == ({"cpu": "0"}, {"cpu": "0"})

    in_world(story)


def test_only_what_changed_is_written_and_storms_are_few_writes() -> None:
    async def story(world: World) -> None:
        await two_of_three(world)
        await world.settle(GRACE + 5)
        assert world.count(of_the_tree) == 1
        # What moves no quota is no reason to write.
        await world.set_status("p0", {"phase": "Running"})
        await world.create(a_node("n2"))
        await world.settle(60)
        assert world.count(of_the_tree) == 1
        began = world.clock()
        for number in range(100):
            await world.create(a_pod(f"q{number:02}").asking(cpu="1"))
            await asyncio.sleep(0.05)
        await world.settle(5)
        took = world.clock() - began
        assert 2 <= world.count(of_the_tree) - 1 <= took
        assert await root_cpu(world) == ("2", "103")

    in_world(story)


def test_room_that_is_only_promised_is_not_used() -> None:
    async def story(world: World) -> None:
        teams = (a_leaf("team-a", cpu=4, min={"cpu": 2}), a_leaf("team-b", cpu=4, min={"cpu": 2}))
        await world.create_tree(a_root(*teams, cpu=4, min={"cpu": 4}))
        await world.create(a_node("n1").having(cpu="4"))
        stays = {"finalizers": ["example.com/stays"]}
        for number in range(4):
            made = a_pod(f"a{number}").of_namespace("team-a").asking(cpu="1").manifest
            metadata = {"name": f"a{number}", "namespace": "team-a", **stays}
            await world.user.create(PODS, {**made, "metadata": metadata})
        await world.settle(3)
        await world.create(a_pod("b0").of_namespace("team-b").asking(cpu="2"))
        await world.settle(3)
        # Two of team a are told to go and stay for a while: b0 waits, with room kept for it.
        leaves = (await tree_status(world))["root"]["children"]
        assert [(leaf["used"]["cpu"], leaf["request"]["cpu"]) for leaf in leaves] == [
            ("4", "4"),
            ("0", "2"),
        ]
        assert await root_cpu(world) == ("4", "6")

    in_world(story, OWNED["scheduler"])


def test_while_the_queue_controller_lives_the_scheduler_writes_nothing() -> None:
    async def story(world: World) -> None:
        await world.user.create(LEASES, a_lease(seconds=3600))
        await two_of_three(world)
        await world.settle(100)
        assert world.count(of_the_tree) == 0

    in_world(story)


def test_a_lease_that_stands_still_is_waited_out_and_half_a_minute_more() -> None:
    async def story(world: World) -> None:
        await world.user.create(LEASES, a_lease(seconds=15))
        await two_of_three(world)
        await world.settle(15 + GRACE - 2)
        assert world.count(of_the_tree) == 0
        await world.settle(5)
        assert await root_cpu(world) == ("2", "3")

    in_world(story)


def test_with_owner_queue_the_scheduler_never_writes() -> None:
    async def story(world: World) -> None:
        await two_of_three(world)
        await world.settle(100)
        assert world.count(of_the_tree) == 0

    in_world(story, OWNED["queue"])


def test_with_owner_scheduler_the_queue_controller_never_writes() -> None:
    async def story(world: World) -> None:
        owned = {"quota_status_owner": "scheduler"}
        queue = Queue(world, controller=owned)
        await two_of_three(world)
        await world.settle(5)
        assert await root_cpu(world) == ("2", "3")
        assert (await tree_status(world))["conditions"][0]["status"] == "True"
        await world.settle(60)
        assert queue.writes == []
        await queue.stop()

    in_world(story, OWNED["scheduler"])


def test_a_queue_controller_that_comes_takes_over_and_one_that_goes_is_followed() -> None:
    async def story(world: World) -> None:
        await two_of_three(world)
        await world.settle(GRACE + 5)
        assert await root_cpu(world) == ("2", "3")
        ours = world.count(of_the_tree)
        queue = Queue(world)
        await world.settle(5)
        # The controller counts pods that have a node; those that wait ask nothing of it.
        assert await root_cpu(world) == ("2", "2")
        await world.delete_pod("p0")
        await world.settle(5)
        await world.create(a_pod("later").asking(cpu="1"))
        await world.settle(120)
        assert world.count(of_the_tree) == ours
        theirs = len(queue.writes)
        assert theirs
        await queue.stop()
        await world.settle(GRACE + 5)
        assert await root_cpu(world) == ("2", "3")
        assert (len(queue.writes), world.count(of_the_tree)) == (theirs, ours + 1)

    in_world(story)


def test_a_late_write_of_the_scheduler_does_not_outlast_the_queue_controller() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=2)))
        await world.create(a_node("n1"), a_pod("p0").asking(cpu="1"))
        await world.settle(GRACE + 5)
        assert await root_cpu(world) == ("1", "1")

        async def slow(method: str, path: str, body: Object) -> str:
            await asyncio.sleep(8 if "/elasticquotatrees/" in path else 0)
            return ""

        world.recorder.fault = slow
        # Written while nobody else is there, and under way until long after somebody is.
        await world.create(a_pod("p1").asking(cpu="1"), a_pod("p2").asking(cpu="1"))
        await world.settle(2)
        queue = Queue(world)
        await world.settle(5)
        assert await root_cpu(world) == ("2", "2")
        await world.settle(20)
        assert await root_cpu(world) == ("2", "2")
        await queue.stop()

    in_world(story)


def test_what_another_writes_into_the_status_is_written_over_by_the_queue_controller() -> None:
    async def story(world: World) -> None:
        queue = Queue(world)
        await two_of_three(world)
        await world.settle(5)
        assert await root_cpu(world) == ("2", "2")
        wrong = {"status": {"root": {"used": {"cpu": "77"}}}}
        name = ("kube-system", "elasticquotatree")
        await world.user.patch(ELASTIC_QUOTA_TREES, *name, wrong, subresource="status")
        await world.settle(3)
        assert await root_cpu(world) == ("2", "2")
        writes = len(queue.writes)
        await world.settle(60)
        assert len(queue.writes) == writes
        await queue.stop()

    in_world(story)


def test_a_tree_that_is_not_the_one_in_force_says_so_and_shows_no_numbers() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=2)))
        await world.settle(3)
        second = a_root(a_leaf("default", cpu=9))
        await world.user.create(
            ELASTIC_QUOTA_TREES,
            {
                "apiVersion": ELASTIC_QUOTA_TREES.api_version,
                "kind": ELASTIC_QUOTA_TREES.kind,
                "metadata": {"name": "second", "namespace": "kube-system"},
                "spec": {"root": second},
            },
        )
        await world.settle(3)
        status = await tree_status(world, "second")
        assert "root" not in status
        assert status["conditions"][0]["status"] == "False"
        # The first goes: the second counts, and says what is used of it.
        await world.user.delete(ELASTIC_QUOTA_TREES, "kube-system", "elasticquotatree")
        await world.create(a_node("n1"), a_pod("p").asking(cpu="1"))
        await world.settle(3)
        status = await tree_status(world, "second")
        assert status["root"]["used"] == {"cpu": "1"}
        assert status["conditions"][0]["status"] == "True"

    in_world(story, OWNED["scheduler"])


def test_jobs_are_not_counted_here_and_pods_only_where_a_quota_lists_them() -> None:
    async def story(world: World) -> None:
        leaf = a_leaf("default", cpu=2)
        leaf["max"] |= {"pods": "5", "kube-queue/max-jobs": "3"}
        await world.create_tree(a_root(leaf))
        await world.create(a_node("n1"), a_pod("p").asking(cpu="1"))
        await world.settle(3)
        root = (await tree_status(world))["root"]
        assert root["used"] == {"cpu": "1"}
        assert root["children"][0]["used"] == {"cpu": "1", "pods": "1"}

    in_world(story, OWNED["scheduler"])
