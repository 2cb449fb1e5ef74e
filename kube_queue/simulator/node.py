"""Nodes that look as a kubelet registers them, and their heartbeats.

A node is ours when it carries the label OUR_NODE: those of the profile, and any that somebody
creates with the label. A node of the profile that somebody deletes stays deleted until a restart,
as with a real kubelet.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from typing import Any, Final

from kube_queue.api.conditions import rfc3339, rfc3339_micro
from kube_queue.api.errors import AlreadyExists, KubeQueueError, NotFound
from kube_queue.api.types import LEASES, NAMESPACES, NODES
from kube_queue.kube.client import Client
from kube_queue.kube.workqueue import WorkQueue, run_workers
from kube_queue.simulator.profile import Profile
from kube_queue.simulator.table import Table
from kube_queue.simulator.views import OUR_NODE, NodeView, node_view

KUBELET_VERSION: Final = "v1.36.3"
LEASE_NAMESPACE: Final = "kube-node-lease"
LEASE_SECONDS: Final = 40
RENEW_SECONDS: Final = 10.0
MOST_RENEWALS_A_SECOND: Final = 10.0
_WORKERS: Final = 4
_PRESSURES: Final = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


class Nodes:
    """Registers the profile's nodes, gives every node of ours a status, and keeps them alive."""

    def __init__(
        self, client: Client, profile: Profile, nodes: Table[NodeView], clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._profile = profile
        self._nodes = nodes
        self._clock = clock
        self._queue: WorkQueue[str] = WorkQueue()
        nodes.subscribe(self._changed)

    async def run(self) -> None:
        """Nodes are there and stay alive, until cancelled."""
        await self._nodes.synced.wait()
        for name in self._profile.node_names():
            if self._nodes.get("", name) is None:
                self._queue.add(name)
        async with asyncio.TaskGroup() as group:
            group.create_task(run_workers(self._queue, self._reconcile, _WORKERS))
            group.create_task(self._renew_leases())

    def _changed(self, old: NodeView | None, new: NodeView | None) -> None:
        del old
        if new is not None and new.ours and not new.reporting:
            self._queue.add(new.name)

    async def _reconcile(self, name: str) -> None:
        view = self._nodes.get("", name)
        if view is None:
            node = self._node(name)
            try:
                self._nodes.wrote(node_view(await self._client.create(NODES, node)))
            except AlreadyExists:
                return
        elif view.ours and not view.reporting:
            patch = {"metadata": {"uid": view.uid}, "status": self._status(name, view)}
            answer = await self._client.patch(
                NODES, "", name, patch, kind="strategic", subresource="status"
            )
            self._nodes.wrote(node_view(answer))

    def _node(self, name: str) -> dict[str, Any]:
        labels = {OUR_NODE: "true", **self._profile.labels(name)}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"providerID": f"simulator://{name}"},
            "status": self._status(name, None),
        }

    def _status(self, name: str, view: NodeView | None) -> dict[str, Any]:
        """A whole status; the capacity of a node that has one already is left alone."""
        now = rfc3339(self._clock())
        status: dict[str, Any] = {
            "addresses": [
                {"type": "InternalIP", "address": node_address(name)},
                {"type": "Hostname", "address": name},
            ],
            "conditions": [
                _condition(kind, "False", reason, message, now)
                for kind, reason, message in _PRESSURES
            ]
            + [_condition("Ready", "True", "KubeletReady", "kubelet is posting ready status", now)],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": "",
                "containerRuntimeVersion": "simulator://1",
                "kernelVersion": "6.12.0",
                "kubeProxyVersion": "",
                "kubeletVersion": KUBELET_VERSION,
                "machineID": "",
                "operatingSystem": "linux",
                "osImage": "kube-queue simulator",
                "systemUUID": "",
            },
        }
        if view is None or not view.allocatable:
            capacity = self._profile.capacity()
            status |= {"capacity": capacity, "allocatable": capacity}
        return status

    async def _renew_leases(self) -> None:
        """Each node's Lease is renewed in turn, at a bounded number of writes a second."""
        while True:
            names = [node.name for node in self._nodes.values() if node.ours]
            pause = max(RENEW_SECONDS / max(1, len(names)), 1 / MOST_RENEWALS_A_SECOND)
            for name in names or [""]:
                if name:
                    await self._renew(name)
                await asyncio.sleep(pause if name else RENEW_SECONDS)

    async def _renew(self, name: str) -> None:
        """A beat that fails is made good by the next one."""
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": rfc3339_micro(int(self._clock() * 1_000_000)),
        }
        try:
            try:
                await self._client.patch(LEASES, LEASE_NAMESPACE, name, {"spec": spec})
            except NotFound:
                await self._create_lease(name, spec)
        except KubeQueueError:
            return

    async def _create_lease(self, name: str, spec: dict[str, Any]) -> None:
        node = self._nodes.get("", name)
        if node is None:
            return
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node.uid}
        lease = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": spec,
        }
        try:
            await self._client.create(LEASES, lease)
        except NotFound:
            namespace = {"apiVersion": "v1", "kind": "Namespace"}
            await self._client.create(
                NAMESPACES, {**namespace, "metadata": {"name": LEASE_NAMESPACE}}
            )


def node_address(name: str) -> str:
    """An address out of 172.16.0.0/12 that belongs to this node's name."""
    digest = zlib.crc32(name.encode())
    return f"172.{16 + digest % 16}.{digest >> 8 & 255}.{1 + (digest >> 16) % 254}"


def _condition(kind: str, status: str, reason: str, message: str, now: str) -> dict[str, str]:
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
        "reason": reason,
        "message": message,
    }
