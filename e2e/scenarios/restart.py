"""Processes that die and come back."""

from __future__ import annotations

import asyncio

from e2e.invariants import Ledger, check_pairs, check_status
from e2e.jobs import job, phase, tree
from e2e.scenario import scenario
from e2e.world import World
from kube_queue.api.types import ELASTIC_QUOTA_TREES, JOBS, QUEUE_UNITS

UNITS = 200
RUNNING = 40


@scenario(
    "Q16",
    "the controller is killed with 200 units in every phase: none lost, none admitted twice",
    within=180,
)
async def restart_with_every_phase(world: World) -> None:
    quota = tree(str(RUNNING), memory="64Gi")
    ledger = Ledger(quota)
    await world.apply(quota)
    await world.follow(QUEUE_UNITS, ledger.unit_seen)
    # A third ends while the others wait or run: every phase is there when the controller dies.
    names = [f"job-{index:03}" for index in range(UNITS)]
    jobs = [job(name, "100m", seconds=2 + index % 3 * 3) for index, name in enumerate(names)]
    await world.apply(job("filler", str(RUNNING - 4), seconds=3600))
    await asyncio.gather(*(world.apply(one) for one in jobs))
    for part in ("controller", "job-extensions", "simulator", "controller"):
        await world.until(
            QUEUE_UNITS,
            lambda units: {"Enqueued", "Running", "Succeed"} <= {phase(units, n) for n in names},
            "units in every phase",
            within=60,
        )
        await world.kill(part)
        ledger.check()
    await world.until(
        QUEUE_UNITS,
        lambda units: all(phase(units, name) == "Succeed" for name in names),
        "all 200 ran to their end",
        within=120,
    )
    ledger.check()
    check_pairs(await world.objects(JOBS), await world.objects(QUEUE_UNITS))
    assert len(ledger.admissions) == UNITS + 1
    assert set(ledger.admissions.values()) == {1}
    await world.delete(JOBS, "filler")
    await world.until(
        ELASTIC_QUOTA_TREES,
        lambda trees: _at_rest(trees[0], ledger),
        "the tree's status says that nothing is used",
    )


def _at_rest(seen: dict[str, object], ledger: Ledger) -> bool:
    if ledger.used("root"):
        return False
    try:
        check_status(seen, ledger)
    except AssertionError:
        return False
    return True
