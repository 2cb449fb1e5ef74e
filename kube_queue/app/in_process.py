"""The embedded API server without a network: client and server in one process, on one loop.

Holds: InProcessTransport. It carries the same requests and bytes as HTTP would, so nothing is
shared but bytes, and it works on a virtual-time loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from urllib.parse import unquote

from multidict import CIMultiDict

from kube_queue.api.errors import ConnectionLost
from kube_queue.apiserver.messages import ConnectionCut, Handler, Request, Stream
from kube_queue.apiserver.messages import Response as Answer
from kube_queue.kube.errors import refusal
from kube_queue.kube.transport import JSON, LineSplitter, Query, Response


class InProcessTransport:
    """A Transport that calls an API server; the server is closed by whoever made it."""

    def __init__(self, server: Handler, *, user_agent: str = "kube-queue") -> None:
        self._server = server
        self._user_agent = user_agent

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
        """See Transport."""
        headers = {"accept": accept, "user-agent": self._user_agent}
        if body is not None:
            headers["content-type"] = content_type
        request = Request(method, unquote(path), tuple(query), headers, body or b"")
        try:
            async with asyncio.timeout(timeout):
                answer = await self._server.handle(request)
                return await _whole(answer)
        except TimeoutError as error:
            raise ConnectionLost(f"{method} {path} got no answer in {timeout:g} s") from error
        except ConnectionCut as error:
            raise ConnectionLost(f"{method} {path} got no answer: {error}") from error

    def stream(
        self, path: str, *, query: Query, read_timeout: float, accept: str = JSON
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See Transport."""
        return self._stream(path, query, read_timeout, accept)

    @contextlib.asynccontextmanager
    async def _stream(
        self, path: str, query: Query, read_timeout: float, accept: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        headers = {"accept": accept, "user-agent": self._user_agent}
        request = Request("GET", unquote(path), tuple(query), headers)
        try:
            answer = await self._server.handle(request)
        except ConnectionCut as error:
            raise ConnectionLost(f"GET {path} got no answer: {error}") from error
        if answer.status >= 400 or isinstance(answer.body, bytes):
            whole = await _whole(answer)
            if answer.status >= 400:
                raise refusal(whole)
            yield _lines_of(_once(whole.body), path, read_timeout)
            return
        async with contextlib.aclosing(_lines_of(answer.body, path, read_timeout)) as lines:
            try:
                yield lines
            finally:
                await answer.body.aclose()

    async def close(self) -> None:
        """See Transport; there is nothing to close."""


async def _lines_of(
    chunks: AsyncIterator[bytes], path: str, read_timeout: float
) -> AsyncGenerator[bytes, None]:
    splitter = LineSplitter()
    while True:
        try:
            async with asyncio.timeout(read_timeout):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise ConnectionLost(f"watch of {path}: silent for {read_timeout:g} s") from error
        except ConnectionCut as error:
            raise ConnectionLost(f"watch of {path}: {error}") from error
        for line in splitter.feed(chunk):
            yield line


async def _once(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk


async def _whole(answer: Answer) -> Response:
    body = answer.body
    if not isinstance(body, bytes):
        body = await _rest(body)
    return Response(answer.status, CIMultiDict(answer.headers), body)


async def _rest(stream: Stream) -> bytes:
    try:
        return b"".join([chunk async for chunk in stream])
    finally:
        await stream.aclose()
