"""Processes that die and come back."""

from __future__ import annotations

import asyncio

from e2e.invariants import Ledger, agrees, check_pairs
from e2e.jobs import evicted, job, phase, phases, unit_of
from e2e.scenario import scenario
from e2e.stage import KINDS, ROOM, WITHIN, Stage, namespace_of, phases_of
from e2e.steps import (
    follow_units,
    keep_pods,
    label_node,
    see_admitted,
    see_exact,
    see_gone,
    see_phase,
)
from e2e.trees import tree
from e2e.world import World
from kube_queue.api.types import ELASTIC_QUOTA_TREES, JOBS, QUEUE_UNITS

EACH = 25
UNITS = 200
RUNNING = 40


@scenario(
    "Q16",
    "the controller is killed with 200 units in every phase: none lost, none admitted twice",
    settings={"controller": {"backoff_base_seconds": 20}},
    within=400,
)
async def restart_with_every_phase(world: World) -> None:
    stage = Stage(world, EACH)
    ledger = await stage.build()
    assert len(stage.names(*KINDS)) == UNITS
    await world.kill("controller")
    await see_everybody_where_they_were(world, stage, ledger)
    # Whoever comes back goes on with each of them from where it was.
    await label_node(world, ROOM)
    await see_phase(world, "Succeed", *stage.names("dequeued"), within=WITHIN)
    await stage.answer("Ready", "reserved", "backoff")
    await see_phase(world, "Succeed", *stage.names("reserved", "backoff"), within=WITHIN)
    await keep_pods(world, *stage.names("leaving"), kept=False)
    await see_phase(world, "Succeed", *stage.names("claiming"), within=WITHIN)
    await see_admitted(world, *stage.names("leaving"), within=WITHIN)
    await end_jobs(world, *stage.names("running"))
    await see_phase(world, "Succeed", *stage.names("waiting"), within=WITHIN)
    await see_exact(world, ledger)
    ledger.check_evictions()
    check_pairs(await world.objects(JOBS), await world.objects(QUEUE_UNITS))
    await end_jobs(world, *stage.names("leaving"))
    await see_exact(world, ledger)
    assert not ledger.used("root"), ledger.used("root")


async def see_everybody_where_they_were(world: World, stage: Stage, ledger: Ledger) -> None:
    """Nobody has moved, except those whose time to wait was over; the sums say so too."""
    await see_exact(world, ledger)
    units = await world.objects(QUEUE_UNITS)
    still = phases_of([name for name in stage.names(*KINDS) if not name.startswith("backoff")])
    moved = {name: phase(units, name) for name in still if phase(units, name) != still[name]}
    assert not moved, moved
    assert all(evicted(unit_of(units, name)) for name in stage.names("leaving"))


async def end_jobs(world: World, *names: str) -> None:
    """These jobs of a stage were deleted, and so were their units."""
    await asyncio.gather(*(world.delete(JOBS, name, namespace_of(name)) for name in names))
    await see_gone(world, QUEUE_UNITS, *(f"{name}-job-qu" for name in names))


@scenario(
    "Q16c",
    "each part is killed while 200 jobs come and go: none lost, none admitted twice",
    within=180,
)
async def restart_in_a_crowd(world: World) -> None:
    ledger = await follow_units(world, tree(str(RUNNING), memory="64Gi"))
    # A third ends while the others wait or run: every phase is there when the controller dies.
    names = [f"job-{index:03}" for index in range(UNITS)]
    jobs = [job(name, "100m", seconds=2 + index % 3 * 3) for index, name in enumerate(names)]
    await world.apply(job("filler", str(RUNNING - 4), seconds=3600))
    await asyncio.gather(*(world.apply(one) for one in jobs))
    for part in ("controller", "job-extensions", "simulator", "controller"):
        await world.until(
            QUEUE_UNITS,
            lambda units: {"Enqueued", "Running", "Succeed"} <= {*phases(units, names)},
            "units that wait, run and have ended",
            within=60,
        )
        await world.kill(part)
        ledger.check()
    await see_phase(world, "Succeed", *names, within=120)
    ledger.check()
    check_pairs(await world.objects(JOBS), await world.objects(QUEUE_UNITS))
    assert len(ledger.admissions) == UNITS + 1
    assert set(ledger.admissions.values()) == {1}
    await world.delete(JOBS, "filler")
    await world.until(
        ELASTIC_QUOTA_TREES,
        lambda trees: not ledger.used("root") and agrees(trees[0], ledger),
        "the tree's status says that nothing is used",
    )
