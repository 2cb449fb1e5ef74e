"""Who is next: what tells the policies from each other, on Queues that name their own."""

from __future__ import annotations

import asyncio

from e2e.invariants import Ledger
from e2e.jobs import Object, admitted, annotated, job, phase
from e2e.scenario import scenario
from e2e.steps import (
    follow_units,
    replace_tree,
    see_admitted,
    see_admitted_in_turn,
    see_phase,
    see_waiting,
    set_policy,
)
from e2e.trees import namespace, queue, tree
from e2e.world import Unmet, World
from kube_queue.api.types import JOBS, QUEUE_UNITS, QUEUES

WAITING = 100


@scenario("Q11b", "the same releases under Round and Priority give different orders", within=150)
async def two_orders(world: World) -> None:
    policies = {"round": "Round", "priority": "Priority"}
    await world.apply(*(namespace(name) for name in policies))
    await world.apply(*(queue(name, policy) for name, policy in policies.items()))
    ledger = await follow_units(world, tree("8", *((name, "4") for name in policies)))

    def here(name: str, where: str, priority: int = 0) -> Object:
        made = job(f"{where}-{name}", "2", namespace=where, priority=priority)
        return annotated(made, queue=where)

    for where in policies:
        await world.apply(here("a", where), here("b", where))
        await see_admitted(world, f"{where}-a", f"{where}-b")
        # The scan of Round stands behind whoever was tried last.
        await world.apply(here("low", where, priority=1))
        await see_waiting(world, f"{where}-low", "InsufficientQuota", "Backoff")
        await world.apply(here("high", where, priority=10))
        await see_waiting(world, f"{where}-high", "InsufficientQuota", "Backoff")
    orders = {}
    for where in policies:
        begin = len(ledger.order)
        # One release after the other.
        for count, holder in enumerate(("a", "b"), start=1):
            await world.delete(JOBS, f"{where}-{holder}", where)
            await see_order(world, ledger, begin + count)
        orders[where] = [name.partition("-")[2] for name in ledger.order[begin:]]
    assert orders == {"round": ["low", "high"], "priority": ["high", "low"]}, orders
    ledger.check()


async def see_order(world: World, ledger: Ledger, count: int) -> None:
    """So many units were admitted in all."""
    await world.until(
        QUEUE_UNITS, lambda _: len(ledger.order) >= count, f"{count} admissions in all"
    )


@scenario("Q11i", "Intelligent: high jobs block, the rest pass each other once no high one waits")
async def intelligent(world: World) -> None:
    await world.apply(tree("4"), queue("smart", "Intelligent", threshold=4))

    def here(name: str, cpu: str, priority: int) -> Object:
        return annotated(job(name, cpu, priority=priority), queue="smart")

    await world.apply(here("holder", "2", 0))
    await see_admitted(world, "holder")
    await world.apply(here("high", "4", 5))
    await see_waiting(world, "high")
    await world.apply(here("high-small", "1", 4), here("low-large", "3", 3), here("low", "1", 1))
    for name in ("high-small", "low-large", "low"):
        await see_waiting(world, name, "BlockedByHead")
    await world.delete(JOBS, "high")
    await see_admitted_in_turn(world, "high-small", "low")
    assert phase(await world.objects(QUEUE_UNITS), "low-large") == "Enqueued"
    await world.delete(JOBS, "holder")
    await world.delete(JOBS, "low")
    await see_admitted(world, "low-large")


@scenario("Q11f", "Backfill: who cannot delay the head runs meanwhile, who might does not")
async def backfill(world: World) -> None:
    await world.apply(tree("4"), queue("filled", "Backfill"))

    def here(name: str, cpu: str, expected: int | None) -> Object:
        made = annotated(job(name, cpu, seconds=expected or 600), queue="filled")
        return made if expected is None else annotated(made, expected=str(expected))

    await world.apply(here("holder", "2", 1800))
    await see_admitted(world, "holder")
    await world.apply(here("head", "4", 600))
    await see_waiting(world, "head")
    await world.apply(here("long", "1", 7200), here("unknown", "1", None))
    await see_waiting(world, "long", "BlockedByHead")
    await see_waiting(world, "unknown", "BlockedByHead")
    await world.apply(here("short", "1", 3))
    await see_phase(world, "Succeed", "short")
    units = await world.objects(QUEUE_UNITS)
    assert not any(admitted(units, name) for name in ("head", "long", "unknown"))
    await world.delete(JOBS, "holder")
    await see_admitted(world, "head")
    units = await world.objects(QUEUE_UNITS)
    assert not any(admitted(units, name) for name in ("long", "unknown"))


@scenario("Q18q", "a job that names a Queue which is not there yet waits for it, and is picked up")
async def unit_before_queue(world: World) -> None:
    await world.apply(tree("4"), annotated(job("early", "1", seconds=1), queue="later"))
    message = await see_waiting(world, "early", "NoQueue")
    assert "later" in message, message
    await world.apply(job("other", "2", seconds=1))
    await see_phase(world, "Succeed", "other")
    assert phase(await world.objects(QUEUE_UNITS), "early") == "Enqueued"
    await world.apply(queue("later"))
    await see_phase(world, "Succeed", "early")


@scenario(
    "Q18p", "a policy changed live, again and again, loses none of a hundred that wait", within=240
)
async def policy_changed(world: World) -> None:
    ledger = await follow_units(world, tree("200m"))
    await world.apply(job("holder", "100m"))
    await see_admitted(world, "holder")
    await world.apply(job("head", "200m", seconds=1, priority=10))
    await see_waiting(world, "head")
    (name,) = [one["metadata"]["name"] for one in await world.objects(QUEUES)]
    names = [f"job-{index:02}" for index in range(WAITING)]
    await asyncio.gather(*(world.apply(job(one, "200m", seconds=1)) for one in names))
    tried, kept = ("InsufficientQuota", "Backoff"), ("BlockedByHead",)
    for policy, reasons in (
        ("Block", kept),
        ("Priority", tried),
        ("Intelligent", kept),
        ("Round", tried),
        ("Block", kept),
        ("Backfill", tried),
    ):
        await set_policy(world, name, policy)
        try:
            await see_waiting(world, names[-1], *reasons)
        except Unmet as unmet:
            raise Unmet(f"under {policy}: {unmet}") from None
    larger = tree("20")
    ledger.tree_changed(larger)
    await replace_tree(world, larger)
    await see_phase(world, "Succeed", "head", *names, within=120)
    ledger.check()
    assert len(ledger.order) == WAITING + 2, len(ledger.order)
