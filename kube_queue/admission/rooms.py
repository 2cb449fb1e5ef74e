"""The bounds that may keep a unit waiting, and what is free of them.

A *room* is one bound of one resource on one quota node. It is contested by a unit if a decision
could fill it: a bound that all children of its node together cannot reach keeps nobody waiting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from kube_queue.admission.ledger import Demand, LedgerNode, QuotaLedger

Room = tuple[str, int, str]
"""(path, bound, resource)."""
Needs = tuple[tuple[Room, int], ...]
"""What a start takes of each room; 0: the room must not be above its bound."""


class Rooms:
    """The rooms on the way from one leaf to the root that these demands contest."""

    def __init__(self, ledger: QuotaLedger, leaf: str, demands: Iterable[Demand]) -> None:
        self._ledger = ledger
        self._reach: dict[str, bool] = {}
        self._above: set[Room] = set()
        self.free: dict[Room, int] = {}
        """What is free of each room now; negative while it is above its bound."""
        self.top: LedgerNode | None = None
        """The highest node with a room."""
        wanted = {
            (bound, resource)
            for demand in demands
            for bound, amounts in demand
            for resource, _ in amounts
        }
        bounds = {bound for bound, _ in wanted}
        for node in ledger.chain(leaf):
            # A node above a bound admits nothing, whatever the resource.
            above = {over for over in node.over if over[0] in bounds}
            self._above.update((node.path, *over) for over in above)
            for bound, resource in sorted(wanted | above):
                if self._may_fill(node, bound, resource):
                    self.free[node.path, bound, resource] = node.free[bound][resource]
                    self.top = node
        self._paths = {room[0] for room in self.free}

    def _may_fill(self, node: LedgerNode, bound: int, resource: str) -> bool:
        limit = node.limits[bound].get(resource)
        if limit is None:
            return False
        if not node.quota.children or node.free[bound][resource] < 0:
            return True
        most = 0
        for child in self._children(node):
            of_child = child.limits[bound].get(resource)
            if of_child is None or child.free[bound][resource] < 0:
                return True
            most += of_child
        return most > limit

    def _children(self, node: LedgerNode) -> Iterator[LedgerNode]:
        return (self._ledger.chain(path)[0] for path in node.quota.children)

    def below(self) -> Iterator[LedgerNode]:
        """The highest node with a room and every node below it."""
        nodes = [self.top] if self.top is not None else []
        while nodes:
            node = nodes.pop()
            yield node
            nodes += self._children(node)

    def reached_from(self, leaf: str) -> bool:
        """Whether units of this leaf take from one of the rooms."""
        known = self._reach.get(leaf)
        if known is None:
            known = any(node.path in self._paths for node in self._ledger.chain(leaf))
            self._reach[leaf] = known
        return known

    def needs(self, leaf: str, demand: Demand) -> Needs:
        """What a unit of this leaf and demand takes from the rooms."""
        asked = {bound: dict(amounts) for bound, amounts in demand}
        return tuple(
            (room, asked[room[1]].get(room[2], 0))
            for node in self._ledger.chain(leaf)
            for room in self._on(node)
            if room[1] in asked and (room[2] in asked[room[1]] or room in self._above)
        )

    def _on(self, node: LedgerNode) -> Iterator[Room]:
        return (room for room in self.free if room[0] == node.path)


def fits(free: Mapping[Room, int], needs: Needs) -> bool:
    """Whether a job of these needs could start."""
    return all(free[room] >= amount for room, amount in needs)


def add(free: dict[Room, int], needs: Needs, sign: int) -> None:
    """The needs are given back (1) or taken (-1)."""
    for room, amount in needs:
        free[room] += sign * amount
