"""Nodes, gangs and Deployments for scenarios of the co-scheduler, and what is waited for there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.placements import GANG_LABEL, named, of_gang, on_node, phase_of
from e2e.world import World
from kube_queue.api.types import NODES, PODS

Object = dict[str, Any]
EXAMPLES: Final = Path(__file__).parent.parent / "examples"
SCHEDULER: Final = "kube-queue-scheduler"
MINIMUM_LABEL: Final = "pod-group.scheduling.sigs.k8s.io/min-available"
CONSTRAINT: Final = "alibabacloud.com/topology-aware-constraint"
GPU: Final = "nvidia.com/gpu"
ZONE: Final = "topology.kubernetes.io/zone"
LONG: Final = 3600.0
_PLAYED: Final = {"kwok.x-k8s.io/node": "fake"}
"""The node is played by kwok where kwok plays only some."""
_OURS: Final = {"simulator.kube-queue/node": "true"}
"""The node is played by the simulator."""


def example(name: str) -> Object:
    """The manifest in this file of examples/."""
    loaded: Object = yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))
    return loaded


def node(name: str, cpu: str, *, memory: str = "64Gi", gpu: int = 0, **labels: str) -> Object:
    """A node with this room; `_` in the name of a label stands for `.`, `__` for `/`."""
    capacity = {"cpu": cpu, "memory": memory, "pods": "110", "ephemeral-storage": "100Gi"}
    if gpu:
        capacity[GPU] = str(gpu)
    given = {key.replace("__", "/").replace("_", "."): value for key, value in labels.items()}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, **_OURS, **given},
            "annotations": _PLAYED,
        },
        "status": {"capacity": capacity, "allocatable": capacity},
    }


@asynccontextmanager
async def with_nodes(world: World, *nodes: Object) -> AsyncIterator[None]:
    """These nodes are ready in the block, and gone after it."""
    names = [one["metadata"]["name"] for one in nodes]
    try:
        await add_nodes(world, *nodes)
        yield
    finally:
        await asyncio.gather(*(world.delete(NODES, name, "") for name in names))


async def add_nodes(world: World, *nodes: Object) -> None:
    """These nodes are there and take pods."""
    await world.apply(*nodes)
    names = {one["metadata"]["name"] for one in nodes}
    await world.until(
        NODES,
        lambda seen: names <= {one["metadata"]["name"] for one in seen if _takes_pods(one)},
        f"{', '.join(sorted(names))} ready",
        within=60,
    )


def _takes_pods(one: Mapping[str, Any]) -> bool:
    conditions = one.get("status", {}).get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not one.get("spec", {}).get("taints")


def pod(
    name: str,
    cpu: str,
    *,
    gang: str = "",
    minimum: int = 0,
    scheduler: str = SCHEDULER,
    namespace: str = "default",
    seconds: float = LONG,
    **spec: Any,
) -> Object:
    """A pod that asks for so much cpu, alone or as a member of a gang."""
    labels = {GANG_LABEL: gang, MINIMUM_LABEL: str(minimum)} if gang else {}
    amounts = {"cpu": cpu, "memory": "16Mi"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "schedulerName": scheduler,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "main",
                    "image": "busybox",
                    "command": ["/bin/sh", "-c", "--"],
                    "args": [f"sleep {seconds:g}s"],
                    "resources": {"requests": amounts, "limits": amounts},
                }
            ],
            **spec,
        },
    }


def gang(name: str, members: int, cpu: str, *, minimum: int = 0, **more: Any) -> list[Object]:
    """The pods of a gang; all of them are needed unless `minimum` says how many."""
    needed = minimum or members
    return [
        pod(f"{name}-{index:02}", cpu, gang=name, minimum=needed, **more)
        for index in range(members)
    ]


def constrained(one: Object, key: str, *selectors: Mapping[str, Any]) -> Object:
    """The pod, or the template, whose gang has to be within one domain of this label."""
    required: Object = {"topologies": [{"key": key}]}
    if selectors:
        required["nodeSelectors"] = [dict(each) for each in selectors]
    written = json.dumps({"name": "together", "required": required})
    metadata = one["metadata"]
    annotations = {**metadata.get("annotations", {}), CONSTRAINT: written}
    return {**one, "metadata": {**metadata, "annotations": annotations}}


async def see_on_nodes(
    world: World, count: int, *, gang: str = "", prefix: str = "", within: float = 60.0
) -> None:
    """So many pods of the gang, or of names that begin so, are on nodes."""

    def seen(pods: Sequence[Object]) -> bool:
        return len([one for one in _which(pods, gang, prefix) if on_node(one)]) == count

    await world.until(PODS, seen, f"{count} of {gang or prefix} on nodes", within=within)


async def see_held(world: World, count: int, *words: str, gang: str = "", prefix: str = "") -> str:
    """So many pods were tried, have no node, and say why; the first such message is returned.

    Where `words` are given it says one of them.
    """
    found: list[str] = []

    def seen(pods: Sequence[Object]) -> bool:
        found[:] = [
            why for one in _which(pods, gang, prefix) if not on_node(one) if (why := why_not(one))
        ]
        told = [why for why in found if not words or any(word in why for word in words)]
        return len(found) == count and bool(told)

    asked = f"{count} of {gang or prefix} held: {' or '.join(words) or 'with a reason'}"
    await world.until(PODS, seen, asked, within=60)
    return found[0]


async def see_quotas_kept(world: World, namespace: str) -> None:
    """The co-scheduler keeps the quota of this namespace; its watch of trees may be behind."""
    name = "beyond-any-quota"
    await world.apply(pod(name, "1000", namespace=namespace))
    await see_held(world, 1, "can never be scheduled", prefix=name)
    await world.delete(PODS, name, namespace)
    await world.until(PODS, lambda pods: not _which(pods, "", name), f"{name} is gone")


def why_not(one: Mapping[str, Any]) -> str:
    """What its condition PodScheduled says while it is False; empty otherwise."""
    for each in one.get("status", {}).get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            return str(each.get("message", ""))
    return ""


async def nodes_of(world: World, *, gang: str = "", prefix: str = "") -> list[str]:
    """The nodes of these pods, in the order of their names."""
    pods = _which(await world.objects(PODS), gang, prefix)
    return [one["spec"]["nodeName"] for one in sorted(pods, key=named) if on_node(one)]


def _which(pods: Sequence[Object], gang: str, prefix: str) -> list[Object]:
    chosen = of_gang(pods, gang) if gang else list(pods)
    return [
        one
        for one in chosen
        if one["metadata"]["name"].startswith(prefix)
        and "deletionTimestamp" not in one["metadata"]
        and phase_of(one) not in ("Succeeded", "Failed")
    ]
