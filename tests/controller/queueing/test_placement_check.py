"""A job is not released to sit Pending, where the controller is told to look at the nodes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest

from kube_queue.api.types import NODES, PODS, QUEUE_UNITS
from kube_queue.config import Settings
from kube_queue.serving.visibility import Visibility
from tests.controller.queueing.test_evictions import evicts
from tests.controller.queueing.world import (
    Object,
    World,
    a_leaf,
    a_root,
    in_world,
    phase_of,
)
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


ONE_ZONE = '{"name": "t", "required": {"topologies": [{"key": "topology.kubernetes.io/zone"}]}}'
GANG = {
    "pod-group.scheduling.sigs.k8s.io/name": "together",
    "pod-group.scheduling.sigs.k8s.io/min-available": "3",
}


async def create_constrained(
    world: World, name: str, count: int, constraint: str = ONE_ZONE, **changed: Any
) -> None:
    """A unit of pods of 1 cpu that want one zone."""
    told = {"scheduler": "kube-queue-scheduler", "labels": GANG, **changed}
    pods = pod_set(count, "1", schedulerName=told["scheduler"])
    annotations = {"alibabacloud.com/topology-aware-constraint": constraint}
    pods["template"]["metadata"] = {"labels": told["labels"], "annotations": annotations}
    await world.create_unit(name, cpu=count, podSet=[pods])


async def two_zones(world: World) -> None:
    """With room for two such pods in each, and quota for many."""
    for name, zone in (("n1", "a"), ("n2", "b")):
        await create_node(world, a_node(name).having(cpu="2").in_zone(zone))
    await world.create_tree(a_root(a_leaf("default", cpu=100)))


def test_a_gang_that_wants_one_domain_is_released_when_one_has_room_for_all_of_it() -> None:
    async def story(world: World) -> None:
        await two_zones(world)
        await create_constrained(world, "gang", 3)
        await world.settle(10)
        unit = await world.unit("gang")
        assert (phase_of(unit), unit["status"]["reason"]) == ("Enqueued", "NodesHaveNoRoom")
        assert "a has room for 2; b has room for 2" in unit["status"]["message"]
        await create_node(world, a_node("n3").having(cpu="1").in_zone("b"))
        await world.settle(10)
        assert await world.admitted() == {"gang"}

    in_world(story, CHECKED)


@pytest.mark.parametrize(
    "unbound",
    [{"labels": {}}, {"scheduler": "default-scheduler"}],
    ids=["no gang", "another scheduler"],
)
def test_pods_that_the_constraint_does_not_keep_together_need_no_domain(
    unbound: dict[str, Any],
) -> None:
    async def story(world: World) -> None:
        await two_zones(world)
        await create_constrained(world, "loose", 3, **unbound)
        await world.settle(10)
        assert await world.admitted() == {"loose"}

    in_world(story, CHECKED)


def test_a_constraint_that_cannot_be_read_holds_its_job_and_says_so() -> None:
    async def story(world: World) -> None:
        await create_node(world, a_node("n1").having(cpu="4").in_zone("a"))
        await world.create_tree(a_root(a_leaf("default", cpu=100)))
        await create_constrained(world, "gang", 3, "{")
        await world.settle(10)
        assert await world.admitted() == set()
        message = (await world.unit("gang"))["status"]["message"]
        assert message.startswith("InvalidTopologyConstraint: ")

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


def test_quota_of_a_job_that_is_held_back_is_free_for_others() -> None:
    async def story(world: World) -> None:
        await create_node(world, a_node("n1").having(cpu="4"))
        await world.create_tree(a_root(a_leaf("default", cpu=7)))
        await create_unit(world, "large", 2, "3")
        await world.settle(5)
        assert phase_of(await world.unit("large")) == "Enqueued"
        (leaf,) = (await world.tree())["status"]["root"]["children"]
        assert (leaf["used"]["cpu"], leaf["request"]["cpu"]) == ("0", "6")
        await create_unit(world, "small", 1, "2")
        await world.settle(5)
        assert await world.admitted() == {"small"}
        # Nodes alone are not enough by now, and it says so.
        for name in ("n2", "n3"):
            await create_node(world, a_node(name).having(cpu="4"))
        await world.settle(10)
        assert await world.admitted() == {"small"}
        assert (await world.unit("large"))["status"]["reason"] == "InsufficientQuota"
        await world.user.delete(QUEUE_UNITS, "default", "small")
        await world.settle(5)
        assert await world.admitted() == {"large"}

    in_world(story, CHECKED)


def test_in_a_blocking_queue_nobody_passes_the_job_that_waits_for_nodes() -> None:
    async def story(world: World) -> None:
        await create_node(world, a_node("n1").having(cpu="4"))
        await world.create_tree(a_root(a_leaf("default", cpu=100)))
        await create_unit(world, "large", 2, "3")
        await world.settle(5)
        await create_unit(world, "small", 1, "2")
        await world.settle(5)
        assert await world.admitted() == set()
        await create_node(world, a_node("n2").having(cpu="8"))
        await world.settle(5)
        assert await world.admitted() == {"large", "small"}

    blocking = {"placement_check": True, "strict_priority": True}
    in_world(story, Settings().replaced(controller=blocking))


def test_a_job_that_asks_for_less_has_its_turn_though_no_node_changed() -> None:
    async def story(world: World) -> None:
        await create_node(world, a_node("n1").having(cpu="4"))
        await world.create_tree(a_root(a_leaf("default", cpu=100)))
        await create_unit(world, "large", 2, "3")
        await world.settle(10)
        assert await world.admitted() == set()
        less = {"spec": {"podSet": [pod_set(2, "2")]}}
        await world.user.patch(QUEUE_UNITS, "default", "large", less)
        await world.settle(2)
        assert await world.admitted() == {"large"}

    in_world(story, CHECKED)


def test_many_that_are_held_back_have_their_turns_a_few_at_a_time() -> None:
    async def story(world: World) -> None:
        await create_node(world, a_node("n1").having(cpu="1"))
        await world.create_tree(a_root(a_leaf("default", cpu=10_000)))
        for number in range(150):
            await create_unit(world, f"u{number:03}", 1, "2")
        await world.settle(30)
        asked: Counter[str] = Counter()

        async def count(method: str, path: str, body: Object) -> str:
            if method == "GET" and "/queueunits/" in path:
                asked[path] += 1
            return ""

        world.recorder.fault = count
        await create_node(world, a_node("n2").having(cpu="1"))
        await world.settle(1.9)
        assert (len(asked), max(asked.values())) == (64, 1)
        await world.settle(10)
        assert (len(asked), max(asked.values())) == (150, 1)
        # The room for one of them: the first that is looked at has it.
        await create_node(world, a_node("n3").having(cpu="2"))
        await world.settle(10)
        assert len(await world.admitted()) == 1

    in_world(story, CHECKED)


def test_quota_that_others_were_evicted_for_is_kept_and_nobody_is_evicted_twice() -> None:
    async def story(world: World) -> None:
        await create_node(world, a_node("n1").having(cpu="4"))
        leaves = (a_leaf(team, cpu=4, min={"cpu": 2}) for team in ("team-a", "team-b"))
        await world.create_tree(a_root(*leaves, cpu=4, min={"cpu": 4}))
        borrower = {"namespace": "team-a", "queue": "", "job": "pi"}
        await world.create_unit("borrower", cpu=4, podSet=[pod_set(1, "4")], **borrower)
        await world.settle(5)
        assert await world.admitted() == {"borrower"}
        nowhere = pod_set(1, "2", nodeSelector={"example.com/not": "here"})
        owner = {"namespace": "team-b", "queue": "", "podSet": [nowhere]}
        await world.create_unit("owner", cpu=2, **owner)
        await world.settle(5)
        assert world.count(evicts) == 1
        # The job side has stopped the job: its quota goes back, and it waits again.
        found = (await world.unit("borrower", "team-a"))["status"]["conditions"]
        over = [{**one, "status": "False"} for one in found]
        back = {"phase": "Enqueued", "conditions": over, "admissions": None}
        await world.set_status("borrower", back, "team-a")
        await world.settle(60)
        unit = await world.unit("owner", "team-b")
        assert (phase_of(unit), unit["status"]["reason"]) == ("Enqueued", "NodesHaveNoRoom")
        for number in range(5):
            await create_node(world, a_node(f"m{number}").having(cpu="4"))
            await world.settle(5)
        assert world.count(evicts) == 1
        assert phase_of(await world.unit("borrower", "team-a")) == "Enqueued"

    in_world(story, CHECKED)
