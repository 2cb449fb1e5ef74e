"""Jobs, units that stand for them, and pods that no unit stands for."""

from __future__ import annotations

from typing import Any

from kube_queue.api.types import (
    JOBS,
    PODS,
    ResourceType,
)
from tests.controller.queueing.world import Object, World, a_leaf, a_root

QUOTA = "quota.scheduling.alibabacloud.com/name"
REPLICA_SETS = ResourceType("apps", "v1", "replicasets", "ReplicaSet")
BATCH = {"apiVersion": "batch/v1", "kind": "Job"}


def owner(kind: ResourceType, name: str, uid: str, *, controller: bool = True) -> Object:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": name,
        "uid": uid,
        "controller": controller,
    }


async def a_job(world: World, name: str, of: Object | None = None) -> str:
    container = {"name": "main", "image": "x"}
    template = {"spec": {"containers": [container], "restartPolicy": "Never"}}
    job: Object = {
        **BATCH,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"suspend": True, "template": template},
    }
    if of is not None:
        job["metadata"]["ownerReferences"] = [of]
    return str((await world.user.create(JOBS, job))["metadata"]["uid"])


async def a_queued_job(world: World, unit: str, cpu: int, **kinds: Any) -> Object:
    """A unit and the Job it stands for; the reference that the Job's pods carry."""
    uid = await a_job(world, f"{unit}-job")
    reference = {**BATCH, "namespace": "default", "name": f"{unit}-job", "uid": uid}
    await world.create_unit(unit, cpu=cpu, consumerRef=reference, **kinds)
    return owner(JOBS, f"{unit}-job", uid)


async def a_pod(
    world: World,
    name: str,
    cpu: str = "1",
    *,
    of: Object | None = None,
    node: str = "n1",
    labels: Object | None = None,
    namespace: str = "default",
) -> str:
    container = {"name": "main", "image": "x", "resources": {"requests": {"cpu": cpu}}}
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
        "spec": {"containers": [container], **({"nodeName": node} if node else {})},
    }
    if of is not None:
        pod["metadata"]["ownerReferences"] = [of]
    made = await world.user.create(PODS, pod)
    return str(made["metadata"]["uid"])


async def end_pod(world: World, name: str, phase: str = "Succeeded") -> None:
    status = {"status": {"phase": phase}}
    await world.user.patch(PODS, "default", name, status, subresource="status")


def used(world: World, leaf: str = "root/default") -> int:
    return world.side.cache.quota_status()[leaf].used.get("cpu", 0)


async def a_world(world: World, **leaf: Any) -> None:
    await world.create_tree(a_root(a_leaf("default", **leaf)))
    await world.settle()
