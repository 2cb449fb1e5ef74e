"""What kube-controller-manager and makers of volumes do, where two schedulers are compared.

No controller runs there, so every change of a claim or volume is one of the scheduler's or of
this module's, and what we are asked about is what kube-scheduler knew when it decided.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from e2e.scheduling_storage import Disks, fits, volume_for
from e2e.scheduling_worlds import Manifest
from e2e.volumes import bound_to, reference
from kube_queue.api.storage import (
    SELECTED_NODE,
    claim_of,
    node_drivers_of,
    storage_class_of,
    volume_of,
)
from kube_queue.placement.storage import Storage

Send = Callable[..., Awaitable[Manifest]]
"""Api.send."""
VOLUMES = "/api/v1/persistentvolumes"
_STORAGE = "/apis/storage.k8s.io/v1"
_MERGE = {"Content-Type": "application/merge-patch+json"}


class Binder:
    """The volumes and claims of one world, on the server and in our storage."""

    def __init__(self, send: Send, disks: Disks, storage: Storage) -> None:
        self._send = send
        self._disks = disks
        self._storage = storage

    async def create(self, nodes: Sequence[str]) -> None:
        """Everything the world begins with is there; some claims are bound."""
        for one in self._disks.classes():
            made = await self._send("POST", f"{_STORAGE}/storageclasses", one)
            self._storage.seen(storage_class_of(made))
        for one in self._disks.drivers(nodes):
            made = await self._send("POST", f"{_STORAGE}/csinodes", one)
            self._storage.seen(node_drivers_of(made))
        free = []
        for one in self._disks.volumes(nodes):
            made = await self._send("POST", VOLUMES, one)
            free.append(await self._is(VOLUMES, made, "Available"))
        for one in self._disks.claims():
            made = await self._send("POST", _claims(one), one)
            fitting = [each for each in free if fits(each, made)]
            chosen = self._disks.chosen(fitting)
            if chosen is not None and self._disks.is_bound_beforehand():
                free.remove(chosen)
                change = {"spec": {"claimRef": reference(made)}}
                chosen = await self._send("PATCH", _one(VOLUMES, chosen), change, _MERGE)
                await self._bind(made, chosen)
            self._claim_seen(await self._send("GET", _one(_claims(one), made)))
        await self.volumes_seen()

    async def mark(self, mark: str) -> str:
        """A claim that is bound, made after everything else: who knows of it knows of all."""
        amounts = {"storage": "1Gi"}
        claim: Manifest = {
            "metadata": {"namespace": "default", "name": mark, **bound_to(mark)["metadata"]},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "",
                "volumeName": mark,
                "resources": {"requests": amounts},
            },
        }
        made = await self._send("POST", _claims(claim), claim)
        volume: Manifest = {
            "metadata": {"name": mark},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "capacity": amounts,
                "hostPath": {"path": "/mnt"},
                "claimRef": reference(made),
            },
        }
        await self._send("POST", VOLUMES, volume)
        return mark

    async def complete(self, pod: Manifest) -> None:
        """What the scheduler began for the pod's claims is done: they have their volumes."""
        for claim in await self._claims_of(pod):
            if claim["spec"].get("volumeName"):
                continue
            volume = await self._volume_of(claim)
            if volume is not None:
                await self._bind(claim, volume)

    async def seen(self, pod: Manifest) -> None:
        """Our storage is as the server after the pod was placed."""
        claims = await self._claims_of(pod)
        for claim in claims:
            self._claim_seen(claim)
        if claims:
            await self.volumes_seen()

    async def volumes_seen(self) -> None:
        """Our storage has the volumes of the world as they are."""
        for one in (await self._send("GET", VOLUMES))["items"]:
            if one["metadata"]["name"].startswith((self._disks.named(""), "for-")):
                known = self._storage.volumes.get(one["metadata"]["name"])
                if known is None or known.resource_version != one["metadata"]["resourceVersion"]:
                    self._storage.seen(volume_of(one))

    async def _claims_of(self, pod: Manifest) -> list[Manifest]:
        namespace = pod["metadata"]["namespace"]
        names = [
            each["persistentVolumeClaim"]["claimName"]
            for each in pod["spec"].get("volumes") or ()
            if "persistentVolumeClaim" in each
        ]
        if not names:
            return []
        path = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
        found: list[Manifest] = (await self._send("GET", path))["items"]
        return [one for one in found if one["metadata"]["name"] in names]

    async def _volume_of(self, claim: Manifest) -> Manifest | None:
        """The volume that the scheduler chose for it, or one that is made for its node."""
        uid = claim["metadata"]["uid"]
        for one in (await self._send("GET", VOLUMES))["items"]:
            if (one["spec"].get("claimRef") or {}).get("uid") == uid:
                found: Manifest = one
                return found
        node = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
        if not node:
            return None
        there = await self._send("GET", f"/api/v1/nodes/{node}")
        return await self._send("POST", VOLUMES, volume_for(claim, there))

    async def _bind(self, claim: Manifest, volume: Manifest) -> None:
        path = _one(_claims(claim), claim)
        await self._is(VOLUMES, volume, "Bound")
        await self._send("PATCH", path, bound_to(volume["metadata"]["name"]), _MERGE)
        await self._is(_claims(claim), claim, "Bound")

    async def _is(self, where: str, one: Manifest, phase: str) -> Manifest:
        change = {"status": {"phase": phase}}
        return await self._send("PATCH", f"{_one(where, one)}/status", change, _MERGE)

    def _claim_seen(self, claim: Manifest) -> None:
        self._storage.seen(claim_of(claim))


def _claims(claim: Manifest) -> str:
    return f"/api/v1/namespaces/{claim['metadata']['namespace']}/persistentvolumeclaims"


def _one(where: str, one: Manifest) -> str:
    return f"{where}/{one['metadata']['name']}"
