"""A transport that plays a script, for faults no healthy server shows on demand.

It works on any loop, also in virtual time. Lists and watches are played in order, each with what
was asked recorded; other requests go to a handler.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import orjson
from multidict import CIMultiDict

from kube_queue.api.errors import ConnectionLost
from kube_queue.kube.errors import refusal
from kube_queue.kube.transport import Query, Response


@dataclass(frozen=True)
class Asked:
    """One request as it came, and when on the loop's clock."""

    method: str
    path: str
    query: dict[str, str]
    body: Any = None
    content_type: str = ""
    at: float = 0.0


@dataclass(frozen=True)
class Refusal:
    """An answer with a Status."""

    status: int
    reason: str = ""
    retry_after: float | None = None
    message: str = "refused by the script"

    def response(self) -> Response:
        headers = {} if self.retry_after is None else {"Retry-After": f"{self.retry_after:g}"}
        body = {"kind": "Status", "reason": self.reason, "message": self.message}
        return Response(self.status, CIMultiDict(headers), orjson.dumps(body))


class Dropped:
    """The connection breaks."""


class Silent:
    """Nothing comes any more, and the connection stays."""


@dataclass(frozen=True)
class Listed:
    """One page."""

    version: str
    items: Sequence[dict[str, Any]] = ()
    token: str = ""


@dataclass(frozen=True)
class Watched:
    """What one watch brings: events (dicts), raw lines (bytes), Dropped or Silent; then it ends."""

    steps: Sequence[Any] = ()
    seconds: float = 5.0
    """How long it stays open before its end."""


Step = Listed | Watched | Refusal | Dropped
Handler = Callable[[Asked], Awaitable[Any] | Any]


@dataclass
class ScriptedTransport:
    """Plays `script` for lists and watches; everything else is answered by `handler`.

    A handler returns a dict (200), a Response, or raises. `played` is set when the script has
    come to its end and one more list or watch was asked; that one never gets an answer.
    """

    script: list[Step] = field(default_factory=list)
    handler: Handler | None = None
    asked: list[Asked] = field(default_factory=list)
    played: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 30.0,
    ) -> Response:
        asked = self._note(method, path, query, body, content_type)
        if self.handler is None:
            step = await self._next()
            if isinstance(step, Refusal):
                return step.response()
            if isinstance(step, Dropped):
                raise ConnectionLost("dropped by the script")
            assert isinstance(step, Listed), f"the script has {step}, asked was {asked}"
            metadata = {"resourceVersion": step.version, "continue": step.token}
            return ok({"metadata": metadata, "items": list(step.items)})
        answer = self.handler(asked)
        if isinstance(answer, Awaitable):
            answer = await answer
        return answer if isinstance(answer, Response) else ok(answer)

    def stream(
        self, path: str, *, query: Query, read_timeout: float, accept: str = "application/json"
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self._stream(path, query, read_timeout)

    @contextlib.asynccontextmanager
    async def _stream(
        self, path: str, query: Query, read_timeout: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        asked = self._note("WATCH", path, query, None, "")
        step = await self._next()
        if isinstance(step, Refusal):
            raise refusal(step.response())
        if isinstance(step, Dropped):
            raise ConnectionLost("dropped by the script")
        assert isinstance(step, Watched), f"the script has {step}, asked was {asked}"
        yield self._play(step, read_timeout)

    async def _play(self, watched: Watched, read_timeout: float) -> AsyncIterator[bytes]:
        for step in watched.steps:
            if isinstance(step, Dropped):
                raise ConnectionLost("dropped by the script")
            if isinstance(step, Silent):
                await asyncio.sleep(read_timeout)
                raise ConnectionLost("silent for too long")
            yield step if isinstance(step, bytes) else orjson.dumps(step)
        await asyncio.sleep(watched.seconds)

    async def close(self) -> None:
        self.closed = True

    def paths(self) -> list[str]:
        """What was asked, short: "GET 10" and "WATCH 10" with the query's version."""
        return [
            f"{one.method} {one.query.get('resourceVersion', '')}".strip() for one in self.asked
        ]

    def _note(
        self, method: str, path: str, query: Query, body: bytes | None, content_type: str
    ) -> Asked:
        decoded = None if body is None else orjson.loads(body)
        at = asyncio.get_running_loop().time()
        asked = Asked(method, path, dict(query), decoded, content_type, at)
        self.asked.append(asked)
        return asked

    async def _next(self) -> Step:
        if not self.script:
            self.played.set()
            await asyncio.get_running_loop().create_future()
        return self.script.pop(0)


def ok(obj: dict[str, Any]) -> Response:
    """An answer 200."""
    return Response(200, CIMultiDict(), orjson.dumps(obj))


def an_object(name: str, version: str, *, uid: str = "", **more: Any) -> dict[str, Any]:
    """A pod in namespace team."""
    metadata = {
        "namespace": "team",
        "name": name,
        "uid": uid or f"uid-{name}",
        "resourceVersion": version,
    }
    return {"metadata": metadata, **more}


def event(type: str, obj: dict[str, Any]) -> dict[str, Any]:
    """A watch event."""
    return {"type": type, "object": obj}


def bookmark(version: str) -> dict[str, Any]:
    """A BOOKMARK event."""
    return event("BOOKMARK", {"metadata": {"resourceVersion": version}})


def error_event(code: int, reason: str) -> dict[str, Any]:
    """An ERROR event as servers send it in the middle of a watch."""
    return event("ERROR", {"kind": "Status", "code": code, "reason": reason, "message": "gone"})
