"""What a loop that decides sleeps on: news, or the moment when something is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

LEAST_WAIT: Final = 0.001
"""Seconds; a timer that fires a rounding error early must not spin."""


class Waking:
    """One sleeper's bell; `wake` may be called at any time. Nothing is polled."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._news = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Something changed that may change a decision."""
        self._news.set()

    async def news(self) -> None:
        """There was a call of `wake`, or what was due came, since this returned last."""
        await self._news.wait()
        self._news.clear()

    def at(self, due: float | None) -> None:
        """The sleeper is woken at that time of the clock, and not at one named before; None: not
        by time.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            wait = max(LEAST_WAIT, due - self._clock())
            self._timer = asyncio.get_running_loop().call_later(wait, self.wake)
