"""The policies Block, Priority and Round, and independence of namespaces."""

from __future__ import annotations

import asyncio

from e2e.jobs import admitted, job, phase
from e2e.scenario import scenario
from e2e.steps import see_admitted_in_turn, see_phase, see_waiting
from e2e.trees import namespace, tree
from e2e.world import World
from kube_queue.api.types import JOBS, NAMESPACES, QUEUE_UNITS

BLOCK = {"StrictPriority": "true"}
PRIORITY = {"StrictConsistency": "true"}


@scenario("Q9", "Block: behind a head that waits, jobs that would fit wait too", environment=BLOCK)
async def block(world: World) -> None:
    await world.apply(tree("4"), job("holder", "2"))
    await see_admitted_in_turn(world, "holder")
    await world.apply(job("head", "4", seconds=3))
    await see_waiting(world, "head")
    await world.apply(job("small-1", "1"), job("small-2", "1"))
    await see_waiting(world, "small-1", "BlockedByHead")
    await see_waiting(world, "small-2", "BlockedByHead")
    await world.delete(JOBS, "holder")
    await see_admitted_in_turn(world, "head")
    units = await world.objects(QUEUE_UNITS)
    assert not admitted(units, "small-1") and not admitted(units, "small-2")
    await see_admitted_in_turn(world, "small-1", "small-2")


@scenario("Q19", "Block: when the head is deleted the next head runs at once", environment=BLOCK)
async def head_deleted(world: World) -> None:
    await world.apply(tree("4"), job("holder", "2"))
    await see_admitted_in_turn(world, "holder")
    await world.apply(job("head", "4"))
    await see_waiting(world, "head")
    await world.apply(job("next", "2"))
    await see_waiting(world, "next", "BlockedByHead")
    await world.delete(JOBS, "head")
    # Under Block no backoff ends by itself: nothing but the deletion can have let it in.
    await see_admitted_in_turn(world, "next")
    assert admitted(await world.objects(QUEUE_UNITS), "holder")


async def four_waiting(world: World) -> None:
    """`a` and `b` hold 2 cpu each; behind them wait high (3, first), high (2) and low (1)."""
    await world.apply(tree("4"), job("a", "2"), job("b", "2"))
    await see_admitted_in_turn(world, "a", "b")
    for name, cpu, priority in (("high-3", "3", 10), ("high-2", "2", 10), ("low-1", "1", 1)):
        await world.apply(job(name, cpu, priority=priority))
        await see_waiting(world, name)


@scenario(
    "Q10",
    "Priority: a release tries the oldest of the highest priority first, then what fits",
    environment=PRIORITY,
)
async def strict_priority(world: World) -> None:
    await four_waiting(world)
    await world.delete(JOBS, "a")
    await see_admitted_in_turn(world, "high-2")
    await world.delete(JOBS, "b")
    await see_admitted_in_turn(world, "low-1")
    units = await world.objects(QUEUE_UNITS)
    assert not admitted(units, "high-3")
    await world.delete(JOBS, "high-2")
    await see_admitted_in_turn(world, "high-3")
    assert admitted(await world.objects(QUEUE_UNITS), "low-1")


@scenario("Q11", "Round: a job that does not fit backs off and smaller ones pass it")
async def rotation(world: World) -> None:
    await world.apply(tree("4"), job("holder", "2"))
    await see_admitted_in_turn(world, "holder")
    await world.apply(job("big", "4", seconds=3))
    await see_waiting(world, "big")
    await world.apply(job("small", "1", seconds=4))
    await see_admitted_in_turn(world, "small")
    assert phase(await world.objects(QUEUE_UNITS), "big") == "Enqueued"
    await world.delete(JOBS, "holder")
    await see_admitted_in_turn(world, "big")


@scenario("Q12", "a full namespace never delays another one")
async def independent_namespaces(world: World) -> None:
    await world.apply(namespace("team-a"), namespace("team-b"))
    await world.apply(tree("8", ("team-a", "2"), ("team-b", "2")))
    await world.until(NAMESPACES, lambda seen: len(seen) >= 2, "namespaces")
    crowd = [job(f"a-{index:02}", "2", namespace="team-a") for index in range(20)]
    await asyncio.gather(*(world.apply(one) for one in crowd))
    await world.until(
        QUEUE_UNITS,
        lambda units: (
            sum(phase(units, one["metadata"]["name"]) == "Enqueued" for one in crowd)
            == len(crowd) - 1
        ),
        "one of team-a runs, nineteen wait",
    )
    for name in ("b-0", "b-1", "b-2"):
        await world.apply(job(name, "2", namespace="team-b", seconds=1))
        await see_phase(world, "Succeed", name)
    units = await world.objects(QUEUE_UNITS)
    assert sum(phase(units, one["metadata"]["name"]) == "Enqueued" for one in crowd) == 19
