"""Jobs, units, quotas and namespaces that are taken away, in whatever phase."""

from __future__ import annotations

import asyncio
from typing import Final

from e2e.jobs import job, phase
from e2e.scenario import scenario
from e2e.stage import KINDS, ROOM, WITHIN, Stage, namespace_of
from e2e.steps import (
    follow_units,
    keep_pods,
    label_node,
    renew_unit,
    replace_tree,
    see_admitted,
    see_exact,
    see_gone,
    see_phase,
    see_waiting,
)
from e2e.trees import namespace, tree
from e2e.world import World
from kube_queue.api.types import JOBS, NAMESPACES, PODS, QUEUE_UNITS

LONG_BACKOFF: Final = {"controller": {"backoff_base_seconds": 3600}}
"""Who is sent away by a check stays away for as long as the scenario lasts."""


@scenario(
    "Q17",
    "a unit deleted by hand comes back in whatever phase it was, and the quota stays exact",
    settings=LONG_BACKOFF,
    within=240,
)
async def units_deleted(world: World) -> None:
    stage = Stage(world, each=1)
    ledger = await stage.build()
    (done,) = stage.names("done")
    for name in stage.names(*KINDS):
        if name != done:
            await renew_unit(world, name)
    await world.delete(QUEUE_UNITS, f"{done}-job-qu", namespace_of(done))
    await see_phase(world, "Enqueued", *stage.names("waiting"))
    # Who was checked is checked anew, whatever was answered before.
    await stage.answer("Ready", "reserved", "backoff")
    await see_phase(world, "Succeed", *stage.names("reserved", "backoff"), within=WITHIN)
    await see_phase(world, "Running", *stage.names("running"), within=WITHIN)
    await see_phase(world, "Dequeued", *stage.names("dequeued"), within=WITHIN)
    await label_node(world, ROOM)
    await see_phase(world, "Succeed", *stage.names("dequeued"), within=WITHIN)
    # The pods of who was leaving are charged until they are gone, unit or not.
    await keep_pods(world, *stage.names("leaving"), kept=False)
    await see_phase(world, "Succeed", *stage.names("claiming"), within=WITHIN)
    await see_phase(world, "Running", *stage.names("leaving"), within=WITHIN)
    assert phase(await world.objects(QUEUE_UNITS), done) == "none"
    await see_exact(world, ledger)


@scenario(
    "Q17j",
    "a job deleted in whatever phase takes its unit and its share of the quota with it",
    settings=LONG_BACKOFF,
    within=240,
)
async def jobs_deleted(world: World) -> None:
    stage = Stage(world, each=1)
    ledger = await stage.build()
    names = stage.names(*KINDS)
    await asyncio.gather(*(world.delete(JOBS, name, namespace_of(name)) for name in names))
    await keep_pods(world, *names, kept=False)
    await see_gone(world, JOBS, *names)
    await world.until(QUEUE_UNITS, lambda units: not units, "no unit is left")
    await world.until(PODS, lambda pods: not _live(pods), "no pod is left")
    await see_exact(world, ledger)
    assert not ledger.used("root"), ledger.used("root")
    # The room is there for others.
    await world.apply(job("next", "500m", namespace="plain", seconds=1))
    await see_waiting(world, "next", "ExceedsMaxQuota")
    await world.apply(job("last", "100m", namespace="plain", seconds=1))
    await see_phase(world, "Succeed", "last", within=WITHIN)


def _live(pods: object) -> list[object]:
    assert isinstance(pods, list)
    return [pod for pod in pods if pod["metadata"]["namespace"] in ("plain", "borrower", "stuck")]


@scenario("Q17t", "a smaller tree disturbs nobody who runs, and admits nobody until it has room")
async def tree_shrinks_under_jobs(world: World) -> None:
    ledger = await follow_units(world, tree("4"))
    await world.apply(job("first", "2"), job("second", "2"))
    await see_admitted(world, "first", "second")
    smaller = tree("1")
    ledger.tree_changed(smaller)
    await replace_tree(world, smaller)
    await world.apply(job("small", "1"))
    await see_waiting(world, "small")
    await see_exact(world, ledger)
    await world.delete(JOBS, "first")
    await see_gone(world, QUEUE_UNITS, "first-job-qu")
    await see_exact(world, ledger)
    assert phase(await world.objects(QUEUE_UNITS), "small") == "Enqueued"
    await world.delete(JOBS, "second")
    await see_admitted(world, "small")
    await see_exact(world, ledger)


@scenario("Q17l", "a leaf taken away lets its jobs run on, and charges them again when it is back")
async def leaf_removed_under_jobs(world: World) -> None:
    await world.apply(namespace("team-a"), namespace("team-b"))
    both = tree("4", ("team-a", "4"), ("team-b", "4"))
    one = tree("4", ("team-a", "4"))
    ledger = await follow_units(world, both)
    await world.apply(job("stays", "2", namespace="team-b"))
    await see_phase(world, "Running", "stays", within=WITHIN)
    ledger.tree_changed(one)
    await replace_tree(world, one)
    # A job that is seen before the tree may be admitted under the former one.
    await see_exact(world, ledger)
    await world.apply(job("late", "1", namespace="team-b"))
    await see_waiting(world, "late", "NoQuota", "NoQueue")
    await see_exact(world, ledger)
    assert phase(await world.objects(QUEUE_UNITS), "stays") == "Running"
    ledger.tree_changed(both)
    await replace_tree(world, both)
    await see_admitted(world, "late")
    await world.apply(job("later", "2", namespace="team-a"))
    await see_waiting(world, "later")
    await see_exact(world, ledger)
    await world.delete(JOBS, "stays", "team-b")
    await see_admitted(world, "later")
    await see_exact(world, ledger)


@scenario("Q17n", "a namespace deleted with its jobs gives all their quota back")
async def namespace_deleted(world: World) -> None:
    await world.apply(namespace("team-a"), namespace("team-b"))
    ledger = await follow_units(world, tree("4", ("team-a", "4"), ("team-b", "4")))
    await world.apply(*(job(f"a-{index}", "2", namespace="team-a") for index in range(2)))
    await see_admitted(world, "a-0", "a-1")
    await world.apply(job("a-2", "2", namespace="team-a"), job("b-0", "4", namespace="team-b"))
    await see_waiting(world, "a-2")
    await see_waiting(world, "b-0")
    await world.delete(NAMESPACES, "team-a", "")
    await see_admitted(world, "b-0", within=WITHIN)
    await see_gone(world, QUEUE_UNITS, "a-0-job-qu", "a-1-job-qu", "a-2-job-qu")
    await see_exact(world, ledger)
