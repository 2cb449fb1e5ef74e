"""Ends a run that stands still, and says what it waited for.

Holds: Watchdog. It is a thread, so it also sees an event loop that is kept busy or asleep.
"""

from __future__ import annotations

import asyncio
import faulthandler
import io
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOOK_SECONDS = 1.0


class Watchdog:
    """Knows what is under way, and calls `bark` once, from its thread, when that takes too long.

    `bark` is told, in one text, what was under way for how long, where each task of the event loop
    stands and what each thread was executing. `limit` is in seconds. To be made in the event loop
    that it watches.
    """

    def __init__(self, limit: float, bark: Callable[[str], None]) -> None:
        self._limit = limit
        self._bark = bark
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[object, tuple[float, str]] = {}
        self._off = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)
        self._thread.start()

    @contextmanager
    def over(self, what: str) -> Iterator[None]:
        """Inside, `what` is under way."""
        key = object()
        self._under_way[key] = time.monotonic(), what
        try:
            yield
        finally:
            del self._under_way[key]

    def call_off(self) -> None:
        """It barks no more."""
        self._off.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._off.wait(min(LOOK_SECONDS, self._limit / 4)):
            late = time.monotonic() - self._limit
            if any(since < late for since, _ in list(self._under_way.values())):
                self._bark(self._told())
                return

    def _told(self) -> str:
        now = time.monotonic()
        waits = sorted(self._under_way.copy().values())
        lines = [f"{now - since:8.1f} s: {what}" for since, what in waits]
        return "\n".join(
            (
                f"something takes longer than {self._limit:g} s; under way, the oldest first:",
                *lines,
                "the tasks:",
                self._tasks(),
                "the threads:",
                _threads(),
            )
        )

    def _tasks(self) -> str:
        out = io.StringIO()
        for task in asyncio.all_tasks(self._loop):
            task.print_stack(file=out)
        return out.getvalue()


def _threads() -> str:
    # faulthandler writes to file descriptors only.
    with tempfile.TemporaryFile("w+") as file:
        faulthandler.dump_traceback(file)
        file.seek(0)
        return file.read()
