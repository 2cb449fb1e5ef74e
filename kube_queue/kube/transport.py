"""Bytes to an API server and back, over HTTP.

Holds: Response, Transport (what every way to a server promises), HttpTransport (aiohttp).
Paths are given percent-encoded, as ResourceType.path makes them; queries as plain pairs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from kube_queue.api.errors import ConnectionLost
from kube_queue.kube.credentials import Credentials
from kube_queue.kube.errors import refusal

JSON = "application/json"
CONNECT_SECONDS = 10.0
UNAUTHORIZED = 401

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Response:
    """One whole answer; header names are looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """A way to one API server."""

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
        """The server's answer, whatever its status.

        Raises ConnectionLost when there was none within `timeout` seconds: outcome unknown.
        """
        ...

    def stream(
        self, path: str, *, query: Query, read_timeout: float, accept: str = JSON
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """An open watch: one JSON line for each item, without its newline.

        Entering raises ApiError when the server refuses. The iterator ends when the server ends
        the answer and raises ConnectionLost when the connection breaks or nothing at all arrives
        for `read_timeout` seconds.
        """
        ...

    async def close(self) -> None:
        """Every connection is closed; the transport is not used again."""
        ...


class LineSplitter:
    """Cuts chunks of bytes into lines; lines have no upper length."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines this chunk completes, in order, empty ones left out."""
        head, newline, rest = chunk.partition(b"\n")
        if not newline:
            self._parts.append(chunk)
            return []
        first = b"".join((*self._parts, head))
        *lines, tail = rest.split(b"\n")
        self._parts = [tail] if tail else []
        return [line for line in (first, *lines) if line.strip()]


class HttpTransport:
    """Transport over HTTP/1.1 keep-alive connections, as many as there are requests at once."""

    def __init__(self, credentials: Credentials, *, user_agent: str = "kube-queue") -> None:
        self._credentials = credentials
        self._server = credentials.server.rstrip("/")
        # Compressed answers cost the API server more CPU than they save on any network it is on.
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._headers.update(credentials.headers)
        self._tls = credentials.ssl_context()
        self._session: aiohttp.ClientSession | None = None

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
        """See Transport. A 401 is asked once more with fresh credentials."""
        url = self._url(path, query)
        limits = aiohttp.ClientTimeout(total=timeout, sock_connect=CONNECT_SECONDS)
        renewed = False
        while True:
            headers = await self._request_headers(accept, renew=renewed)
            if body is not None:
                headers["Content-Type"] = content_type
            try:
                async with self._opened().request(
                    method,
                    url,
                    data=body,
                    headers=headers,
                    timeout=limits,
                    allow_redirects=False,
                    proxy=self._credentials.proxy or None,
                    server_hostname=self._server_hostname,
                ) as answer:
                    response = Response(answer.status, answer.headers, await answer.read())
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise ConnectionLost(self._problem(method, path, error)) from error
            if response.status != UNAUTHORIZED or renewed:
                return response
            renewed = True

    def stream(
        self, path: str, *, query: Query, read_timeout: float, accept: str = JSON
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """See Transport."""
        return self._stream(path, query, read_timeout, accept)

    @contextlib.asynccontextmanager
    async def _stream(
        self, path: str, query: Query, read_timeout: float, accept: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=read_timeout
        )
        headers = await self._request_headers(accept)
        try:
            answer = await self._opened().get(
                self._url(path, query),
                headers=headers,
                timeout=limits,
                allow_redirects=False,
                proxy=self._credentials.proxy or None,
                server_hostname=self._server_hostname,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ConnectionLost(self._problem("GET", path, error)) from error
        try:
            if answer.status >= 400:
                if answer.status == UNAUTHORIZED:
                    await self._credentials.authorization.header(renew=True)
                raise refusal(Response(answer.status, answer.headers, await self._rest(answer)))
            _keep_alive(answer)
            yield self._lines(answer, path)
        finally:
            # An unfinished answer cannot be read to its end: the connection goes with it.
            answer.close()

    async def _lines(self, answer: aiohttp.ClientResponse, path: str) -> AsyncIterator[bytes]:
        splitter = LineSplitter()
        try:
            async for chunk in answer.content.iter_any():
                for line in splitter.feed(chunk):
                    yield line
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ConnectionLost(self._problem("watch of", path, error)) from error

    async def _rest(self, answer: aiohttp.ClientResponse) -> bytes:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            # The status alone says what happened; the sentence is lost.
            return b""

    async def close(self) -> None:
        """See Transport."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _request_headers(self, accept: str, *, renew: bool = False) -> dict[str, str]:
        headers = {"Accept": accept}
        authorization = await self._credentials.authorization.header(renew=renew)
        if authorization:
            headers["Authorization"] = authorization
        return headers

    def _opened(self) -> aiohttp.ClientSession:
        # A session belongs to the loop it is made on, so it is made with the first request.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, ssl=self._tls if self._tls else True, keepalive_timeout=60.0
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                read_bufsize=2**18,
            )
        return self._session

    @property
    def _server_hostname(self) -> str | None:
        return self._credentials.tls_server_name or None

    def _url(self, path: str, query: Query) -> URL:
        text = self._server + path
        if query:
            text += "?" + urlencode(query)
        return URL(text, encoded=True)

    def _problem(self, method: str, path: str, error: BaseException) -> str:
        cause = str(error) or type(error).__name__
        return f"{method} {self._server}{path} got no answer: {cause}"


def _keep_alive(answer: aiohttp.ClientResponse) -> None:
    """A peer that vanished without a word is noticed by the kernel within about a minute."""
    connection = answer.connection
    transport = connection.transport if connection else None
    raw = transport.get_extra_info("socket") if transport else None
    if raw is None:
        return
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        option = getattr(socket, name, None)
        if option is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.IPPROTO_TCP, option, value)
