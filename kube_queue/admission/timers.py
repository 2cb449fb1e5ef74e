"""Moments at which somebody has to be looked at, in order."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Generic, TypeVar

T = TypeVar("T")


class Timers(Generic[T]):
    """Items by moment; whether an item still means its moment is the caller's question."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._count = 0
        self.news = False
        """Whether a moment was set since somebody cleared this."""

    def set(self, moment: float, item: T, *, news: bool = True) -> None:
        """The item is due at this moment, besides any other; without ``news`` nobody has to be told
        that there is one.
        """
        self.news = self.news or news
        self._count += 1
        heappush(self._heap, (moment, self._count, item))

    @property
    def first(self) -> tuple[float, T] | None:
        """The next moment with its item."""
        return (self._heap[0][0], self._heap[0][2]) if self._heap else None

    def pop(self) -> None:
        """The first one is gone. IndexError: there is none."""
        heappop(self._heap)

    def clear(self) -> None:
        """Nothing is due."""
        self._heap.clear()
