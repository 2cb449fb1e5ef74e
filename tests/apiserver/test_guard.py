"""Callers that are broken, slow, many or far away do not harm the others."""

import asyncio
import logging
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.fuzz.broken import broken
from e2e.fuzz.requests import Kinds, request
from kube_queue.apiserver import tls
from kube_queue.apiserver.core import ApiServer, Request
from kube_queue.apiserver.guard import is_loopback
from kube_queue.apiserver.http import RunningServer, serve
from kube_queue.apiserver.tls import self_signed
from tests.apiserver.client import CONFIG_MAPS, START, a_config_map, a_server
from tests.examples import examples

GET = b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n"
LISTED = GET % (CONFIG_MAPS.encode(), b"Authorization: Bearer right\r\n")
BROKEN = (
    b"GET\r\n\r\n",
    b"GET /api HTTP/9.9\r\n\r\n",
    b"G\x00T / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 400,
    GET % (b"/" + b"a" * 20_000, b""),
    GET % (b"/", b"X: %b\r\n" % (b"a" * 20_000)),
    GET % (b"/", b"".join(b"X-%d: a\r\n" % number for number in range(2000))),
    GET % (b"/", b": no name\r\n"),
    GET % (b"/\xff", b""),
    GET % (b"/", b"Accept: \xff\r\n"),
    GET % (b"/", b"Content-Length: 5\r\nContent-Length: 6\r\n"),
    GET % (b"/", b"Content-Length: -1\r\n"),
    GET % (b"/", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
    b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n"
    % CONFIG_MAPS.encode(),
)


@asynccontextmanager
async def serving(server: ApiServer, token: str = "right") -> AsyncIterator[RunningServer]:
    running = await serve(server, token=token)
    try:
        yield running
    finally:
        await running.close()
        await server.close()


async def said(running: RunningServer, sent: bytes, *, end: bool = False) -> bytes:
    """What comes back to those bytes, up to the end or a whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(sent)
    if end:
        writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read(1 << 16)
    writer.transport.abort()
    return answer


async def gone(reader: asyncio.StreamReader) -> None:
    """The other side has closed."""
    async with asyncio.timeout(10):
        try:
            while await reader.read(1 << 16):
                pass
        except ConnectionError:
            return


async def made(running: RunningServer, size: int, count: int = 1) -> None:
    headers = {"Authorization": "Bearer right"}
    async with aiohttp.ClientSession(running.url, headers=headers) as session:
        for number in range(count):
            value = a_config_map(f"large-{number}")
            value["data"]["key"] = "x" * size
            async with session.post(CONFIG_MAPS, json=value) as answer:
                assert answer.status == 201


@pytest.mark.parametrize("sent", BROKEN)
async def test_what_is_no_http_gets_a_400_and_is_not_logged(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(a_server(), token="") as running:
        assert (await said(running, sent)).startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
        assert (await said(running, GET % (b"/healthz", b""))).endswith(b"ok")
    assert not caplog.records


async def test_a_bug_of_ours_is_still_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Buggy:
        async def handle(self, request: Request) -> None:
            raise RuntimeError("a bug")

        async def close(self) -> None:
            pass

    async with serving(Buggy()) as running:  # type: ignore[arg-type]
        assert b" 500 " in await said(running, LISTED)
    assert "a bug" in caplog.text


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 10**6))
def test_any_bytes_on_a_connection_leave_the_server_well(seed: int) -> None:
    async def run() -> None:
        async with serving(a_server()) as running:
            for number in range(5):
                one = broken(random.Random(f"{seed}/{number}"), "right")
                reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
                writer.writelines(one.pieces)
                if one.half_close:
                    writer.write_eof()
                    async with asyncio.timeout(10):
                        heard = await reader.read(1 << 16)
                    assert not heard.startswith((b"HTTP/1.1 500", b"HTTP/1.0 500"))
                writer.transport.abort()
            assert b" 200 " in await said(running, LISTED)

    asyncio.run(run())


def served_kinds() -> Kinds:
    """What a fresh server says that it serves."""

    async def read() -> Kinds:
        server = a_server()

        def get(path: str) -> object:
            response = server._respond(Request("GET", path))
            assert isinstance(response.body, bytes)
            return orjson.loads(response.body)

        kinds = Kinds.read(get)
        await server.close()
        return kinds

    return asyncio.run(read())


KINDS = served_kinds()


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 10**6))
def test_no_request_about_any_kind_breaks_the_server(seed: int) -> None:
    async def run() -> None:
        server = a_server()
        for number in range(20):
            one = request(random.Random(f"{seed}/{number}"), KINDS)
            path, _, query = one.target.partition("?")
            pairs = tuple(tuple(pair.partition("=")[::2]) for pair in query.split("&") if pair)
            headers = {name.lower(): value for name, value in one.headers}
            if not all(value.isprintable() for value in headers.values()):
                continue
            response = await server.handle(Request(one.method, path, pairs, headers, one.body))  # type: ignore[arg-type]
            assert response.status < 500 or response.status in (501, 504)
            if not isinstance(response.body, bytes):
                await response.body.aclose()  # type: ignore[attr-defined]
            for _ in range(3):
                await asyncio.sleep(0)
        await server.close()

    asyncio.run(run())


async def test_connect_is_not_a_method_of_this_server() -> None:
    async with serving(a_server(), token="") as running:
        for method in (b"CONNECT", b"TRACE", b"LOCK"):
            answer = await said(running, method + b" /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 405 " in answer.split(b"\r\n")[0]


async def test_a_caller_that_waits_to_be_asked_for_its_body_is_asked() -> None:
    head = (
        b"POST %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Length: 29\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    async with serving(a_server()) as running:
        assert b" 401 " in await said(running, head % (CONFIG_MAPS.encode(), b"wrong"))
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(head % (CONFIG_MAPS.encode(), b"right"))
        async with asyncio.timeout(10):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b'{"metadata":{"name":"asked"}}')
            assert b" 201 " in await reader.readuntil(b"\r\n")
        writer.close()


async def test_strangers_make_room_for_who_has_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube_queue.apiserver.http.connection_limit", lambda: 5)
    async with serving(a_server()) as running:
        idle = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(5)]
        known = await asyncio.open_connection("127.0.0.1", running.port)
        known[1].write(LISTED)
        async with asyncio.timeout(10):
            assert b" 200 " in await known[0].readuntil(b"\r\n")
        await gone(idle[0][0])
        late = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(9)]
        for reader, _ in (*idle[1:], *late[:4]):
            await gone(reader)
        known[1].write(LISTED)
        async with asyncio.timeout(10):
            await known[0].readuntil(b"HTTP/1.1 200")
        for _, writer in (*idle, *late, known):
            writer.transport.abort()


async def test_a_connection_that_shows_no_token_does_not_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kube_queue.apiserver.guard.STRANGER_SECONDS", 0.05)
    async with serving(a_server()) as running:
        for sent in (b"", b"GET / HT", GET % (b"/api", b""), GET % (b"/healthz", b"")):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(sent)
            await gone(reader)
            writer.close()


async def test_a_reader_that_takes_nothing_of_a_list_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kube_queue.apiserver.guard.SEND_SECONDS", 0.05)
    monkeypatch.setattr("kube_queue.apiserver.guard.SLOWEST_READER", 1 << 30)
    async with serving(a_server()) as running:
        await made(running, 1_000_000, 20)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(LISTED)
        async with asyncio.timeout(10):
            while running.runner.server.connections:  # type: ignore[union-attr]
                await asyncio.sleep(0.01)
        writer.transport.abort()
        del reader


async def test_what_waits_for_slow_readers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kube_queue.apiserver.guard.UNREAD_LIMIT", 30_000_000)
    async with serving(a_server()) as running:
        await made(running, 1_000_000, 20)
        slow = await asyncio.open_connection("127.0.0.1", running.port, limit=1024)
        slow[1].write(LISTED)
        await slow[0].readuntil(b"\r\n\r\n")
        slow[1].transport.pause_reading()  # type: ignore[attr-defined]
        answer = await said(running, LISTED)
        assert b" 429 " in answer.split(b"\r\n")[0]
        assert b"Retry-After: 1" in answer
        assert b'"reason":"TooManyRequests"' in answer
        small = GET % (b"/api/v1/namespaces/default", b"Authorization: Bearer right\r\n")
        assert b" 200 " in await said(running, small)
        slow[1].transport.abort()
        async with asyncio.timeout(10):
            while b" 200 " not in (await said(running, LISTED)).split(b"\r\n")[0]:
                await asyncio.sleep(0.01)


async def test_a_watch_whose_reader_takes_nothing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kube_queue.apiserver.http.SEND_SECONDS", 0.05)
    server = a_server()
    async with serving(server) as running:
        await made(running, 1_000_000, 20)
        _, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1024)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        watch = CONFIG_MAPS.encode() + b"?watch=true"
        writer.write(GET % (watch, b"Authorization: Bearer right\r\n"))
        subscribers = server._world.store.collection("", "configmaps").subscribers
        async with asyncio.timeout(10):
            while not subscribers:
                await asyncio.sleep(0.01)
            while subscribers:
                await asyncio.sleep(0.01)
        writer.transport.abort()


@pytest.mark.parametrize(
    ("host", "close"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.com", False), ("", False),
    ],
)  # fmt: skip
def test_loopback_is_what_no_other_machine_reaches(host: str, close: bool) -> None:
    assert is_loopback(host) is close


@pytest.mark.parametrize(
    "lacking", ["remote", "token", "tls"], ids=["the explicit word", "a token", "TLS"]
)
async def test_other_machines_are_served_with_a_token_tls_and_the_word_only(lacking: str) -> None:
    given: dict[str, object] = {"remote": True, "token": "right", "tls": self_signed(START)}
    del given[lacking]
    server = a_server()
    with pytest.raises(ValueError, match="reached from other machines"):
        await serve(server, host="0.0.0.0", **given)  # type: ignore[arg-type]
    await server.close()


async def test_with_all_three_it_listens_there() -> None:
    server = a_server()
    own = self_signed(START)
    running = await serve(server, host="0.0.0.0", token="right", tls=own, remote=True)
    assert running.runner.addresses[0][0] == "0.0.0.0"
    await running.close()
    await server.close()


@pytest.mark.parametrize(
    ("flags", "missing"),
    [
        ([], "--allow-remote and --token-file and --certificate-file"),
        (["--allow-remote", "--token-file", "t"], "--certificate-file too"),
        (["--certificate-file", "c", "--token-file", "t"], "--allow-remote too"),
    ],
)
async def test_the_process_refuses_to_listen_elsewhere_without_them(
    flags: list[str], missing: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "kube_queue.apiserver", "--host", "0.0.0.0", *flags),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, error = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert "can be reached from other machines: that takes" in error.decode()
    assert missing in error.decode()


async def test_served_to_other_machines_its_certificate_names_the_address(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("right")
    command = (
        *("-m", "kube_queue.apiserver", "--host", "0.0.0.0", "--allow-remote"),
        *("--token-file", str(tmp_path / "token"), "--data-dir", str(tmp_path / "data")),
        *("--certificate-file", str(tmp_path / "certificate")),
    )
    kept("127.0.0.1", tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        plain = (await process.stdout.readline()).decode().strip()
        secure = (await process.stdout.readline()).decode().strip()
    process.terminate()
    await process.wait()
    assert plain.startswith("http://127.0.0.1:")
    assert secure.startswith("https://0.0.0.0:")
    certificate = x509.load_pem_x509_certificate((tmp_path / "certificate").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = {str(one) for one in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", "::1", "0.0.0.0"}


def kept(address: str, folder: Path) -> None:
    """A certificate from before, for that address alone."""
    (folder / "data").mkdir()
    found = tls.kept(folder / "data" / "certificate.pem", time.time(), [address])  # noqa: TID251
    again = tls.kept(folder / "data" / "certificate.pem", time.time(), [address])  # noqa: TID251
    assert found == again
