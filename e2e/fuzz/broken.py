"""Bytes that are no HTTP, and callers that are too slow or leave too early.

Holds: Broken (what is sent, in pieces, and how it ends), broken; Lingerers, connections that are
kept open: idle watches, readers that do not read, writers that do not finish.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass

from e2e.fuzz.values import junk

HOST = b"Host: f\r\n"
PODS = b"/api/v1/namespaces/default/pods"
MAPS = b"/api/v1/namespaces/default/configmaps"
LINGERERS = 400


@dataclass(frozen=True, slots=True)
class Broken:
    """What is written, piece by piece, and whether our side closes its half afterwards."""

    pieces: tuple[bytes, ...]
    half_close: bool

    def shown(self) -> str:
        """The pieces for a person, cut."""
        return " | ".join(repr(piece[:300]) for piece in self.pieces[:6])


def broken(rng: random.Random, token: str) -> Broken:
    """One connection's worth of bytes, decided by `rng` alone."""
    auth = b"Authorization: Bearer %b\r\n" % token.encode() if rng.random() < 0.7 else b""
    make = rng.choice((_line, _headers, _lengths, _chunks, _pipelined, _other, _cut))
    raw = make(rng, HOST + auth)
    if rng.random() < 0.3:
        raw = _mutated(rng, raw)
    return Broken(_pieces(rng, raw), rng.random() < 0.6)


def _line(rng: random.Random, head: bytes) -> bytes:
    lines = (
        b"GET",
        b"GET ",
        b"GET  /api HTTP/1.1",
        b"GET /api",
        b"GET /api HTTP/9.9",
        b"get /api HTTP/1.1",
        b"G\x00T /api HTTP/1.1",
        b"GET /api\x00 HTTP/1.1",
        b"GET /\xff\xfe HTTP/1.1",
        b"\r\n\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1",
        b"GET http://x/api/v1/pods HTTP/1.1",
        b"GET * HTTP/1.1",
        b"CONNECT x:1 HTTP/1.1",
        b"GET /api HTTP/1.0",
        b"GET /api HTTP/0.9",
        b" GET /api HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"GET /api/v1/pods?\xff=\xfe HTTP/1.1",
        b"GET ?x HTTP/1.1",
        b"GET # HTTP/1.1",
        b"GET api HTTP/1.1",
        b"A" * 400 + b" / HTTP/1.1",
        b"GET //[::1 HTTP/1.1",
        b"GET http://[/ HTTP/1.1",
        b"GET /api?a=b#c HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET /%E0%A4%A HTTP/1.1",
    )
    return rng.choice(lines) + rng.choice((b"\r\n", b"\n", b"\r", b"\r\n")) + head + b"\r\n"


def _headers(rng: random.Random, head: bytes) -> bytes:
    bombs = (
        b"X: " + b"a" * 20_000 + b"\r\n",
        b"".join(b"X-%d: a\r\n" % n for n in range(2000)),
        b"".join(b"X-%d: %b\r\n" % (n, b"b" * 4000) for n in range(120)),
        b": no name\r\n",
        b"X\r\n",
        b"X : a\r\n",
        b"X: a\r\n folded\r\n",
        b"X: \x00\r\n",
        b"X: a\rb\r\n",
        b"\xff\xfe: a\r\n",
        b"Accept: \xff\xfe\r\n",
        b"Content-Type: \xff\r\n",
        b"Host: a\r\nHost: b\r\n",
        b"X: a\n",
        b"Connection: close, keep-alive, upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n",
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: a\r\n",
        b"Accept-Encoding: \r\n",
        b"Authorization: Bearer " + b"a" * 8000 + b"\r\n",
        b"Authorization: \xff\xfe\r\n",
        b"Cookie: " + b"a=b; " * 1500 + b"\r\n",
        b"Range: bytes=0-,0-,0-\r\n",
        b"Expect: 100-continue\r\n",
    )
    return b"GET " + PODS + b" HTTP/1.1\r\n" + head + rng.choice(bombs) + b"\r\n"


def _lengths(rng: random.Random, head: bytes) -> bytes:
    lengths = (
        b"-1",
        b"0",
        b"5",
        b"1000",
        b"99999999999",
        b"9" * 40,
        b"abc",
        b"0x10",
        b"1_0",
        b"+5",
        b"5, 5",
        b" 5",
        b"5\r\nContent-Length: 6",
        b"5\r\nTransfer-Encoding: chunked",
        b"",
        b"3.0",
        b"\xd9\xa5",
        b"5\r\nContent-Encoding: gzip",
        b"30\r\nExpect: 100-continue",
    )
    body = rng.choice((b"", b"{}", b'{"metadata":{"name":"a"}}', b"x" * 5000, b"\x1f\x8b\x08\x00"))
    method = rng.choice((b"POST", b"PUT", b"GET", b"DELETE"))
    line = method + b" " + MAPS + b" HTTP/1.1\r\nContent-Type: application/json\r\n"
    return line + head + b"Content-Length: " + rng.choice(lengths) + b"\r\n\r\n" + body


def _chunks(rng: random.Random, head: bytes) -> bytes:
    lies = (
        b"2\r\n{}\r\n0\r\n\r\n",
        b"5\r\n{}\r\n0\r\n\r\n",
        b"ffffffffffffffff\r\n{}\r\n",
        b"-2\r\n{}\r\n",
        b"2;ext=" + b"a" * 9000 + b"\r\n{}\r\n0\r\n\r\n",
        b"x\r\n{}\r\n0\r\n\r\n",
        b"2\n{}\n0\n\n",
        b"0\r\n" + b"X: a\r\n" * 500 + b"\r\n",
        b"2\r\n{}",
        b"",
        b"2 \r\n{}\r\n0\r\n\r\n",
        b"0\r\n\r\nGET",
        b"1\r\n{\r\n" * 3000 + b"0\r\n\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}\r\n0\r\n: a\r\n\r\n",
    )
    coding = rng.choice((b"chunked", b"chunked", b"Chunked", b"gzip, chunked", b"identity", b"x"))
    line = b"POST " + MAPS + b" HTTP/1.1\r\nContent-Type: application/json\r\n"
    return line + head + b"Transfer-Encoding: " + coding + b"\r\n\r\n" + rng.choice(lies)


def _pipelined(rng: random.Random, head: bytes) -> bytes:
    one = b"GET " + PODS + b"?limit=1 HTTP/1.1\r\n" + head + b"\r\n"
    post = b"POST " + MAPS + b" HTTP/1.1\r\n" + head + b"Content-Length: 2\r\n\r\n{}"
    rest = rng.choice((b"", b"GARBAGE\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"))
    return rng.choice((one, post)) * rng.choice((2, 10, 300)) + rest


def _other(rng: random.Random, head: bytes) -> bytes:
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500)
    return rng.choice((hello, rng.randbytes(300), b"\x00" * 4000, b"SSH-2.0-x\r\n", b"\n" * 9000))


def _cut(rng: random.Random, head: bytes) -> bytes:
    whole = b"POST " + MAPS + b" HTTP/1.1\r\n" + head + b"Content-Length: 40\r\n\r\n" + b'{"a":' * 8
    return whole[: rng.randrange(len(whole))]


def _mutated(rng: random.Random, raw: bytes) -> bytes:
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(raw) + 1)
        odd = rng.choice((rng.randbytes(1), b"\r\n", b"\x00", b":", b" ", str(junk(rng)).encode()))
        raw = raw[:place] + odd[:200] + raw[place + rng.randint(0, 2) :]
    return raw


def _pieces(rng: random.Random, raw: bytes) -> tuple[bytes, ...]:
    if rng.random() < 0.6 or len(raw) < 3:
        return (raw,)
    cuts = sorted(rng.sample(range(1, len(raw)), min(len(raw) - 1, rng.choice((1, 2, 5)))))
    return tuple(raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True))


class Lingerers:
    """Connections kept open for as long as the run lasts, the oldest given up for the newest."""

    def __init__(self, port: int, token: str, limit: int = LINGERERS) -> None:
        self._port = port
        self._token = token.encode()
        self._limit = limit
        self._open: list[asyncio.StreamWriter] = []

    async def add(self, rng: random.Random) -> None:
        """One more that watches idly, does not read, or does not finish writing."""
        auth = b"Authorization: Bearer " + self._token + b"\r\n"
        watch = b"?watch=true&allowWatchBookmarks=true HTTP/1.1\r\n" + HOST + auth + b"\r\n"
        listing = b"GET " + MAPS + b" HTTP/1.1\r\n" + HOST + auth + b"\r\n"
        head = b"POST " + MAPS + b" HTTP/1.1\r\n" + HOST + auth + b"Content-Length: 100000\r\n\r\n{"
        sent = rng.choice(
            (b"GET " + MAPS + watch, b"GET " + PODS + watch, listing * 50, head, head[:40], b"")
        )
        # A small window, so that what is not read stays with the server.
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1024)
        writer.write(sent)
        if rng.random() < 0.2:
            with contextlib.suppress(OSError):
                writer.write_eof()
        self._open.append(writer)
        del reader
        while len(self._open) > self._limit:
            self._open.pop(0).transport.abort()

    def close(self) -> None:
        """All of them are gone, without a word."""
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()
