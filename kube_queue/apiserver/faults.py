"""Faults on purpose, for reliability tests: what a network and an overloaded server do to clients.

Holds: FaultPlan, FaultyServer, which stands before an ApiServer, in process or on a socket, and
LATE, the plan of a cluster in which nothing fails but nothing is known at once either.

To a request: it is delayed, refused (429 with Retry-After, 500, 503), lost with its connection
before or after it was carried out, or carried out twice, as by a proxy that tries again; a page of
a list is too old (410). To a watch: it is refused, too old (410, at once or in between), ended,
broken off, also within an event, silent from some event on, or late; or it lags behind all others.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import orjson

from kube_queue.apiserver.fault_streams import FaultyStream, LaggingStream
from kube_queue.apiserver.messages import ConnectionCut, Handler, Request, Response
from kube_queue.apiserver.status import StatusError, expired

_SPARED = ("/healthz", "/readyz", "/livez")
_REQUEST_FAULTS = ("throttled", "failed", "unavailable", "cut", "lost", "repeated")
_WATCH_FAULTS = ("throttled", "unavailable", "cut", "expired")
_STREAM_FAULTS = ("silent", "ended", "broken", "torn", "expired", "late")


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """How often what happens, as shares from 0 to 1."""

    request: float = 0.0
    """Of requests that are not watches: one fault of the list above."""
    watch: float = 0.0
    """Of watches: they are refused or too old at once."""
    stream: float = 0.0
    """Of watches that begin: they end otherwise than asked."""
    events: int = 20
    """After at most so many events they do."""
    silent: bool = True
    """Whether one of the ways is silence, which a client notices after minutes only."""
    delay: float = 0.0
    """Of requests: they are late, half of them before they are carried out, half afterwards."""
    delay_seconds: float = 2.0
    """By at most so much."""
    lag: float = 0.0
    """Seconds by which watches are behind at most, each by a lag of its own that changes."""

    @classmethod
    def evenly(cls, share: float) -> Self:
        """Every kind of fault with this share, except that half of all watches end badly."""
        return cls(request=share, watch=share, stream=0.5 if share else 0.0, delay=share)


LATE = FaultPlan(delay=0.3, delay_seconds=0.3, lag=0.8)


class FaultyServer:
    """An API server as clients meet it on a bad day. All chance comes from `rng`.

    `met` counts the faults by name. Health checks are spared.
    """

    def __init__(self, server: Handler, plan: FaultPlan, rng: random.Random) -> None:
        self._server = server
        self._plan = plan
        self._rng = rng
        self.met: Counter[str] = Counter()

    async def handle(self, request: Request) -> Response:
        """The server's answer, or a fault: a refusal, or ConnectionCut."""
        if request.path.startswith(_SPARED):
            return await self._server.handle(request)
        if self._happens(self._plan.delay, "delayed"):
            pause = self._rng.random() * self._plan.delay_seconds
            if self._rng.random() < 0.5:
                await asyncio.sleep(pause)
                return await self._answer(request)
            answer = await self._answer(request)
            await asyncio.sleep(pause)
            return answer
        return await self._answer(request)

    async def close(self) -> None:
        """The server behind it is closed."""
        await self._server.close()

    def _happens(self, share: float, name: str) -> bool:
        happens = self._rng.random() < share
        self.met[name] += happens
        return happens

    def _one_of(self, names: tuple[str, ...], share: float) -> str:
        if self._rng.random() >= share:
            return ""
        name = self._rng.choice(names)
        self.met[name] += 1
        return name

    async def _answer(self, request: Request) -> Response:
        query = dict(request.query)
        if request.method == "GET" and query.get("watch", "false") not in ("false", "0"):
            return await self._watch(request)
        fault = self._one_of(_REQUEST_FAULTS, self._plan.request)
        if fault == "failed" and "continue" in query:
            fault = "expired"
        self._refuse(fault)
        if fault == "expired":
            return _refused(expired("the continue parameter is too old (a fault on purpose)"))
        if fault in _REFUSALS:
            return _refused(_REFUSALS[fault]())
        answer = await self._server.handle(request)
        if fault == "repeated":
            answer = await self._server.handle(request)
        if fault == "lost":
            raise ConnectionCut("the answer is lost, on purpose")
        return answer

    def _refuse(self, fault: str) -> None:
        if fault == "cut":
            raise ConnectionCut("the request is lost, on purpose")

    async def _watch(self, request: Request) -> Response:
        fault = self._one_of(_WATCH_FAULTS, self._plan.watch)
        self._refuse(fault)
        if fault == "expired":
            return _refused(expired("too old resource version (a fault on purpose)"))
        if fault in _REFUSALS:
            return _refused(_REFUSALS[fault]())
        answer = self._lagging(await self._server.handle(request))
        faults = _STREAM_FAULTS if self._plan.silent else _STREAM_FAULTS[1:]
        stream_fault = self._one_of(faults, self._plan.stream)
        if not stream_fault or isinstance(answer.body, bytes):
            return answer
        body = FaultyStream(
            answer.body, stream_fault, self._rng.randint(0, self._plan.events), self._pause
        )
        return Response(answer.status, answer.headers, body)

    def _lagging(self, answer: Response) -> Response:
        if not self._plan.lag or isinstance(answer.body, bytes):
            return answer
        return Response(answer.status, answer.headers, LaggingStream(answer.body, self._lag))

    def _pause(self) -> float:
        return self._rng.random() * self._plan.delay_seconds

    def _lag(self) -> float:
        return self._rng.random() * self._plan.lag


def _throttled() -> StatusError:
    told = "too many requests, please try again later (a fault on purpose)"
    return StatusError(429, "TooManyRequests", told, {"retryAfterSeconds": 1}, {"Retry-After": "1"})


_REFUSALS: dict[str, Callable[[], StatusError]] = {
    "throttled": _throttled,
    "failed": lambda: StatusError(500, "InternalError", "an internal error, on purpose"),
    "unavailable": lambda: StatusError(503, "ServiceUnavailable", "not available, on purpose"),
}


def _refused(refusal: StatusError) -> Response:
    headers = {"Content-Type": "application/json", **refusal.headers}
    return Response(refusal.code, headers, orjson.dumps(refusal.body))
