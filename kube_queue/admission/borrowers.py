"""Which leaves have borrowed: they use more than their min and hold units that could be evicted.

Nothing is counted before somebody asks for a node and a resource; from then on the answer follows
every leaf that moved, so that asking again costs what changed and not what is there.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from typing import Final

from kube_queue.admission.ledger import LedgerNode, QuotaLedger
from kube_queue.admission.quota_node import MIN
from kube_queue.admission.running import Running, asked
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.preemption import ReclaimPolicy
from kube_queue.api.resources import ResourceVector

_ANYBODY: Final = 0
"""Stands for every priority where none is spared."""
_Borrows = tuple[int, dict[int, int]]
"""What a leaf borrowed, and by priority what those hold of it who could be evicted."""
_Entry = tuple[int, str]
"""(-borrowed, leaf)."""


class _Borrowed:
    """The leaves below one node that borrowed one resource."""

    __slots__ = ("evictable", "leaves", "order")

    def __init__(self) -> None:
        self.leaves: dict[str, _Borrows] = {}
        self.order: list[_Entry] = []
        self.evictable: dict[int, int] = {}
        """What the leaves hold together, by priority."""

    def set(self, leaf: str, fresh: _Borrows | None) -> None:
        former = self.leaves.get(leaf)
        if former is not None:
            del self.leaves[leaf]
            del self.order[bisect_left(self.order, (-former[0], leaf))]
            self._add(former[1], -1)
        if fresh is not None:
            self.leaves[leaf] = fresh
            insort(self.order, (-fresh[0], leaf))
            self._add(fresh[1], 1)

    def _add(self, amounts: dict[int, int], sign: int) -> None:
        for priority, amount in amounts.items():
            total = self.evictable.get(priority, 0) + sign * amount
            if total:
                self.evictable[priority] = total
            else:
                del self.evictable[priority]


class Borrowers:
    """The leaves that borrowed, by node and resource, most first."""

    def __init__(self, ledger: QuotaLedger, running: Running, reclaim: ReclaimPolicy) -> None:
        self._by_priority = reclaim is ReclaimPolicy.LOWER_PRIORITY
        self._ledger = ledger
        self._running = running
        self._known: dict[str, dict[LedgerNode, _Borrowed]] = {}
        """By resource and node."""
        self._moved: dict[tuple[str, ResourceVector], None] = {}

    def clear(self) -> None:
        """Everything is counted anew: the tree is another one."""
        self._known.clear()
        self._moved.clear()

    def moved(self, leaf: str, request: ResourceVector) -> None:
        """What the leaf uses of these resources, or who could be evicted, may have changed."""
        if self._known:
            self._moved[leaf, request] = None

    def under(self, node: LedgerNode, resource: str) -> Iterator[tuple[str, int]]:
        """(leaf, borrowed) of the leaves below the node, most borrowed first; what leaves counts as
        given back.
        """
        found = self._borrowed(node, resource)
        return ((leaf, -borrowed) for borrowed, leaf in found.order)

    def evictable(self, node: LedgerNode, resource: str, priority: int) -> int:
        """What all units hold that could be evicted, for one of this priority, from leaves below
        the node that borrowed.
        """
        amounts = self._borrowed(node, resource).evictable
        return lower(amounts, priority) if self._by_priority else amounts.get(_ANYBODY, 0)

    def _borrowed(self, node: LedgerNode, resource: str) -> _Borrowed:
        if self._moved:
            self._follow()
        by_node = self._known.setdefault(resource, {})
        found = by_node.get(node)
        if found is None:
            found = by_node[node] = _Borrowed()
            for leaf in self._leaves(node):
                found.set(leaf.path, self._borrows(leaf, resource))
        return found

    def _follow(self) -> None:
        moved, self._moved = self._moved, {}
        places = {(path, name): None for path, request in moved for name, _ in asked(request)}
        for path, resource in places:
            by_node = self._known.get(resource)
            if by_node is None:
                continue
            chain = self._ledger.chain(path)
            fresh = self._borrows(chain[0], resource)
            for node in chain:
                borrowed = by_node.get(node)
                if borrowed is not None and borrowed.leaves.get(path) != fresh:
                    borrowed.set(path, fresh)

    def _borrows(self, leaf: LedgerNode, resource: str) -> _Borrows | None:
        if resource == MAX_JOBS and MAX_JOBS not in leaf.quota.min:
            return None  # Jobs are neither guaranteed nor borrowed where min does not list them.
        more = leaf.staying(resource) - leaf.limits[MIN].get(resource, 0)
        evictable = self._running.evictable(leaf.path, resource) if more > 0 else None
        if not evictable:
            return None
        return more, dict(evictable) if self._by_priority else {_ANYBODY: sum(evictable.values())}

    def _leaves(self, node: LedgerNode) -> Iterator[LedgerNode]:
        below = [node]
        while below:
            one = below.pop()
            if one.quota.children:
                below += [self._ledger.chain(path)[0] for path in one.quota.children]
            else:
                yield one


def lower(amounts: Mapping[int, int], priority: int) -> int:
    """The sum of what is there by priorities lower than this one."""
    return sum(amount for each, amount in amounts.items() if each < priority)
