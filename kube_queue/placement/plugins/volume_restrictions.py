"""VolumeRestrictions: a claim of access mode ReadWriteOncePod is mounted by one pod at a time."""

from __future__ import annotations

import numpy as np

from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod
from kube_queue.api.storage import READ_WRITE_ONCE_POD
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.framework import Refusals
from kube_queue.placement.storage import Storage
from kube_queue.placement.verdict import Refusal


class VolumeRestrictions:
    """Filters pods whose claims are for one pod only and mounted by another."""

    name = "VolumeRestrictions"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._storage = cluster.shared(Storage)
        self._users: dict[tuple[str, str], set[str]] = {}
        """uids of the pods that mount each claim."""
        self._refusal = Refusal(
            self.name,
            "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode "
            "already in-use by another pod",
        )
        cluster.follow(self)

    def filters_by_pods(self, pod: Pod) -> bool:
        return bool(pod.claims) and self._is_taken(pod)

    def refusals(self, pod: Pod) -> Refusals:
        code = 1 if self._is_taken(pod) else 0
        codes = np.full(self._cluster.columns.rows, code, np.int16)
        return Refusals(codes, (self._refusal,))

    def row_refusal(self, pod: Pod, row: int) -> Refusal | None:
        return self._refusal if self._is_taken(pod) else None

    def pod_added(self, pod: Pod, row: int) -> None:
        for name in pod.claims:
            self._users.setdefault((pod.namespace, name), set()).add(pod.uid)

    def pod_removed(self, pod: Pod, row: int) -> None:
        for name in set(pod.claims):
            users = self._users[pod.namespace, name]
            users.discard(pod.uid)
            if not users:
                del self._users[pod.namespace, name]

    def node_changed(self, row: int, old: Node | None, new: Node | None) -> None:
        """Claims belong to pods alone."""

    def _is_taken(self, pod: Pod) -> bool:
        return any(
            READ_WRITE_ONCE_POD in claim.modes and self._users.get(claim.key, set()) - {pod.uid}
            for claim in self._storage.claims_of(pod)
        )
