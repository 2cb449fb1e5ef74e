"""The volumes, claims, classes and drivers that the volume plug-ins read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from kube_queue.api.node_selectors import NodeTerm
from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod
from kube_queue.api.storage import Claim, NodeDrivers, StorageClass, Volume
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import Mask
from kube_queue.placement.pod_counts import PodCounts

StorageObject = Claim | Volume | StorageClass | NodeDrivers

_MASKS: Final = 16_384


class Storage:
    """What was seen last of each object. Plug-ins share one for a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.claims: dict[tuple[str, str], Claim] = {}
        self.volumes: dict[str, Volume] = {}
        self.classes: dict[str, StorageClass] = {}
        self.drivers: dict[str, NodeDrivers] = {}
        """By node name."""
        self.version = 0
        """Another number after each change."""
        self._of_class: dict[str, dict[str, None]] = {}
        """Names of the volumes of each class."""

    def seen(self, thing: StorageObject) -> None:
        """The object is as it says."""
        self.version += 1
        match thing:
            case Claim():
                self.claims[thing.key] = thing
            case Volume():
                self._leave_class(thing.name)
                self.volumes[thing.name] = thing
                self._of_class.setdefault(thing.class_name, {})[thing.name] = None
            case StorageClass():
                self.classes[thing.name] = thing
            case NodeDrivers():
                self.drivers[thing.name] = thing

    def gone(self, thing: StorageObject) -> None:
        """There is no such object."""
        self.version += 1
        match thing:
            case Claim():
                self.claims.pop(thing.key, None)
            case Volume():
                self._leave_class(thing.name)
                self.volumes.pop(thing.name, None)
            case StorageClass():
                self.classes.pop(thing.name, None)
            case NodeDrivers():
                self.drivers.pop(thing.name, None)

    def claims_of(self, pod: Pod) -> list[Claim]:
        """The claims of the pod that there are."""
        found = (self.claims.get((pod.namespace, name)) for name in pod.claims)
        return [claim for claim in found if claim is not None]

    def volumes_of(self, class_name: str) -> list[Volume]:
        """The volumes of the class, as they came."""
        return [self.volumes[name] for name in self._of_class.get(class_name, ())]

    def waits(self, claim: Claim) -> bool:
        """Whether the claim is bound only when a pod that mounts it is placed."""
        found = self.classes.get(claim.class_name)
        return found is not None and found.waits and not claim.volume

    def _leave_class(self, name: str) -> None:
        former = self.volumes.get(name)
        if former is not None:
            self._of_class[former.class_name].pop(name)


class ToBind(NamedTuple):
    """A claim that is bound, or gets a volume made, before the pod that mounts it is bound."""

    claim: Claim
    volume: Volume | None
    """Gets the claim in its spec.claimRef; None: a volume is made, for which the claim gets the
    annotation SELECTED_NODE.
    """
    node: str


class RowMasks:
    """Which rows an object of the storage allows, worked out again when the nodes are others."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._counts = cluster.shared(PodCounts)
        self._version = -1
        self._masks: dict[object, tuple[object, Mask]] = {}

    def of(self, name: object, thing: object, allows: Callable[[Node], bool]) -> Mask:
        """By row; the answer is kept under the name for as long as it is the same thing."""
        return self._kept(name, thing, lambda: self._ask(range(len(self._cluster.nodes)), allows))

    def of_terms(self, name: object, thing: object, terms: tuple[NodeTerm, ...] | None) -> Mask:
        """The rows whose node matches one of the terms; None: all rows."""
        return self._kept(name, thing, lambda: self._matching(terms))

    def _kept(self, name: object, thing: object, work_out: Callable[[], Mask]) -> Mask:
        if self._version != self._cluster.node_changes.version or len(self._masks) > _MASKS:
            self._masks.clear()
            self._version = self._cluster.node_changes.version
        kept = self._masks.get(name)
        if kept is None or kept[0] is not thing:
            kept = self._masks[name] = thing, work_out()
        return kept[1]

    def _matching(self, terms: tuple[NodeTerm, ...] | None) -> Mask:
        nodes = self._cluster.nodes
        if terms is None:
            return self._ask(range(len(nodes)), lambda node: True)
        mask: Mask = np.zeros(len(nodes), np.bool_)
        for term in terms:
            mask |= self._ask(self._rows_for(term), partial(_matches, term))
        return mask

    def _rows_for(self, term: NodeTerm) -> Iterable[int]:
        """Rows that may match: a local volume names one node, and the others are not asked."""
        for each in term.requirements:
            if each.operator == "In" and each.key:
                domains = self._counts.domains(each.key)
                return [int(row) for value in each.values for row in domains.rows(value)]
        return range(len(self._cluster.nodes))

    def _ask(self, rows: Iterable[int], allows: Callable[[Node], bool]) -> Mask:
        mask: Mask = np.zeros(len(self._cluster.nodes), np.bool_)
        for row in rows:
            node = self._cluster.nodes[row]
            mask[row] = node is not None and allows(node)
        return mask


def _matches(term: NodeTerm, node: Node) -> bool:
    return term.matches(node.name, node.labels)
