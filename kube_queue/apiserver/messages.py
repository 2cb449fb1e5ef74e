"""What goes in and out of the server, free of any HTTP framework.

Holds: Request, Response.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `path` is percent-decoded, header names are lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Response:
    """One answer. A body that is an async iterator is a watch: one JSON line for each item.

    Whoever takes such a body must close it (`aclose()`) when done early.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes | AsyncIterator[bytes]
    warnings: tuple[str, ...] = ()
    """Values of Warning headers, already formatted as `299 - "text"`."""
