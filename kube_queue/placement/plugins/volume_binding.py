"""VolumeBinding: a pod stands where its volumes are, or can be bound or made.

Claims that are bound hold their pods to the nodes that reach the volume. A claim whose class waits
for its first consumer gets the smallest volume that fits and that the node reaches, or one that is
made for the node. What was chosen for a pod is kept for it from the moment the pod is assumed.

How much room a driver has for new volumes (CSIStorageCapacity) is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod
from kube_queue.api.storage import Claim, Volume
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import Mask, Rows
from kube_queue.placement.framework import Refusals
from kube_queue.placement.storage import RowMasks, Storage, ToBind
from kube_queue.placement.verdict import Refusal

_NO_ROWS: Final[Rows] = np.array((), np.intp)


@dataclass(slots=True)
class _Chosen:
    """What a claim gets, for the pods that were placed with it."""

    node: str
    volume: Volume | None
    """None: one is made for the node."""
    users: set[str] = field(default_factory=set)


class VolumeBinding:
    """Filters by claims, and says what to bind before a pod is."""

    name = "VolumeBinding"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._storage = cluster.shared(Storage)
        self._masks = RowMasks(cluster)
        self._chosen: dict[tuple[str, str], _Chosen] = {}
        self._kept: dict[str, tuple[str, str]] = {}
        """Volumes that were chosen, and the claims they are kept for."""
        self._unreached = self._refuse("node(s) didn't match PersistentVolume's node affinity")
        self._no_volume = self._refuse("node(s) didn't find available persistent volumes to bind")
        self._no_such = self._refuse(
            "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
        )
        cluster.follow(self)

    def volume_bindings(self, pod: Pod) -> tuple[ToBind, ...]:
        """What is to be written for the pod's claims, which stands on a node, before its Binding;
        nothing for those that are bound.
        """
        found = []
        for claim in self._storage.claims_of(pod):
            chosen = self._chosen.get(claim.key)
            if chosen is not None and not claim.volume:
                found.append(ToBind(claim, chosen.volume, chosen.node))
        return tuple(found)

    # --- filter ---------------------------------------------------------------------------------

    def filters_by_pods(self, pod: Pod) -> bool:
        return bool(pod.claims)

    def refusals(self, pod: Pod) -> Refusal | Refusals:
        problem = self._problem(pod)
        if problem is not None:
            return problem
        codes = np.zeros(self._cluster.columns.rows, np.int16)
        both: tuple[tuple[Refusal, Mask], ...] = ()
        bound, waiting = self._sorted(pod)
        for claim in bound:
            volume = self._storage.volumes.get(claim.volume)
            if volume is None:
                codes[codes == 0] = 3
                break
            codes[~self._reach(volume) & (codes == 0)] = 1
        if waiting:
            without = ~self._possible(waiting)
            both = ((self._no_volume, without & (codes != 0)),)
            codes[without & (codes == 0)] = 2
        return Refusals(codes, (self._unreached, self._no_volume, self._no_such), both)

    def row_refusal(self, pod: Pod, row: int) -> Refusal | None:
        problem = self._problem(pod)
        if problem is not None:
            return problem
        bound, waiting = self._sorted(pod)
        for claim in bound:
            volume = self._storage.volumes.get(claim.volume)
            if volume is None:
                return self._no_such
            if not self._reach(volume)[row]:
                return self._unreached
        return None if self._choose(waiting, row) is not None else self._no_volume

    # --- as a tracker ---------------------------------------------------------------------------

    def pod_added(self, pod: Pod, row: int) -> None:
        if not pod.claims:
            return
        node = self._cluster.nodes[row]
        _, waiting = self._sorted(pod)
        if node is None or not waiting:
            return
        for claim, volume in (self._choose(waiting, row) or {}).items():
            chosen = self._chosen.get(claim.key)
            if chosen is None:
                chosen = self._chosen[claim.key] = _Chosen(node.name, volume)
                if volume is not None:
                    self._kept[volume.name] = claim.key
            chosen.users.add(pod.uid)

    def pod_removed(self, pod: Pod, row: int) -> None:
        for name in pod.claims:
            chosen = self._chosen.get((pod.namespace, name))
            if chosen is None or pod.uid not in chosen.users:
                continue
            chosen.users.remove(pod.uid)
            if not chosen.users:
                del self._chosen[pod.namespace, name]
                if chosen.volume is not None:
                    del self._kept[chosen.volume.name]

    def node_changed(self, row: int, old: Node | None, new: Node | None) -> None:
        """What the nodes reach is looked up by their version."""

    # --- inside ---------------------------------------------------------------------------------

    def _refuse(self, reason: str) -> Refusal:
        return Refusal(self.name, reason, unresolvable=True)

    def _problem(self, pod: Pod) -> Refusal | None:
        """What is wrong with a claim wherever the pod goes."""
        for name in pod.claims:
            claim = self._storage.claims.get((pod.namespace, name))
            own = name in pod.own_claims
            if claim is None and own:
                return self._refuse(
                    "waiting for ephemeral volume controller to create the persistentvolumeclaim "
                    f'"{name}"'
                )
            if claim is None:
                return self._refuse(f'persistentvolumeclaim "{name}" not found')
            if claim.lost:
                return self._refuse(
                    f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume '
                    f'"{claim.volume}"'
                )
            if claim.deleting:
                return self._refuse(f'persistentvolumeclaim "{name}" is being deleted')
            if own and claim.owner != pod.uid:
                return self._refuse(
                    f"PVC {pod.namespace}/{name} was not created for pod {pod.key} "
                    "(pod is not owner)"
                )
            if not claim.bound and not self._storage.waits(claim):
                return self._refuse("pod has unbound immediate PersistentVolumeClaims")
        return None

    def _sorted(self, pod: Pod) -> tuple[list[Claim], list[Claim]]:
        """The claims that are bound, and those that wait for the pod, the smallest first."""
        claims = self._storage.claims_of(pod)
        waiting = [claim for claim in claims if not claim.bound and self._storage.waits(claim)]
        return [claim for claim in claims if claim.bound], sorted(waiting, key=_by_size)

    def _possible(self, waiting: list[Claim]) -> Mask:
        """The rows where every claim finds a volume of its own, as ``_choose`` has it for one."""
        if len(waiting) == 1:
            return self._rows_of(waiting[0])
        possible: Mask = np.ones(self._cluster.columns.rows, np.bool_)
        taken: dict[str, Rows] = {}
        """The rows on which a claim before has the volume."""
        for claim in waiting:
            if claim.key in self._chosen or claim.selected_node:
                possible &= self._rows_of(claim)
                continue
            left = possible.copy()
            for volume in self._candidates(claim):
                takes = self._reach(volume) & left
                takes[taken.get(volume.name, _NO_ROWS)] = False
                rows = np.flatnonzero(takes)
                if len(rows):
                    taken[volume.name] = np.append(taken.get(volume.name, _NO_ROWS), rows)
                    left &= ~takes
            possible &= ~left | self._made(claim)
        return possible

    def _rows_of(self, claim: Claim) -> Mask:
        rows: Mask = np.zeros(self._cluster.columns.rows, np.bool_)
        chosen = self._chosen.get(claim.key)
        if chosen is not None and chosen.volume is not None:
            return self._reach(chosen.volume)
        node = chosen.node if chosen is not None else claim.selected_node
        if node:
            row = self._cluster.row_of.get(node)
            if row is not None:
                rows[row] = chosen is not None or self._made(claim)[row]
            return rows
        for volume in self._candidates(claim):
            rows |= self._reach(volume)
        return rows | self._made(claim)

    def _choose(self, waiting: Iterable[Claim], row: int) -> Mapping[Claim, Volume | None] | None:
        """What each claim gets on the row; None: one of them gets nothing."""
        found: dict[Claim, Volume | None] = {}
        taken: set[str] = set()
        for claim in waiting:
            chosen = self._chosen.get(claim.key)
            if chosen is not None:
                if not self._rows_of(claim)[row]:
                    return None
                found[claim] = chosen.volume
                continue
            volume = None
            if not claim.selected_node:
                volume = next(
                    (
                        each
                        for each in self._candidates(claim)
                        if each.name not in taken and self._reach(each)[row]
                    ),
                    None,
                )
            if volume is not None:
                taken.add(volume.name)
            elif not self._is_made(claim, row):
                return None
            found[claim] = volume
        return found

    def _is_made(self, claim: Claim, row: int) -> bool:
        node = self._cluster.nodes[row]
        if claim.selected_node and (node is None or node.name != claim.selected_node):
            return False
        return bool(self._made(claim)[row])

    def _candidates(self, claim: Claim) -> Iterator[Volume]:
        """The volumes that may be bound to the claim, the smallest first; one that was bound to it
        beforehand is the only one.
        """
        fitting = [
            each for each in self._storage.volumes_of(claim.class_name) if _fits(each, claim)
        ]
        kept = [each for each in fitting if each.is_kept_for(claim)]
        for volume in sorted(kept, key=_by_size)[:1] or sorted(fitting, key=_by_size):
            if kept or self._is_free(volume, claim):
                yield volume

    def _is_free(self, volume: Volume, claim: Claim) -> bool:
        return (
            volume.claim is None
            and volume.available
            and self._kept.get(volume.name, claim.key) == claim.key
            and claim.modes <= volume.modes
            and (claim.selector is None or claim.selector.selects(volume.labels))
        )

    def _reach(self, volume: Volume) -> Mask:
        return self._masks.of_terms(volume.name, volume, volume.node_terms)

    def _made(self, claim: Claim) -> Mask:
        """The rows for which a volume can be made for the claim."""
        its = self._storage.classes.get(claim.class_name)
        if its is None or not its.makes_volumes:
            return np.zeros(self._cluster.columns.rows, np.bool_)
        return self._masks.of_terms(("class", its.name), its, its.topologies or None)


def _fits(volume: Volume, claim: Claim) -> bool:
    return (
        volume.size >= claim.size
        and volume.volume_mode == claim.volume_mode
        and volume.attributes == claim.attributes
        and not volume.deleting
    )


def _by_size(each: Claim | Volume) -> tuple[int, str]:
    return each.size, each.name
