"""One HTTP server of a process: health, readiness, metrics, and further routes it is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aiohttp import web

from kube_queue.api.errors import InvalidSetting
from kube_queue.observability.meters import Meters

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def ops_routes(meters: Meters, ready: Callable[[], bool]) -> list[web.RouteDef]:
    """/healthz answers while the process runs, /readyz once `ready()`, /metrics always."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_: web.Request) -> web.Response:
        if ready():
            return web.Response(text="ok")
        return web.Response(status=503, text="not ready: what exists is not in memory yet")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=meters.text(), headers={"Content-Type": METRICS_TYPE})

    return [
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/metrics", metrics),
    ]


LONGEST_LINE = 65_536
"""Characters of a request's first line: a question may carry a whole unit."""


class OpsServer:
    """An HTTP server on one address; `url` says where once it is open."""

    def __init__(self, routes: Iterable[web.RouteDef], *, address: str, port: int) -> None:
        self.url = ""
        self._address = address
        self._port = port
        app = web.Application()
        app.add_routes(routes)
        self._runner = web.AppRunner(app, access_log=None, max_line_size=LONGEST_LINE)

    async def open(self) -> None:
        """The server answers. Raises InvalidSetting when the address cannot be had."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._address, self._port)
        try:
            await site.start()
        except OSError as problem:
            await self._runner.cleanup()
            raise InvalidSetting(
                f"cannot listen on {self._address}:{self._port}: {problem.strerror or problem}",
                "--port",
                "choose another --port or --bind-address; --port 0 takes any free port",
            ) from problem
        host, port = self._runner.addresses[0][:2]
        # Who is told the address has to be able to use it: 0.0.0.0 is nobody's address.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        """The server answers no more."""
        await self._runner.cleanup()
