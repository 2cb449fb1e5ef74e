"""Where a unit belongs, by the tree and its own fields alone."""

from __future__ import annotations

from kube_queue.admission.holds import Hold
from kube_queue.admission.lanes import Place
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import TREE_NAMESPACE
from kube_queue.api.quota import QuotaTree, queue_name
from kube_queue.api.reasons import Reason
from kube_queue.api.units import Unit


class Places:
    """The places of units in one tree; a new tree needs a new one."""

    def __init__(self, tree: QuotaTree | None) -> None:
        self._tree = tree
        self._queue_names: dict[str, str] = {}

    def leaf(self, unit: Unit) -> str | None:
        """The path of the leaf the unit is charged to, None if the tree has none for it."""
        node = self._tree.leaf_for(unit.quota, unit.namespace) if self._tree is not None else None
        return node.path if node is not None else None

    def queue(self, unit: Unit, leaf: str | None) -> str:
        """The unit's Queue by name: its own field, else its leaf's automatic one, else empty."""
        if unit.queue or leaf is None:
            return unit.queue
        name = self._queue_names.get(leaf)
        if name is None:
            name = self._queue_names[leaf] = queue_name(leaf)
        return name

    def place(self, unit: Unit) -> Place:
        """Where the unit waits and what keeps it out of every try."""
        leaf = self.leaf(unit)
        return Place(self.queue(unit, leaf), leaf, self._hold(unit, leaf))

    def _hold(self, unit: Unit, leaf: str | None) -> Hold | None:
        if unit.invalid:
            return Hold(Reason.INVALID_REQUEST, unit.invalid, "waits until the field is mended")
        if not unit.active:
            return Hold(
                Reason.NOT_ACTIVE, "held by spec.active=false", "waits until spec.active is true"
            )
        if unit.phase is Phase.TIMEOUT_BACKOFF:
            return Hold(
                Reason.BACKOFF,
                unit.message or "its job did not start in time",
                "waits until its phase is Enqueued again",
            )
        if self._tree is None:
            return Hold(
                Reason.NO_TREE,
                f"there is no usable ElasticQuotaTree in namespace {TREE_NAMESPACE}",
                "waits for an ElasticQuotaTree",
            )
        if leaf is None:
            return Hold(
                Reason.NO_QUOTA,
                self._tree.no_leaf_because(unit.quota, unit.namespace),
                "waits for a quota tree that has a leaf for it",
            )
        return None
