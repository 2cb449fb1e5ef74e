"""Pods that no unit stands for: which count, and where."""

from __future__ import annotations

import pytest

from kube_queue.api.conditions import rfc3339
from kube_queue.api.quota import queue_name
from kube_queue.api.reasons import Reason
from kube_queue.api.types import (
    PODS,
)
from kube_queue.config import Settings
from kube_queue.jobframework.unit_status import requeued
from kube_queue.jobframework.unit_view import view_unit
from tests.controller.queueing.pods_world import QUOTA, a_pod, a_queued_job, a_world, end_pod, used
from tests.controller.queueing.world import Object, World, a_leaf, a_root, in_world

# --- which pods count ---------------------------------------------------------------------------


def test_a_live_pod_of_no_unit_counts_once_it_has_a_node() -> None:
    async def story(world: World) -> None:
        await a_world(world, cpu=4)
        await a_pod(world, "p1", "2", node="")
        await world.settle()
        assert used(world) == 0
        binding = {"target": {"kind": "Node", "name": "n1"}, "metadata": {"name": "p1"}}
        await world.user.create_subresource(PODS, "default", "p1", "binding", binding)
        await world.settle()
        assert used(world) == 2000
        await world.create_unit("u1", cpu=3)
        await world.settle()
        assert await world.admitted() == set()
        await end_pod(world, "p1")
        await world.settle()
        assert used(world) == 3000
        assert await world.admitted() == {"u1"}

    in_world(story)


def test_a_live_pod_of_no_unit_counts_while_a_node_is_kept_for_it() -> None:
    async def story(world: World) -> None:
        await a_world(world, cpu=4)
        await a_pod(world, "p1", "2", node="")
        kept: Object = {"status": {"nominatedNodeName": "n1"}}
        await world.user.patch(PODS, "default", "p1", kept, subresource="status")
        await world.settle()
        assert used(world) == 2000
        await world.create_unit("u1", cpu=3)
        await world.settle()
        assert await world.admitted() == set()
        kept["status"]["nominatedNodeName"] = None
        await world.user.patch(PODS, "default", "p1", kept, subresource="status")
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_ended_counts_no_more(phase: str) -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await a_pod(world, "p1")
        await world.settle()
        await end_pod(world, "p1", phase)
        await world.settle()
        assert used(world) == 0

    in_world(story)


def test_a_pod_counts_in_the_leaf_that_its_label_names() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default"), a_leaf("other", namespaces=[])))
        await a_pod(world, "p1", labels={QUOTA: "other"})
        await a_pod(world, "p2", "3")
        await world.settle()
        assert used(world, "root/other") == 1000
        assert used(world) == 3000
        assert used(world, "root") == 4000

    in_world(story)


def test_the_setting_turns_it_off() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await a_pod(world, "p1")
        await world.settle()
        assert used(world) == 0

    in_world(story, Settings().replaced(controller={"count_unmanaged_pods": False}))


def test_pods_of_no_unit_do_not_count_as_jobs_nor_against_min() -> None:
    async def story(world: World) -> None:
        await a_world(world, max={"cpu": 9, "kube-queue/max-jobs": 1}, min={"cpu": 2})
        await a_pod(world, "p1", "2")
        await world.settle()
        labels = {"quota.scheduling.alibabacloud.com/preemptible": "false"}
        await world.create_unit("u1", cpu=2, labels=labels)
        await world.settle()
        assert await world.admitted() == {"u1"}

    in_world(story)


# --- the tree moves -----------------------------------------------------------------------------


def test_pods_of_no_unit_follow_their_namespace_to_another_leaf() -> None:
    async def story(world: World) -> None:
        await world.create_tree(a_root(a_leaf("default"), a_leaf("other", namespaces=[])))
        await a_pod(world, "p1", "2")
        await world.settle()
        moved = [a_leaf("default", namespaces=[]), a_leaf("other", namespaces=["default"])]
        await world.change_tree(a_root(*moved))
        await world.settle()
        assert used(world) == 0
        assert used(world, "root/other") == 2000

    in_world(story)


def test_a_promise_outlives_pods_that_are_seen_a_moment_longer_than_their_unit() -> None:
    async def story(world: World) -> None:
        mine = {"cpu": "2"}
        leaves = (a_leaf("default", 4, min=mine), a_leaf("team-a", 4, min=mine))
        await world.create_tree(a_root(*leaves, max={"cpu": "4"}))
        await world.settle()
        for name in ("stays", "goes"):
            job = await a_queued_job(world, name, 2)
            await world.settle(2)
            await a_pod(world, f"{name}-0", of=job)
        await world.create_unit("wants", cpu=2, namespace="team-a", queue=queue_name("root/team-a"))
        await world.settle()
        told = view_unit(await world.unit("goes"))
        assert told.condition("Evicted")
        # The job side has seen the pod go, which we have not.
        message = str(told.condition("Evicted")["message"])
        left = requeued(told, Reason.RECLAIMED, message, rfc3339(world.clock()))
        await world.set_status("goes", left["status"])
        await world.create_unit("thief", cpu=1)
        await world.settle()
        assert await world.admitted() == {"stays"}
        await world.user.delete(PODS, "default", "goes-0", grace_seconds=0)
        await world.settle()
        assert await world.admitted() == {"stays", "wants"}

    in_world(story)


def test_the_status_of_the_tree_shows_them_as_used() -> None:
    async def story(world: World) -> None:
        await a_world(world)
        await a_pod(world, "p1", "1500m")
        await world.settle()
        (leaf,) = (await world.tree())["status"]["root"]["children"]
        assert leaf["used"] == {"cpu": "1500m"}
        assert leaf["request"] == {"cpu": "1500m"}

    in_world(story)
