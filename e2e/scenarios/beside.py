"""The co-scheduler beside another one, and with bindings that go wrong."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from e2e.coscheduling import (
    Object,
    gang,
    node,
    pod,
    see_held,
    see_on_nodes,
    with_nodes,
)
from e2e.own_scheduler import NAME, Fault, own_scheduler
from e2e.placements import Placements, phase_of
from e2e.scenario import scenario
from e2e.steps import KEPT
from e2e.trees import borrowing, namespace
from e2e.world import World
from kube_queue.api.errors import NotFound
from kube_queue.api.types import PODS

ONLY: Final = {"kube-queue.example/only": "here"}
DEFAULT: Final = "default-scheduler"


def here(made: Object) -> Object:
    """The pod, which can only be on the nodes of its scenario."""
    return {**made, "spec": {**made["spec"], "nodeSelector": ONLY}}


def room(name: str, cpu: str) -> Object:
    """A node of the scenario."""
    made = node(name, cpu)
    made["metadata"]["labels"] |= ONLY
    return made


@scenario("S12", "pods of the default scheduler count on shared nodes at once, and are never ours")
async def shared_nodes(world: World) -> None:
    placed = await Placements.of(world)
    async with with_nodes(world, room("shared", "6")):
        await world.apply(*(here(pod(f"theirs-{n}", "2", scheduler=DEFAULT)) for n in range(2)))
        await see_on_nodes(world, 2, prefix="theirs")
        await world.apply(here(pod("ours", "3")))
        await see_held(world, 1, "Insufficient cpu", prefix="ours")
        # A pod of nobody's: it names a scheduler that does not run, and stays where it is.
        await world.apply(here(pod("nobody", "1", scheduler="kube-queue.example-absent")))
        await world.delete(PODS, "theirs-0")
        await see_on_nodes(world, 1, prefix="ours")
        # The room that is left is 1 cpu: one of these two has it, whoever schedules it.
        await world.apply(here(pod("last-theirs", "1", scheduler=DEFAULT)))
        await see_on_nodes(world, 1, prefix="last-theirs")
        await world.apply(here(pod("last-ours", "1")))
        await see_held(world, 1, "Insufficient cpu", prefix="last-ours")
        assert not placed.bound("nobody")
        await _clear(world)
    placed.check()


@scenario("S12b", "a foreign pod that takes reclaimed room causes no second eviction at once")
async def room_taken(world: World) -> None:
    placed = await Placements.of(world)
    await world.apply(namespace("lender"), namespace("borrower"))
    await world.apply(borrowing("4", ("lender", "2"), ("borrower", "2")))
    async with with_nodes(world, room("taken", "4")):
        for index in range(4):
            made = here(pod(f"borrowed-{index}", "1", namespace="borrower"))
            made["metadata"]["finalizers"] = [KEPT]
            await world.apply(made)
        await see_on_nodes(world, 4, prefix="borrowed")
        await world.apply(here(pod("claim", "2", namespace="lender")))
        await world.until(PODS, lambda _: len(placed.evicted) == 2, "two are made to leave")
        # The scheduler sleeps while its victims go and another scheduler's pod takes their place.
        async with world.frozen("scheduler"):
            await asyncio.gather(*(_let_go(world, name) for name in placed.evicted.values()))
            await world.until(
                PODS,
                lambda pods: (
                    len([p for p in pods if p["metadata"]["namespace"] == "borrower"]) == 2
                ),
                "the victims are gone",
            )
            foreign = here(pod("foreign", "2", scheduler="kube-queue.example-absent"))
            foreign["spec"]["nodeName"] = "taken"
            await world.apply(foreign)
            # Then the scheduler's watch has it too, and it wakes to a node that is full.
            await see_on_nodes(world, 1, prefix="foreign")
        # Once a pod that came later has its node, the claim has been tried as well, and waits.
        await world.apply(pod("later", "1"))
        await see_on_nodes(world, 1, prefix="later")
        await see_held(world, 1, "RoomTakenByAnotherScheduler", prefix="claim")
        assert len(placed.evicted) == 2, placed.evicted
        await world.delete(PODS, "foreign")
        await see_on_nodes(world, 1, prefix="claim")
        assert len(set(placed.evicted.values()) - {"default/foreign"}) == 2, placed.evicted
        for name in ("borrowed-0", "borrowed-1", "borrowed-2", "borrowed-3"):
            await _let_go(world, f"borrower/{name}")
        await _clear(world)
    placed.check()


@scenario("S13", "bindings answered 409, lost, or taken without an answer charge nothing twice")
async def faulty_bindings(world: World) -> None:
    placed = await Placements.of(world)
    faults = {0: Fault.REFUSED, 2: Fault.LOST, 3: Fault.UNANSWERED, 5: Fault.UNANSWERED}
    async with with_nodes(world, room("exact", "10")), own_scheduler(world) as scheduler:
        scheduler.proxy.judge = lambda index, _: faults.get(index, Fault.NONE)
        # Ten pods of 1 cpu fill the node: one that were charged twice would keep another out.
        await world.apply(*(here(pod(f"exact-{n}", "1", scheduler=NAME)) for n in range(10)))
        await see_on_nodes(world, 10, prefix="exact", within=90)
        # Those that the server never saw were asked for again; the others may be seen bound.
        unseen = sum(fault is not Fault.UNANSWERED for fault in faults.values())
        assert len(scheduler.proxy.asked) >= 10 + unseen, scheduler.proxy.asked
        await world.apply(here(pod("next", "1", scheduler=NAME)))
        await see_held(world, 1, "Insufficient cpu", prefix="next")
        await world.delete(PODS, "exact-3")
        await see_on_nodes(world, 1, prefix="next")
        placed.check()
        failed = [one for one in await world.objects(PODS) if phase_of(one) == "Failed"]
        assert not failed, [one["metadata"]["name"] for one in failed]
        await _clear(world)


@scenario("S14", "a leader killed in the middle of a gang leaves it to the next one, who ends it")
async def killed_in_mid_gang(world: World) -> None:
    placed = await Placements.of(world)
    members, before = 9, 4
    async with with_nodes(world, room("gang-1", "5"), room("gang-2", "5")):
        async with own_scheduler(world) as scheduler:
            scheduler.proxy.judge = lambda index, _: Fault.NONE if index < before else Fault.LOST
            pods = gang("whole", members, "1", scheduler=NAME)
            await world.apply(*map(here, pods))
            await see_on_nodes(world, before, gang="whole")
            await scheduler.kill()
            assert len(placed.bound("whole")) == before
            # A gang that comes meanwhile is not tried before the one that was begun.
            await world.apply(*map(here, gang("other", 6, "1", scheduler=NAME)))
            scheduler.proxy.judge = lambda index, _: Fault.NONE
            await scheduler.start()
            await see_on_nodes(world, members, gang="whole")
            await see_held(world, 6, gang="other")
            commits: dict[str, list[Any]] = {}
            for one in placed.bound("whole"):
                written = one["metadata"]["annotations"]["kube-queue/gang-commit"]
                commits.setdefault(written.rpartition("/")[0], []).append(written)
            assert sum(map(len, commits.values())) == members, commits
        placed.check()
        await _clear(world)


async def _let_go(world: World, name: str) -> None:
    """The pod may go; one that is gone has gone."""
    where, _, own = name.partition("/")
    change = {"metadata": {"finalizers": None}}
    with contextlib.suppress(NotFound):
        await world.patch(PODS, own, change, namespace=where)


async def _clear(world: World) -> None:
    """No pod is left: the nodes of the scenario can go."""
    for one in await world.objects(PODS):
        metadata = one["metadata"]
        await world.delete(PODS, metadata["name"], metadata["namespace"])
    await world.until(PODS, lambda pods: not pods, "no pod is left", within=60)
