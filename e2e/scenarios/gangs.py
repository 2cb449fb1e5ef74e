"""Gangs: all the pods that are needed get nodes, or none does."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final

from e2e.coscheduling import (
    GPU,
    Object,
    example,
    gang,
    node,
    see_held,
    see_on_nodes,
    with_nodes,
)
from e2e.jobs import tfjob
from e2e.placements import GANG_LABEL, Placements, of_gang, on_node
from e2e.scenario import scenario
from e2e.world import World
from kube_queue.api.types import PODS, TFJOBS

MINIMUM: Final = "pod-group.scheduling.sigs.k8s.io/min-available"
SECONDS: Final = {"simulator.kube-queue/run-seconds": "3600"}


def documented_gang(name: str, minimum: int) -> Object:
    """The documented TFJob under another name, with another minimum, and running long."""
    job = copy.deepcopy(example("gang-tfjob.yaml"))
    job["metadata"]["name"] = name
    for replicas in job["spec"]["tfReplicaSpecs"].values():
        metadata = replicas["template"]["metadata"]
        metadata["labels"] = {GANG_LABEL: name, MINIMUM: str(minimum)}
        metadata["annotations"] = SECONDS
    return job


@scenario("S3", "the documented gang starts nobody before its minimum has room, then all that fit")
async def documented(world: World) -> None:
    placed = await Placements.of(world)
    nodes = node("slots-1", "12"), node("slots-2", "24"), node("slots-3", "24")
    async with with_nodes(world, nodes[0]), AsyncExitStack() as later:
        await world.apply(documented_gang("two-of-five", 2))
        await see_held(world, 5, "two-of-five", gang="two-of-five")
        assert not placed.bound("two-of-five")
        await later.enter_async_context(with_nodes(world, nodes[1]))
        await see_on_nodes(world, 3, gang="two-of-five")
        await see_held(world, 2, gang="two-of-five")
        await world.delete(TFJOBS, "two-of-five")
        await world.until(
            PODS, lambda pods: not of_gang(pods, "two-of-five"), "its pods are gone", within=60
        )
        # The same job, but nothing less than all five: with room for three it waits.
        await world.apply(documented_gang("all-five", 5))
        await see_held(world, 5, "all-five", gang="all-five")
        assert not placed.bound("all-five")
        await later.enter_async_context(with_nodes(world, nodes[2]))
        await see_on_nodes(world, 5, gang="all-five")
    placed.check()


def gpu_gang(name: str, minimum: int) -> Object:
    """A parameter server of 1 cpu and four workers of 2 GPUs; no gang where there is no minimum."""
    job = tfjob(name, seconds=3600, workers=4)
    del job["metadata"]["annotations"]
    for kind, replicas in job["spec"]["tfReplicaSpecs"].items():
        template = replicas["template"]
        template["spec"]["schedulerName"] = "ack-co-scheduler"
        if minimum:
            template["metadata"] = {"labels": {GANG_LABEL: name, MINIMUM: str(minimum)}}
        amounts = {"cpu": "1"} if kind == "PS" else {"cpu": "100m", GPU: "2"}
        (container,) = template["spec"]["containers"]
        container["resources"] = {"requests": amounts, "limits": amounts}
    return job


@scenario("S4", "a gang of four workers of 2 GPUs waits whole beside 4 GPUs, and starts whole on 8")
async def four_gpus(world: World) -> None:
    placed = await Placements.of(world)
    async with with_nodes(world, node("gpus-1", "16", gpu=4)):
        await world.apply(gpu_gang("alone", 0))
        await see_on_nodes(world, 3, prefix="alone")
        await world.delete(TFJOBS, "alone")
        await world.until(PODS, lambda pods: not pods, "its pods are gone", within=60)
        await world.apply(gpu_gang("together", 5))
        await see_held(world, 5, "together", gang="together")
        assert not placed.bound("together")
        async with with_nodes(world, node("gpus-2", "16", gpu=4)):
            await see_on_nodes(world, 5, gang="together")
    placed.check()


@scenario(
    "S5", "two gangs of which only one fits: one runs whole, then the other, never parts of both"
)
async def one_at_a_time(world: World) -> None:
    placed = await Placements.of(world)
    both: list[str] = []

    def see(old: Object | None, new: Object | None) -> None:
        del old, new
        holding = {name for name in ("left", "right") if any(map(on_node, placed.bound(name)))}
        if len(holding) == 2:
            both.append("left and right hold nodes at a time")

    await world.follow(PODS, see)
    left, right = gang("left", 3, "5"), gang("right", 3, "5")
    for one, other in zip(left, right, strict=True):
        await world.apply(one, other)

    def one_whole(pods: Sequence[Object]) -> bool:
        held = [sum(map(on_node, of_gang(pods, name))) for name in ("left", "right")]
        return sorted(held) == [0, 3]

    await world.until(PODS, one_whole, "one gang on nodes, whole", within=60)
    first, second = ("left", "right") if placed.bound("left") else ("right", "left")
    await see_held(world, 3, second, gang=second)
    for one in placed.bound(first):
        await world.delete(PODS, one["metadata"]["name"])
    await see_on_nodes(world, 3, gang=second)
    placed.check()
    assert not both, both[0]
