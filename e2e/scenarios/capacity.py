"""Quotas kept by the co-scheduler: borrowing up to max, and min taken back by evictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from e2e.coscheduling import (
    SCHEDULER,
    Object,
    example,
    node,
    see_on_nodes,
    see_quotas_kept,
    with_nodes,
)
from e2e.placements import Placements, on_node
from e2e.scenario import scenario
from e2e.trees import borrowing, namespace
from e2e.world import World
from kube_queue.api.types import DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS

NAMESPACES: Final = ("namespace1", "namespace2", "namespace3", "namespace4")
MOST_EACH, MOST_IN_ALL = 4, 8
"""Pods of 5 cpu under a max of 20 cpu a namespace, and of 40 cpu in all."""


def documented(index: int) -> Object:
    """The documented Deployment of namespace `index`, counted from 1."""
    text = json.dumps(example("capacity-deployment.yaml"))
    made: Object = json.loads(
        text.replace("nginx1", f"nginx{index}").replace("namespace1", f"namespace{index}")
    )
    return made


def counts(pods: Sequence[Object]) -> list[int]:
    """How many pods are on nodes, by namespace."""
    homes = [one["metadata"]["namespace"] for one in pods if on_node(one)]
    return [homes.count(name) for name in NAMESPACES]


async def see_counts(world: World, *wanted: int, within: float = 60.0) -> None:
    """So many pods of each namespace are on nodes."""

    def seen(pods: Sequence[Object]) -> bool:
        return counts(pods) == list(wanted)

    await world.until(PODS, seen, f"pods by namespace {wanted}", within=within)


async def see_total(world: World, total: int, *, but: str) -> None:
    """So many pods are on nodes in all, and none is left in this namespace."""

    def seen(pods: Sequence[Object]) -> bool:
        left = any(one["metadata"]["namespace"] == but for one in pods)
        return not left and sum(counts(pods)) == total

    await world.until(PODS, seen, f"{total} pods on nodes, none in {but}", within=60)


class Quota:
    """Never more than max, whatever happens; pods that leave still count."""

    def __init__(self, placed: Placements) -> None:
        self._placed = placed
        self.broken: list[str] = []

    def see(self, old: Object | None, new: Object | None) -> None:
        """A pod changed."""
        del old, new
        held = [
            sum(
                bool(pod["spec"].get("nodeName"))
                for pod in self._placed.pods.values()
                if pod["metadata"]["namespace"] == name
            )
            for name in NAMESPACES
        ]
        if max(held) > MOST_EACH or sum(held) > MOST_IN_ALL:
            self.broken.append(f"pods by namespace {held}")


async def _ready(world: World) -> tuple[Placements, Quota]:
    placed = await Placements.of(world)
    quota = Quota(placed)
    await world.follow(PODS, quota.see)
    await world.apply(*(namespace(name) for name in NAMESPACES))
    await world.apply(example("capacity-tree.yaml"))
    await see_quotas_kept(world, NAMESPACES[0])
    return placed, quota


@scenario(
    "S1",
    "the documented walk-through: 4; 4 and 4; 3, 3 and 2; 2 of each, by two evictions and two more",
    within=180,
)
async def walk_through(world: World) -> None:
    placed, quota = await _ready(world)
    steps = (((4, 0, 0, 0), 0), ((4, 4, 0, 0), 0), ((3, 3, 2, 0), 2), ((2, 2, 2, 2), 4))
    async with with_nodes(world, node("ecs-sn2-13xlarge", "56", memory="224Gi")):
        for index, (wanted, evictions) in enumerate(steps, start=1):
            await world.apply(documented(index))
            await see_counts(world, *wanted)
            await see_waiting_pods(world, 5 * index - sum(wanted))
            assert len(placed.evicted) == evictions, placed.evicted
        for index in range(1, 5):
            await world.delete(DEPLOYMENTS, f"nginx{index}", f"namespace{index}")
        await world.until(PODS, lambda pods: not pods, "no pod is left", within=60)
    placed.check()
    assert not quota.broken, quota.broken[0]


async def see_waiting_pods(world: World, count: int) -> None:
    """So many pods wait for their quota: those that were evicted have come back too."""

    def seen(pods: Sequence[Object]) -> bool:
        waiting = [
            one
            for one in pods
            if not one["spec"].get("nodeName") and "deletionTimestamp" not in one["metadata"]
        ]
        return len(waiting) == count

    await world.until(PODS, seen, f"{count} pods wait", within=60)


@scenario(
    "S2",
    "as the four leave one by one the others take their quota over, to their max and no further",
    within=240,
)
async def one_by_one(world: World) -> None:
    placed, quota = await _ready(world)
    async with with_nodes(world, node("ecs-sn2-13xlarge", "56", memory="224Gi")):
        for index in range(1, 5):
            await world.apply(documented(index))
        await see_counts(world, 2, 2, 2, 2, within=120)
        await see_waiting_pods(world, 12)
        for left, total in ((1, 8), (2, 8), (3, 4), (4, 0)):
            before = set(placed.evicted)
            await _leave(world, left, len(placed.bound(namespace=f"namespace{left}")))
            await see_total(world, total, but=f"namespace{left}")
            placed.check()
            # Nobody is evicted for room that is free.
            gone = [name for uid, name in placed.evicted.items() if uid not in before]
            assert all(name.startswith(f"namespace{left}/") for name in gone), gone
    assert not quota.broken, quota.broken[0]


async def _leave(world: World, index: int, running: int) -> None:
    """All pods of this namespace are told to leave, those first that wait.

    Nothing of it comes back meanwhile: one that still waits when the others have left, or that its
    ReplicaSet makes for one that was collected, has a right to its min.
    """
    name, where = f"nginx{index}", f"namespace{index}"
    await world.patch(DEPLOYMENTS, name, {"spec": {"replicas": running}}, namespace=where)

    def seen(pods: Sequence[Object]) -> bool:
        return [one["metadata"]["namespace"] for one in pods].count(where) == running

    await world.until(PODS, seen, f"{running} pods are in {where}")
    await world.patch(DEPLOYMENTS, name, {"spec": {"replicas": 0}}, namespace=where)


def budgeted(name: str, replicas: int, cpu: str, where: str) -> Object:
    """A Deployment of the co-scheduler's."""
    labels = {"app": name}
    amounts = {"cpu": cpu}
    container = {"name": "main", "image": "nginx", "resources": {"requests": amounts}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": where},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"schedulerName": SCHEDULER, "containers": [container]},
            },
        },
    }


@scenario(
    "S15", "a pod that its PodDisruptionBudget protects is no victim while another pod is one"
)
async def protected(world: World) -> None:
    placed = await Placements.of(world)
    await world.apply(namespace("lender"), namespace("borrower"))
    await world.apply(borrowing("4", ("lender", "2"), ("borrower", "2")))
    budget: dict[str, Any] = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "steady", "namespace": "borrower"},
        "spec": {"minAvailable": "100%", "selector": {"matchLabels": {"app": "steady"}}},
    }
    await world.apply(budget)
    # The younger ones would go first; they are protected.
    await world.apply(budgeted("open", 2, "1", "borrower"))
    await see_on_nodes(world, 2, prefix="open")
    await world.apply(budgeted("steady", 2, "1", "borrower"))
    await see_on_nodes(world, 2, prefix="steady")
    await world.until(
        POD_DISRUPTION_BUDGETS,
        lambda budgets: [one.get("status", {}).get("currentHealthy") for one in budgets] == [2],
        "the budget knows of both pods",
    )
    await world.apply(budgeted("claim", 2, "1", "lender"))
    await see_on_nodes(world, 2, prefix="claim")
    victims = sorted(placed.evicted.values())
    assert len(victims) == 2 and all("/open-" in name for name in victims), victims
    placed.check()
