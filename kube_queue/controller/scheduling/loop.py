"""The scheduling loop: news or the end of a backoff, some decisions, their effects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from kube_queue.cache.placing import PlacementCache
from kube_queue.controller.scheduling.effects import Effects
from kube_queue.observability.meters import Meters

SLICE_UNITS: Final = 32
SLICE_SECONDS: Final = 0.005
"""After so many units, or so long, writes, watches and the Lease get their turn."""
LEAST_WAIT: Final = 0.001
"""Seconds; a timer that fires a rounding error early must not spin."""


class SchedulingLoop:
    """Decides about units while `run` runs; `wake` may be called at any time before and meanwhile.

    Nothing is polled: it sleeps until there is news, a backoff is over, or a write ended that it
    had no room for.
    """

    def __init__(self, cache: PlacementCache, meters: Meters, clock: Callable[[], float]) -> None:
        self._cache = cache
        self._meters = meters
        self._clock = clock
        self._news = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Something changed that may change a decision."""
        self._news.set()

    async def run(self, effects: Effects) -> None:
        """Decide until cancelled."""
        self.wake()
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                while self._slice(effects):
                    await asyncio.sleep(0)
                effects.settle()
                self._sleep_until_due(effects)
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _slice(self, effects: Effects) -> bool:
        """Some units were decided about. Returns whether more may be."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(SLICE_UNITS):
            if not effects.room:
                # The end of a write wakes the loop again.
                return False
            decisions = self._cache.decide(self._clock(), 1)
            if not decisions:
                return False
            effects.apply(decisions[0])
            if loop.time() - began >= SLICE_SECONDS:
                break
        self._meters.cycled(loop.time() - began)
        return True

    def _sleep_until_due(self, effects: Effects) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not effects.room:
            return
        now = self._clock()
        due = self._cache.next_wake(now)
        if due is not None:
            wait = max(LEAST_WAIT, due - now)
            self._timer = asyncio.get_running_loop().call_later(wait, self.wake)
