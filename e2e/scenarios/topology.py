"""Gangs that have to be within one domain: one node, or one zone."""

from __future__ import annotations

from typing import Any, Final

from e2e.coscheduling import (
    ZONE,
    Object,
    constrained,
    example,
    gang,
    node,
    nodes_of,
    pod,
    see_held,
    see_on_nodes,
    with_nodes,
)
from e2e.placements import Placements
from e2e.scenario import scenario
from e2e.steps import see_gone
from e2e.world import World
from kube_queue.api.types import DEPLOYMENTS, PODS

LARGE: Final = ("large-1", "large-2")
HOSTNAME: Final = "kubernetes.io/hostname"


@scenario("S6", "five documented pods end on the one labelled node that has room for all of them")
async def one_node(world: World) -> None:
    placed = await Placements.of(world)
    abc: dict[str, Any] = {"test": "abc"}
    labelled = [node(name, "8", **abc) for name in ("abc-1", "abc-2", "abc-3")]
    # The node with most room lacks the label, and two of the labelled ones have too little.
    async with with_nodes(world, *labelled, node("roomy", "64")):
        await world.apply(*(_on(f"abc-{index}", "1") for index in (1, 3)))
        await world.apply(example("topology-deployment.yaml"))
        await see_on_nodes(world, 5, prefix="nginx-deployment-basic")
        assert await nodes_of(world, prefix="nginx-deployment-basic") == ["abc-2"] * 5
        await world.delete(DEPLOYMENTS, "nginx-deployment-basic")
        await world.until(
            PODS,
            lambda pods: not [one for one in pods if one["metadata"]["name"].startswith("nginx")],
            "its pods are gone",
            within=60,
        )
    placed.check()


def _on(name: str, cpu: str) -> Object:
    """A pod of the default scheduler that can only be on this node."""
    return pod(f"on-{name}", cpu, scheduler="default-scheduler", nodeSelector={HOSTNAME: name})


@scenario(
    "S7", "a gang of four takes the zone that has four slots, and waits where both have three"
)
async def zones(world: World) -> None:
    placed = await Placements.of(world)
    nodes = [_slots(name, 2, name.partition("-")[0], "s7") for name in ("small-1", *LARGE)]
    async with with_nodes(world, *nodes):
        await world.apply(*_in_one_zone("four", "s7"))
        await see_on_nodes(world, 4, gang="four")
        homes = sorted(await nodes_of(world, gang="four"))
        assert homes == sorted(2 * LARGE), homes
    even = [_slots(f"even-{zone}", 3, zone, "even") for zone in ("left", "right")]
    async with with_nodes(world, *even):
        await world.apply(*_in_one_zone("wait", "even"))
        await see_held(world, 4, ZONE, "wait", gang="wait")
        assert not placed.bound("wait")
        async with with_nodes(world, _slots("even-more", 1, "right", "even")):
            await see_on_nodes(world, 4, gang="wait")
            assert set(await nodes_of(world, gang="wait")) == {"even-right", "even-more"}
    placed.check()


@scenario("S7b", "a constraint that cannot be read places nobody, and an event says why")
async def unreadable(world: World) -> None:
    placed = await Placements.of(world)
    one = constrained(pod("odd", "1"), HOSTNAME)
    one["metadata"]["annotations"] = dict.fromkeys(one["metadata"]["annotations"], "{test: abc")
    await world.apply(one)
    await see_held(world, 1, prefix="odd")
    why = "InvalidTopologyConstraint"
    told = await world.told(PODS, "odd", why)
    assert why in [reason for _, reason, _ in told], told
    assert not placed.bound("odd")
    await world.delete(PODS, "odd")
    await see_gone(world, PODS, "odd")


def _slots(name: str, count: int, zone: str, pool: str) -> Object:
    """A node with room for so many pods of 5 cpu."""
    made = node(name, str(5 * count))
    made["metadata"]["labels"] |= {ZONE: zone, "pool": pool}
    return made


def _in_one_zone(name: str, pool: str) -> list[Object]:
    """A gang of four that has to be within one zone of these nodes."""
    chosen = {"matchLabels": {"pool": pool}}
    return [constrained(one, ZONE, chosen) for one in gang(name, 4, "5")]
