"""What people change while jobs wait: priorities, trees, labels, units taken away."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence

from e2e.jobs import Object, job, phase, phases, unit_of
from e2e.scenario import scenario
from e2e.steps import (
    give_priority,
    replace_tree,
    see_admitted,
    see_waiting,
)
from e2e.trees import namespace, tree
from e2e.world import World
from kube_queue.api.types import EVENTS, JOBS, QUEUE_UNITS, QUEUES

PRIORITY = {"StrictConsistency": "true"}
CROWD = 60
AT_ONCE = 4


@scenario("Q14", "a changed priority re-sorts those who wait, at once", environment=PRIORITY)
async def priority_changes(world: World) -> None:
    await world.apply(tree("4"), job("holder", "4"))
    await see_admitted(world, "holder")
    await world.apply(job("first", "3", priority=10), job("second", "3", priority=10))
    await see_waiting(world, "first")
    await see_waiting(world, "second")
    await give_priority(world, "second", 20)
    await give_priority(world, "first", 5)
    await world.apply(job("third", "3", priority=7))
    await see_waiting(world, "third")
    await world.delete(JOBS, "holder")
    await see_admitted(world, "second")
    await world.delete(JOBS, "second")
    await see_admitted(world, "third")
    assert phase(await world.objects(QUEUE_UNITS), "first") == "Enqueued"


@scenario("Q17b", "a leaf taken out of the tree takes its automatic Queue with it")
async def leaf_removed(world: World) -> None:
    await world.apply(namespace("team-a"), namespace("team-b"))
    await world.apply(tree("8", ("team-a", "4"), ("team-b", "4")))
    await world.until(QUEUES, lambda queues: _queues(queues, "team-a", "team-b"), "two Queues")
    await replace_tree(world, tree("8", ("team-a", "4")))
    await world.until(QUEUES, lambda queues: _queues(queues, "team-a"), "one Queue is left")


def _queues(queues: Sequence[Object], *leaves: str) -> bool:
    paths = {one["metadata"]["annotations"]["kube-queue/quota-path"] for one in queues}
    return paths == {f"root/root.{leaf}" for leaf in leaves}


@scenario("Q18", "a job that came before its quota tree runs once the tree is there")
async def unit_before_tree(world: World) -> None:
    await world.apply(job("early", "1", seconds=1))
    await see_waiting(world, "early", "NoTree")
    await world.apply(tree("4"))
    await world.until(QUEUE_UNITS, lambda units: phase(units, "early") == "Succeed", "early ran")
    unit = unit_of(await world.objects(QUEUE_UNITS), "early")
    assert unit is not None
    assert unit["spec"]["queue"] == "root-root.default", unit["spec"]


@scenario("Q21", "a waiting job that is given to Kueue is let go, one that is Kueue's left alone")
async def kueues_jobs(world: World) -> None:
    label = {"kueue.x-k8s.io/queue-name": "theirs"}
    await world.apply(tree("4"), job("holder", "4"))
    await see_admitted(world, "holder")
    theirs = job("theirs", "1")
    theirs["metadata"]["labels"] = label
    await world.apply(theirs, job("given", "1"), job("ours", "1"))
    await see_waiting(world, "given")
    await world.patch(JOBS, "given", {"metadata": {"labels": label}})
    await world.until(QUEUE_UNITS, lambda units: phase(units, "given") == "none", "its unit goes")
    await see_waiting(world, "ours")
    units = await world.objects(QUEUE_UNITS)
    assert phase(units, "theirs") == "none"
    assert all(one["spec"]["suspend"] for one in await world.objects(JOBS) if _named(one, label))


def _named(one: Object, label: Mapping[str, str]) -> bool:
    return dict(one["metadata"].get("labels") or {}).items() >= label.items()


@scenario("Q20b", "a job that no longer fits under the tree says so, and again what it waits for")
async def tree_shrinks(world: World) -> None:
    await world.apply(tree("4"), job("holder", "2"))
    await see_admitted(world, "holder")
    await world.apply(job("big", "3"))
    for cpu, reason in (("4", "InsufficientQuota"), ("2", "ExceedsMaxQuota")) * 2:
        await replace_tree(world, tree(cpu))
        await see_waiting(world, "big", reason)
    await world.until(
        EVENTS,
        lambda events: any(_told_again(event, "big") for event in events),
        "the same sentence about big is counted twice",
    )


def _told_again(event: Object, job_name: str) -> bool:
    about = event["involvedObject"]["name"].startswith(job_name)
    return bool(about and event["reason"] == "FailedScheduling" and event.get("count", 1) > 1)


@scenario("Q16b", "units that others write to while they are admitted are neither lost nor stuck")
async def units_touched(world: World) -> None:
    await world.apply(tree("1"), job("holder", "1"))
    await see_admitted(world, "holder")
    names = [f"job-{index:02}" for index in range(CROWD)]
    await asyncio.gather(*(world.apply(job(name, "1", seconds=1)) for name in names))
    await world.until(
        QUEUE_UNITS,
        lambda units: {*phases(units, names)} == {"Enqueued"},
        "all wait",
    )
    units = [one["metadata"]["name"] for one in await world.objects(QUEUE_UNITS)]
    touching = asyncio.create_task(touch(world, units))
    await replace_tree(world, tree(str(CROWD + 1)))
    await world.until(
        QUEUE_UNITS,
        lambda units: {*phases(units, names)} == {"Succeed"},
        "all ran",
        within=60,
    )
    touching.cancel()
    await asyncio.gather(touching, return_exceptions=True)


async def touch(world: World, units: Sequence[str]) -> None:
    """Label these units again and again, several at a time, as another controller might."""

    async def each(names: Sequence[str]) -> None:
        for turn in itertools.count():
            for name in names:
                await world.patch(QUEUE_UNITS, name, {"metadata": {"labels": {"turn": str(turn)}}})

    await asyncio.gather(*(each(units[start::AT_ONCE]) for start in range(AT_ONCE)))
