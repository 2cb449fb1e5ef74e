"""The bounds of a quota tree, and what they say to a request.

Everything here reads; ``ledger`` is what changes the sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from kube_queue.admission.decisions import Shortage
from kube_queue.admission.quota_node import (
    MAX,
    MIN,
    PREEMPTIBLE_JOBS,
    Demand,
    LedgerNode,
    fits,
    rooms,
)
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.quota import QuotaNode, QuotaTree
from kube_queue.api.quota_limits import effective_min, floor_of, scaled
from kube_queue.api.resources import ResourceVector

Blocked = tuple[LedgerNode, int, str, int]
"""(node, bound, resource, amount): a bound without room for the amount."""

_MOST_DEMANDS: Final = 65_536


@dataclass(frozen=True, slots=True)
class NodeUsage:
    """One node's sums in millicores and whole units; limits include the oversell rate."""

    path: str
    used: Mapping[str, int]
    """Held by units and by pods of no unit; ``kube-queue/max-jobs``: units that hold quota."""
    used_guaranteed: Mapping[str, int]
    """The part held by units that are not preemptible."""
    request: Mapping[str, int]
    """Held or asked for by units that wait."""
    min: Mapping[str, int]
    max: Mapping[str, int]


class QuotaBounds:
    """The nodes of the tree in effect."""

    def __init__(self) -> None:
        self._rate = Fraction(1)
        self._nodes: dict[str, LedgerNode] = {}
        self._chains: dict[str, tuple[LedgerNode, ...]] = {}
        self._demands: dict[tuple[ResourceVector, bool], Demand] = {}
        self._asked_of_min: set[str] = set()
        self._counts_preemptible = False
        self._lent: frozenset[str] = frozenset()

    def _build(self, tree: QuotaTree | None, rate: Fraction) -> None:
        """The bounds are this tree's; nobody uses anything."""
        # Every demand is compiled anew: what a unit is held against depends on the tree.
        self._rate = rate
        self._demands.clear()
        self._asked_of_min.clear()
        self._counts_preemptible = tree is not None and tree.max_preemptible_jobs is not None
        self._nodes = {} if tree is None else self._compile(tree)
        self._lent = frozenset(name for node in self._nodes.values() for name in node.floor)
        for node in reversed(self._nodes.values()):
            node.keep_to_itself(self._nodes.get(node.quota.parent or ""), self._lent)
            node.slack_if_idle, node.unlent_if_idle = dict(node.slack), dict(node.unlent)
        self._chains = {}
        for path, node in self._nodes.items():
            parent = node.quota.parent
            self._chains[path] = (node, *(self._chains[parent] if parent is not None else ()))

    def add_leaf(self, quota: QuotaNode) -> None:
        """There is one leaf more, a child of a node that is there, or of none."""
        guaranteed = {**dict.fromkeys(self._asked_of_min, 0), **scaled(quota.min, self._rate)}
        node = LedgerNode(quota, (scaled(quota.max, self._rate), guaranteed, {}), {})
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
            nodes[path] = LedgerNode(quota, limits, floor_of(quota, self._rate))
        return nodes

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
        demand: Demand = ((MAX, amounts),)
        if not preemptible:
            demand = (*demand, (MIN, amounts))
            self._spell_out_min(name for name, _ in asked)
        elif self._counts_preemptible:
            demand = (*demand, (PREEMPTIBLE_JOBS, ((MAX_JOBS, 1),)))
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
                if resource not in node.limits[MIN]:
                    node.limits[MIN][resource] = 0
                    node.free[MIN][resource] = 0

    @property
    def lends(self) -> bool:
        """Whether a quota declares what it lends, so that what is free depends on who asks."""
        return bool(self._lent)

    def chain(self, leaf: str) -> tuple[LedgerNode, ...]:
        """The nodes from the leaf up to the root. KeyError: no such leaf."""
        return self._chains[leaf]

    def blocker(self, chain: tuple[LedgerNode, ...], demand: Demand) -> Blocked | None:
        """The bound (node, bound, resource, amount) with the least room for the demand, or None."""
        if self._lent:
            return self._blocker_where_lent(chain, demand)
        if fits(chain, demand):
            return None
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

    def _blocker_where_lent(self, chain: tuple[LedgerNode, ...], demand: Demand) -> Blocked | None:
        # The same without hurry: what nodes on the way keep from others counts as room.
        short = [
            (Fraction(free, amount), step, (node, bound, resource, amount))
            for step, (node, bound, resource, amount, free) in enumerate(rooms(chain, demand))
            if free < amount
        ]
        if short:
            return min(short)[2]
        above = (self._above(node, demand) for node in chain if node.over)
        return next((found for found in above if found is not None), None)

    @staticmethod
    def _above(node: LedgerNode, demand: Demand) -> Blocked | None:
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
        chain = self._chains[leaf]
        found = self.blocker(chain, self.demand(request, preemptible))
        return self.told(chain, found) if found is not None else None

    def told(self, chain: tuple[LedgerNode, ...], blocked: Blocked) -> Shortage:
        """The numbers of a bound without room, for a unit that comes by this chain."""
        node, bound, resource, amount = blocked
        below = chain[: chain.index(node)]
        credit = sum(lower.slack.get(resource, 0) for lower in below) if bound == MAX else 0
        return node.shortage(bound, resource, amount, credit)

    def shortages(
        self, leaf: str, request: ResourceVector, preemptible: bool = True
    ) -> tuple[Shortage, ...]:
        """Every bound the request does not fit now, from the leaf upwards."""
        demand, chain = self.demand(request, preemptible), self._chains[leaf]
        short: list[Blocked] = [
            (node, bound, resource, amount)
            for node, bound, resource, amount, free in rooms(chain, demand)
            if free < amount
        ]
        found: list[Shortage] = []
        for node in chain:
            here = [blocked for blocked in short if blocked[0] is node]
            above = self._above(node, demand) if not here and node.over else None
            found += [self.told(chain, blocked) for blocked in (*here, *([above] if above else ()))]
        return tuple(found)

    def never_fits(
        self, leaf: str, request: ResourceVector, preemptible: bool = True
    ) -> Shortage | None:
        """The first bound that has no room for the request even if nobody used anything, None if
        every one could do.
        """
        demand = self.demand(request, preemptible)
        if not self._lent and _fit_in([node.limits for node in self._chains[leaf]], demand):
            return None
        credit: dict[str, int] = {}
        for node in self._chains[leaf]:
            for bound, amounts in demand:
                limits, lends = node.limits[bound], self.lends and bound == MAX
                for resource, amount in amounts:
                    limit = limits.get(resource)
                    unlent = 0
                    if lends:
                        unlent = node.unlent_if_idle.get(resource, 0) - credit.get(resource, 0)
                    if limit is not None and limit - unlent < amount:
                        return node.shortage_if_idle(bound, resource, amount, unlent)
            for resource, slack in node.slack_if_idle.items():
                credit[resource] = credit.get(resource, 0) + slack
        return None

    def usage(self, path: str) -> NodeUsage:
        """The sums of one node. KeyError: no such node."""
        node = self._nodes[path]
        used, guaranteed = (
            {
                name: amount
                for name in (*node.free[bound], *node.unbounded[bound])
                if (amount := node.used(bound, name))
            }
            for bound in (MAX, MIN)
        )
        request = dict(used)
        request.pop(MAX_JOBS, None)
        for resource, amount in self._asked(node).items():
            request[resource] = request.get(resource, 0) + amount
        return NodeUsage(
            path=path,
            used=used,
            used_guaranteed=guaranteed,
            request=request,
            min=scaled(node.quota.min, self._rate),
            max=node.limits[MAX],
        )

    def __contains__(self, path: str) -> bool:
        return path in self._nodes

    def paths(self) -> tuple[str, ...]:
        """Every node's path, parents before children."""
        return tuple(self._nodes)


def _fit_in(limits: Iterable[tuple[Mapping[str, int], ...]], demand: Demand) -> bool:
    """Whether none of these limits, by bound, is less than what is asked of it."""
    for of_node in limits:
        for bound, amounts in demand:
            most = of_node[bound]
            for resource, amount in amounts:
                if resource in most and most[resource] < amount:
                    return False
    return True
