"""ImageLocality: rather a node that has the pod's images already."""

from __future__ import annotations

from typing import Final

from kube_queue.api.nodes import Node
from kube_queue.api.pods import PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import IntColumn
from kube_queue.placement.framework import MAX_SCORE

_MB: Final = 1024 * 1024
_LEAST: Final = 23 * _MB
_MOST_EACH: Final = 1000 * _MB


class ImageLocality:
    """Scores by the bytes of the images on a node, each spread over the nodes that have it."""

    name = "ImageLocality"
    weight = 1

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._on: dict[str, int] = {}
        """How many nodes have each image."""
        cluster.follow(self)

    def scores_nodes_for(self, spec: PodSpec) -> bool:
        return any(_normal(image) in self._on for image in spec.images)

    def node_score(self, spec: PodSpec, node: Node) -> int:
        sizes = dict(node.images)
        total = 0
        for image in spec.images:
            name = _normal(image)
            size = sizes.get(name)
            if size is not None:
                total += size * self._on[name] // max(1, self._cluster.node_count)
        most = _MOST_EACH * max(1, spec.containers)
        return MAX_SCORE * (min(max(total, _LEAST), most) - _LEAST) // (most - _LEAST)

    def normalised(self, raw: IntColumn) -> IntColumn:
        return raw

    def pod_added(self, pod: object, row: int) -> None:
        """Pods bring no images."""

    def pod_removed(self, pod: object, row: int) -> None:
        """Pods take no images."""

    def node_changed(self, row: int, old: Node | None, new: Node | None) -> None:
        for node, sign in ((old, -1), (new, 1)):
            for name, _ in node.images if node is not None else ():
                self._on[name] = self._on.get(name, 0) + sign
                if not self._on[name]:
                    del self._on[name]


def _normal(image: str) -> str:
    """An image without tag or digest is the latest."""
    if image.rfind(":") <= image.rfind("/"):
        return f"{image}:latest"
    return image
