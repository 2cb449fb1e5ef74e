"""How long to wait for an answer on a machine that others use too.

Holds: Patience, starved.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait, not counting those in which nobody could have answered.

    `idle` says how many seconds of that kind there have been so far.
    """

    seconds: float
    idle: Callable[[], float] = lambda: 0.0

    @asynccontextmanager
    async def limit(self) -> AsyncIterator[None]:
        """What is inside comes to its end in time. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        began, idle = loop.time(), self.idle()
        timers: list[asyncio.TimerHandle] = []

        def look() -> None:
            left = self.seconds - (loop.time() - began) + (self.idle() - idle)
            if left <= 0:
                timeout.reschedule(loop.time())
            else:
                timers[:] = [loop.call_later(left, look)]

        async with asyncio.timeout(None) as timeout:
            timers[:] = [loop.call_later(self.seconds, look)]
            try:
                yield
            finally:
                timers[0].cancel()


def starved(pid: int) -> float:
    """Seconds for which a process wanted a processor and others had it; 0.0 where nobody counts."""
    try:
        text = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return int(text.split()[1]) / 1e9
