"""NodeVolumeLimits: a node attaches so many volumes of a CSI driver and no more."""

from __future__ import annotations

from collections import Counter

import numpy as np

from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod
from kube_queue.api.storage import Claim
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.framework import Refusals
from kube_queue.placement.storage import Storage
from kube_queue.placement.verdict import Refusal

Attachment = tuple[str, object]
"""The driver, and what tells one of its volumes from another."""


class NodeVolumeLimits:
    """Filters by what CSINode says a node can attach and what the node's pods mount.

    Volumes that are attached though no pod of the node mounts them are not known here.
    """

    name = "NodeVolumeLimits"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._storage = cluster.shared(Storage)
        self._mounting: dict[int, dict[str, Pod]] = {}
        """By row: pods with claims, by uid."""
        self._attached: dict[int, tuple[int, frozenset[Attachment]]] = {}
        """By row: what is attached, and for which version of the storage."""
        self._refusal = Refusal(self.name, "node(s) exceed max volume count")
        cluster.follow(self)

    def filters_by_pods(self, pod: Pod) -> bool:
        return bool(pod.claims) and bool(self._storage.drivers)

    def refusals(self, pod: Pod) -> Refusals:
        codes = np.zeros(self._cluster.columns.rows, np.int16)
        wanted = self._attachments(pod)
        if wanted:
            for name in self._storage.drivers:
                row = self._cluster.row_of.get(name)
                if row is not None and self._exceeds(wanted, name, row):
                    codes[row] = 1
        return Refusals(codes, (self._refusal,))

    def row_refusal(self, pod: Pod, row: int) -> Refusal | None:
        node = self._cluster.nodes[row]
        if node is None or not self._exceeds(self._attachments(pod), node.name, row):
            return None
        return self._refusal

    def pod_added(self, pod: Pod, row: int) -> None:
        if pod.claims:
            self._mounting.setdefault(row, {})[pod.uid] = pod
            self._attached.pop(row, None)

    def pod_removed(self, pod: Pod, row: int) -> None:
        if pod.claims:
            del self._mounting[row][pod.uid]
            self._attached.pop(row, None)

    def node_changed(self, row: int, old: Node | None, new: Node | None) -> None:
        """Limits come with the CSINode."""

    # --- inside ---------------------------------------------------------------------------------

    def _exceeds(self, wanted: frozenset[Attachment], node: str, row: int) -> bool:
        drivers = self._storage.drivers.get(node)
        if drivers is None:
            return False
        there = self._attached_to(row)
        more = Counter(driver for driver, _ in wanted - there)
        for driver, count in more.items():
            limit = drivers.limits.get(driver)
            if limit is not None and sum(each == driver for each, _ in there) + count > limit:
                return True
        return False

    def _attached_to(self, row: int) -> frozenset[Attachment]:
        known = self._attached.get(row)
        if known is None or known[0] != self._storage.version:
            pods = self._mounting.get(row, {}).values()
            found = frozenset(one for pod in pods for one in self._attachments(pod))
            known = self._attached[row] = self._storage.version, found
        return known[1]

    def _attachments(self, pod: Pod) -> frozenset[Attachment]:
        found = map(self._attachment, self._storage.claims_of(pod))
        return frozenset(each for each in found if each is not None)

    def _attachment(self, claim: Claim) -> Attachment | None:
        volume = self._storage.volumes.get(claim.volume)
        if volume is not None:
            return (volume.driver, volume.handle) if volume.driver and volume.handle else None
        # A volume that is yet to be made will be one of the driver that makes it.
        made_by = self._storage.classes.get(claim.class_name)
        if made_by is None or not made_by.provisioner:
            return None
        return made_by.provisioner, claim.key
