"""What goes in and out of the server, free of any HTTP framework.

Holds: Request, Response, Stream, Handler, ConnectionCut.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `path` is percent-decoded, header names are lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Stream(Protocol):
    """The body of a watch: lines of JSON, one by one or many at once. Close it when done early."""

    def on_overflow(self, act: Callable[[], None], /) -> None:
        """Have `act` called when the reader is cut off, so that a stuck write can be given up."""
        ...

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> bytes: ...

    async def batch(self) -> bytes:
        """The lines that are ready, at least one; empty when the stream has ended."""
        ...

    async def aclose(self) -> None:
        """The stream is over at once."""
        ...


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. A body that is no bytes is a watch."""

    status: int
    headers: Mapping[str, str]
    body: bytes | Stream
    warnings: tuple[str, ...] = ()
    """Values of Warning headers, already formatted as `299 - "text"`."""


class ConnectionCut(Exception):
    """The connection is to be cut without an answer, or without the rest of it."""


class Handler(Protocol):
    """Whatever answers requests."""

    async def handle(self, request: Request) -> Response:
        """The answer. Raises ConnectionCut when there is to be none."""
        ...

    async def close(self) -> None:
        """Every watch ends and nothing runs on."""
        ...
