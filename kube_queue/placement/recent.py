"""What was worked out lately, and is given back when it was not asked for in a while."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_KEPT: Final = 2_048


class Recent(Generic[K, V]):
    """``build(key)`` for the keys asked for last; ``drop`` is told of those that go."""

    def __init__(
        self, build: Callable[[K], V], drop: Callable[[V], None], kept: int = _KEPT
    ) -> None:
        self._build = build
        self._drop = drop
        self._kept = kept
        self._values: dict[K, V] = {}

    def of(self, key: K) -> V:
        """The value of the key."""
        value = self._values.pop(key, None)
        if value is None:
            value = self._build(key)
            if len(self._values) >= self._kept:
                self._drop(self._values.pop(next(iter(self._values))))
        self._values[key] = value
        return value
