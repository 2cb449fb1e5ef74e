"""The scheduling loop: news or the end of a backoff, some decisions, their effects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from kube_queue.cache.placing import PlacementCache
from kube_queue.controller.scheduling.effects import Effects
from kube_queue.controller.waking import Waking
from kube_queue.observability.meters import Meters

SLICE_UNITS: Final = 32
SLICE_SECONDS: Final = 0.005
"""After so many units, or so long, writes, watches and the Lease get their turn."""


class SchedulingLoop:
    """Decides about units while `run` runs; `wake` may be called at any time before and meanwhile.

    Nothing is polled: it sleeps until there is news, a backoff is over, or a write ended that it
    had no room for.
    """

    def __init__(self, cache: PlacementCache, meters: Meters, clock: Callable[[], float]) -> None:
        self._cache = cache
        self._meters = meters
        self._clock = clock
        self._waking = Waking(clock)

    def wake(self) -> None:
        """Something changed that may change a decision."""
        self._waking.wake()

    async def run(self, effects: Effects) -> None:
        """Decide until cancelled."""
        self.wake()
        try:
            while True:
                await self._waking.news()
                while self._slice(effects):
                    await asyncio.sleep(0)
                effects.settle()
                # Without room the end of a write wakes the loop.
                due = self._cache.next_wake(self._clock()) if effects.room else None
                self._waking.at(due)
        finally:
            self._waking.at(None)

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
