"""A bare aiohttp server that keeps what is PUT to a path and sends it back: the peer of lists."""

from __future__ import annotations

import asyncio

from aiohttp import web


async def main() -> None:
    """Serve on a free port, printed as a URL, until killed."""
    kept: dict[str, bytes] = {}

    async def handle(request: web.BaseRequest) -> web.Response:
        if request.method == "PUT":
            kept[request.path] = await request.read()
            return web.Response()
        return web.Response(body=kept[request.path], content_type="application/json")

    def unlimited(message, payload, protocol, writer, task):  # type: ignore[no-untyped-def]
        loop = asyncio.get_running_loop()
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=1 << 30
        )

    runner = web.ServerRunner(web.Server(handle, request_factory=unlimited, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
