"""Growing waits with jitter, on the loop's clock."""

from __future__ import annotations

import asyncio
import random


class Backoff:
    """Each wait doubles, from `first` up to `last` seconds, stretched by up to half at random.

    A clock-free value: `next()` gives seconds, `reset()` starts again at `first`.
    """

    def __init__(self, rng: random.Random, *, first: float, last: float) -> None:
        self._rng = rng
        self._first = first
        self._last = last
        self._failures = 0

    def next(self, at_least: float | None = None) -> float:
        """Seconds to wait now; never less than `at_least` (a server's Retry-After)."""
        # The exponent is capped: 2**40 seconds is out of every range anyway.
        wait = min(self._last, self._first * 2.0 ** min(self._failures, 40))
        self._failures += 1
        return max(wait, at_least or 0.0) * (1.0 + self._rng.random() / 2)

    def reset(self) -> None:
        """The next wait is the first again."""
        self._failures = 0

    async def wait(self, at_least: float | None = None) -> None:
        """`next()` seconds have passed on the running loop."""
        await asyncio.sleep(self.next(at_least))
