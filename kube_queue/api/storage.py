"""Volumes, claims to them, their classes, and what nodes can attach, as placing pods needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, Final

from kube_queue.api.errors import InvalidInput
from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.node_selectors import NodeRequirement, NodeTerm, list_of, read_node_terms
from kube_queue.api.pod_affinity import read_selector
from kube_queue.api.pods import Labels, shared_labels
from kube_queue.api.quantity import Quantity
from kube_queue.api.selectors import Selector

READ_WRITE_ONCE_POD: Final = "ReadWriteOncePod"
BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
"""Annotation of a claim whose volume is bound to it from both sides."""
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
"""Annotation of a claim that asks for a volume to be made for this node."""
_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
_NANO: Final = 10**9


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim; sizes are bytes."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    volume: str
    """The name of its volume; empty: none yet."""
    bound: bool
    """Volume and claim are bound to each other."""
    lost: bool
    """Its volume is gone."""
    deleting: bool
    class_name: str
    modes: frozenset[str]
    size: int
    selector: Selector | None
    volume_mode: str
    attributes: str
    """The name of its VolumeAttributesClass; empty: none."""
    selected_node: str
    """The node a volume is to be made for, or empty."""
    owner: str
    """uid of the pod that controls it, or empty."""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Volume:
    """A PersistentVolume; sizes are bytes."""

    name: str
    uid: str
    resource_version: str
    class_name: str
    claim: tuple[str, str, str] | None
    """Namespace, name and uid of the claim it is kept for; an empty uid: whichever has the name."""
    available: bool
    deleting: bool
    modes: frozenset[str]
    size: int
    labels: Labels
    volume_mode: str
    attributes: str
    node_terms: tuple[NodeTerm, ...] | None
    """Nodes that reach it match one of them; None: all do."""
    driver: str
    """Its CSI driver, or empty."""
    handle: str

    def is_kept_for(self, claim: Claim) -> bool:
        """Whether it is this claim's, seen from its side."""
        if self.claim is None or self.claim[:2] != claim.key:
            return False
        return self.claim[2] in ("", claim.uid)


@dataclass(frozen=True, slots=True)
class StorageClass:
    """How claims of a class come to their volumes."""

    name: str
    resource_version: str
    provisioner: str
    waits: bool
    """WaitForFirstConsumer: a claim is bound when a pod that mounts it is placed."""
    topologies: tuple[NodeTerm, ...]
    """Nodes for which a volume can be made match one of them; without any, all do."""

    @property
    def makes_volumes(self) -> bool:
        """Whether a volume is made for a claim that finds none."""
        return self.provisioner not in ("", _NO_PROVISIONER)


@dataclass(frozen=True, slots=True)
class NodeDrivers:
    """A CSINode: how many volumes of each driver can be attached to the node."""

    name: str
    resource_version: str
    limits: Mapping[str, int]
    """By driver; one that is not listed has no limit."""


def claim_of(obj: Mapping[str, Any]) -> Claim:
    """The claim an object stands for; it never raises on odd content."""
    metadata, spec, status = (mapping_of(obj.get(part)) for part in ("metadata", "spec", "status"))
    annotations = mapping_of(metadata.get("annotations"))
    volume = text_of(spec.get("volumeName"))
    return Claim(
        namespace=intern(text_of(metadata.get("namespace"))),
        name=text_of(metadata.get("name")),
        uid=text_of(metadata.get("uid")),
        resource_version=text_of(metadata.get("resourceVersion")),
        volume=volume,
        bound=bool(volume) and BIND_COMPLETED in annotations,
        lost=status.get("phase") == "Lost",
        deleting=bool(metadata.get("deletionTimestamp")),
        class_name=_class_name(annotations, spec),
        modes=_texts(spec, "accessModes"),
        size=_bytes(mapping_of(mapping_of(spec.get("resources")).get("requests"))),
        selector=read_selector(spec.get("selector")),
        volume_mode=text_of(spec.get("volumeMode")) or "Filesystem",
        attributes=text_of(spec.get("volumeAttributesClassName")),
        selected_node=text_of(annotations.get(SELECTED_NODE)),
        owner=_owner(metadata),
    )


def volume_of(obj: Mapping[str, Any]) -> Volume:
    """The volume an object stands for; it never raises on odd content."""
    metadata, spec, status = (mapping_of(obj.get(part)) for part in ("metadata", "spec", "status"))
    kept_for = mapping_of(spec.get("claimRef"))
    required = mapping_of(spec.get("nodeAffinity")).get("required")
    csi = mapping_of(spec.get("csi"))
    return Volume(
        name=text_of(metadata.get("name")),
        uid=text_of(metadata.get("uid")),
        resource_version=text_of(metadata.get("resourceVersion")),
        class_name=_class_name(mapping_of(metadata.get("annotations")), spec),
        claim=(
            (
                text_of(kept_for.get("namespace")),
                text_of(kept_for.get("name")),
                text_of(kept_for.get("uid")),
            )
            if kept_for
            else None
        ),
        available=status.get("phase") == "Available",
        deleting=bool(metadata.get("deletionTimestamp")),
        modes=_texts(spec, "accessModes"),
        size=_bytes(mapping_of(spec.get("capacity"))),
        labels=shared_labels(mapping_of(metadata.get("labels"))),
        volume_mode=text_of(spec.get("volumeMode")) or "Filesystem",
        attributes=text_of(spec.get("volumeAttributesClassName")),
        node_terms=read_node_terms(required) if required else None,
        driver=intern(text_of(csi.get("driver"))),
        handle=text_of(csi.get("volumeHandle")),
    )


def storage_class_of(obj: Mapping[str, Any]) -> StorageClass:
    """The class an object stands for; it never raises on odd content."""
    metadata = mapping_of(obj.get("metadata"))
    return StorageClass(
        name=text_of(metadata.get("name")),
        resource_version=text_of(metadata.get("resourceVersion")),
        provisioner=intern(text_of(obj.get("provisioner"))),
        waits=obj.get("volumeBindingMode") == "WaitForFirstConsumer",
        topologies=tuple(map(_topology, list_of(obj, "allowedTopologies"))),
    )


def node_drivers_of(obj: Mapping[str, Any]) -> NodeDrivers:
    """The CSINode an object stands for; it never raises on odd content."""
    metadata = mapping_of(obj.get("metadata"))
    limits = {}
    for driver in map(mapping_of, list_of(mapping_of(obj.get("spec")), "drivers")):
        count = mapping_of(driver.get("allocatable")).get("count")
        if isinstance(count, int):
            limits[intern(text_of(driver.get("name")))] = count
    return NodeDrivers(
        text_of(metadata.get("name")), text_of(metadata.get("resourceVersion")), limits
    )


def _class_name(annotations: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    # The annotation is older than the field and still goes before it.
    return text_of(annotations.get(_CLASS)) or text_of(spec.get("storageClassName"))


def _texts(fields: Mapping[str, Any], name: str) -> frozenset[str]:
    return frozenset(each for each in list_of(fields, name) if isinstance(each, str))


def _bytes(amounts: Mapping[str, Any]) -> int:
    """Whole bytes, rounded up; what cannot be read is nothing."""
    try:
        return -(-Quantity.parse(amounts.get("storage", 0)).nano // _NANO)
    except InvalidInput:
        return 0


def _owner(metadata: Mapping[str, Any]) -> str:
    for entry in map(mapping_of, list_of(metadata, "ownerReferences")):
        if entry.get("controller") is True and entry.get("kind") == "Pod":
            return text_of(entry.get("uid"))
    return ""


def _topology(term: object) -> NodeTerm:
    expressions = map(mapping_of, list_of(mapping_of(term), "matchLabelExpressions"))
    return NodeTerm(
        tuple(
            NodeRequirement(
                intern(text_of(each.get("key"))),
                "In" if each.get("key") else "",
                tuple(one for one in list_of(each, "values") if isinstance(one, str)),
            )
            for each in expressions
        )
    )
