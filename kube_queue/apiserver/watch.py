"""Watches: one caller's stream of changes.

Holds: WatchStream. Events arrive through `offer` as they are stored and leave as encoded lines;
a reader that stays too far behind is cut off, and resumes from the last version it saw.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterable
from typing import Self

import orjson

from kube_queue.apiserver.selectors import Selector
from kube_queue.apiserver.status import StatusError
from kube_queue.apiserver.store import ADDED, DELETED, MODIFIED, Collection, Event, Record
from kube_queue.apiserver.view import View

BUFFER = 10_000
"""Events a reader may be behind."""
BUFFER_BYTES = 128 << 20
"""Bytes of objects a reader may be behind."""
BOOKMARK_SECONDS = 60.0
_BATCH = 256
_BATCH_BYTES = 256 << 10
_Entry = Record | bytes | tuple[str, Event] | Event


class WatchStream:
    """An async iterator of watch lines; `batch` gives many at once; `aclose` ends it."""

    def __init__(
        self,
        view: View,
        collection: Collection,
        *,
        namespace: str = "",
        test: Selector | None = None,
        buffer: int = BUFFER,
    ) -> None:
        self._view = view
        self._collection = collection
        self._namespace = namespace
        self._test = test
        self._queue: deque[_Entry] = deque()
        self._buffer = buffer
        self._spare = sys.maxsize
        self._behind = 0
        self._waiter: asyncio.Future[None] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.ended = False
        self._on_overflow: Callable[[], None] | None = None

    def on_overflow(self, act: Callable[[], None]) -> None:
        """Have `act` called when the reader is cut off, so that a stuck write can be given up."""
        self._on_overflow = act

    def start(self, timeout: float, *, bookmarks: bool) -> None:
        """Changes are streamed for `timeout` seconds from here on."""
        self._spare = len(self._queue) + self._buffer
        self._collection.subscribers[self] = self._collection.changed
        loop = asyncio.get_running_loop()
        self._timers["end"] = loop.call_later(timeout, self.end)
        if bookmarks:
            self._timers["bookmark"] = loop.call_later(BOOKMARK_SECONDS, self._bookmark)

    def begin_with(self, records: Iterable[Record]) -> None:
        """What exists comes first, as ADDED, however much it is."""
        test = self._test
        self._queue.extend(record for record in records if test is None or test(record))

    def say(self, line: bytes) -> None:
        """A ready line follows what is queued."""
        self._queue.append(line)
        self._wake()

    def fail(self, error: StatusError) -> None:
        """The stream ends with an ERROR event."""
        self.say(b'{"type":"ERROR","object":%b}\n' % orjson.dumps(error.body))
        self.end()

    def offer(self, event: Event) -> None:
        """The event joins the stream if it concerns it."""
        if self._namespace and event.record.namespace != self._namespace:
            return
        if self._test is not None:
            entry = self._judged(event, self._test)
            if entry is None:
                return
            self._queue.append(entry)
        else:
            self._queue.append(event)
        self._behind += len(event.record.raw)
        if len(self._queue) > self._spare or self._behind > BUFFER_BYTES:
            self._overflow()
        elif self._waiter is not None:
            self._wake()

    def _judged(self, event: Event, test: Selector) -> _Entry | None:
        was = event.previous is not None and test(event.previous)
        if event.type == DELETED:
            return event if was else None
        if test(event.record):
            return event if was is (event.type == MODIFIED) else (ADDED, event)
        return (DELETED, event) if was else None

    def _overflow(self) -> None:
        self._queue.clear()
        self.end()
        if self._on_overflow is not None:
            self._on_overflow()

    def _bookmark(self) -> None:
        self._timers["bookmark"] = asyncio.get_running_loop().call_later(
            BOOKMARK_SECONDS, self._bookmark
        )
        self.say(self._view.bookmark(self._view.world.store.told))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _line(self, entry: _Entry) -> bytes:
        if isinstance(entry, Event):
            self._behind -= len(entry.record.raw)
            return self._view.line(entry.type, entry)
        if isinstance(entry, bytes):
            return entry
        if isinstance(entry, Record):
            return self._view.initial(entry)
        type_, event = entry
        self._behind -= len(event.record.raw)
        return self._view.left(event) if type_ == DELETED else self._view.line(type_, event)

    async def _ready(self) -> bool:
        while not self._queue:
            if self.ended:
                return False
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return True

    async def batch(self) -> bytes:
        """The lines that are ready, at least one; empty when the stream has ended."""
        if not await self._ready():
            return b""
        queue, size = self._queue, 0
        lines: list[bytes] = []
        while queue and size < _BATCH_BYTES and len(lines) < _BATCH:
            line = self._line(queue.popleft())
            lines.append(line)
            size += len(line)
        return b"".join(lines)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not await self._ready():
            raise StopAsyncIteration
        return self._line(self._queue.popleft())

    def end(self) -> None:
        """Nothing more joins the stream; what is queued is still delivered."""
        self.ended = True
        self._collection.subscribers.pop(self, None)
        for timer in self._timers.values():
            timer.cancel()
        self._wake()

    async def aclose(self) -> None:
        """The stream is over at once."""
        self._queue.clear()
        self.end()
