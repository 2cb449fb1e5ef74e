"""Watches that go wrong on purpose: one that ends otherwise than asked, one that lags behind."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Self

import orjson

from kube_queue.apiserver.messages import ConnectionCut, Stream
from kube_queue.apiserver.status import expired

MOST_BEHIND: Final = 10_000
"""Lines that a lagging watch keeps at most; then it reads no further."""
SAME_LAG: Final = 10
"""Events after which a watch lags otherwise than before."""


class _Before(ABC):
    """A stream that stands before another one."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def on_overflow(self, act: Callable[[], None]) -> None:
        """See Stream."""
        self._stream.on_overflow(act)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        line = await self.batch()
        if not line:
            raise StopAsyncIteration
        return line

    @abstractmethod
    async def batch(self) -> bytes:
        """See Stream."""

    async def aclose(self) -> None:
        """See Stream."""
        await self._stream.aclose()


class FaultyStream(_Before):
    """A watch that goes wrong after so many events, or, when it is `late`, with every event."""

    def __init__(self, stream: Stream, fault: str, events: int, pause: Callable[[], float]) -> None:
        super().__init__(stream)
        self._fault = fault
        self._left = events
        self._pause = pause
        self._over = False

    async def batch(self) -> bytes:
        """The next line, whole or in part; empty when the stream has ended."""
        if self._over:
            if self._fault == "torn":
                raise ConnectionCut("the watch is broken off, on purpose")
            return b""
        if not self._left and self._fault in ("ended", "broken", "expired", "silent"):
            return await self._fail()
        line = await anext(self._stream, b"")
        if self._fault == "late":
            await asyncio.sleep(self._pause())
        elif not self._left:
            self._over = True
            line = line[: len(line) // 2]
        self._left -= 1
        return line

    async def _fail(self) -> bytes:
        self._over = True
        if self._fault == "broken":
            raise ConnectionCut("the watch is broken off, on purpose")
        if self._fault == "silent":
            await asyncio.get_running_loop().create_future()
        if self._fault == "expired":
            error = expired("too old resource version (a fault on purpose)")
            return b'{"type":"ERROR","object":%b}\n' % orjson.dumps(error.body)
        return b""


class LaggingStream(_Before):
    """A watch behind by a `lag` that is asked anew after every few events. Their order stays."""

    def __init__(self, stream: Stream, lag: Callable[[], float]) -> None:
        super().__init__(stream)
        self._lag = lag
        self._lines: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST_BEHIND)
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def batch(self) -> bytes:
        """The next line once its time has come; empty when the stream has ended."""
        due, line = await self._lines.get()
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        return line

    async def aclose(self) -> None:
        """See Stream."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await super().aclose()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            lag = self._lag()
            for _ in range(SAME_LAG):
                line = await anext(self._stream, b"")
                await self._lines.put((loop.time() + lag, line))
                if not line:
                    return
