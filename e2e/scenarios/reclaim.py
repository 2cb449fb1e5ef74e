"""Quota that is taken back: from who borrows, and from who matters less in the same quota."""

from __future__ import annotations

from typing import Final

from e2e.invariants import Ledger
from e2e.jobs import admitted, job, phase
from e2e.scenario import scenario
from e2e.steps import (
    follow_units,
    keep_pods,
    see_admitted,
    see_evicted,
    see_exact,
    see_phase,
    see_requeued,
    see_waiting,
)
from e2e.trees import borrowing, namespace
from e2e.world import World
from kube_queue.api.types import EVENTS, JOBS, QUEUE_UNITS

GRACE = 60.0
"""Longer than a real container may take to end."""
LOW, MID, HIGH = 1, 5, 10
WITHIN_A_QUOTA: Final = {"controller": {"preemption_policy": "LowerPriority"}}


async def borrowers(world: World) -> Ledger:
    """Of three leaves of min 2 under 6, alpha uses 1 (low), beta 1 (mid) and 4 (high)."""
    await world.apply(*(namespace(name) for name in ("alpha", "beta", "gamma")))
    tree = borrowing("6", ("alpha", "2"), ("beta", "2"), ("gamma", "2"))
    ledger = await follow_units(world, tree)
    await world.apply(job("alpha-low", "1", namespace="alpha", priority=LOW))
    await world.apply(job("beta-mid", "1", namespace="beta", priority=MID))
    await world.apply(job("beta-high", "4", namespace="beta", priority=HIGH))
    await see_phase(world, "Running", "alpha-low", "beta-mid", "beta-high")
    return ledger


def victims(ledger: Ledger) -> list[str]:
    """The units that were told to leave for another, by name."""
    return sorted(one.name for one in ledger.evictions)


@scenario(
    "Q15",
    "a job within its min takes back what makes room, from the lowest, and they return later",
    settings=WITHIN_A_QUOTA,
    within=150,
)
async def takes_back(world: World) -> None:
    ledger = await borrowers(world)
    await keep_pods(world, "alpha-low", "beta-mid")
    await world.apply(job("alpha-mid", "2", namespace="alpha", priority=MID))
    await see_evicted(world, "alpha-low", "beta-mid")
    assert victims(ledger) == ["alpha-low-job-qu", "beta-mid-job-qu"], victims(ledger)
    message = await see_waiting(world, "alpha-mid", "ReclaimPending")
    assert message, "a unit that waits says for what"
    # What leaves is kept for it: a small one that came later does not slip in.
    await world.apply(job("thief", "1", namespace="beta", priority=LOW))
    await see_waiting(world, "thief", "InsufficientQuota", "ReclaimPending")
    await keep_pods(world, "alpha-low", kept=False)
    await see_requeued(world, "alpha-low", "Preempted")
    assert not admitted(await world.objects(QUEUE_UNITS), "alpha-mid")
    await world.delete(JOBS, "thief", "beta")
    await keep_pods(world, "beta-mid", kept=False)
    await see_requeued(world, "beta-mid", "Reclaimed")
    await see_admitted(world, "alpha-mid")
    await world.until(
        EVENTS,
        lambda events: (
            {"alpha-low-job-qu", "beta-mid-job-qu", "alpha-low", "beta-mid"}
            <= {one["involvedObject"]["name"] for one in events if one["reason"] == "Preempted"}
        ),
        "the victims' units and jobs were told who and why",
    )
    await see_exact(world, ledger)
    await world.delete(JOBS, "alpha-mid", "alpha")
    await see_phase(world, "Running", "alpha-low", "beta-mid")
    assert phase(await world.objects(QUEUE_UNITS), "beta-high") == "Running"
    await see_exact(world, ledger)
    ledger.check_evictions()


@scenario(
    "Q15b",
    "without preemption in its quota a job above its min waits, and within it takes back",
    within=150,
)
async def waits_while_above_min(world: World) -> None:
    ledger = await borrowers(world)
    await world.apply(job("alpha-mid", "2", namespace="alpha", priority=MID))
    await see_waiting(world, "alpha-mid")
    assert victims(ledger) == [], victims(ledger)
    # Once its own leaf holds nothing else, what it asks for is its guarantee.
    await world.delete(JOBS, "alpha-low", "alpha")
    await see_admitted(world, "alpha-mid")
    assert victims(ledger) == ["beta-mid-job-qu"], victims(ledger)
    await see_exact(world, ledger)
    ledger.check_evictions()


@scenario(
    "Q15c", "one unit that uses two guarantees leaves when the other is asked for, and returns"
)
async def one_large_victim(world: World) -> None:
    await world.apply(namespace("alpha"), namespace("beta"))
    # Tenths of a cpu: on a small machine with real containers as well.
    tree = borrowing("600m", ("alpha", "300m"), ("beta", "300m"))
    ledger = await follow_units(world, tree)
    await world.apply(job("large", "600m", namespace="beta", priority=HIGH))
    await see_phase(world, "Running", "large")
    await world.apply(job("mine", "300m", namespace="alpha", priority=LOW, seconds=3))
    await see_requeued(world, "large", "Reclaimed", within=GRACE)
    await see_phase(world, "Succeed", "mine")
    await see_phase(world, "Running", "large")
    assert victims(ledger) == ["large-job-qu"], victims(ledger)
    await see_exact(world, ledger)
    ledger.check_evictions()


@scenario(
    "Q15d",
    "with reclaim policy Never a guarantee is waited for, and nobody is made to leave",
    settings={"controller": {"reclaim_policy": "Never"}},
)
async def never_takes_back(world: World) -> None:
    await world.apply(namespace("alpha"), namespace("beta"))
    ledger = await follow_units(world, borrowing("6", ("alpha", "3"), ("beta", "3")))
    await world.apply(job("large", "6", namespace="beta"))
    await see_phase(world, "Running", "large")
    await world.apply(job("mine", "3", namespace="alpha", priority=HIGH))
    await see_waiting(world, "mine")
    assert victims(ledger) == [], victims(ledger)
    await world.delete(JOBS, "large", "beta")
    await see_admitted(world, "mine")
    assert victims(ledger) == [], victims(ledger)
    await see_exact(world, ledger)


@scenario(
    "Q15e",
    "a controller that dies between eviction and admission keeps its promise",
    within=150,
)
async def promise_survives(world: World) -> None:
    await world.apply(namespace("alpha"), namespace("beta"))
    ledger = await follow_units(world, borrowing("6", ("alpha", "3"), ("beta", "3")))
    await world.apply(*(job(f"beta-{index}", "1", namespace="beta") for index in range(6)))
    names = [f"beta-{index}" for index in range(6)]
    await see_phase(world, "Running", *names)
    await keep_pods(world, *names)
    await world.apply(job("mine", "3", namespace="alpha"))
    await world.until(
        QUEUE_UNITS, lambda _: len(ledger.evictions) == 3, "three of six were told to leave"
    )
    await world.kill("controller")
    # These would fit into what the first of the leaving frees, if it were not spoken for.
    await world.apply(*(job(f"thief-{index}", "1", namespace="beta") for index in range(3)))
    await see_waiting(world, "thief-0", "InsufficientQuota", "ReclaimPending")
    leaving = [one.name.removesuffix("-job-qu") for one in ledger.evictions]
    for name in leaving:
        await keep_pods(world, name, kept=False)
        await see_requeued(world, name, "Reclaimed")
    await see_admitted(world, "mine")
    assert len(ledger.evictions) == 3, victims(ledger)
    units = await world.objects(QUEUE_UNITS)
    assert not any(admitted(units, f"thief-{index}") for index in range(3))
    await see_exact(world, ledger)
    ledger.check_evictions()
