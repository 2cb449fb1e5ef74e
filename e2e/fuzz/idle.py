"""Thousands of watches on which nothing happens for as long as the hostile callers are at work.

Holds: IdleWatches.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from dataclasses import dataclass, field

from e2e.fuzz.connection import Connection
from e2e.fuzz.patience import Patience
from e2e.fuzz.requests import Request
from e2e.fuzz.server import TOKEN, Unwell

NAMESPACE = "idle"
ROOT = "/api/v1/namespaces"
PLURALS = ("configmaps", "secrets", "serviceaccounts", "endpoints", "events")
"""What is watched; others write these kinds all the time, in other namespaces."""
AT_ONCE = 100
_JSON = (("Content-Type", "application/json"),)


@dataclass(frozen=True, slots=True)
class _Watch:
    plural: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@dataclass(slots=True)
class IdleWatches:
    """Open watches of a namespace in which nothing is written until `end`."""

    port: int
    patience: Patience
    _open: list[_Watch] = field(default_factory=list)

    async def begin(self, many: int) -> None:
        """So many are open and answered. Raises Unwell when one is not."""
        _allow_files(many)
        await self._create(ROOT, {"metadata": {"name": NAMESPACE}})
        for first in range(0, many, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, many))
            self._open += await asyncio.gather(*(self._watch(number) for number in numbers))

    async def _watch(self, number: int) -> _Watch:
        plural = PLURALS[number % len(PLURALS)]
        target = f"{ROOT}/{NAMESPACE}/{plural}?watch=true&timeoutSeconds=86400"
        try:
            async with self.patience.limit():
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=4096)
                writer.write(Request("GET", target).encode(TOKEN))
                head = await reader.readuntil(b"\r\n\r\n")
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as why:
            raise Unwell(f"idle watch {number} was not answered: {why!r}") from None
        if not head.startswith(b"HTTP/1.1 200 "):
            raise Unwell(f"idle watch {number} was answered {head[:200]!r}")
        return _Watch(plural, reader, writer)

    async def end(self) -> int:
        """Each of them still lives: it hears of an object made now; how many. Raises Unwell."""
        if not self._open:
            return 0
        for plural in PLURALS:
            about = {"involvedObject": {"namespace": NAMESPACE}} if plural == "events" else {}
            await self._create(
                f"{ROOT}/{NAMESPACE}/{plural}", {"metadata": {"name": "at-last"}} | about
            )
        heard = await asyncio.gather(*(self._hears(watch) for watch in self._open))
        deaf = [told for told in heard if told]
        if deaf:
            raise Unwell(f"{len(deaf)} of {len(heard)} idle watches were lost: {deaf[0]}")
        return len(heard)

    async def _hears(self, watch: _Watch) -> str:
        try:
            async with self.patience.limit():
                heard = b""
                while b'"name":"at-last"' not in heard:
                    size = int(await watch.reader.readuntil(b"\r\n"), 16)
                    heard = await watch.reader.readexactly(size + 2)
        except (TimeoutError, OSError, ValueError, asyncio.IncompleteReadError) as why:
            return f"of {watch.plural}: {why!r}"
        return ""

    async def _create(self, path: str, value: object) -> None:
        connection = Connection(self.port)
        one = Request("POST", path, _JSON, json.dumps(value).encode())
        async with self.patience.limit():
            status, body = await connection.ask(one.encode(TOKEN), one.method)
        connection.close()
        if status != 201:
            raise Unwell(f"{path} was answered {status}: {body[:300]!r}")

    def drop(self, number: int) -> None:
        """That one's connection is cut."""
        self._open[number].writer.transport.abort()

    def close(self) -> None:
        """All of them are gone, without a word."""
        for number in range(len(self._open)):
            self.drop(number)
        self._open.clear()


def _allow_files(many: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < many + 2000:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
