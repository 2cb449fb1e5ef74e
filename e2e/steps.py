"""What scenarios do and wait for, again and again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from e2e.invariants import Ledger, agrees
from e2e.jobs import (
    Object,
    admitted,
    condition_of,
    evicted,
    phases,
    status_of,
    unit_of,
    waits_because,
)
from e2e.trees import TREE_NAME
from e2e.world import World
from kube_queue.api.errors import Conflict, NotFound
from kube_queue.api.names import QUEUE_NAMESPACE, TREE_NAMESPACE
from kube_queue.api.types import (
    ELASTIC_QUOTA_TREES,
    JOBS,
    NODES,
    PODS,
    QUEUE_UNITS,
    QUEUES,
    ResourceType,
)

KEPT = "kube-queue.example/kept"
"""A finalizer: the pod stays until it is taken away."""


async def follow_units(world: World, tree: Object) -> Ledger:
    """The tree is applied, and what happens under it is kept in a ledger."""
    ledger = Ledger(tree)
    await world.apply(tree)
    await world.follow(QUEUE_UNITS, ledger.unit_seen)
    return ledger


async def see_admitted(world: World, *names: str, within: float = 30.0) -> None:
    """These jobs' units are admitted."""
    await world.until(
        QUEUE_UNITS,
        lambda units: admitted(units, *names),
        f"{', '.join(names)} admitted",
        within=within,
    )


async def see_admitted_in_turn(world: World, *names: str) -> None:
    """Each of these units gets quota, seen one after another."""
    for name in names:
        await see_admitted(world, name)


async def see_waiting(world: World, name: str, *reasons: str) -> str:
    """This job's unit has been tried, waits, and says why: for quota unless `reasons` are given.

    Returns its message.
    """
    wanted = reasons or ("InsufficientQuota",)
    await world.until(
        QUEUE_UNITS,
        lambda units: waits_because(units, name, *wanted),
        f"{name} waits: {' or '.join(wanted)}",
    )
    return str(status_of(await world.objects(QUEUE_UNITS), name).get("message", ""))


async def see_phase(world: World, wanted: str, *names: str, within: float = 30.0) -> None:
    """These jobs' units are in this phase."""
    await world.until(
        QUEUE_UNITS,
        lambda units: {*phases(units, names)} == {wanted},
        f"{', '.join(names[:5])}: {wanted}",
        within=within,
    )


async def see_evicted(world: World, *names: str) -> None:
    """These jobs' units hold quota and have been told to leave."""
    await world.until(
        QUEUE_UNITS,
        lambda units: all(evicted(unit_of(units, name)) for name in names),
        f"{', '.join(names)} evicted",
    )


async def see_requeued(world: World, name: str, reason: str, *, within: float = 30.0) -> None:
    """This job's unit gave its quota back for this reason."""
    await world.until(
        QUEUE_UNITS,
        lambda units: condition_of(unit_of(units, name) or {}, "Requeued").get("reason") == reason,
        f"{name} requeued: {reason}",
        within=within,
    )


async def see_used(world: World, cpu: str) -> None:
    """The tree's status says that this much cpu is used in all."""

    def used(trees: Sequence[Object]) -> bool:
        root = trees[0].get("status", {}).get("root", {})
        return bool(root.get("used", {}).get("cpu", "0") == cpu)

    await world.until(ELASTIC_QUOTA_TREES, used, f"{cpu} cpu used")


async def see_exact(world: World, ledger: Ledger, *, within: float = 30.0) -> None:
    """Nothing was broken so far, and the tree's status says of every node what its units hold."""
    ledger.check()
    try:
        await world.until(
            ELASTIC_QUOTA_TREES,
            lambda trees: bool(trees) and agrees(trees[0], ledger),
            "the tree's status says what the units hold",
            within=within,
        )
    finally:
        ledger.check()


async def give_priority(world: World, name: str, priority: int) -> None:
    """The job's priority annotation says this, and its unit has followed."""
    await world.patch(
        JOBS, name, {"metadata": {"annotations": {"scheduling.x-k8s.io/priority": str(priority)}}}
    )
    await world.until(
        QUEUE_UNITS,
        lambda units: (unit_of(units, name) or {"spec": {}})["spec"].get("priority") == priority,
        f"the unit of {name} has priority {priority}",
    )


async def replace_tree(world: World, tree: Object) -> None:
    """The quota tree says this instead."""
    await world.patch(
        ELASTIC_QUOTA_TREES, TREE_NAME, {"spec": tree["spec"]}, namespace=TREE_NAMESPACE
    )


async def set_policy(world: World, name: str, policy: str) -> None:
    """The Queue of this name has another policy."""
    await world.patch(QUEUES, name, {"spec": {"queuePolicy": policy}}, namespace=QUEUE_NAMESPACE)


async def answer_check(world: World, name: str, state: str) -> None:
    """The one admission check of this job's unit says this, as its own controller would."""
    await world.until(
        QUEUE_UNITS, lambda units: bool(_pending(units, name)), f"{name} waits for its check"
    )
    while True:
        unit = unit_of(await world.objects(QUEUE_UNITS), name)
        checks = _pending([unit] if unit else [], name)
        if unit is None or not checks:
            return
        metadata = unit["metadata"]
        change = {
            "metadata": {"resourceVersion": metadata["resourceVersion"]},
            "status": {"admissionChecks": [{**one, "state": state} for one in checks]},
        }
        with contextlib.suppress(Conflict):
            await world.patch(
                QUEUE_UNITS,
                metadata["name"],
                change,
                namespace=metadata["namespace"],
                subresource="status",
            )
            return


def _pending(units: Sequence[Object], name: str) -> list[Mapping[str, Any]]:
    status = status_of(units, name)
    if status.get("phase") != "Reserved":
        return []
    return [one for one in status.get("admissionChecks") or () if one.get("state") == "Pending"]


async def keep_pods(world: World, *names: str, kept: bool = True) -> None:
    """The running pods of these jobs stay when they are deleted; or go at once, `kept` being false.

    Whoever is evicted is thus being evicted for as long as the scenario wants.
    """
    if kept:
        await world.until(
            PODS,
            lambda pods: {_owner(pod) for pod in pods} >= set(names),
            f"pods of {', '.join(names[:5])}",
        )
    pods = [pod for pod in await world.objects(PODS) if _owner(pod) in names]
    await asyncio.gather(*(_keep(world, pod, kept) for pod in pods))


async def _keep(world: World, pod: Object, kept: bool) -> None:
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    with contextlib.suppress(NotFound):
        while True:
            metadata = (await world.client.get(PODS, namespace, name))["metadata"]
            others = [one for one in metadata.get("finalizers") or () if one != KEPT]
            change = {
                "resourceVersion": metadata["resourceVersion"],
                "finalizers": [*others, KEPT] if kept else others,
            }
            with contextlib.suppress(Conflict):
                await world.patch(PODS, name, {"metadata": change}, namespace=namespace)
                return


def _owner(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or ({"name": ""},)
    return str(owners[0]["name"])


async def label_node(world: World, label: str) -> None:
    """Some node has this label with value `yes`."""
    node = (await world.objects(NODES))[0]
    await world.patch(NODES, node["metadata"]["name"], {"metadata": {"labels": {label: "yes"}}})


async def renew_unit(world: World, name: str) -> None:
    """This job's unit was deleted, and the job has another one."""
    unit = unit_of(await world.objects(QUEUE_UNITS), name)
    assert unit is not None
    metadata = unit["metadata"]
    await world.delete(QUEUE_UNITS, metadata["name"], metadata["namespace"])

    def renewed(units: Sequence[Object]) -> bool:
        found = unit_of(units, name)
        return found is not None and found["metadata"]["uid"] != metadata["uid"]

    await world.until(QUEUE_UNITS, renewed, f"{name} has a new unit")


async def see_gone(world: World, resource: ResourceType, *names: str) -> None:
    """No object of these names is left."""
    await world.until(
        resource,
        lambda seen: not {one["metadata"]["name"] for one in seen} & set(names),
        f"{', '.join(names)} gone",
    )
