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
from kube_queue.admission.running import Running
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.preemption import ReclaimPolicy

_ANYBODY: Final = 0
"""Stands for every priority where none is spared."""
_Entry = tuple[int, str]
"""(-borrowed, leaf)."""


class _Borrowed:
    """The leaves below one node that borrowed one resource."""

    __slots__ = ("evictable", "leaves", "order")

    def __init__(self) -> None:
        self.leaves: dict[str, tuple[int, dict[int, int]]] = {}
        """(borrowed, held by units that could be evicted by priority) by leaf."""
        self.order: list[_Entry] = []
        self.evictable: dict[int, int] = {}
        """What the leaves hold together, by priority."""

    def set(self, leaf: str, borrowed: int, evictable: dict[int, int]) -> None:
        former = self.leaves.get(leaf)
        fresh = (borrowed, evictable) if borrowed > 0 and evictable else None
        if former == fresh:
            return
        if former is not None:
            del self.leaves[leaf]
            del self.order[bisect_left(self.order, (-former[0], leaf))]
            self._add(former[1], -1)
        if fresh is not None:
            self.leaves[leaf] = fresh
            insort(self.order, (-borrowed, leaf))
            self._add(evictable, 1)

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
        self._known: dict[str, dict[str, _Borrowed]] = {}
        self._moved: dict[str, None] = {}

    def clear(self) -> None:
        """Everything is counted anew: the tree is another one."""
        self._known.clear()
        self._moved.clear()

    def moved(self, leaf: str) -> None:
        """What the leaf uses, or who of it could be evicted, may have changed."""
        if self._known:
            self._moved[leaf] = None

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
        self._follow()
        of_node = self._known.setdefault(node.path, {})
        found = of_node.get(resource)
        if found is None:
            found = of_node[resource] = _Borrowed()
            for leaf in self._leaves(node):
                self._count(found, leaf, resource)
        return found

    def _follow(self) -> None:
        for path in self._moved:
            chain = self._ledger.chain(path)
            for node in chain:
                for resource, borrowed in self._known.get(node.path, {}).items():
                    self._count(borrowed, chain[0], resource)
        self._moved.clear()

    def _count(self, borrowed: _Borrowed, leaf: LedgerNode, resource: str) -> None:
        more = leaf.staying(resource) - leaf.limits[MIN].get(resource, 0)
        if resource == MAX_JOBS and MAX_JOBS not in leaf.quota.min:
            more = 0  # Jobs are neither guaranteed nor borrowed where min does not list them.
        evictable = self._running.evictable(leaf.path, resource)
        if self._by_priority:
            held = dict(evictable)
        else:
            held = {_ANYBODY: sum(evictable.values())} if evictable else {}
        borrowed.set(leaf.path, more, held)

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
