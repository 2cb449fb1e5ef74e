"""The queue controller and the co-scheduler as one system: nodes asked first, one status."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from typing import Final

from e2e.coscheduling import (
    MINIMUM_LABEL,
    SCHEDULER,
    ZONE,
    Object,
    add_nodes,
    constrained,
    node,
    nodes_of,
    pod,
    see_held,
    see_on_nodes,
    see_quotas_kept,
    with_nodes,
)
from e2e.jobs import job, nowhere
from e2e.placements import GANG_LABEL, on_node
from e2e.scenario import scenario
from e2e.steps import see_admitted, see_waiting
from e2e.trees import TREE_NAME, namespace, tree
from e2e.world import Unmet, World
from kube_queue.api.errors import NotFound
from kube_queue.api.names import CONTROLLER_COMPONENT, TREE_NAMESPACE
from kube_queue.api.types import ELASTIC_QUOTA_TREES, JOBS, LEASES, NODES, PODS

ROOM: Final = "kube-queue.example/room"
"""The label of the only nodes that the jobs of a scenario may be on."""
TAKEN_OVER: Final = 30.0
"""Seconds after the end of the Lease from which the scheduler writes the tree's status."""


def room(name: str, cpu: str) -> Object:
    """A node for jobs that are to be on nodes with ROOM."""
    made = node(name, cpu)
    made["metadata"]["labels"] |= {ROOM: "yes"}
    return made


@scenario(
    "Q28",
    "a job that its quota has room for and the nodes have not is not released, and holds up nobody",
    settings={"controller": {"placement_check": True}},
    within=180,
)
async def more_promised(world: World) -> None:
    seen: set[str] = set()

    def pods_of_large(old: Object | None, new: Object | None) -> None:
        del old
        if new is not None and new["metadata"]["name"].startswith("large"):
            seen.add(new["metadata"]["name"])

    await world.follow(PODS, pods_of_large)
    # Quota for 7 cpu, and a node of 4: large may use 6, and one node cannot hold both its pods.
    await world.apply(tree("7"))
    async with with_nodes(world, room("narrow", "4")):
        try:
            await world.apply(nowhere(job("large", "3", parallelism=2), ROOM))
            said = await see_waiting(world, "large", "NodesHaveNoRoom")
            # One pod fits: what the second one meets is told of every node.
            assert "nodes are available" in said and "Insufficient cpu" in said, said
            # Were the quota kept for large, small would have none.
            await world.apply(nowhere(job("small", "2"), ROOM))
            await see_admitted(world, "small")
            await see_on_nodes(world, 1, prefix="small")
            assert not seen, seen
            await world.delete(JOBS, "small")
            await world.until(PODS, lambda pods: not pods, "small is gone", within=60)
            await see_waiting(world, "large", "NodesHaveNoRoom")
            assert not seen, seen
            await add_nodes(world, room("more", "4"))
            await see_admitted(world, "large", within=60)
            await see_on_nodes(world, 2, prefix="large")
        finally:
            with contextlib.suppress(NotFound):
                await world.delete(NODES, "more", "")


@scenario(
    "Q28t",
    "a job that has to be within one zone is not released while no zone has room for all of it",
    settings={"controller": {"placement_check": True}},
    within=180,
)
async def one_zone(world: World) -> None:
    await world.apply(tree("100"))
    async with with_nodes(world, _in_zone("left", "2"), _in_zone("right", "2")):
        await world.apply(_within_a_zone(nowhere(job("three", "1", parallelism=3), ROOM)))
        said = await see_waiting(world, "three", "NodesHaveNoRoom")
        assert "left has room for 2; right has room for 2" in said, said
        async with with_nodes(world, _in_zone("right", "1", "right-more")):
            await see_admitted(world, "three", within=60)
            await see_on_nodes(world, 3, prefix="three")
            homes = await nodes_of(world, prefix="three")
            assert sorted(homes) == ["right", "right", "right-more"], homes


def _in_zone(zone: str, cpu: str, name: str = "") -> Object:
    made = room(name or zone, cpu)
    made["metadata"]["labels"] |= {ZONE: zone}
    return made


def _within_a_zone(made: Object) -> Object:
    """The Job whose pods are a gang of the co-scheduler, all of them in one zone."""
    template = made["spec"]["template"]
    many = str(made["spec"]["parallelism"])
    labels = {GANG_LABEL: made["metadata"]["name"], MINIMUM_LABEL: many}
    pods = {
        "metadata": {"labels": labels},
        "spec": {**template["spec"], "schedulerName": SCHEDULER},
    }
    return {**made, "spec": {**made["spec"], "template": constrained(pods, ZONE)}}


class Shown:
    """What the tree's status said of cpu at its root, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def see(self, old: Object | None, new: Object | None) -> None:
        """The tree changed."""
        del old
        root = (new or {}).get("status", {}).get("root") or {}
        said = root.get("used", {}).get("cpu", ""), root.get("request", {}).get("cpu", "")
        if said != ("", "") and self.all[-1:] != [said]:
            self.all.append(said)


async def see_numbers(world: World, used: str, request: str, *, within: float = 30.0) -> None:
    """The tree's status says so of the cpu used and asked for in all, and kubectl prints it."""

    def seen(trees: Sequence[Object]) -> bool:
        root = trees[0].get("status", {}).get("root", {}) if trees else {}
        sums = (root.get("used", {}).get("cpu"), root.get("request", {}).get("cpu"))
        return sums == (used, request)

    saying = f"{used} cpu used, {request} asked for"
    await world.until(ELASTIC_QUOTA_TREES, seen, saying, within=within)
    path = "{.status.root.used.cpu} {.status.root.request.cpu}"
    printed = await world.jsonpath(ELASTIC_QUOTA_TREES, TREE_NAME, path, namespace=TREE_NAMESPACE)
    if printed not in (None, f"{used} {request}"):
        raise Unmet(f"kubectl printed {printed!r} where the status said {saying}")


@scenario(
    "S16",
    "without a queue controller the scheduler shows what quotas use; one that returns takes over",
    settings={"leader": {"lease_seconds": 10, "renew_seconds": 8, "retry_seconds": 1}},
    within=240,
)
async def one_status(world: World) -> None:
    await world.apply(namespace("team"))
    shown = Shown()
    await world.follow(ELASTIC_QUOTA_TREES, shown.see)
    async with with_nodes(world, room("alone", "8")):
        async with world.frozen("controller"):
            # Two of three pods have quota. That the third one asks, the scheduler alone counts.
            await world.apply(tree("4", ("team", "4")))
            await see_quotas_kept(world, "team")
            await world.apply(*(_pod(f"p{index}") for index in range(3)))
            await see_on_nodes(world, 2, prefix="p")
            await see_numbers(world, "4", "6", within=TAKEN_OVER + 60)
            left = _renewed(await world.objects(LEASES))
        await world.until(
            LEASES, lambda leases: _renewed(leases) != left, "the controller has its Lease again"
        )
        # It goes on where it was, finds its Lease lost, takes it again, and writes.
        await see_numbers(world, "4", "4", within=60)
        shown.all.clear()
        await world.apply(_pod("p3"))
        await see_held(world, 1, prefix="p3")
        gone: list[str] = []
        for _ in range(4):
            gone.append(await _one_on_a_node(world, but=gone))
            await world.delete(PODS, gone[-1], "team")
        await world.until(PODS, lambda pods: not pods, "no pod is left", within=60)
        await see_numbers(world, "0", "0", within=60)
    # While pods waited, the scheduler would have said that more is asked for than used.
    assert all(used == asked for used, asked in shown.all), shown.all


def _renewed(leases: Sequence[Object]) -> str:
    """When the queue controller took or renewed its Lease last."""
    held = [one for one in leases if one["metadata"]["name"] == CONTROLLER_COMPONENT]
    return str(held[0]["spec"].get("renewTime")) if held else ""


def _pod(name: str) -> Object:
    return pod(name, "2", namespace="team", nodeSelector={ROOM: "yes"})


async def _one_on_a_node(world: World, *, but: Collection[str]) -> str:
    """A pod that is on a node, once there is one besides these."""
    found: list[str] = []

    def seen(pods: Sequence[Object]) -> bool:
        here = [one for one in pods if one["metadata"]["namespace"] == "team" and on_node(one)]
        found[:] = [name for one in here if (name := one["metadata"]["name"]) not in but]
        return bool(found)

    await world.until(PODS, seen, "a pod of team on a node")
    return min(found)
