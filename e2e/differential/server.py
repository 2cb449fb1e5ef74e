"""The two servers, and how they are spoken to.

Holds: Server, Answer; embedded() and genuine(), which give one that serves.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.http import serve
from kube_queue.controlplane.cluster import ControlPlane, Shape, binaries_for

REQUEST_SECONDS = 90.0
EVENT_SECONDS = 30.0
"""How long a watch may take to show what is expected of it."""
LINE_LIMIT = 2**22
TOO_MANY = 429
_RETRY_SECONDS = 0.2
# Who plays parts that other programs play here: the job controller is the simulator's, for one.
_CONTROLLERS = (
    "namespace-controller",
    "garbage-collector-controller",
    "resourcequota-controller",
    "serviceaccount-controller",
)


@dataclass(slots=True)
class Answer:
    """What a server said. `events` of a watch; `late` says what was not seen in time."""

    status: int
    media: str
    warnings: list[str] = field(default_factory=list)
    body: Any = None
    events: list[Any] | None = None
    late: str = ""


class Server:
    """One server."""

    def __init__(self, name: str, url: str, session: aiohttp.ClientSession) -> None:
        self.name = name
        self._url = url
        self._session = session

    async def ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """The answer; a storage that is not ready yet is asked again."""
        while True:
            async with self._request(method, path, headers, body) as reply:
                answer = _head(reply)
                answer.body = _parsed(await reply.read())
            if answer.status != TOO_MANY:
                return answer
            await asyncio.sleep(_RETRY_SECONDS)

    async def watch(
        self,
        path: str,
        headers: dict[str, str],
        wanted: int,
        meanwhile: Callable[[], Awaitable[None]],
    ) -> Answer:
        """The first events of a watch that is open while `meanwhile` is done."""
        async with self._request("GET", path, headers, b"") as reply:
            answer = _head(reply)
            await meanwhile()
            if answer.status != 200:
                answer.body = _parsed(await reply.read())
                return answer
            answer.events = []
            try:
                async with asyncio.timeout(EVENT_SECONDS):
                    while not wanted or len(answer.events) < wanted:
                        line = await reply.content.readline()
                        if not line:
                            break
                        answer.events.append(_parsed(line))
            except TimeoutError:
                answer.late = f"{len(answer.events)} events in {EVENT_SECONDS:.0f} s"
            return answer

    def _request(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Any:
        # Encoded as it stands: what a path means is part of what is compared.
        return self._session.request(
            method, _encoded(self._url, path), headers=headers, data=body or None
        )


def _encoded(url: str, path: str) -> Any:
    from urllib.parse import quote

    from yarl import URL

    target, mark, query = path.partition("?")
    safe = quote(target, safe="/:%~@!$'()*,;=+") + mark + quote(query, safe="=&%/:!(),.*+~")
    return URL(url + safe, encoded=True)


def _head(reply: aiohttp.ClientResponse) -> Answer:
    warnings = [_quoted(text) for text in reply.headers.getall("Warning", [])]
    return Answer(reply.status, reply.content_type, warnings)


def _quoted(text: str) -> str:
    """What a Warning header quotes."""
    return text.partition('"')[2].rpartition('"')[0].replace('\\"', '"')


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace").strip()


@asynccontextmanager
async def embedded() -> AsyncIterator[Server]:
    """The embedded server, on a port of the loopback interface."""
    server = ApiServer(clock=time.time, rng=random.SystemRandom())
    front = await serve(server)
    try:
        async with _session(None) as session:
            yield Server("embedded", front.url, session)
    finally:
        await front.close()
        await server.close()


@asynccontextmanager
async def genuine(say: Callable[[str], None]) -> AsyncIterator[Server]:
    """etcd, kube-apiserver and the controllers that belong to the API's own behaviour.

    Raises ControlPlaneError.
    """
    shape = Shape(scheduler=False, controllers=_CONTROLLERS)
    binaries = await binaries_for(shape, say)
    with tempfile.TemporaryDirectory(prefix="kube-queue-differential-") as folder:
        plane = ControlPlane(Path(folder), shape, binaries, say)
        try:
            await plane.serve()
            await plane.populate()
            trusted = ssl.create_default_context(cadata=plane.authority)
            async with _session(trusted, plane.token) as session:
                yield Server("kubernetes", plane.server, session)
        finally:
            await plane.stop(kill=True)


def _session(trusted: ssl.SSLContext | None, token: str = "") -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {token}"} if token else {},
        connector=aiohttp.TCPConnector(ssl=trusted or True, limit=0),
        timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        read_bufsize=LINE_LIMIT,
    )
