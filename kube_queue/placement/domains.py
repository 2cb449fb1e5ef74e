"""The domains that a label of nodes makes: which row is in which, and which rows count."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kube_queue.api.nodes import Node
from kube_queue.placement.columns import Mask, Rows

Numbers = NDArray[np.int32]

NO_DOMAIN: Final = 0
"""The domain of rows without the label; nothing is ever counted in it."""
_FIRST: Final = 8


class Domains:
    """The domains of one topology key; the domain of a value has a number from 1 on, for ever."""

    def __init__(self, key: str, nodes: Sequence[Node | None]) -> None:
        self.key = key
        self._numbers: dict[str, int] = {}
        # Of the type that columns are indexed by, so that no look-up has to convert it.
        self._of_row: Rows = np.zeros(max(len(nodes), _FIRST), np.intp)
        self._rows = len(nodes)
        for row, node in enumerate(nodes):
            self.place(row, node)

    @property
    def of_row(self) -> Rows:
        """By row: the number of its domain, or NO_DOMAIN."""
        return self._of_row[: self._rows]

    @property
    def size(self) -> int:
        """One more than the largest number."""
        return len(self._numbers) + 1

    def number(self, row: int) -> int:
        """The domain of the row."""
        return int(self._of_row[row])

    def rows(self, value: str) -> Rows:
        """The rows of the domain of this value."""
        number = self._numbers.get(value, -1)
        return np.flatnonzero(self.of_row == number)

    def place(self, row: int, node: Node | None) -> None:
        """The row's node is another; None: gone."""
        self._rows = max(self._rows, row + 1)
        self._of_row = grown(self._of_row, self._rows)
        value = node.labels.get(self.key) if node is not None else None
        number = NO_DOMAIN
        if value is not None:
            number = self._numbers.setdefault(value, len(self._numbers) + 1)
        self._of_row[row] = number


class Eligible:
    """The rows that count for somebody, and how many of them are in each domain."""

    def __init__(
        self,
        domains: Domains,
        rule: object,
        accepts: Callable[[Node], bool],
        nodes: Sequence[Node | None],
    ) -> None:
        self.domains = domains
        self.rule = rule
        """What ``accepts`` does: equal rules accept the same nodes."""
        self.users = 0
        self._accepts = accepts
        self._mask: Mask = np.zeros(max(len(nodes), _FIRST), np.bool_)
        self._nodes: Numbers = np.zeros(max(domains.size, _FIRST), np.int32)
        for row, node in enumerate(nodes):
            self.enter(row, node)

    def has(self, row: int) -> bool:
        """Whether the row counts."""
        return bool(self._mask[row])

    def nodes(self) -> Numbers:
        """By domain: how many rows count."""
        self._nodes = grown(self._nodes, self.domains.size)
        return self._nodes[: self.domains.size]

    def leave(self, row: int) -> None:
        """The row's node is about to be another; its domain is still that of the old one."""
        if row < len(self._mask) and self._mask[row]:
            self._mask[row] = False
            self._nodes[self.domains.number(row)] -= 1

    def enter(self, row: int, node: Node | None) -> None:
        """The row has this node, whose domain is known already."""
        self._mask = grown(self._mask, row + 1)
        number = self.domains.number(row)
        if node is not None and number != NO_DOMAIN and self._accepts(node):
            self._nodes = grown(self._nodes, self.domains.size)
            self._mask[row] = True
            self._nodes[number] += 1


def grown(column: NDArray[Any], size: int) -> NDArray[Any]:
    """The column, or a larger one that begins with it and goes on with zeros."""
    if size <= len(column):
        return column
    larger = np.zeros(max(size, 2 * len(column)), column.dtype)
    larger[: len(column)] = column
    return larger
