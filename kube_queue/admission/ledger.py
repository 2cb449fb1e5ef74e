"""The quota ledger: who is charged how much where, and what is still free.

A charge counts on its leaf and on every node above it. Three bounds are kept per node (see
``Bound``), each as exact integers: limit, used and free = limit - used. A resource without a limit
has no entry in ``free``. ``kube-queue/max-jobs`` is counted as one per charge.

What a charge is comes from outside and is level: charging a uid again replaces its charge, charging
above a limit is allowed (the decision not to is the caller's), and a charge whose leaf is not in
the tree is kept by uid without counting anywhere until a tree has a leaf for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from kube_queue.admission.decisions import Bound, Shortage
from kube_queue.admission.limits import effective_min, scaled
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.quota import QuotaNode, QuotaTree
from kube_queue.api.resources import EMPTY, ResourceVector

Demand = tuple[tuple[int, tuple[tuple[str, int], ...]], ...]
"""By bound, the (resource, amount) pairs a unit is held against on every node of its chain."""

_MOST_DEMANDS: Final = 65_536
_MAX: Final = int(Bound.MAX)
_MIN: Final = int(Bound.MIN)
_PREEMPTIBLE: Final = int(Bound.PREEMPTIBLE_JOBS)


class Charge(NamedTuple):
    """What one unit holds; ``leaf`` is None while no leaf of the tree takes it."""

    leaf: str | None
    request: ResourceVector
    preemptible: bool


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """One node's sums in millicores and whole units; limits include the oversell rate."""

    path: str
    used: Mapping[str, int]
    """Held by units; ``kube-queue/max-jobs`` is the number of units that hold quota."""
    used_guaranteed: Mapping[str, int]
    """The part held by units that are not preemptible."""
    request: Mapping[str, int]
    """Held or asked for by units that wait."""
    min: Mapping[str, int]
    max: Mapping[str, int]


class LedgerNode:
    """The mutable sums of one quota node."""

    __slots__ = (
        "_share",
        "_share_of",
        "free",
        "limits",
        "over",
        "path",
        "quota",
        "used",
        "waiting",
    )

    def __init__(self, quota: QuotaNode, limits: tuple[dict[str, int], ...]) -> None:
        self.path = quota.path
        self.quota = quota
        self.limits = limits
        self.used: tuple[dict[str, int], ...] = ({}, {}, {})
        self.free: tuple[dict[str, int], ...] = tuple(dict(limit) for limit in limits)
        self.over: dict[tuple[int, str], None] = {}
        self.waiting: dict[str, int] = {}
        whole = {name: quota.min.get(name) or quota.max.get(name, 0) for name in quota.max}
        whole.update((name, amount) for name, amount in quota.min.items() if amount)
        self._share_of = {name: amount for name, amount in whole.items() if amount > 0}
        self._share: float | None = 0.0

    def add(self, demand: Demand, sign: int) -> None:
        """The demand counts here once more (sign 1) or once less (-1)."""
        self._share = None
        over = self.over
        for bound, amounts in demand:
            used, free = self.used[bound], self.free[bound]
            for resource, amount in amounts:
                change = amount * sign
                total = used[resource] + change if resource in used else change
                if total:
                    used[resource] = total
                else:
                    del used[resource]
                if resource in free:
                    left = free[resource] = free[resource] - change
                    if left < 0:
                        if not self.quota.each_bound_alone:
                            over[bound, resource] = None
                    elif over:
                        over.pop((bound, resource), None)

    def share(self) -> float:
        """The dominant share: the largest used/min over all resources, used/max without a min."""
        if self._share is None:
            whole = self._share_of
            parts = [part / whole[name] for name, part in self.used[_MAX].items() if name in whole]
            self._share = max(parts, default=0.0)
        return self._share

    def shortage(self, bound: int, resource: str, amount: int) -> Shortage:
        """The numbers of one bound, against a request of ``amount``."""
        return Shortage(
            path=self.path,
            bound=Bound(bound),
            resource=resource,
            requested=amount,
            used=self.used[bound].get(resource, 0),
            limit=self.limits[bound][resource],
        )


def _flat(demand: Demand) -> Iterator[tuple[int, str, int]]:
    for bound, amounts in demand:
        for resource, amount in amounts:
            yield bound, resource, amount


def dimensions(demand: Demand) -> set[tuple[int, str]]:
    """The (bound, resource) pairs of a demand."""
    return {(bound, resource) for bound, resource, _ in _flat(demand)}


class QuotaLedger:
    """All charges and the sums they make. Not safe for use by two threads."""

    def __init__(self) -> None:
        self._rate = Fraction(1)
        self._nodes: dict[str, LedgerNode] = {}
        self._chains: dict[str, tuple[LedgerNode, ...]] = {}
        self._charges: dict[str, Charge] = {}
        self._unmanaged: dict[str, ResourceVector] = {}
        self._demands: dict[tuple[ResourceVector, bool], Demand] = {}
        self._asked_of_min: set[str] = set()
        self._counts_preemptible = False
        self._journal: list[tuple[str, Charge | None]] | None = None
        self.changed: dict[str, None] = {}
        """Paths whose sums changed since somebody cleared this."""

    def set_tree(
        self,
        tree: QuotaTree | None,
        oversell_rate: float = 1.0,
        home: Callable[[str, Charge], Charge] | None = None,
    ) -> None:
        """The limits are this tree's and every charge is what ``home`` says.

        ``home`` gets uid and charge and answers with the charge in this tree, leaf None = it counts
        nowhere; without it a charge stays as it is. Limits are floor(amount x rate), the rate taken
        as the decimal it prints as, so 0.7 of 10 is 7. Sums of waiting requests start at zero, and
        so do those of pods without a unit.
        """
        # Every demand is compiled anew: what a unit is held against depends on the tree.
        self._rate = Fraction(str(oversell_rate))
        self._demands.clear()
        self._asked_of_min.clear()
        self._counts_preemptible = tree is not None and tree.max_preemptible_jobs is not None
        self._nodes = {} if tree is None else self._compile(tree)
        self._chains = {}
        for path, node in self._nodes.items():
            parent = node.quota.parent
            self._chains[path] = (node, *(self._chains[parent] if parent is not None else ()))
        self._unmanaged.clear()
        charges, self._charges = self._charges, {}
        for uid, charge in charges.items():
            self.charge(uid, *(home(uid, charge) if home is not None else charge))
        self.changed = dict.fromkeys(self._nodes)

    def add_leaf(self, quota: QuotaNode) -> None:
        """There is one leaf more, a child of a node that is there, or of none."""
        guaranteed = {**dict.fromkeys(self._asked_of_min, 0), **scaled(quota.min, self._rate)}
        node = LedgerNode(quota, (scaled(quota.max, self._rate), guaranteed, {}))
        above = self._chains[quota.parent] if quota.parent is not None else ()
        self._nodes[quota.path] = node
        self._chains[quota.path] = (node, *above)

    def _compile(self, tree: QuotaTree) -> dict[str, LedgerNode]:
        guaranteed = effective_min(tree)
        nodes = {}
        for path, quota in tree.nodes.items():
            preemptible = (
                {MAX_JOBS: tree.max_preemptible_jobs}
                if quota.parent is None and tree.max_preemptible_jobs is not None
                else {}
            )
            limits = (
                scaled(quota.max, self._rate),
                scaled(guaranteed[path], self._rate),
                preemptible,
            )
            nodes[path] = LedgerNode(quota, limits)
        return nodes

    # --- charges ------------------------------------------------------------------------------

    def charge(
        self, uid: str, leaf: str | None, request: ResourceVector, preemptible: bool = True
    ) -> Charge | None:
        """The uid holds exactly this. Returns the charge it replaced if that was another one."""
        fresh = Charge(leaf if leaf in self._chains else None, request, preemptible)
        former = self._charges.get(uid)
        if former == fresh:
            return None
        self._note(uid, former)
        if former is not None:
            self._count(former, -1)
        self._charges[uid] = fresh
        self._count(fresh, 1)
        return former

    def release(self, uid: str) -> Charge | None:
        """The uid holds nothing. Returns the charge it had, None if it had none."""
        former = self._charges.pop(uid, None)
        if former is not None:
            self._note(uid, former)
            self._count(former, -1)
        return former

    def held(self, uid: str) -> Charge | None:
        """What the uid is charged."""
        return self._charges.get(uid)

    @property
    def charges(self) -> Mapping[str, Charge]:
        """Every charge by uid, those without a leaf included."""
        return self._charges

    def _count(self, charge: Charge, sign: int) -> None:
        if charge.leaf is None:
            return
        demand = self.demand(charge.request, charge.preemptible)
        for node in self._chains[charge.leaf]:
            node.add(demand, sign)
            self.changed[node.path] = None

    def set_unmanaged(self, leaf: str, held: ResourceVector) -> None:
        """Pods that no unit stands for hold exactly this in the leaf. KeyError: no such leaf.

        It counts against max like a charge, and neither as a job nor against min.
        """
        former = self._unmanaged.pop(leaf, EMPTY)
        if held:
            self._unmanaged[leaf] = held
        for node in self._chains[leaf]:
            node.add(((_MAX, former.items),), -1)
            node.add(((_MAX, held.items),), 1)
            self.changed[node.path] = None

    def unmanaged(self, leaf: str) -> ResourceVector:
        """What pods that no unit stands for hold in the leaf."""
        return self._unmanaged.get(leaf, EMPTY)

    def _note(self, uid: str, former: Charge | None) -> None:
        if self._journal is not None:
            self._journal.append((uid, former))

    @contextmanager
    def trial(self) -> Iterator[Callable[[], None]]:
        """Charges and releases in the block are undone at its end, unless the yielded function
        was called. Trials do not nest; sums of waiting requests take no part.
        """
        if self._journal is not None:
            raise RuntimeError("a trial is already under way")
        journal: list[tuple[str, Charge | None]] = []
        self._journal = journal
        try:
            yield journal.clear
        finally:
            self._journal = None
            for uid, former in reversed(journal):
                if former is None:
                    self.release(uid)
                else:
                    self.charge(uid, former.leaf, former.request, former.preemptible)

    # --- waiting requests, for status only -------------------------------------------------------

    def ask(self, leaf: str, request: ResourceVector, sign: int) -> None:
        """The request of one waiting unit counts at its leaf once more (1) or once less (-1)."""
        chain = self._chains[leaf]
        waiting = chain[0].waiting
        for resource, amount in request.items:
            total = waiting.get(resource, 0) + sign * amount
            if total:
                waiting[resource] = total
            else:
                del waiting[resource]
        for node in chain:
            self.changed[node.path] = None

    def _asked(self, node: LedgerNode) -> Mapping[str, int]:
        # Kept at the leaves only and summed when somebody reads it, a few times a second at most.
        sums: dict[str, int] = {}
        below = [node]
        while below:
            one = below.pop()
            below += [self._nodes[path] for path in one.quota.children if path in self._nodes]
            for resource, amount in one.waiting.items():
                sums[resource] = sums.get(resource, 0) + amount
        return sums

    # --- questions ------------------------------------------------------------------------------

    def demand(self, request: ResourceVector, preemptible: bool) -> Demand:
        """What a unit of this request is held against."""
        known = self._demands.get((request, preemptible))
        if known is not None:
            return known
        if len(self._demands) >= _MOST_DEMANDS:
            self._demands.clear()
        asked = tuple((name, amount) for name, amount in request.items if name != MAX_JOBS)
        amounts = (*asked, (MAX_JOBS, 1))
        demand: Demand = ((_MAX, amounts),)
        if not preemptible:
            demand = (*demand, (_MIN, amounts))
            self._spell_out_min(name for name, _ in asked)
        elif self._counts_preemptible:
            demand = (*demand, (_PREEMPTIBLE, ((MAX_JOBS, 1),)))
        self._demands[request, preemptible] = demand
        return demand

    def _spell_out_min(self, resources: Iterator[str]) -> None:
        # A min that does not list a resource guarantees none of it; written out, so that the check
        # of a request is one look-up per node and resource.
        for resource in resources:
            if resource in self._asked_of_min:
                continue
            self._asked_of_min.add(resource)
            for node in self._nodes.values():
                if resource not in node.limits[_MIN]:
                    node.limits[_MIN][resource] = 0
                    node.free[_MIN][resource] = 0

    def chain(self, leaf: str) -> tuple[LedgerNode, ...]:
        """The nodes from the leaf up to the root. KeyError: no such leaf."""
        return self._chains[leaf]

    def blocker(
        self, chain: tuple[LedgerNode, ...], demand: Demand
    ) -> tuple[LedgerNode, int, str, int] | None:
        """The bound (node, bound, resource, amount) with the least room for the demand, or None."""
        found = None
        least = 0.0
        for node in chain:
            for bound, amounts in demand:
                free = node.free[bound]
                for resource, amount in amounts:
                    if resource in free and free[resource] < amount:
                        room = free[resource] / amount
                        if found is None or room < least:
                            found, least = (node, bound, resource, amount), room
            if found is None and node.over:
                found = self._above(node, demand)
                if found is not None:
                    least = -1.0
        return found

    @staticmethod
    def _above(node: LedgerNode, demand: Demand) -> tuple[LedgerNode, int, str, int] | None:
        # A node above one of its bounds admits nothing that is held against that bound, even if
        # it asks for none of the resource.
        bounds = [bound for bound, _ in demand]
        for bound, resource in node.over:
            if bound in bounds:
                return node, bound, resource, 0
        return None

    def shortage(
        self, leaf: str, request: ResourceVector, preemptible: bool = True
    ) -> Shortage | None:
        """None if the request fits now, else the bound with the least room for it."""
        found = self.blocker(self._chains[leaf], self.demand(request, preemptible))
        return found[0].shortage(*found[1:]) if found is not None else None

    def shortages(
        self, leaf: str, request: ResourceVector, preemptible: bool = True
    ) -> tuple[Shortage, ...]:
        """Every bound the request does not fit now, from the leaf upwards."""
        demand = self.demand(request, preemptible)
        found: list[Shortage] = []
        for node in self._chains[leaf]:
            short = [
                node.shortage(bound, resource, amount)
                for bound, resource, amount in _flat(demand)
                if node.free[bound].get(resource, amount) < amount
            ]
            above = self._above(node, demand) if not short and node.over else None
            if above is not None:
                short.append(node.shortage(*above[1:]))
            found += short
        return tuple(found)

    def never_fits(
        self, leaf: str, request: ResourceVector, preemptible: bool = True
    ) -> Shortage | None:
        """The first bound that is smaller than the request itself, None if every one could do."""
        for node in self._chains[leaf]:
            for bound, resource, amount in _flat(self.demand(request, preemptible)):
                if node.limits[bound].get(resource, amount) < amount:
                    return node.shortage(bound, resource, amount)
        return None

    def usage(self, path: str) -> NodeUsage:
        """The sums of one node. KeyError: no such node."""
        node = self._nodes[path]
        used = node.used[_MAX]
        request = dict(used)
        request.pop(MAX_JOBS, None)
        for resource, amount in self._asked(node).items():
            request[resource] = request.get(resource, 0) + amount
        return NodeUsage(
            path=path,
            used=dict(used),
            used_guaranteed=dict(node.used[_MIN]),
            request=request,
            min=scaled(node.quota.min, self._rate),
            max=node.limits[_MAX],
        )

    def __contains__(self, path: str) -> bool:
        return path in self._nodes

    def paths(self) -> tuple[str, ...]:
        """Every node's path, parents before children."""
        return tuple(self._nodes)
