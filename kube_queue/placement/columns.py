"""What nodes have and what pods take of it: one int64 column a resource, one row a node.

A request is read resource by resource, so a column that nobody asks for costs nothing. Sums are
exact: one that does not fit into 62 bits is kept beside the column, which then holds the largest
number that does.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from kube_queue.api.resources import ResourceVector

IntColumn = NDArray[np.int64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.intp]

LARGEST: Final = 2**62
"""Amounts above it are refused."""
_LARGE: Final = 2**48
"""Below it, no sum of pods on one node leaves 63 bits."""
_FIRST_ROWS: Final = 64


def both(rows: Mask, within: Mask | None) -> Mask:
    """Those of the rows that are in the other mask too; None: in it are all."""
    return rows if within is None else rows & within


class Columns:
    """Allocatable and used amounts of every row, in millicores and whole units."""

    def __init__(self) -> None:
        self.rows = 0
        self._capacity = _FIRST_ROWS
        self._allocatable: dict[str, IntColumn] = {}
        self._used: dict[str, IntColumn] = {}
        self._exact: dict[tuple[str, int], int] = {}
        """Used sums of more than 62 bits, or with an amount so large that they might become so."""

    def add_row(self) -> int:
        """One more row, of nothing. Returns its index."""
        if self.rows == self._capacity:
            self._capacity *= 2
            for columns in (self._allocatable, self._used):
                for name, column in columns.items():
                    columns[name] = np.zeros(self._capacity, np.int64)
                    columns[name][: self.rows] = column
        self.rows += 1
        return self.rows - 1

    def allocatable(self, name: str) -> IntColumn:
        """What each row has of the resource."""
        return self._column(self._allocatable, name)[: self.rows]

    def used(self, name: str) -> IntColumn:
        """What the pods of each row take of the resource."""
        return self._column(self._used, name)[: self.rows]

    def has(self, row: int, name: str) -> int:
        """What the row has of the resource."""
        return int(self._column(self._allocatable, name)[row])

    def takes(self, row: int, name: str) -> int:
        """What the pods of the row take of the resource, exactly."""
        exact = self._exact.get((name, row))
        return exact if exact is not None else int(self._column(self._used, name)[row])

    def set_allocatable(self, row: int, amounts: ResourceVector) -> None:
        """The row has exactly these amounts."""
        for name in self._allocatable:
            self._allocatable[name][row] = amounts[name]
        for name, amount in amounts.items:
            if name not in self._allocatable:
                self._column(self._allocatable, name)[row] = amount

    def add(self, row: int, amounts: ResourceVector, sign: int = 1) -> None:
        """The pods of the row take so much more, or with sign -1 less."""
        for name, amount in amounts.items:
            column = self._used.get(name)
            if column is None:
                column = self._column(self._used, name)
            if amount >= _LARGE or (self._exact and (name, row) in self._exact):
                total = self.takes(row, name) + sign * amount
                column[row] = min(total, LARGEST)
                if total >= _LARGE:
                    self._exact[name, row] = total
                else:
                    self._exact.pop((name, row), None)
            else:
                column[row] += sign * amount

    def fit(self, request: ResourceVector, rows: Rows | slice) -> Mask:
        """Which of these rows have the whole request free."""
        fitting: Mask | None = None
        for name, amount in request.items:
            has, takes = self.allocatable(name)[rows], self.used(name)[rows]
            # What others overdrew of a resource is nobody's business who does not ask for it.
            each = has - takes >= amount
            fitting = each if fitting is None else np.logical_and(fitting, each, out=fitting)
        if fitting is None:
            count = self.rows if isinstance(rows, slice) else len(rows)
            return np.ones(count, np.bool_)
        return fitting

    def row_fits(self, request: ResourceVector, row: int) -> bool:
        """Whether the row has the whole request free."""
        return all(
            self._column(self._allocatable, name)[row] - self._column(self._used, name)[row]
            >= amount
            for name, amount in request.items
        )

    def lacking(self, request: ResourceVector, row: int) -> tuple[str, ...]:
        """The resources of the request that the row has not enough of."""
        return tuple(
            name
            for name, amount in request.items
            if self.has(row, name) - self.takes(row, name) < amount
        )

    def slots(self, request: ResourceVector, rows: Rows | slice) -> IntColumn:
        """How many pods of this request each of these rows has room for by its amounts alone."""
        least: IntColumn | None = None
        for name, amount in request.items:
            free = self.allocatable(name)[rows] - self.used(name)[rows]
            each = np.maximum(free, 0) // amount
            least = each if least is None else np.minimum(least, each)
        if least is None:
            count = self.rows if isinstance(rows, slice) else len(rows)
            return np.full(count, LARGEST, np.int64)
        return least

    def capacity(self, request: ResourceVector) -> IntColumn:
        """How many pods of this request each row would hold if it were empty."""
        least = np.full(self.rows, LARGEST, np.int64)
        for name, amount in request.items:
            least = np.minimum(least, self.allocatable(name) // amount)
        return least

    def _column(self, columns: dict[str, IntColumn], name: str) -> IntColumn:
        column = columns.get(name)
        if column is None:
            column = columns[name] = np.zeros(self._capacity, np.int64)
        return column
