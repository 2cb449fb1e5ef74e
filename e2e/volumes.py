"""Volumes for scenarios: classes, claims and volumes, and who binds what where nobody else does.

Who does what, once a pod with a claim that waits for its first consumer has found its node:

==================  ============================================================================
co-scheduler        a volume that exists gets the claim in its spec.claimRef; a claim for which one
                    has to be made gets the annotation of the node
provisioner         makes the volume, with the claim in its spec.claimRef: here, the scenario
volume controller   the claim gets the volume's name, and both are Bound: kube-controller-manager's
                    own, or what stands in for it here where there is none
co-scheduler        binds the pods, once all their claims are bound
==================  ============================================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from e2e.world import World
from kube_queue.api.storage import BIND_COMPLETED, SELECTED_NODE
from kube_queue.api.types import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES

Object = dict[str, Any]
ZONE: Final = "topology.kubernetes.io/zone"
HOSTNAME: Final = "kubernetes.io/hostname"
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
PROVISIONER: Final = "disks.kube-queue.example"
_SERVER: Final = "api-server"
"""The part that is the embedded API server: a cluster of it has no kube-controller-manager."""


def storage_class(name: str, provisioner: str = NO_PROVISIONER, *, zone: str = "") -> Object:
    """A class whose claims wait for their pod; its volumes are made in `zone` alone."""
    made: Object = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    if zone:
        terms = [{"key": ZONE, "values": [zone]}]
        made["allowedTopologies"] = [{"matchLabelExpressions": terms}]
    return made


def claim(name: str, class_name: str, size: str = "5Gi") -> Object:
    """A claim to a volume of this class, in namespace default."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": class_name,
            "resources": {"requests": {"storage": size}},
        },
    }


def volume(name: str, class_name: str, key: str, value: str, size: str = "10Gi") -> Object:
    """A volume that only nodes with this label reach."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": class_name,
            "local": {"path": f"/mnt/{name}"},
            "nodeAffinity": reached_from(key, value),
        },
    }


def reached_from(key: str, *values: str) -> Object:
    """Only nodes with one of these values reach the volume."""
    term = {"matchExpressions": [{"key": key, "operator": "In", "values": list(values)}]}
    return {"required": {"nodeSelectorTerms": [term]}}


def reference(claim: Object) -> Object:
    """The claim as a volume names it."""
    known = {key: claim["metadata"][key] for key in ("namespace", "name", "uid")}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **known}


def bound_to(volume_name: str) -> Object:
    """What a claim gets once its volume is kept for it."""
    annotations = {BIND_COMPLETED: "yes"}
    return {"metadata": {"annotations": annotations}, "spec": {"volumeName": volume_name}}


def mounting(pod: Object, *claims: str) -> Object:
    """The pod, which mounts these claims."""
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    return {**pod, "spec": {**pod["spec"], "volumes": volumes}}


class Order:
    """At which version of the cluster claims were bound and pods got their nodes, by name."""

    def __init__(self) -> None:
        self.bound: dict[str, int] = {}
        self.placed: dict[str, int] = {}

    def claim_seen(self, old: Object | None, new: Object | None) -> None:
        """A claim changed."""
        del old
        if new is not None and is_bound(new):
            metadata = new["metadata"]
            self.bound.setdefault(metadata["name"], int(metadata["resourceVersion"]))

    def pod_seen(self, old: Object | None, new: Object | None) -> None:
        """A pod changed."""
        del old
        if new is not None and new["spec"].get("nodeName"):
            metadata = new["metadata"]
            self.placed.setdefault(metadata["name"], int(metadata["resourceVersion"]))

    async def check(self, world: World, pods: Sequence[str], claims: Sequence[str]) -> None:
        """Each of these claims was bound before any of these pods was, which have their nodes.

        The watch of claims may be behind that of pods. Raises Unmet if a claim is never bound.
        """
        await world.until(
            PERSISTENT_VOLUME_CLAIMS, lambda _: self.bound.keys() >= {*claims}, f"{claims} bound"
        )
        first = min(self.placed[name] for name in pods)
        assert all(self.bound[name] < first for name in claims), (self.bound, self.placed)


def is_bound(one: Object) -> bool:
    """Whether the claim has its volume, and the volume it."""
    annotations = one["metadata"].get("annotations") or {}
    return bool(one["spec"].get("volumeName")) and BIND_COMPLETED in annotations


@asynccontextmanager
async def provisioned(world: World) -> AsyncIterator[None]:
    """In the block volumes are made for claims that ask for one of PROVISIONER, as its own
    controller would: in the zone of the node that the claim names.
    """
    zones: dict[str, str] = {}

    def node_seen(old: Object | None, new: Object | None) -> None:
        del old
        if new is not None:
            labels = new["metadata"].get("labels") or {}
            zones[new["metadata"]["name"]] = labels.get(ZONE, "")

    async def make(wanted: Object) -> None:
        metadata, class_name = wanted["metadata"], wanted["spec"]["storageClassName"]
        made = volume(f"for-{metadata['name']}", class_name, ZONE, zones[_asks_for(wanted)])
        made["spec"]["claimRef"] = reference(wanted)
        await world.apply(made)

    await world.follow(NODES, node_seen)
    async with _working(make) as wanted:

        def claim_seen(old: Object | None, new: Object | None) -> None:
            if new is not None and _asks_for(new) and (old is None or not _asks_for(old)):
                wanted.put_nowait(new)

        await world.follow(PERSISTENT_VOLUME_CLAIMS, claim_seen)
        yield


def _asks_for(one: Object) -> str:
    """The node that the claim wants its volume made for."""
    return str((one["metadata"].get("annotations") or {}).get(SELECTED_NODE, ""))


@asynccontextmanager
async def _working(
    work: Callable[[Object], Awaitable[None]],
) -> AsyncIterator[asyncio.Queue[Object]]:
    """Whatever is put into the queue is worked on, one after another, until the block ends."""
    queue: asyncio.Queue[Object] = asyncio.Queue()

    async def go_on() -> None:
        while True:
            await work(await queue.get())

    async with asyncio.TaskGroup() as group:
        task = group.create_task(go_on())
        yield queue
        task.cancel()


@asynccontextmanager
async def volume_controller(world: World) -> AsyncIterator[None]:
    """In the block somebody completes what volumes and claims begin: kube-controller-manager, or
    where that does not run, one who does as it does with volumes that a scheduler has chosen.
    """
    if world.cluster.pid(_SERVER) is None:
        yield
        return
    async with _working(partial(_complete, world)) as changed:

        def volume_seen(old: Object | None, new: Object | None) -> None:
            del old
            if new is not None:
                changed.put_nowait(new)

        await world.follow(PERSISTENT_VOLUMES, volume_seen)
        yield


async def _complete(world: World, one: Object) -> None:
    """A volume of nobody's is Available; one of a claim's is Bound, and the claim is."""
    name, phase = one["metadata"]["name"], one["status"]["phase"]
    kept_for = one["spec"].get("claimRef")
    wanted = "Bound" if kept_for else "Available"
    if phase == wanted:
        return
    if kept_for:
        await _bind(world, kept_for, name)
    status = {"status": {"phase": wanted}}
    await world.patch(PERSISTENT_VOLUMES, name, status, namespace="", subresource="status")


async def _bind(world: World, kept_for: Object, name: str) -> None:
    found = await world.client.get(
        PERSISTENT_VOLUME_CLAIMS, kept_for["namespace"], kept_for["name"]
    )
    assert found["metadata"]["uid"] == kept_for["uid"], found["metadata"]
    change = bound_to(name)
    where: dict[str, Any] = {"namespace": kept_for["namespace"]}
    await world.patch(PERSISTENT_VOLUME_CLAIMS, kept_for["name"], change, **where)
    status = {"status": {"phase": "Bound"}}
    await world.patch(
        PERSISTENT_VOLUME_CLAIMS, kept_for["name"], status, subresource="status", **where
    )
