"""What keeps one caller from harming the others: limits of connections, and of bytes unread.

Holds: GuardedServer, Outbox, ProtocolNoise, connection_limit, is_loopback.
"""

import asyncio
import contextlib
import ipaddress
import logging
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from kube_queue.apiserver.status import StatusError

STRANGER_SECONDS = 30.0
"""How long a connection may last that has not shown the token."""
MOST_CONNECTIONS = 16_000
_SPARE_FILES = 100
"""Open files that are kept for other things than connections."""
UNREAD_LIMIT = 256 << 20
"""Bytes of large answers that may wait for their readers, of all together."""
SEND_SECONDS = 60.0
SLOWEST_READER = 64 << 10
"""A reader of a large answer has SEND_SECONDS, and a second for every so many bytes."""
SMALL = 64 << 10
"""An answer of less is left to the buffers of the connection."""


def connection_limit() -> int:
    """As many connections as the open files this process may have leave room for."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit.
        return MOST_CONNECTIONS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        return max(1, soft - _SPARE_FILES)
    return MOST_CONNECTIONS


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on that address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ProtocolNoise(logging.Filter):
    """Drops what is logged about bytes that are no HTTP: their sender was told."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False for the records to drop."""
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


class GuardedServer(web.Server):
    """A server whose strangers cannot keep out those it knows.

    A connection is a stranger's until `known` is called for it. Strangers are cut off after
    STRANGER_SECONDS, and earlier, the oldest first, when there are more than `limit` connections;
    when all of them are known, a new one is not taken.
    """

    def __init__(self, *arguments: Any, limit: int, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._limit = limit
        self._open = 0
        self._strangers: dict[RequestHandler, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """A new connection, a stranger's."""
        super().connection_made(handler, transport)
        self._open += 1
        timer = asyncio.get_running_loop().call_later(STRANGER_SECONDS, transport.abort)
        self._strangers[handler] = (transport, timer)
        if self._open > self._limit:
            oldest, _ = next(iter(self._strangers.values()))
            oldest.abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """The connection is gone."""
        super().connection_lost(handler, exc)
        self._open -= 1
        self.known(handler)

    def known(self, handler: RequestHandler) -> None:
        """The connection is no stranger's any more."""
        stranger = self._strangers.pop(handler, None)
        if stranger is not None:
            stranger[1].cancel()


class Outbox:
    """Large answers on their way; what waits for slow readers is bounded in bytes and in time."""

    def __init__(self) -> None:
        self._unread = 0

    async def deliver(
        self, request: web.BaseRequest, answer: web.StreamResponse, size: int
    ) -> web.StreamResponse:
        """The answer of `size` bytes is with its reader, or the reader was cut off as too slow.

        Small ones are left to the caller. Raises StatusError (429) when too much waits already.
        """
        transport = request.transport
        if transport is None or (size < SMALL and not transport.get_write_buffer_size()):
            return answer
        if self._unread and self._unread + size > UNREAD_LIMIT:
            raise StatusError(
                429,
                "TooManyRequests",
                "too many large answers wait for their readers; please try again later",
                {"retryAfterSeconds": 1},
                {"Retry-After": "1"},
            )
        self._unread += size
        try:
            async with asyncio.timeout(SEND_SECONDS + size / SLOWEST_READER):
                await answer.prepare(request)
                await answer.write_eof()
        except TimeoutError:
            transport.abort()
        finally:
            self._unread -= size
        return answer
