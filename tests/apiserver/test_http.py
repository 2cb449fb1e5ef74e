"""The socket: tokens, limits, TLS, slow readers, and the server as a process."""

import asyncio
import ssl
import sys
from pathlib import Path

import aiohttp

from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.http import RunningServer, serve
from kube_queue.apiserver.tls import self_signed
from tests.apiserver.client import CONFIG_MAPS, START, a_config_map, a_server


async def raw(running: RunningServer, *lines: bytes) -> bytes:
    """What the server says to those bytes before it closes or pauses."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"".join(lines))
    async with asyncio.timeout(30):
        answer = await reader.read(65536)
    writer.close()
    return answer


async def test_only_who_has_the_token_is_served() -> None:
    running = await serve(a_server(), token="right")
    async with aiohttp.ClientSession(running.url) as session:
        for token, status in (("", 401), ("Bearer wrong", 401), ("Bearer right", 200)):
            headers = {"Authorization": token} if token else {}
            async with session.get("/api/v1/namespaces", headers=headers) as response:
                assert response.status == status
                assert (await response.json())["kind"] in ("Status", "NamespaceList")
        for path in ("/healthz", "/readyz", "/livez", "/livez/ping"):
            async with session.get(path) as response:
                assert (response.status, await response.text()) == (200, "ok")
    await running.close()


async def test_a_large_body_is_refused_before_it_is_read() -> None:
    running = await serve(a_server())
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
    answer = await raw(running, head % CONFIG_MAPS.encode())
    assert b"413" in answer.split(b"\r\n")[0]
    assert b"Request entity too large" in answer
    await running.close()


async def test_a_large_body_in_pieces_is_refused_too() -> None:
    running = await serve(a_server())

    async def pieces() -> object:
        for _ in range(5):
            yield b" " * 1_000_000

    async with (
        aiohttp.ClientSession(running.url) as session,
        session.post(CONFIG_MAPS, data=pieces()) as response,
    ):
        assert response.status == 413
    await running.close()


async def test_a_slow_body_times_out(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("kube_queue.apiserver.http.BODY_SECONDS", 0.05)
    running = await serve(a_server())
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{" % CONFIG_MAPS.encode()
    assert b" 408 " in (await raw(running, head)).split(b"\r\n")[0]
    await running.close()


async def test_bytes_that_are_no_request_get_a_400() -> None:
    running = await serve(a_server())
    assert b" 400 " in (await raw(running, b"\x00\x01\x02\r\n\r\n")).split(b"\r\n")[0]
    bad_path = b"GET /api/%ff HTTP/1.1\r\nHost: x\r\n\r\n"
    assert b" 400 " in (await raw(running, bad_path)).split(b"\r\n")[0]
    await running.close()


async def test_warnings_fit_into_headers_whatever_they_are_about() -> None:
    running = await serve(a_server())
    odd = {"metadata": {"name": "a"}, "new\r\nline: x": 1, "long" * 5000: 1, "ü": 1}
    odd |= {f"field{number}": 1 for number in range(100)}
    async with (
        aiohttp.ClientSession(running.url) as session,
        session.post(CONFIG_MAPS, json=odd) as response,
    ):
        assert response.status == 201
        warnings = response.headers.getall("Warning")
        assert len(warnings) == 20
        assert warnings[0] == '299 - "unknown field \\"new  line: x\\""'
        assert max(map(len, warnings)) < 250
    await running.close()


async def test_a_reader_that_does_not_read_is_cut_off() -> None:
    server = a_server()
    running = await serve(server)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1024)
    writer.write(b"GET %s?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n" % CONFIG_MAPS.encode())
    await reader.readuntil(b"\r\n\r\n")
    async with aiohttp.ClientSession(running.url) as session:
        big = a_config_map()
        big["data"]["key"] = "x" * 1000
        async with session.post(CONFIG_MAPS, json=big) as response:
            assert response.status == 201
        await flood(server, 30_000)
        async with session.get("/api/v1/namespaces") as response:
            assert response.status == 200
    async with asyncio.timeout(10):
        while True:
            try:
                if not await reader.read(1 << 20):
                    break
            except ConnectionError:
                break
    writer.close()
    await running.close()


async def flood(server: ApiServer, count: int) -> None:
    """Many changes of one object, straight into the store."""
    collection = server._world.store.collection("", "configmaps")
    obj = collection.records["default/a"].decode()
    for number in range(count):
        obj["data"]["n"] = str(number)
        server._world.store.put(collection, obj)
        if number % 1000 == 0:
            await asyncio.sleep(0)


async def test_a_reader_that_leaves_is_forgotten() -> None:
    server = a_server()
    running = await serve(server)
    collection = server._world.store.collection("", "configmaps")
    async with aiohttp.ClientSession(running.url) as session:
        response = await session.get(CONFIG_MAPS, params={"watch": "1"})
        assert len(collection.subscribers) == 1
        response.close()
        async with asyncio.timeout(30):
            while collection.subscribers:
                await asyncio.sleep(0.01)
    await running.close()


async def test_tls_is_served_with_a_certificate_of_its_own() -> None:
    certificate = self_signed(START)
    assert self_signed(START).certificate != certificate.certificate
    import time

    now = self_signed(time.time())  # noqa: TID251
    running = await serve(a_server(), token="t", tls=now)
    context = ssl.create_default_context(cadata=now.certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    async with aiohttp.ClientSession(running.url, headers={"Authorization": "Bearer t"}) as session:
        async with session.get("/api/v1/namespaces", ssl=context) as response:
            assert response.status == 200
        local = f"https://localhost:{running.port}/healthz"
        async with session.get(local, ssl=context) as response:
            assert response.status == 200
    await running.close()


async def test_the_process_prints_its_urls_and_ends_with_its_input(tmp_path: Path) -> None:
    token, certificate = tmp_path / "token", tmp_path / "cert.pem"
    token.write_text("secret\n")
    command = ["-m", "kube_queue.apiserver", "--port", "0", "--exit-with-stdin"]
    command += ["--token-file", str(token), "--certificate-file", str(certificate)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(30):
        plain = (await process.stdout.readline()).decode().strip()
        tls = (await process.stdout.readline()).decode().strip()
        headers = {"Authorization": "Bearer secret"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.get(f"{plain}/version") as response:
                assert response.status == 200
            context = ssl.create_default_context(cafile=str(certificate))
            async with session.get(f"{tls}/version", ssl=context) as response:
                assert response.status == 200
        process.stdin.close()
        assert await process.wait() == 0
