"""The server on a socket: aiohttp's low-level server in front of ApiServer.

Holds: serve, RunningServer. Checks the bearer token, reads bodies within limits and time, sends
answers, and streams watches for as long as their readers keep up.
"""

import asyncio
import hmac
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson
from aiohttp import web
from multidict import CIMultiDict

from kube_queue.apiserver.body import BODY_LIMIT
from kube_queue.apiserver.core import ApiServer
from kube_queue.apiserver.messages import Request, Response
from kube_queue.apiserver.status import StatusError, bad_request, too_large
from kube_queue.apiserver.tls import Certificate
from kube_queue.apiserver.watch import WatchStream

BODY_SECONDS = 30.0
"""How long a client may take to send a body."""
KEEPALIVE_SECONDS = 300.0
WARNINGS = 20
WARNING_LENGTH = 200
"""How many warnings of how many characters an answer may carry: headers must stay small."""
_OPEN = ("/healthz", "/readyz", "/livez")


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
    server: ApiServer,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str = "",
    tls: Certificate | None = None,
) -> RunningServer:
    """The server listens; port 0 takes a free one. An empty token lets everybody in.

    kubectl and client-go send a token from a kubeconfig only over TLS: give them a URL that was
    served with a certificate, which is also their certificate authority.
    """
    front = _Front(server, token)
    low = web.Server(
        front.handle,
        request_factory=front.request,
        handler_cancellation=True,
        access_log=None,
        keepalive_timeout=KEEPALIVE_SECONDS,
    )
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
    def __init__(self, server: ApiServer, token: str) -> None:
        self._server = server
        self._expected = f"Bearer {token}".encode() if token else b""

    def request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Any:
        loop = asyncio.get_running_loop()
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT + 1
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            response = await self._server.handle(await self._read(request))
        except StatusError as refusal:
            body = orjson.dumps(refusal.body)
            return web.Response(status=refusal.code, body=body, content_type="application/json")
        if isinstance(response.body, bytes):
            return web.Response(
                status=response.status, body=response.body, headers=_headers(response)
            )
        return await _stream(request, response)

    async def _read(self, request: web.BaseRequest) -> Request:
        target, _, query = request.raw_path.partition("?")
        try:
            path = unquote(target, errors="strict") if "%" in target else target
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict") if query else ()
        except (UnicodeDecodeError, ValueError):
            raise bad_request("the path or query is not valid UTF-8") from None
        self._authenticate(request, path)
        body = b""
        if request.body_exists:
            body = await _body(request)
        return Request(request.method, path, tuple(pairs), request.headers, body)

    def _authenticate(self, request: web.BaseRequest, path: str) -> None:
        if not self._expected or path.startswith(_OPEN):
            return
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._expected):
            raise StatusError(401, "Unauthorized", "Unauthorized")


async def _body(request: web.BaseRequest) -> bytes:
    if (request.content_length or 0) > BODY_LIMIT:
        raise too_large(BODY_LIMIT)
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
    assert isinstance(stream, WatchStream)
    transport = request.transport
    if transport is not None:
        stream.on_overflow = transport.abort
    try:
        await out.prepare(request)
        while chunk := await stream.batch():
            await out.write(chunk)
        await out.write_eof()
    except ConnectionError:
        pass  # The reader has gone; it resumes from the last version it saw.
    finally:
        await stream.aclose()
    return out
