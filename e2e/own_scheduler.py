"""A co-scheduler of a scenario's own, whose bindings go wrong as the scenario says.

Between it and the API server stands a proxy that hands everything on, except that a binding may be
refused, kept from the server, or answered with silence after the server has taken it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import yaml
from aiohttp import web

from e2e.world import Unmet, World
from kube_queue.app.kubeconfig import write_kubeconfig

NAME: Final = "kube-queue.example-scheduler"
"""The spec.schedulerName of pods that this scheduler places."""
LEASE: Final = "scheduler-of-a-scenario"
READY_WITHIN: Final = 60.0
BIND_SECONDS: Final = 1.0
_BINDING: Final = re.compile(r"/api/v1/namespaces/[^/]+/pods/([^/]+)/binding")
_HOP: Final = frozenset({"host", "content-length", "transfer-encoding", "connection"})


class Fault(Enum):
    """What becomes of one binding."""

    NONE = "handed on"
    REFUSED = "answered 409, and the server never saw it"
    LOST = "no answer, and the server never saw it"
    UNANSWERED = "no answer, but the server has taken it"


Judge = Callable[[int, str], Fault]
"""From the number of the request, counted from 0, and the pod's name, what becomes of it."""


def _as_it_is(index: int, pod: str) -> Fault:
    del index, pod
    return Fault.NONE


class Proxy:
    """Stands before the API server of a world; `judge` may be changed at any moment."""

    def __init__(self, kubeconfig: Path) -> None:
        self.judge: Judge = _as_it_is
        self.asked: list[str] = []
        """Pods whose bindings were asked for, one a request."""
        self.server, self.token, self._tls = _way_to(kubeconfig)
        self._closed = asyncio.Event()
        self._under_way: set[asyncio.Task[web.Response]] = set()
        """Bindings on their way to the server."""
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def open(self) -> str:
        """It serves; its address is returned."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._tls or True),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        application = web.Application(client_max_size=64 * 2**20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        # Whoever is killed asks no more: its requests end with it.
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def close(self) -> None:
        """It serves no more."""
        self._closed.set()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        found = _BINDING.fullmatch(request.path) if request.method == "POST" else None
        if found is None:
            return await self._hand_on(request)
        body = await request.read()
        fault = self.judge(len(self.asked), found[1])
        self.asked.append(found[1])
        if fault is Fault.REFUSED:
            return _conflict(found[1])
        if fault in (Fault.NONE, Fault.UNANSWERED):
            # What was judged to arrive arrives, even if whoever asked is killed meanwhile.
            task = asyncio.create_task(self._take(request, body))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            answer = await asyncio.shield(task)
            if fault is Fault.NONE:
                return answer
        await self._closed.wait()
        return _conflict(found[1])

    async def settled(self) -> None:
        """Every binding that is to arrive has arrived."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _asked_of(self, request: web.Request, body: bytes) -> Any:
        assert self._session is not None
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
        url = f"{self.server}{request.raw_path}"
        return self._session.request(request.method, url, headers=headers, data=body or None)

    async def _take(self, request: web.Request, body: bytes) -> web.Response:
        async with self._asked_of(request, body) as answer:
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def _hand_on(self, request: web.Request) -> web.StreamResponse:
        async with self._asked_of(request, await request.read()) as answer:
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            # Whoever asked may have been killed meanwhile.
            with contextlib.suppress(ConnectionResetError):
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response


class OwnScheduler:
    """A process of `kube-queue scheduler` behind a proxy, which can be killed and started again."""

    def __init__(self, proxy: Proxy, folder: Path) -> None:
        self.proxy = proxy
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """It leads and knows what exists. Raises Unmet."""
        words: tuple[str, ...] = ("--kubeconfig", str(self._folder / "kubeconfig"))
        words += ("--config", str(self._folder / "settings.yaml"), "--port", "0", "--child")
        words += ("--scheduler-names", NAME)
        with (self._folder / "scheduler.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "kube_queue", "scheduler", *words),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_WITHIN):
                line = await self._process.stdout.readline()
        try:
            json.loads(line)
        except ValueError:
            said = (self._folder / "scheduler.log").read_text(encoding="utf-8").splitlines()
            raise Unmet(f"the scheduler did not start: {' / '.join(said[-3:])}") from None

    async def kill(self) -> None:
        """It is gone, by signal 9, and so is what it had sent."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        await self.proxy.settled()

    def log(self) -> str:
        """What it has logged."""
        return (self._folder / "scheduler.log").read_text(encoding="utf-8")


@asynccontextmanager
async def own_scheduler(world: World) -> AsyncIterator[OwnScheduler]:
    """A scheduler of pods that name it, which leads; it is gone after the block."""
    with tempfile.TemporaryDirectory(prefix="kube-queue-scheduler-") as name:
        folder = Path(name)
        proxy = Proxy(world.cluster.kubeconfig)
        try:
            write_kubeconfig(folder / "kubeconfig", server=await proxy.open(), token=proxy.token)
            settings = {
                # One identity: who is started again need not wait for its own Lease to end.
                "leader": {"scheduler_lease": LEASE, "identity": LEASE},
                "scheduler": {"bind_seconds": BIND_SECONDS},
            }
            written = yaml.safe_dump(settings)
            (folder / "settings.yaml").write_text(written, encoding="utf-8")
            scheduler = OwnScheduler(proxy, folder)
            await scheduler.start()
            try:
                yield scheduler
            finally:
                await scheduler.kill()
        finally:
            await proxy.close()


def _conflict(pod: str) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'Operation cannot be fulfilled on pods/binding "{pod}": tried in between',
        "reason": "Conflict",
        "details": {"name": pod, "kind": "pods/binding"},
        "code": 409,
    }
    return web.Response(status=409, body=orjson.dumps(status), content_type="application/json")


def _way_to(kubeconfig: Path) -> tuple[str, str, ssl.SSLContext | None]:
    """Server, token and TLS of a kubeconfig of ours."""
    whole = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    (cluster,), (user,) = whole["clusters"], whole["users"]
    facts = cluster["cluster"]
    written = facts.get("certificate-authority-data")
    tls = None
    if written:
        tls = ssl.create_default_context(cadata=base64.b64decode(written).decode())
    return facts["server"].rstrip("/"), user["user"]["token"], tls
