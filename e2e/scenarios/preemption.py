"""Pods that leave for others: by priority, and jobs of the queue that leave whole."""

from __future__ import annotations

from typing import Any, Final

from e2e.coscheduling import SCHEDULER, Object, gang, pod, see_held, see_on_nodes, with_nodes
from e2e.jobs import job
from e2e.placements import Placements
from e2e.scenario import scenario
from e2e.scenarios.beside import here, room
from e2e.steps import see_phase, see_requeued, see_waiting
from e2e.trees import borrowing, namespace
from e2e.world import World
from kube_queue.api.names import RECLAIM_REQUESTED_ANNOTATION
from kube_queue.api.types import PODS, QUEUE_UNITS

LOW, MID, HIGH, PATIENT = "low", "mid", "high", "patient"
VALUES: Final = {LOW: 10, MID: 100, HIGH: 1000, PATIENT: 2000}


def priority_class(name: str) -> Object:
    """The class of this name; only `patient` evicts nobody."""
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": VALUES[name],
        "preemptionPolicy": "Never" if name == PATIENT else "PreemptLowerPriority",
    }


@scenario(
    "S15b", "a gang evicts as few pods of lower priority as it needs, and with policy Never none"
)
async def by_priority(world: World) -> None:
    placed = await Placements.of(world)
    told: dict[str, str] = {}

    def see(old: Object | None, new: Object | None) -> None:
        del old
        if new is not None and "deletionTimestamp" in new["metadata"]:
            told[new["metadata"]["name"]] = _disruption(new)

    await world.follow(PODS, see)
    await world.apply(*map(priority_class, VALUES))
    async with with_nodes(world, room("full", "4")):
        for name in (LOW, MID):
            pods = (pod(f"{name}-{n}", "1", priorityClassName=name) for n in range(2))
            await world.apply(*map(here, pods))
        await see_on_nodes(world, 2, prefix=LOW)
        await see_on_nodes(world, 2, prefix=MID)
        # It matters more than they do, and waits all the same.
        await world.apply(here(pod("patient", "1", priorityClassName=PATIENT)))
        await see_held(world, 1, "Insufficient cpu", prefix="patient")
        assert not placed.evicted, placed.evicted
        await world.delete(PODS, "patient")
        await world.apply(*map(here, gang("high", 2, "1", priorityClassName=HIGH)))
        await see_on_nodes(world, 2, gang="high")
        assert sorted(placed.evicted.values()) == ["default/low-0", "default/low-1"], placed.evicted
        assert {told["low-0"], told["low-1"]} == {"PreemptionByScheduler"}, told
        await see_on_nodes(world, 2, prefix=MID)
    placed.check()


def _disruption(one: Object) -> str:
    """Why the pod was told to leave, by its conditions."""
    for each in one.get("status", {}).get("conditions") or ():
        if each["type"] == "DisruptionTarget":
            return str(each["reason"])
    return ""


@scenario(
    "S15c",
    "a pod that takes its quota back has the whole job evicted by the queue, which runs it later",
    within=150,
)
async def whole_job(world: World) -> None:
    placed = await Placements.of(world)
    asked: set[str] = set()

    def see(old: Object | None, new: Object | None) -> None:
        del old
        annotations = (new or {"metadata": {}})["metadata"].get("annotations") or {}
        if RECLAIM_REQUESTED_ANNOTATION in annotations:
            asked.add(annotations[RECLAIM_REQUESTED_ANNOTATION])

    await world.follow(QUEUE_UNITS, see)
    await world.apply(namespace("lender"), namespace("borrower"))
    await world.apply(borrowing("4", ("lender", "2"), ("borrower", "2")))
    borrowed = job("borrowed", "1", namespace="borrower", parallelism=4)
    borrowed["spec"]["template"]["spec"]["schedulerName"] = SCHEDULER
    await world.apply(borrowed)
    await see_phase(world, "Running", "borrowed")
    await see_on_nodes(world, 4, prefix="borrowed")
    await world.apply(pod("claim", "2", namespace="lender"))
    await see_on_nodes(world, 1, prefix="claim")
    await see_requeued(world, "borrowed", "Reclaimed")
    # Two of its four pods would have been enough; a job of which half is gone is no use.
    leavers = [name for name in placed.evicted.values() if name.startswith("borrower/")]
    assert len(leavers) == 4, leavers
    claim: dict[str, Any] = await world.client.get(PODS, "lender", "claim")
    assert asked == {claim["metadata"]["uid"]}, asked
    await see_waiting(world, "borrowed")
    await world.delete(PODS, "claim", "lender")
    await see_phase(world, "Running", "borrowed")
    await see_on_nodes(world, 4, prefix="borrowed")
    placed.check()
