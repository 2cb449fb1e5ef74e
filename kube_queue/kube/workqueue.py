"""A queue of keys to reconcile: each key once, never two workers on the same key.

A key is added when something about it changed; the worker reads the present, so any number of
additions before it starts cost one run, and an addition while it runs costs one more run after.

::

      add            get               done
    ------> waiting ------> processing ------> (gone)
                                | add               ^
                                v        done       |
                              dirty ----------> waiting
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import structlog

from kube_queue.api.errors import Conflict, KubeQueueError

K = TypeVar("K", bound=Hashable)

_log = structlog.get_logger("kube.workqueue")


class WorkQueue(Generic[K]):
    """Keys in order of their first addition; all methods but `get` are synchronous."""

    def __init__(self, *, first_backoff: float = 0.1, last_backoff: float = 60.0) -> None:
        self._first = first_backoff
        self._last = last_backoff
        self._order: deque[K] = deque()
        self._waiting: set[K] = set()
        self._processing: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._getters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        """Keys that wait for a worker now; those under way or on a timer do not count."""
        return len(self._order)

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is being processed; timers may still be set."""
        return not self._waiting and not self._processing

    def add(self, key: K) -> None:
        """The key will be got once more, unless it waits already."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._processing:
            self._enqueue(key)

    def add_after(self, key: K, delay: float) -> None:
        """The key is added in `delay` seconds; of several delays of one key the earliest counts."""
        if delay <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + delay
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._due, key)

    def add_backoff(self, key: K) -> None:
        """The key is added after a wait that doubles with each call until `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(self._last, self._first * 2.0 ** min(failures, 40)))

    def forget(self, key: K) -> None:
        """The key's next backoff starts small again."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key, now being processed; `done` must follow."""
        while not self._order:
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                # A wake-up that reached a worker on its way out belongs to the next one.
                if getter.done() and not getter.cancelled():
                    self._wake()
                elif getter in self._getters:
                    self._getters.remove(getter)
                raise
        key = self._order.popleft()
        self._waiting.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """The key's processing ended; if it was added meanwhile it waits again."""
        self._processing.discard(key)
        if key in self._waiting:
            self._enqueue(key)

    def close(self) -> None:
        """Every timer is off."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _enqueue(self, key: K) -> None:
        self._order.append(key)
        self._wake()

    def _due(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return


async def run_workers(
    queue: WorkQueue[K], reconcile: Callable[[K], Awaitable[float | None]], workers: int
) -> None:
    """Reconcile keys, `workers` at a time, until cancelled.

    A reconcile returns the seconds after which it wants to look again, or None. A KubeQueueError
    puts the key back with backoff; any other exception is a bug and ends the workers.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(_work(queue, reconcile))
    finally:
        queue.close()


async def _work(queue: WorkQueue[K], reconcile: Callable[[K], Awaitable[float | None]]) -> None:
    while True:
        key = await queue.get()
        try:
            again = await reconcile(key)
        except KubeQueueError as error:
            # Somebody else wrote meanwhile: that is what preconditions are for, and no news.
            say = _log.debug if isinstance(error, Conflict) else _log.warning
            say("reconcile failed, will be tried again", key=str(key), error=str(error))
            queue.add_backoff(key)
        else:
            queue.forget(key)
            if again is not None:
                queue.add_after(key, again)
        finally:
            queue.done(key)
