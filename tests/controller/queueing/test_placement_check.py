"""A job is not released to sit Pending, where the controller is told to look at the nodes."""

from __future__ import annotations

from typing import Any

import orjson

from kube_queue.api.types import NODES, PODS
from kube_queue.config import Settings
from kube_queue.serving.visibility import Visibility
from tests.controller.queueing.world import World, a_leaf, a_root, in_world, phase_of
from tests.placement.builders import NodeBuilder, a_node, a_pod

CHECKED = Settings().replaced(controller={"placement_check": True})


def pod_set(count: int, cpu: str, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]
    return {
        "name": "main",
        "count": count,
        "template": {"spec": {"containers": containers, **spec}},
    }


async def create_node(world: World, node: NodeBuilder) -> None:
    drop = ("uid", "resourceVersion")
    metadata = {k: v for k, v in node.manifest["metadata"].items() if k not in drop}
    await world.user.create(NODES, {**node.manifest, "metadata": metadata})


async def create_unit(world: World, name: str, count: int, cpu: str, **spec: Any) -> None:
    await world.create_unit(name, cpu=count * int(cpu), podSet=[pod_set(count, cpu, **spec)])


def test_a_job_that_the_nodes_have_no_room_for_is_held_back_with_its_reason() -> None:
    async def story(world: World) -> None:
        await create_node(world, a_node("n1").having(cpu="4"))
        await world.create_tree(a_root(a_leaf("default", cpu=100)))
        await create_unit(world, "large", 2, "3")
        await create_unit(world, "small", 2, "2")
        await world.settle(10)
        assert await world.admitted() == {"small"}
        unit = await world.unit("large")
        assert phase_of(unit) == "Enqueued"
        assert unit["status"]["reason"] == "NodesHaveNoRoom"
        assert unit["status"]["message"] == "0/1 nodes are available: 1 Insufficient cpu."
        visibility = Visibility(lambda: world.side, world.clock)
        _, body = await visibility.answer("explain", {"namespace": "default", "name": "large"})
        told = orjson.loads(body)
        assert (told["phase"], told["reason"]) == ("Enqueued", "NodesHaveNoRoom")
        (event,) = await world.events("NodesHaveNoRoom")
        assert event["type"] == "Warning"
        writes = len(world.recorder.writes)
        await world.settle(300)
        assert len(world.recorder.writes) == writes

    in_world(story, CHECKED)


def test_it_is_released_when_a_node_comes_or_a_pod_leaves() -> None:
    async def story(world: World) -> None:
        await create_node(world, a_node("n1").having(cpu="4"))
        runs = a_pod("runs").of_scheduler("default-scheduler").asking(cpu="3").manifest
        runs["metadata"] = {"namespace": "default", "name": "runs"}
        await world.user.create(PODS, runs)
        binding = {"metadata": {"name": "runs"}, "target": {"kind": "Node", "name": "n1"}}
        await world.user.create_subresource(PODS, "default", "runs", "binding", binding)
        await world.create_tree(a_root(a_leaf("default", cpu=100)))
        await create_unit(world, "first", 1, "3")
        await create_unit(world, "second", 2, "3")
        await world.settle(10)
        assert await world.admitted() == set()
        await world.user.delete(PODS, "default", "runs", grace_seconds=0)
        await world.settle(5)
        assert await world.admitted() == {"first"}
        for name in ("n2", "n3"):
            await create_node(world, a_node(name).having(cpu="4"))
        await world.settle(40)
        assert await world.admitted() == {"first", "second"}

    in_world(story, CHECKED)


def test_two_jobs_are_not_let_into_the_same_room_one_after_the_other() -> None:
    async def story(world: World) -> None:
        await create_node(world, a_node("n1").having(cpu="4"))
        await world.create_tree(a_root(a_leaf("default", cpu=100)))
        await create_unit(world, "u1", 1, "3")
        await create_unit(world, "u2", 1, "3")
        await world.settle(10)
        assert len(await world.admitted()) == 1
        # Its pods never came: the room is not kept for ever.
        await world.settle(40)
        assert len(await world.admitted()) == 2

    in_world(story, CHECKED)


def test_taints_and_selectors_count_as_they_do_for_the_scheduler() -> None:
    async def story(world: World) -> None:
        await create_node(world, a_node("n1").having(cpu="4").tainted("gpu"))
        await world.create_tree(a_root(a_leaf("default", cpu=100)))
        await create_unit(world, "plain", 1, "1")
        await create_unit(world, "tolerates", 1, "1", tolerations=[{"operator": "Exists"}])
        await world.settle(10)
        assert await world.admitted() == {"tolerates"}

    in_world(story, CHECKED)


def test_a_unit_that_says_nothing_of_its_pods_is_admitted_by_quota_alone() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=100)))
        await world.create_unit("u1", cpu=3)
        await world.settle(10)
        assert await world.admitted() == {"u1"}

    in_world(story, CHECKED)


def test_without_the_flag_nobody_looks_at_nodes() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default", cpu=100)))
        await create_unit(world, "u1", 2, "3")
        await world.settle(10)
        assert await world.admitted() == {"u1"}
        assert not any(path.endswith("/nodes") for path in world.recorder.patience)

    in_world(story)
