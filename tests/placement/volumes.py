"""Builders of volumes, claims and what belongs to them: ``a_claim("c").asking("1Gi")``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kube_queue.api.storage import (
    BIND_COMPLETED,
    SELECTED_NODE,
    claim_of,
    node_drivers_of,
    storage_class_of,
    volume_of,
)
from kube_queue.placement.storage import Storage, StorageObject
from tests.placement.builders import HOST, Builder, World, selector_of

LOCAL = "local"
"""A class of volumes that are there already, bound when a pod is placed."""


@dataclass(frozen=True)
class StorageBuilder(Builder):
    @property
    def thing(self) -> StorageObject:
        return _READERS[self.manifest["kind"]](self.manifest)


_READERS: dict[str, Any] = {
    "PersistentVolumeClaim": claim_of,
    "PersistentVolume": volume_of,
    "StorageClass": storage_class_of,
    "CSINode": node_drivers_of,
}


@dataclass(frozen=True)
class ClaimBuilder(StorageBuilder):
    def asking(self, size: str) -> ClaimBuilder:
        return self._set("spec", resources={"requests": {"storage": size}})

    def of_class(self, name: str) -> ClaimBuilder:
        return self._set("spec", storageClassName=name)

    def of_modes(self, *modes: str) -> ClaimBuilder:
        return self._set("spec", accessModes=list(modes))

    def bound_to(self, volume: str) -> ClaimBuilder:
        bound = self._set("spec", volumeName=volume)._set("status", phase="Bound")
        return bound.annotated(**{BIND_COMPLETED: "yes"})

    def lost(self) -> ClaimBuilder:
        return self._set("status", phase="Lost")

    def deleted(self) -> ClaimBuilder:
        return self._set("metadata", deletionTimestamp="2024-01-01T00:00:00Z")

    def selecting(self, **labels: str) -> ClaimBuilder:
        return self._set("spec", selector=selector_of(labels))

    def made_for(self, node: str) -> ClaimBuilder:
        return self.annotated(**{SELECTED_NODE: node})

    def of_pod(self, uid: str) -> ClaimBuilder:
        owner = {"kind": "Pod", "uid": uid, "controller": True}
        return self._extend("metadata", "ownerReferences", owner)


@dataclass(frozen=True)
class VolumeBuilder(StorageBuilder):
    def of(self, size: str) -> VolumeBuilder:
        return self._set("spec", capacity={"storage": size})

    def of_class(self, name: str) -> VolumeBuilder:
        return self._set("spec", storageClassName=name)

    def of_modes(self, *modes: str) -> VolumeBuilder:
        return self._set("spec", accessModes=list(modes))

    def reached_from(self, key: str, *values: str) -> VolumeBuilder:
        expression = {"key": key, "operator": "In", "values": list(values)}
        term = {"matchExpressions": [expression]}
        return self._set("spec", nodeAffinity={"required": {"nodeSelectorTerms": [term]}})

    def on_node(self, name: str) -> VolumeBuilder:
        return self.reached_from(HOST, name)

    def kept_for(self, claim: str, uid: str = "") -> VolumeBuilder:
        kept = {"namespace": "default", "name": claim, "uid": uid}
        return self._set("spec", claimRef=kept)._set("status", phase="Bound")

    def of_driver(self, driver: str) -> VolumeBuilder:
        name = self.manifest["metadata"]["name"]
        return self._set("spec", csi={"driver": driver, "volumeHandle": f"handle-{name}"})


def a_claim(name: str) -> ClaimBuilder:
    """A claim of namespace ``default`` and class LOCAL for 1 GiB, not bound."""
    claim = ClaimBuilder({"kind": "PersistentVolumeClaim", "metadata": _named(name, "default")})
    return claim.asking("1Gi").of_class(LOCAL).of_modes("ReadWriteOnce")


def a_volume(name: str) -> VolumeBuilder:
    """An available volume of class LOCAL and 10 GiB that every node reaches."""
    volume = VolumeBuilder({"kind": "PersistentVolume", "metadata": _named(name)})
    return (
        volume.of("10Gi")
        .of_class(LOCAL)
        .of_modes("ReadWriteOnce")
        ._set("status", phase="Available")
    )


def a_class(
    name: str,
    provisioner: str = "kubernetes.io/no-provisioner",
    *,
    waits: bool = True,
    **zones: str,
) -> StorageBuilder:
    """A class; ``zones``: labels of the nodes for which volumes can be made."""
    expressions = [{"key": key, "values": [value]} for key, value in zones.items()]
    return StorageBuilder(
        {
            "kind": "StorageClass",
            "metadata": _named(name),
            "provisioner": provisioner,
            "volumeBindingMode": "WaitForFirstConsumer" if waits else "Immediate",
            "allowedTopologies": [{"matchLabelExpressions": expressions}] if zones else [],
        }
    )


def drivers_of(node: str, **limits: int) -> StorageBuilder:
    """The CSINode of the node."""
    drivers = [{"name": name, "allocatable": {"count": count}} for name, count in limits.items()]
    manifest = {"kind": "CSINode", "metadata": _named(node), "spec": {"drivers": drivers}}
    return StorageBuilder(manifest)


def store(world: World, *things: StorageBuilder) -> None:
    """The world has these objects."""
    for thing in things:
        world.cluster.shared(Storage).seen(thing.thing)


def _named(name: str, namespace: str = "") -> dict[str, Any]:
    named = {"name": name, "uid": f"uid-{name}", "resourceVersion": "1"}
    return {"namespace": namespace, **named} if namespace else named
