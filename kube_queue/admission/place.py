"""Where a unit belongs and what is asked for there, by the quotas and its own fields alone."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final, Protocol

from kube_queue.admission.holds import Hold
from kube_queue.admission.lanes import Place
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import TREE_NAMESPACE
from kube_queue.api.quota import QuotaTree, queue_name
from kube_queue.api.reasons import Reason
from kube_queue.api.resource_quota import ResourceQuota, charge_of, leaf_of, refusal
from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import Unit, invalid_reason

_MOST_SHARED: Final = 16_384


class Places(Protocol):
    """The places of units under one state of the quotas; another state needs another one.

    What ``request`` and ``held`` answer is in the resources that the limits of the same state are
    stated in: only they are ever charged or asked of the ledger.
    """

    def leaf(self, unit: Unit) -> str | None:
        """The path of the leaf the unit is charged to, None if there is none for it."""
        ...

    def queue(self, unit: Unit, leaf: str | None) -> str:
        """The unit's Queue by name: its own field, else its leaf's automatic one, else empty."""
        ...

    def place(self, unit: Unit) -> Place:
        """Where the unit waits, what it asks for there and what keeps it out of every try."""
        ...

    def request(self, unit: Unit) -> ResourceVector:
        """What the unit would be charged if it were admitted now."""
        ...

    def held(self, unit: Unit) -> ResourceVector:
        """What the unit is charged while its phase holds quota."""
        ...


class TreePlaces:
    """The places of units in one ElasticQuotaTree."""

    def __init__(self, tree: QuotaTree | None) -> None:
        self._tree = tree
        self._queue_names: dict[str, str] = {}
        self._shared: dict[tuple[str, str | None, ResourceVector], Place] = {}
        """Places of units that nothing keeps out: many units wait in few."""

    def leaf(self, unit: Unit) -> str | None:
        """See Places."""
        node = self._tree.leaf_for(unit.quota, unit.namespace) if self._tree is not None else None
        return node.path if node is not None else None

    def queue(self, unit: Unit, leaf: str | None) -> str:
        """See Places."""
        if unit.queue or leaf is None:
            return unit.queue
        name = self._queue_names.get(leaf)
        if name is None:
            name = self._queue_names[leaf] = queue_name(leaf)
        return name

    def place(self, unit: Unit) -> Place:
        """See Places."""
        leaf = self.leaf(unit)
        queue, hold = self.queue(unit, leaf), self._hold(unit, leaf)
        if hold is not None:
            return Place(queue, leaf, hold, unit.request)
        place = self._shared.get((queue, leaf, unit.request))
        if place is None:
            if len(self._shared) >= _MOST_SHARED:
                self._shared.clear()
            place = self._shared[queue, leaf, unit.request] = Place(queue, leaf, None, unit.request)
        return place

    def request(self, unit: Unit) -> ResourceVector:
        """See Places."""
        return unit.request

    def held(self, unit: Unit) -> ResourceVector:
        """See Places."""
        return unit.held

    def _hold(self, unit: Unit, leaf: str | None) -> Hold | None:
        own = own_hold(unit)
        if own is not None:
            return own
        if self._tree is None:
            return Hold(
                Reason.NO_TREE,
                f"there is no usable ElasticQuotaTree in namespace {TREE_NAMESPACE}",
                "waits for an ElasticQuotaTree",
            )
        if leaf is None:
            because = self._tree.no_leaf_because(unit.quota, unit.namespace)
            remedy = self._tree.how_to_get_a_leaf(unit.quota, unit.namespace)
            return Hold(Reason.NO_QUOTA, f"{because}; {remedy}", "waits until it has a leaf")
        return None


class ResourceQuotaPlaces:
    """The places of units where the ResourceQuotas of a job's namespace are its quota.

    ``quotas`` has those of every namespace, each in the order of their names; a namespace that
    is not in it has none. ``known`` tells whether the namespace has its leaf in the ledger.
    """

    def __init__(
        self, quotas: Mapping[str, tuple[ResourceQuota, ...]], known: Container[str]
    ) -> None:
        self._quotas = quotas
        self._known = known

    def leaf(self, unit: Unit) -> str | None:
        """See Places; the label that names a quota is of no effect."""
        return leaf_of(unit.namespace) if unit.namespace in self._known else None

    def queue(self, unit: Unit, leaf: str | None) -> str:
        """See Places."""
        return unit.queue or leaf or ""

    def place(self, unit: Unit) -> Place:
        """See Places."""
        leaf = self.leaf(unit)
        return Place(self.queue(unit, leaf), leaf, self._hold(unit, leaf), self.request(unit))

    def request(self, unit: Unit) -> ResourceVector:
        """See Places."""
        return charge_of(self._quotas.get(unit.namespace, ()), unit.asked_pods)

    def held(self, unit: Unit) -> ResourceVector:
        """See Places."""
        return charge_of(self._quotas.get(unit.namespace, ()), unit.held_pods)

    def _hold(self, unit: Unit, leaf: str | None) -> Hold | None:
        own = own_hold(unit)
        if own is not None:
            return own
        refused = refusal(self._quotas.get(unit.namespace, ()), unit.asked_pods)
        if refused:
            return Hold(
                Reason.INVALID_FOR_RESOURCE_QUOTA,
                refused,
                "waits until the job's pods say it, a LimitRange says it for them, or the quota "
                "no longer asks for it",
            )
        if leaf is None:
            return Hold(
                Reason.NO_QUOTA,
                f"the ResourceQuotas of namespace {unit.namespace} are not known yet",
                "waits until they are read",
            )
        return None


def own_hold(unit: Unit) -> Hold | None:
    """What the unit itself says against a try, whatever the quotas are."""
    if unit.invalid:
        reason = invalid_reason(unit.invalid)
        return Hold(reason, unit.invalid, "waits until the field is mended")
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
    return None
