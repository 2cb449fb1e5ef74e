"""Bytes over real sockets, against a server that misbehaves on request."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.errors import ConnectionLost, Expired, InvalidSetting, TooManyRequests
from kube_queue.kube.credentials import ClientCertificate, Credentials, FixedAuthorization
from kube_queue.kube.transport import HttpTransport, LineSplitter

TLS = Path(__file__).parent / "tls"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, **options: ssl.SSLContext) -> AsyncIterator[TestServer]:
    """A server on a free port with one handler for everything."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app, scheme="https" if options else "http")
    await server.start_server(**options)
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def speaking(
    handler: Handler, credentials: Credentials | None = None
) -> AsyncIterator[HttpTransport]:
    """A transport to such a server."""
    async with serving(handler) as server:
        known = replace(credentials or Credentials(""), server=str(server.make_url("")))
        transport = HttpTransport(known, user_agent="tester/1")
        try:
            yield transport
        finally:
            await transport.close()


async def stream_of(request: web.BaseRequest) -> web.StreamResponse:
    """A chunked answer, begun."""
    answer = web.StreamResponse()
    answer.content_type = "application/json"
    await answer.prepare(request)
    return answer


def drop(request: web.BaseRequest) -> None:
    """The connection is cut without a goodbye."""
    assert request.transport is not None
    request.transport.abort()


async def test_a_request_carries_what_it_was_given_and_brings_the_answer_back() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        assert request.method == "PATCH"
        assert request.raw_path == "/api/v1/namespaces/a%20b/pods/x%3Ay?dryRun=All&q=a%2Cb+c"
        assert request.headers["Content-Type"] == "application/merge-patch+json"
        assert request.headers["Accept"] == "application/yaml"
        assert request.headers["User-Agent"] == "tester/1"
        assert request.headers["Authorization"] == "Bearer secret"
        assert request.headers["Impersonate-User"] == "ann"
        return web.Response(body=await request.read() + b"!", status=422, headers={"X-One": "1"})

    identity = Credentials(
        "",
        authorization=FixedAuthorization("Bearer secret"),
        headers={"Impersonate-User": "ann"},
    )
    async with speaking(handler, identity) as transport:
        response = await transport.request(
            "PATCH",
            "/api/v1/namespaces/a%20b/pods/x%3Ay",
            query=[("dryRun", "All"), ("q", "a,b c")],
            body=b"{}",
            content_type="application/merge-patch+json",
            accept="application/yaml",
        )
    assert (response.status, response.body, response.headers["x-one"]) == (422, b"{}!", "1")


async def test_a_dropped_connection_and_a_closed_port_are_lost_connections() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        drop(request)
        return web.Response()

    async with speaking(handler) as transport:
        with pytest.raises(ConnectionLost, match=r"POST .*/api got no answer"):
            await transport.request("POST", "/api", body=b"{}")
        closed = HttpTransport(Credentials("http://127.0.0.1:1"))
        with pytest.raises(ConnectionLost):
            await closed.request("GET", "/api")
        with pytest.raises(ConnectionLost):
            async with closed.stream("/api", query=[], read_timeout=1):
                pass
        await closed.close()


async def test_an_answer_that_takes_too_long_is_a_lost_connection() -> None:
    release = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        await release.wait()
        return web.Response()

    async with speaking(handler) as transport:
        with pytest.raises(ConnectionLost):
            await transport.request("GET", "/api", timeout=0.05)
        release.set()


async def test_a_redirect_is_not_followed_with_our_credentials() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with speaking(handler) as transport:
        assert (await transport.request("GET", "/api")).status == 302


async def test_lines_come_whole_however_they_were_cut() -> None:
    long = b'{"long":"' + b"x" * 3_000_000 + b'"}'

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        assert request.query["watch"] == "true"
        answer = await stream_of(request)
        for part in (b'{"a":', b'1}\n{"b":2}\n\n', long + b"\n", b'{"half'):
            await answer.write(part)
        await answer.write_eof()
        return answer

    async with (
        speaking(handler) as transport,
        transport.stream("/api", query=[("watch", "true")], read_timeout=30) as lines,
    ):
        assert [line async for line in lines] == [b'{"a":1}', b'{"b":2}', long]


async def test_a_refused_stream_raises_what_the_server_said() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        if request.path == "/gone":
            return web.json_response({"reason": "Expired", "message": "too old"}, status=410)
        return web.Response(status=429, headers={"Retry-After": "3"}, text="busy")

    async with speaking(handler) as transport:
        with pytest.raises(Expired, match="too old"):
            async with transport.stream("/gone", query=[], read_timeout=30):
                pass
        with pytest.raises(TooManyRequests, match="busy") as caught:
            async with transport.stream("/busy", query=[], read_timeout=30):
                pass
        assert caught.value.retry_after == 3


async def test_a_stream_cut_in_the_middle_brings_its_whole_lines_and_then_is_lost() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        answer = await stream_of(request)
        await answer.write(b'{"a":1}\n{"b":')
        drop(request)
        return answer

    got = []
    async with speaking(handler) as transport:
        with pytest.raises(ConnectionLost):
            async with transport.stream("/api", query=[], read_timeout=30) as lines:
                async for line in lines:
                    got.append(line)
    assert got == [b'{"a":1}']


async def test_a_stream_that_falls_silent_is_lost_after_the_read_timeout() -> None:
    release = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        answer = await stream_of(request)
        await answer.write(b'{"a":1}\n')
        await release.wait()
        return answer

    async with speaking(handler) as transport:
        with pytest.raises(ConnectionLost):
            async with transport.stream("/api", query=[], read_timeout=0.1) as lines:
                assert await anext(lines) == b'{"a":1}'
                await anext(lines)
        release.set()


async def test_a_stream_left_early_closes_its_connection() -> None:
    left = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        answer = await stream_of(request)
        try:
            while True:
                await answer.write(b"{}\n")
                await asyncio.sleep(0.001)
        finally:
            # The server cancels a handler whose client has gone.
            left.set()

    async with speaking(handler) as transport:
        async with transport.stream("/api", query=[], read_timeout=30) as lines:
            await anext(lines)
        async with asyncio.timeout(10):
            await left.wait()


async def test_a_refused_token_is_renewed_once_and_the_request_repeated() -> None:
    class Renewing:
        def __init__(self) -> None:
            self.value = "Bearer old"

        async def header(self, *, renew: bool = False) -> str:
            if renew:
                self.value = "Bearer new"
            return self.value

    seen: list[str] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append(request.headers["Authorization"])
        allowed = request.headers["Authorization"] == "Bearer new" and request.path != "/never"
        return web.Response(status=200 if allowed else 401, text="{}")

    async with speaking(handler, Credentials("", authorization=Renewing())) as transport:
        assert (await transport.request("GET", "/api")).status == 200
        assert seen == ["Bearer old", "Bearer new"]
        assert (await transport.request("GET", "/never")).status == 401
        assert len(seen) == 4


async def hello(request: web.BaseRequest) -> web.Response:
    """The name on the client's certificate."""
    assert request.transport is not None
    certificate = request.transport.get_extra_info("peercert") or {}
    return web.Response(text=str(dict(one[0] for one in certificate.get("subject", ()))))


@asynccontextmanager
async def secured() -> AsyncIterator[str]:
    """The address of a server with a certificate that asks for the client's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.crt", TLS / "server.key")
    context.load_verify_locations(TLS / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    async with serving(hello, ssl=context) as server:
        yield f"https://127.0.0.1:{server.port}"


CA = (TLS / "ca.crt").read_bytes()
CERTIFICATE = ClientCertificate(
    (TLS / "client.crt").read_bytes(), (TLS / "client.key").read_bytes()
)


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials("", ca=CA, client_certificate=CERTIFICATE),
        Credentials("", ca=CA, client_certificate=CERTIFICATE, tls_server_name="kubernetes.test"),
        Credentials("", verify=False, client_certificate=CERTIFICATE),
    ],
    ids=["own authority", "another server name", "not verified"],
)
async def test_a_client_certificate_is_presented_over_tls(credentials: Credentials) -> None:
    async with secured() as server:
        transport = HttpTransport(replace(credentials, server=server))
        response = await transport.request("GET", "/")
        await transport.close()
    assert b"'commonName': 'client'" in response.body


@pytest.mark.parametrize(
    "credentials",
    [Credentials(""), Credentials("", ca=CA, tls_server_name="wrong.test")],
    ids=["unknown authority", "wrong name"],
)
async def test_a_server_that_cannot_prove_who_it_is_gets_nothing(credentials: Credentials) -> None:
    async with secured() as server:
        transport = HttpTransport(replace(credentials, server=server))
        with pytest.raises(ConnectionLost, match="certificate"):
            await transport.request("GET", "/")
        await transport.close()


@pytest.mark.parametrize(
    ("credentials", "problem"),
    [
        (Credentials("https://h", ca=b"no pem"), "certificate-authority"),
        (
            Credentials("https://h", client_certificate=ClientCertificate(b"x", b"y")),
            "client-certificate",
        ),
    ],
)
def test_unusable_certificates_are_named_before_anything_is_sent(
    credentials: Credentials, problem: str
) -> None:
    with pytest.raises(InvalidSetting, match=problem):
        HttpTransport(credentials)


@given(st.lists(st.binary(min_size=1).map(lambda line: line.replace(b"\n", b"."))), st.data())
def test_lines_do_not_depend_on_where_chunks_are_cut(
    lines: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter()
    got: list[bytes] = []
    while whole:
        size = data.draw(st.integers(1, len(whole)))
        got += splitter.feed(whole[:size])
        whole = whole[size:]
    assert got == [line for line in lines if line.strip()]
