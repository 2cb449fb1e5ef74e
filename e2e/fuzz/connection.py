"""One kept connection of a caller, and one that sends what is no HTTP.

Holds: Connection, talk.
"""

from __future__ import annotations

import asyncio
import contextlib

from e2e.fuzz.broken import Broken


class Connection:
    """A keep-alive connection that reads whole answers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, raw: bytes, method: str) -> tuple[int, bytes]:
        """Status and body. ValueError when the answer is no HTTP.

        A kept connection that the server had closed meanwhile is replaced, as every client does.
        """
        kept = self._writer is not None
        try:
            status, body, stays = await self._ask(raw, method)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.close()
            if not kept:
                raise
            return await self.ask(raw, method)
        except BaseException:
            self.close()
            raise
        if not stays:
            self.close()
        return status, body

    async def _ask(self, raw: bytes, method: str) -> tuple[int, bytes, bool]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self._port, limit=1 << 20
            )
        self._writer.write(raw)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status, lower = int(head[9:12]), head.lower()
        if status == 100:
            head = await self._reader.readuntil(b"\r\n\r\n")
            status, lower = int(head[9:12]), head.lower()
        stays = b"connection: close" not in lower
        if method == "HEAD" or status in (204, 304):
            return status, b"", stays
        if b"transfer-encoding: chunked" in lower:
            return status, await self._chunked(), stays
        if b"content-length: " not in lower:
            return status, await self._reader.read(-1), False
        length = int(lower.split(b"content-length: ")[1].split(b"\r\n")[0])
        return status, await self._reader.readexactly(length), stays

    async def _chunked(self) -> bytes:
        whole = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            whole += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return whole

    def close(self) -> None:
        """The next request opens a new one."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None


async def talk(port: int, one: Broken) -> bytes:
    """What the server says to it: all of it when our side closes its half, else what comes soon."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in one.pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        await writer.drain()
        if one.half_close:
            writer.write_eof()
        heard = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if one.half_close else 0.05):
                while len(heard) < 1 << 20 and (more := await reader.read(1 << 16)):
                    heard += more
        return heard
    finally:
        writer.transport.abort()
