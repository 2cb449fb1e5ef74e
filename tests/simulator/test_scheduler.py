"""The plain default scheduler."""

import asyncio
from typing import Any

from kube_queue.api.types import EVENTS, NODES, PODS, PRIORITY_CLASSES
from kube_queue.simulator.profile import Profile
from tests.simulator.world import World, conditions, in_world

ONE_NODE = Profile(nodes=1, cpu="4")


async def node_of(world: World, name: str) -> str:
    return str((await world.get(PODS, name))["spec"].get("nodeName", ""))


def test_pods_go_to_the_least_loaded_node():
    async def story(world: World) -> None:
        for name in ("a", "b", "c"):
            await world.create_pod(name, cpu="2")
            await asyncio.sleep(1)
        assert {await node_of(world, name) for name in ("a", "b", "c")} == {
            "node-1",
            "node-2",
            "node-3",
        }

    in_world(story)


def test_no_node_is_given_more_than_it_has():
    async def story(world: World) -> None:
        for number in range(30):
            await world.create_pod(f"p{number}", cpu="3", command=["sleep", "1h"])
        await asyncio.sleep(5)
        phases = list((await world.phases()).values())
        assert phases.count("Running") == 6
        assert phases.count("Pending") == 24
        assert "Failed" not in phases

    in_world(story)


def test_a_pod_that_fits_nowhere_is_told_why_once_and_placed_when_room_appears():
    async def story(world: World) -> None:
        await world.create_pod("first", cpu="3", command=["sleep", "60"])
        await asyncio.sleep(1)
        await world.create_pod("second", cpu="3")
        await asyncio.sleep(1)
        waiting = await world.get(PODS, "second")
        (said,) = [c for c in waiting["status"]["conditions"] if c["type"] == "PodScheduled"]
        assert said["reason"] == "Unschedulable"
        assert said["message"] == "0/1 nodes are available: 1 Insufficient cpu."
        events = [
            one
            for one in await world.client.list(EVENTS, "default")
            if one["reason"] == "FailedScheduling"
        ]
        assert [(one["involvedObject"]["name"], one["message"]) for one in events] == [
            ("second", said["message"])
        ]
        version = waiting["metadata"]["resourceVersion"]
        await world.create_pod("third", cpu="3")
        await asyncio.sleep(30)
        again = await world.get(PODS, "second")
        assert again["metadata"]["resourceVersion"] == version
        await asyncio.sleep(35)
        placed = await world.get(PODS, "second")
        assert placed["status"]["phase"] == "Running"
        assert conditions(placed)["PodScheduled"] == "True"

    in_world(story, ONE_NODE)


def test_of_waiting_pods_the_highest_priority_is_placed_first_then_the_oldest():
    async def story(world: World) -> None:
        urgent = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 10}
        await world.client.create(PRIORITY_CLASSES, {**urgent, "metadata": {"name": "urgent"}})
        await world.create_pod("now", cpu="4", command=["sleep", "60"])
        await asyncio.sleep(1)
        for name, spec in (
            ("old", {}),
            ("young", {}),
            ("hasty", {"priorityClassName": "urgent"}),
        ):
            await world.create_pod(name, cpu="4", command=["sleep", "60"], **spec)
            await asyncio.sleep(2)
        order: list[str] = []
        for _ in range(4):
            await asyncio.sleep(60)
            phases = await world.phases()
            order += [n for n, p in phases.items() if p == "Running" and n not in order]
        assert order == ["hasty", "old", "young"]

    in_world(story, ONE_NODE)


def test_node_selectors_and_taints_and_cordons_are_obeyed():
    async def story(world: World) -> None:
        taint = {"key": "gpu", "value": "only", "effect": "NoSchedule"}
        for name, change in (
            ("node-1", {"spec": {"unschedulable": True}}),
            ("node-2", {"spec": {"taints": [taint]}}),
        ):
            await world.client.patch(NODES, "", name, change)
        await asyncio.sleep(1)
        tolerant: list[dict[str, Any]] = [{"key": "gpu", "operator": "Exists"}]
        hostname = "kubernetes.io/hostname"
        await world.create_pod("plain")
        await world.create_pod("picky", nodeSelector={hostname: "node-1"})
        await world.create_pod("gpu", nodeSelector={hostname: "node-2"}, tolerations=tolerant)
        await world.create_pod("shut-out", nodeSelector={hostname: "node-2"})
        await asyncio.sleep(1)
        assert await node_of(world, "plain") == "node-3"
        assert await node_of(world, "gpu") == "node-2"
        assert await node_of(world, "picky") == ""
        message = (await world.get(PODS, "shut-out"))["status"]["conditions"][0]["message"]
        assert "1 node(s) had untolerated taint {gpu: only}" in message
        assert "1 node(s) were unschedulable" in message
        await world.client.patch(NODES, "", "node-1", {"spec": {"unschedulable": None}})
        await asyncio.sleep(1)
        assert await node_of(world, "picky") == "node-1"

    in_world(story)


def test_pods_of_another_scheduler_and_gated_pods_are_not_touched():
    async def story(world: World) -> None:
        await world.create_pod("foreign", schedulerName="somebody-else")
        await world.create_pod("gated", schedulingGates=[{"name": "wait"}])
        await asyncio.sleep(5)
        assert await world.phases() == {"foreign": "Pending", "gated": "Pending"}

    in_world(story)


def test_without_nodes_the_pod_is_told_so():
    async def story(world: World) -> None:
        await world.create_pod("a")
        await asyncio.sleep(1)
        said = (await world.get(PODS, "a"))["status"]["conditions"][0]["message"]
        assert said == "no nodes available to schedule pods"

    in_world(story, Profile(nodes=0))


def test_nothing_is_written_while_nothing_happens():
    async def story(world: World) -> None:
        await world.create_pod("big", cpu="100")
        await asyncio.sleep(10)
        before = sum(world.client.requests.values())
        await asyncio.sleep(300)
        # One Lease a node every ten seconds, and watches that end and are opened again.
        assert sum(world.client.requests.values()) - before < 50

    in_world(story, ONE_NODE)
