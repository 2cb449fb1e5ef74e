"""A node as placing pods on it needs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any

from kube_queue.api.errors import InvalidInput
from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.node_selectors import Taint, list_of, read_taints
from kube_queue.api.pods import Labels, shared_labels
from kube_queue.api.resources import EMPTY, ResourceVector


@dataclass(frozen=True, slots=True)
class Node:
    """One node; amounts are millicores for cpu and whole units for everything else."""

    name: str
    uid: str
    resource_version: str
    labels: Labels
    annotations: Mapping[str, str]
    allocatable: ResourceVector
    """What pods may take of it, their number as "pods"."""
    taints: tuple[Taint, ...] = ()
    cordoned: bool = False
    images: tuple[tuple[str, int], ...] = ()
    """(name, bytes) of each image it has, every name of an image by itself."""
    invalid: str = ""
    """Why nothing can be placed on it, naming the field; or empty."""
    namespace: str = ""

    def same_place(self, other: Node) -> bool:
        """Whether nothing differs that placing depends on."""
        return (
            self.labels is other.labels
            and self.allocatable is other.allocatable
            and self.taints == other.taints
            and self.cordoned == other.cordoned
            and self.images == other.images
            and self.annotations == other.annotations
            and self.invalid == other.invalid
        )


def node_of(obj: Mapping[str, Any]) -> Node:
    """The node an object stands for; it never raises on odd content."""
    metadata, spec, status = (mapping_of(obj.get(part)) for part in ("metadata", "spec", "status"))
    allocatable, invalid = EMPTY, ""
    try:
        amounts = status.get("allocatable") or status.get("capacity")
        allocatable = ResourceVector.parse(amounts, "status.allocatable")
    except InvalidInput as error:
        invalid = str(error)
    return Node(
        name=intern(text_of(metadata.get("name"))),
        uid=text_of(metadata.get("uid")),
        resource_version=text_of(metadata.get("resourceVersion")),
        labels=shared_labels(mapping_of(metadata.get("labels"))),
        annotations={
            str(key): text_of(value)
            for key, value in mapping_of(metadata.get("annotations")).items()
        },
        allocatable=allocatable,
        taints=read_taints(spec.get("taints")),
        cordoned=spec.get("unschedulable") is True,
        images=_images(status),
        invalid=invalid,
    )


def _images(status: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    found = []
    for image in map(mapping_of, list_of(status, "images")):
        size = image.get("sizeBytes")
        found += [
            (intern(name), size)
            for name in list_of(image, "names")
            if isinstance(name, str) and isinstance(size, int)
        ]
    return tuple(found)
