"""VolumeZone: a volume that is labelled with zones or regions is reached from these only."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod
from kube_queue.api.storage import Volume
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.framework import Refusals
from kube_queue.placement.storage import RowMasks, Storage
from kube_queue.placement.verdict import Refusal

_OLD_NAMES: Final = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
_KEYS: Final = (*_OLD_NAMES, *_OLD_NAMES.values())
_BETWEEN_ZONES: Final = "__"


class VolumeZone:
    """Filters by the zone labels of the volumes that a pod's claims are bound to."""

    name = "VolumeZone"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._storage = cluster.shared(Storage)
        self._masks = RowMasks(cluster)
        self._refusal = Refusal(
            self.name, "node(s) had no available volume zone", unresolvable=True
        )

    def filters_by_pods(self, pod: Pod) -> bool:
        return bool(pod.claims) and bool(self._zoned(pod))

    def refusals(self, pod: Pod) -> Refusals:
        codes = np.zeros(self._cluster.columns.rows, np.int16)
        for volume in self._zoned(pod):
            codes[~self._masks.of(volume.name, volume, partial(_reaches, volume=volume))] = 1
        return Refusals(codes, (self._refusal,))

    def row_refusal(self, pod: Pod, row: int) -> Refusal | None:
        node = self._cluster.nodes[row]
        reached = node is None or all(_reaches(node, each) for each in self._zoned(pod))
        return None if reached else self._refusal

    def _zoned(self, pod: Pod) -> list[Volume]:
        found = []
        for claim in self._storage.claims_of(pod):
            volume = self._storage.volumes.get(claim.volume)
            if volume is not None and any(key in volume.labels for key in _KEYS):
                found.append(volume)
        return found


def _reaches(node: Node, volume: Volume) -> bool:
    """Whether the node's zone and region are among those of the volume; a node that has neither
    is in a cluster of one zone.
    """
    if not any(key in node.labels for key in _KEYS):
        return True
    for key in _KEYS:
        zones = volume.labels.get(key)
        if zones is None:
            continue
        here = node.labels.get(key)
        if here is None:
            here = node.labels.get(_OLD_NAMES.get(key, key))
        if here not in zones.split(_BETWEEN_ZONES):
            return False
    return True
