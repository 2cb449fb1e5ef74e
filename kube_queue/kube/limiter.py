"""A client-side speed limit, off unless asked for.

The API server's own priority and fairness is the better judge; --qps and --burst exist for
clusters whose owners want a hard ceiling on one client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from kube_queue.kube.transport import JSON, Query, Response, Transport


class TokenBucket:
    """`rate` tokens a second, at most `burst` saved up, on the running loop's clock."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = max(1.0, burst)
        self._tokens = self._burst
        self._counted = 0.0

    def take(self) -> float:
        """0.0 and one token less, or the seconds until there is one."""
        now = asyncio.get_running_loop().time()
        self._tokens = min(self._burst, self._tokens + (now - self._counted) * self._rate)
        self._counted = now
        # A timer may fire a rounding error early; a token that is all but there is there.
        if self._tokens > 1.0 - 1e-6:
            self._tokens = max(0.0, self._tokens - 1.0)
            return 0.0
        return (1.0 - self._tokens) / self._rate


class LimitedTransport:
    """Another transport whose requests wait, in order, for their token. Watches are not limited."""

    def __init__(self, transport: Transport, *, qps: float, burst: int) -> None:
        self._transport = transport
        self._bucket = TokenBucket(qps, burst)
        self._turn = asyncio.Lock()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        timeout: float = 30.0,
    ) -> Response:
        """See Transport; `timeout` counts from when the request is let through."""
        async with self._turn:
            while (wait := self._bucket.take()) > 0.0:
                await asyncio.sleep(wait)
        return await self._transport.request(
            method,
            path,
            query=query,
            body=body,
            content_type=content_type,
            accept=accept,
            timeout=timeout,
        )

    def stream(
        self, path: str, *, query: Query, read_timeout: float, accept: str = JSON
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See Transport."""
        return self._transport.stream(path, query=query, read_timeout=read_timeout, accept=accept)

    async def close(self) -> None:
        """See Transport."""
        await self._transport.close()
