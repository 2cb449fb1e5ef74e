"""What counts against the limits of each node of a quota tree, summed up from the leaves.

=========  =====================================================================================
sum        of the pods and units charged below the node
=========  =====================================================================================
placed     pods that take room, those on their way out included
going      the part of these that is on its way out
promised   pods that wait and that room is kept for
kept       what QueueUnits hold and none of their pods takes yet
=========  =====================================================================================

Each is kept twice: for all, and for those that are not preemptible (``firm``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import NamedTuple

from kube_queue.api.quota import QuotaTree
from kube_queue.api.quota_limits import QuotaLimits, limits_of

Amounts = Mapping[str, int]
Items = Iterable[tuple[str, int]]


class Sum(IntEnum):
    """Which sum."""

    PLACED = 0
    GOING = 1
    PROMISED = 2
    KEPT = 3


class View(NamedTuple):
    """Which sums make up what is used."""

    settled: bool = False
    """Without what is on its way out."""
    kept: bool = True
    """With what units hold for pods that are not there yet."""
    firm: bool = False
    """Of what is not preemptible alone."""


class NodeSums:
    """The sums of one node of the tree."""

    __slots__ = ("all", "children", "depth", "firm", "limits", "parent", "path")

    def __init__(self, path: str, parent: NodeSums | None, limits: QuotaLimits) -> None:
        self.path = path
        self.parent = parent
        self.children: list[NodeSums] = []
        self.limits = limits
        self.depth: int = parent.depth + 1 if parent is not None else 0
        self.all: tuple[dict[str, int], ...] = ({}, {}, {}, {})
        self.firm: tuple[dict[str, int], ...] = ({}, {}, {}, {})

    def own(self, name: str, view: View, opened: int = 0) -> int:
        """What the node's pods and units use of the resource. ``opened``: the part of what is
        promised that is promised to whoever asks.
        """
        placed, going, promised, kept = self.firm if view.firm else self.all
        used, leaving = placed.get(name, 0), going.get(name, 0)
        claimed = promised.get(name, 0) - opened
        # A promise is kept by what leaves: as long as that is there, both are one.
        used += claimed - leaving if view.settled else max(0, claimed - leaving)
        return used + kept.get(name, 0) if view.kept else used

    def chain(self) -> Iterator[NodeSums]:
        """The node and everything above it."""
        node: NodeSums | None = self
        while node is not None:
            yield node
            node = node.parent


class QuotaSums:
    """The sums of every node of one tree, all zero at first."""

    def __init__(self, tree: QuotaTree | None, oversell_rate: float) -> None:
        self.nodes: dict[str, NodeSums] = {}
        limits = limits_of(tree, oversell_rate) if tree is not None else {}
        for path, node in tree.nodes.items() if tree is not None else ():
            parent = self.nodes.get(node.parent or "")
            self.nodes[path] = made = NodeSums(path, parent, limits[path])
            if parent is not None:
                parent.children.append(made)
        self._lent = frozenset(name for each in limits.values() for name in each.floor)
        """Resources of which a node keeps some to itself."""

    def add(self, leaf: str, which: Sum, items: Items, sign: int, *, firm: bool) -> None:
        """So much more, or with sign -1 less, is charged to the leaf. KeyError: no such leaf."""
        for node in self.nodes[leaf].chain():
            _add(node.all[which], items, sign)
            if firm:
                _add(node.firm[which], items, sign)

    def used(
        self,
        node: NodeSums,
        name: str,
        view: View,
        chain: Iterable[NodeSums] = (),
        opened: int = 0,
    ) -> int:
        """What counts as used of the node for who comes by the chain: what nodes beside the chain
        keep of their min and do not use counts as well. ``opened`` as in ``NodeSums.own``.
        """
        used = node.own(name, view, opened)
        if name in self._lent and not view.firm:
            on_the_way = {each.path for each in chain}
            used += self._kept_below(node, name, view, on_the_way)
        return used

    def _kept_below(self, node: NodeSums, name: str, view: View, spared: set[str]) -> int:
        total = 0
        for child in node.children:
            below = self._kept_below(child, name, view, spared)
            total += below
            if child.path not in spared:
                unused = child.limits.floor.get(name, 0) - child.own(name, view) - below
                total += max(0, unused)
        return total


def _add(sums: dict[str, int], items: Items, sign: int) -> None:
    for name, amount in items:
        total = sums.get(name, 0) + sign * amount
        if total:
            sums[name] = total
        else:
            sums.pop(name, None)
