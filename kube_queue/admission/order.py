"""Keys in order: adding, removing, first, next after, position, all cheap at any size."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import islice
from typing import Final

Key = tuple[int, int, str, str, str]
"""(-priority, submitted, namespace, name, uid): sorts units as every queue does."""

_LONGEST_CHUNK: Final = 1024


class SortedKeys:
    """A sorted set of keys in chunks, so that no operation moves more than one chunk."""

    __slots__ = ("_chunks", "_lasts", "_size")

    def __init__(self) -> None:
        self._chunks: list[list[Key]] = []
        self._lasts: list[Key] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Key]:
        for chunk in self._chunks:
            yield from chunk

    def __contains__(self, key: Key) -> bool:
        at = bisect_left(self._lasts, key)
        if at == len(self._lasts):
            return False
        chunk = self._chunks[at]
        return chunk[bisect_left(chunk, key)] == key

    @property
    def first(self) -> Key:
        """The smallest key. IndexError: there is none."""
        return self._chunks[0][0]

    def add(self, key: Key) -> None:
        """The key is there, which it was not before."""
        self._size += 1
        if not self._chunks:
            self._chunks.append([key])
            self._lasts.append(key)
            return
        at = min(bisect_left(self._lasts, key), len(self._lasts) - 1)
        chunk = self._chunks[at]
        insort(chunk, key)
        if len(chunk) > _LONGEST_CHUNK:
            half = len(chunk) // 2
            self._chunks[at : at + 1] = [chunk[:half], chunk[half:]]
            self._lasts[at : at + 1] = [chunk[half - 1], chunk[-1]]
        else:
            self._lasts[at] = chunk[-1]

    def remove(self, key: Key) -> None:
        """The key is gone. KeyError: it was not there."""
        if self._chunks and self._chunks[0][0] is key:
            # Most leave from the front; nothing is compared for them.
            self._size -= 1
            del self._chunks[0][0]
            if not self._chunks[0]:
                del self._chunks[0]
                del self._lasts[0]
            return
        at = bisect_left(self._lasts, key)
        if at == len(self._lasts):
            raise KeyError(key)
        chunk = self._chunks[at]
        index = bisect_left(chunk, key)
        if chunk[index] != key:
            raise KeyError(key)
        self._size -= 1
        del chunk[index]
        if chunk:
            self._lasts[at] = chunk[-1]
        else:
            del self._chunks[at]
            del self._lasts[at]

    def after(self, key: Key) -> Key | None:
        """The smallest key larger than this one, which need not be there."""
        at = bisect_right(self._lasts, key)
        if at == len(self._lasts):
            return None
        chunk = self._chunks[at]
        return chunk[bisect_right(chunk, key)]

    def starting_at(self, key: Key) -> Iterator[Key]:
        """The keys from this one on, which need not be there."""
        at = bisect_left(self._lasts, key)
        if at == len(self._lasts):
            return
        yield from islice(self._chunks[at], bisect_left(self._chunks[at], key), None)
        for chunk in self._chunks[at + 1 :]:
            yield from chunk

    def position(self, key: Key) -> int:
        """How many keys are smaller."""
        at = bisect_left(self._lasts, key)
        before = sum(len(chunk) for chunk in self._chunks[:at])
        return before + (bisect_left(self._chunks[at], key) if at < len(self._chunks) else 0)

    def leading(self, count: int) -> list[Key]:
        """The first ``count`` keys in order."""
        return list(islice(self, count))
