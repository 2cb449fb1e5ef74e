"""Status of Queues: counts, the first hundred in order, few writes, the most-changed first."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from kube_queue.api.types import CRDS, ELASTIC_QUOTA_TREES, QUEUES
from kube_queue.app.virtual_time import VirtualTimeLoop, run_virtual
from kube_queue.controller.status import Key, StatusWriter, Wanted
from kube_queue.kube.client import Client
from kube_queue.kube.writes import WriteScheduler
from tests.controller.queueing.world import Object, World, a_leaf, a_root, in_world
from tests.kube.scripted import ScriptedTransport


def test_a_queue_shows_how_many_wait_and_hold_and_who_is_first() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=1)))
        await world.settle()
        await world.create_unit("u0")
        await world.settle()
        for number in range(1, 4):
            await world.create_unit(f"u{number}", priority=number)
        await world.settle()
        status = (await world.queue("root-default"))["status"]
        assert (status["pending"], status["reserved"], status["admitted"]) == (3, 0, 1)
        assert status["head"] == "default/u3"
        assert status["queueItemDetails"] == [
            {"namespace": "default", "name": "u3", "position": 1, "priority": 3},
            {"namespace": "default", "name": "u2", "position": 2, "priority": 2},
            {"namespace": "default", "name": "u1", "position": 3, "priority": 1},
        ]

    in_world(story)


def test_a_queue_lists_its_first_hundred_only() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=0)))
        await world.settle()
        for number in range(130):
            await world.create_unit(f"u{number:03}")
            await asyncio.sleep(0.1)
        await world.settle()
        status = (await world.queue("root-default"))["status"]
        assert status["pending"] == 130
        assert [item["position"] for item in status["queueItemDetails"]] == list(range(1, 101))

    in_world(story)


def test_a_storm_of_changes_is_written_without_details_until_it_is_over() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=0)))
        await world.settle()
        for number in range(500):
            await world.create_unit(f"u{number:03}")
        await world.settle(0.5)
        status = (await world.queue("root-default"))["status"]
        assert status["pending"] == 500
        assert "queueItemDetails" not in status
        await world.settle(3)
        assert len((await world.queue("root-default"))["status"]["queueItemDetails"]) == 100

    in_world(story)


def test_at_most_ten_status_writes_leave_in_any_second() -> None:
    async def story(world: World) -> None:
        teams = [a_leaf(f"team-{number}", cpu=1000) for number in range(40)]
        await world.create_tree(a_root(*teams))
        await world.settle(10)
        labels = [
            {"quota.scheduling.alibabacloud.com/name": f"team-{number}"} for number in range(40)
        ]
        for number in range(800):
            await world.create_unit(f"u{number:03}", queue="", labels=labels[number % 40])
            await asyncio.sleep(0.01)
        await world.settle(20)
        times = [write.at for write in world.recorder.writes if write.queue_or_tree_status]
        assert len(times) > 50
        busiest = max(sum(start <= at < start + 1 for at in times) for start in times)
        assert busiest <= 11
        for team in await world.queue_names():
            assert (await world.queue(team))["status"]["admitted"] == 20

    in_world(story)


def test_a_status_that_stands_is_not_written_again_after_a_restart() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=1), a_leaf("team-a")))
        await world.create_unit("u1")
        await world.create_unit("u2")
        await world.settle(10)
        await world.kill()
        before = len(world.recorder.writes)
        await world.start()
        await world.settle(10)
        assert world.recorder.writes[before:] == []

    in_world(story)


def test_a_status_that_somebody_changes_before_ours_is_answered_is_written_again() -> None:
    async def used(world: World) -> object:
        return (await world.tree())["status"]["root"]["used"]["cpu"]

    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=4)))
        await world.create_unit("u1")
        await world.settle(10)
        world.recorder.lateness = 5
        await world.create_unit("u2")
        await world.settle(3)
        assert await used(world) == "2"
        wrong = {"status": {"root": {"used": {"cpu": "7"}}}}
        await world.user.patch(
            ELASTIC_QUOTA_TREES, "kube-system", "elasticquotatree", wrong, subresource="status"
        )
        await world.settle(20)
        assert await used(world) == "2"

    in_world(story)


def test_an_unknown_policy_is_shown_and_treated_as_round() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=1)))
        # Our definition refuses the word; one of an older version may not have.
        field = "/schema/openAPIV3Schema/properties/spec/properties/queuePolicy/enum"
        lenient = [{"op": "remove", "path": f"/spec/versions/0{field}"}]
        await world.user.patch(CRDS, "", "queues.scheduling.x-k8s.io", lenient, kind="json")
        queue: Object = {
            "apiVersion": QUEUES.api_version,
            "kind": "Queue",
            "metadata": {"name": "mine", "namespace": "kube-queue"},
            "spec": {"queuePolicy": "Lottery"},
        }
        await world.user.create(QUEUES, queue)
        await world.create_unit("u1", queue="mine")
        await world.settle()
        assert await world.admitted() == {"u1"}
        (condition,) = (await world.queue("mine"))["status"]["conditions"]
        assert (condition["type"], condition["status"]) == ("PolicyKnown", "False")
        assert "Round" in condition["message"]
        patch = {"spec": {"queuePolicy": "Block"}}
        await world.user.patch(QUEUES, "kube-queue", "mine", patch)
        await world.settle()
        (condition,) = (await world.queue("mine"))["status"]["conditions"]
        assert condition["status"] == "True"

    in_world(story)


def test_a_threshold_that_is_no_integer_is_named_as_what_is_wrong() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=1)))
        annotations = {"kube-queue/priority-threshold": "high"}
        queue: Object = {
            "apiVersion": QUEUES.api_version,
            "kind": "Queue",
            "metadata": {"name": "mine", "namespace": "kube-queue", "annotations": annotations},
            "spec": {"queuePolicy": "Intelligent"},
        }
        await world.user.create(QUEUES, queue)
        await world.settle()
        (condition,) = (await world.queue("mine"))["status"]["conditions"]
        assert (condition["status"], condition["reason"]) == ("False", "InvalidThreshold")
        assert "'high'" in condition["message"] or '"high"' in condition["message"]
        right = {"metadata": {"annotations": {"kube-queue/priority-threshold": "7"}}}
        await world.user.patch(QUEUES, "kube-queue", "mine", right)
        await world.settle()
        (condition,) = (await world.queue("mine"))["status"]["conditions"]
        assert (condition["status"], condition["reason"]) == ("True", "PolicyKnown")

    in_world(story)


@dataclass
class Facts:
    """A source whose every answer differs from the last, and costs so many seconds by name."""

    asked: list[Key] = field(default_factory=list)
    costs: dict[str, float] = field(default_factory=dict)

    def wanted(self, key: Key, *, hurried: bool) -> Wanted | None:
        self.asked.append(key)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.spend(self.costs.get(key[2], 0.0))
        status = {"pending": len(self.asked)}
        return Wanted(QUEUES, key[1], key[2], f"uid-{key[2]}", status, b"")


def test_the_most_changed_status_is_written_first() -> None:
    async def story() -> None:
        facts = Facts()
        writer = StatusWriter(facts, rate=10)
        scheduler = WriteScheduler(Client(ScriptedTransport()), rng=random.Random(1))
        for name, changes in (("calm", 1), ("wild", 5), ("busy", 3)):
            for _ in range(changes):
                writer.touched((QUEUES.plural, "kube-queue", name))
        task = asyncio.create_task(writer.run(scheduler))
        await asyncio.sleep(1)
        task.cancel()
        assert [key[2] for key in facts.asked] == ["wild", "busy", "calm"]

    run_virtual(story())


def test_a_costly_status_takes_a_twentieth_of_the_time_and_holds_up_no_other() -> None:
    async def story() -> None:
        facts = Facts(costs={"large": 0.1})
        writer = StatusWriter(facts, rate=10)
        scheduler = WriteScheduler(Client(ScriptedTransport()), rng=random.Random(1))
        task = asyncio.create_task(writer.run(scheduler))
        loop = asyncio.get_running_loop()
        while loop.time() < 60:
            for name in ("large", "large", "small"):
                writer.touched((QUEUES.plural, "kube-queue", name))
            await asyncio.sleep(0.1)
        task.cancel()
        names = [key[2] for key in facts.asked]
        assert 26 <= names.count("large") <= 30
        assert names.count("small") >= 300

    run_virtual(story())
