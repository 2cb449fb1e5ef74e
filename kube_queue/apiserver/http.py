"""The server on a socket: aiohttp's low-level server in front of ApiServer.

Holds: serve, RunningServer. Checks the bearer token, reads bodies within limits and time, sends
answers, and streams watches for as long as their readers keep up.
"""

import asyncio
import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict

from kube_queue.apiserver.body import BODY_LIMIT
from kube_queue.apiserver.guard import (
    SEND_SECONDS,
    GuardedServer,
    Outbox,
    ProtocolNoise,
    connection_limit,
    is_loopback,
)
from kube_queue.apiserver.messages import ConnectionCut, Handler, Request, Response
from kube_queue.apiserver.status import StatusError, bad_request, method_not_allowed, too_large
from kube_queue.apiserver.tls import Certificate

BODY_SECONDS = 30.0
"""How long a client may take to send a body."""
KEEPALIVE_SECONDS = 300.0
WARNINGS = 20
WARNING_LENGTH = 200
"""How many warnings of how many characters an answer may carry: headers must stay small."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OPEN = ("/healthz", "/readyz", "/livez")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LOGGER = logging.getLogger("kube_queue.apiserver")
_LOGGER.addFilter(ProtocolNoise())


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that listens at `url`."""

    port: int
    url: str
    runner: web.ServerRunner

    async def close(self) -> None:
        """Nothing listens any more; open connections are cut."""
        await self.runner.cleanup()


async def serve(
    server: Handler,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str = "",
    tls: Certificate | None = None,
    remote: bool = False,
) -> RunningServer:
    """The server listens; port 0 takes a free one. An empty token lets everybody in.

    An address that other machines can reach needs a token, TLS and the explicit `remote`; without
    any of them ValueError says what is missing.
    kubectl and client-go send a token from a kubeconfig only over TLS: give them a URL that was
    served with a certificate, which is also their certificate authority.
    """
    if not is_loopback(host) and not (remote and token and tls is not None):
        raise ValueError(
            f"{host} can be reached from other machines: to listen there takes a token, TLS, and "
            "to be told so explicitly"
        )
    front = _Front(server, token)
    low = GuardedServer(
        front.handle,
        limit=connection_limit(),
        request_factory=front.request,
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=KEEPALIVE_SECONDS,
        logger=_LOGGER,
    )
    front.known = low.known
    runner = web.ServerRunner(low, shutdown_timeout=0.0)
    await runner.setup()
    context = tls.context() if tls is not None else None
    site = web.TCPSite(runner, host, port, backlog=1024, ssl_context=context)
    await site.start()
    bound = int(runner.addresses[0][1])
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if tls is None else "https"
    return RunningServer(bound, f"{scheme}://{shown}:{bound}", runner)


class _Front:
    def __init__(self, server: Handler, token: str) -> None:
        self._server = server
        self._expected = f"Bearer {token}".encode() if token else b""
        self._outbox = Outbox()
        self.known: Callable[[RequestHandler], None] = lambda _: None
        """Told of a connection whose caller has shown the token."""

    def request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Any:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT + 1
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._server.handle(await self._read(request))
            if isinstance(response.body, bytes):
                answer = web.Response(
                    status=response.status, body=response.body, headers=_headers(response)
                )
                return await self._outbox.deliver(request, answer, len(response.body))
        except StatusError as refusal:
            body = orjson.dumps(refusal.body)
            return web.Response(
                status=refusal.code,
                body=body,
                content_type="application/json",
                headers=refusal.headers,
            )
        except ConnectionCut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        return await _stream(request, response)

    async def _read(self, request: web.BaseRequest) -> Request:
        target, _, query = request.raw_path.partition("?")
        try:
            # What is not UTF-8 stands as lone surrogates in these, which nothing can encode.
            for text in (request.raw_path, *request.headers.values()):
                if not text.isascii():
                    text.encode()
            path = unquote(target, errors="strict") if "%" in target else target
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict") if query else ()
        except ValueError:
            raise bad_request("the path, the query or a header is not valid UTF-8") from None
        self._authenticate(request, path)
        if request.method not in _METHODS:
            raise method_not_allowed()
        body = b""
        if request.body_exists:
            body = await _body(request)
        return Request(request.method, path, tuple(pairs), request.headers, body)

    def _authenticate(self, request: web.BaseRequest, path: str) -> None:
        if self._expected:
            given = request.headers.get("Authorization", "").encode()
            if not hmac.compare_digest(given, self._expected):
                if path.startswith(_OPEN):
                    return
                raise StatusError(401, "Unauthorized", "Unauthorized")
        self.known(request.protocol)


async def _body(request: web.BaseRequest) -> bytes:
    if (request.content_length or 0) > BODY_LIMIT:
        raise too_large(BODY_LIMIT)
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(_CONTINUE)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large(BODY_LIMIT) from None
    except TimeoutError:
        raise StatusError(
            408, "Timeout", f"the body did not arrive within {BODY_SECONDS:.0f} seconds"
        ) from None
    except (web.RequestPayloadError, ValueError):
        raise bad_request("the body cannot be read as its headers say") from None


def _headers(response: Response) -> CIMultiDict[str]:
    headers = CIMultiDict(response.headers)
    for text in response.warnings[:WARNINGS]:
        shown = "".join(letter if letter.isprintable() else " " for letter in text)
        if len(shown) > WARNING_LENGTH:
            shown = f"{shown[:WARNING_LENGTH]}..."
        quoted = shown.replace("\\", "\\\\").replace('"', '\\"')
        headers.add("Warning", f'299 - "{quoted}"')
    return headers


async def _stream(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    out = web.StreamResponse(status=response.status, headers=_headers(response))
    stream = response.body
    assert not isinstance(stream, bytes)
    transport = request.transport
    if transport is not None:
        stream.on_overflow(transport.abort)
    try:
        await out.prepare(request)
        while chunk := await stream.batch():
            async with asyncio.timeout(SEND_SECONDS):
                await out.write(chunk)
        await out.write_eof()
    except ConnectionError:
        pass  # The reader has gone; it resumes from the last version it saw.
    except (TimeoutError, ConnectionCut):
        if transport is not None:
            transport.abort()
    finally:
        await stream.aclose()
    return out
