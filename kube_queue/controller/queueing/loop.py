"""The admission loop: news or the end of a backoff, a cycle, its effects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kube_queue.cache import Cache
from kube_queue.controller.effects import Effects
from kube_queue.controller.waking import Waking
from kube_queue.observability.meters import Meters


class AdmissionLoop:
    """Runs cycles while `run` runs; `wake` may be called at any time before and meanwhile.

    A cycle admits at most `limit` units, and never more than there is room to write; between two
    cycles the event loop has a turn, so that writes, watches and the Lease get theirs. `decided` is
    called after every cycle that decided anything.
    """

    def __init__(
        self,
        cache: Cache,
        meters: Meters,
        clock: Callable[[], float],
        *,
        limit: int,
        decided: Callable[[], None],
    ) -> None:
        self._cache = cache
        self._decided = decided
        self._meters = meters
        self._clock = clock
        self._limit = limit
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
                await self._cycles(effects)
                self._waking.at(self._cache.next_wake())
        finally:
            self._waking.at(None)

    async def _cycles(self, effects: Effects) -> None:
        loop = asyncio.get_running_loop()
        # Without room the end of a write wakes the loop again.
        while room := effects.room:
            began = loop.time()
            decisions = self._cache.cycle(self._clock(), min(self._limit, room))
            self._meters.cycled(loop.time() - began)
            if decisions:
                effects.apply(decisions)
                self._decided()
            await asyncio.sleep(0)
            if not self._cache.has_work():
                return
