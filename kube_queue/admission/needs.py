"""Things by how much of something they need."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class NeedIndex(Generic[T]):
    """Members by their need, in the order of needs and then of arrival."""

    __slots__ = ("_members", "_needs")

    def __init__(self) -> None:
        self._needs: list[int] = []
        self._members: dict[int, dict[T, None]] = {}

    @property
    def lowest(self) -> int:
        """The smallest need. IndexError: nobody is here."""
        return self._needs[0]

    def add(self, member: T, need: int) -> None:
        """The member is here with this need."""
        members = self._members.get(need)
        if members is None:
            members = self._members[need] = {}
            insort(self._needs, need)
        members[member] = None

    def discard(self, member: T, need: int) -> None:
        """The member with this need is gone. KeyError: it was not here."""
        members = self._members[need]
        del members[member]
        if not members:
            del self._members[need]
            del self._needs[bisect_left(self._needs, need)]

    def fitting(self, free: int) -> list[T]:
        """Every member that needs at most ``free``."""
        found: list[T] = []
        for need in self._needs:
            if need > free:
                break
            found += self._members[need]
        return found

    def members(self) -> Iterator[T]:
        """Every member."""
        for members in self._members.values():
            yield from members

    def __bool__(self) -> bool:
        return bool(self._needs)
