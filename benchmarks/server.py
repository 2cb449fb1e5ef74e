"""How fast the embedded API server is, beside the bare HTTP stack it stands on.

`python benchmarks/server.py [--json]` starts the server and a bare aiohttp server that only echoes
bodies (and, for watches, writes one ready line to each open stream), each in a process of its own,
sends both the same requests from this process, in turns, and prints medians and ratios. A third
server keeps its objects (`--data-dir`): its writes are told of after their commit to the disk.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

GROUP = "/apis/bench.kube-queue/v1alpha1/namespaces/default/units"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "units.bench.kube-queue"},
    "spec": {
        "group": "bench.kube-queue",
        "scope": "Namespaced",
        "names": {"plural": "units", "kind": "Unit"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["resource"],
                                "properties": {
                                    "priority": {"type": "integer", "minimum": -100},
                                    "queue": {"type": "string", "default": ""},
                                    "resource": {
                                        "type": "object",
                                        "additionalProperties": {
                                            "x-kubernetes-int-or-string": True
                                        },
                                    },
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {
                                    "phase": {"type": "string", "enum": ["Enqueued", "Dequeued"]},
                                    "message": {"type": "string"},
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}


def unit(name: str) -> bytes:
    """A small custom resource, encoded."""
    return json.dumps(
        {
            "apiVersion": "bench.kube-queue/v1alpha1",
            "kind": "Unit",
            "metadata": {"name": name, "labels": {"queue": "a"}, "annotations": {"from": "bench"}},
            "spec": {"priority": 5, "resource": {"cpu": "3", "memory": "4Gi"}},
        }
    ).encode()


MARK = b'{"type":'


class Connection:
    """One keep-alive connection, as cheap as asyncio allows, so that the server is the limit."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, method: str, path: str, body: bytes, media: str) -> int:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: b\r\nContent-Type: {media}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self.writer.write(head.encode() + body)
        header = await self.reader.readuntil(b"\r\n\r\n")
        length = header.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        await self.reader.readexactly(int(length))
        return int(header[9:12])

    async def version(self, path: str) -> str:
        """The resourceVersion of the collection now."""
        self.writer.write(f"GET {path}?limit=1 HTTP/1.1\r\nHost: b\r\n\r\n".encode())
        header = await self.reader.readuntil(b"\r\n\r\n")
        length = header.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        listed = json.loads(await self.reader.readexactly(int(length)))
        return str(listed["metadata"]["resourceVersion"])

    async def watch(self, path: str, version: str) -> None:
        """What happens after this version is told from here on."""
        target = f"{path}?watch=true&resourceVersion={version}"
        self.writer.write(f"GET {target} HTTP/1.1\r\nHost: b\r\n\r\n".encode())
        await self.reader.readuntil(b"\r\n\r\n")

    async def events(self, lines: int) -> None:
        """Read so many events."""
        seen, rest = 0, b""
        while seen < lines:
            chunk = await self.reader.read(1 << 18)
            if not chunk:
                raise SystemExit(f"a watch ended after {seen} of {lines} events")
            # A mark may be cut in two by the end of a chunk: its beginning is kept for the next.
            seen += (rest + chunk).count(MARK)
            rest = chunk[-(len(MARK) - 1) :]

    def close(self) -> None:
        self.writer.close()


async def writes(
    port: int, count: int, connections: int, make: Callable[[int], tuple[str, str, bytes, str]]
) -> float:
    """Requests a second, `connections` at a time."""
    numbers = itertools.count()

    async def work(connection: Connection) -> None:
        while (number := next(numbers)) < count:
            status = await connection.send(*make(number))
            if status >= 300:
                raise SystemExit(f"request {number} was answered with {status}")

    lanes = [Connection(port) for _ in range(connections)]
    await asyncio.gather(*(lane.open() for lane in lanes))
    began = time.perf_counter()
    await asyncio.gather(*(work(lane) for lane in lanes))
    took = time.perf_counter() - began
    for lane in lanes:
        lane.close()
    return count / took


async def deliveries(
    port: int,
    count: int,
    watchers: int,
    make: Callable[[int], tuple[str, str, bytes, str]],
    version: str = "",
) -> float:
    """Watch events delivered a second to `watchers` streams while one after another is written."""
    streams = [Connection(port) for _ in range(watchers)]
    await asyncio.gather(*(stream.open() for stream in streams))
    await asyncio.gather(*(stream.watch(GROUP, version) for stream in streams))
    reading = [asyncio.create_task(stream.events(count)) for stream in streams]
    began = time.perf_counter()
    await writes(port, count, 4, make)
    await asyncio.gather(*reading)
    took = time.perf_counter() - began
    for stream in streams:
        stream.close()
    return count * watchers / took


async def present(port: int) -> str:
    """The version of the units on this server."""
    connection = Connection(port)
    await connection.open()
    version = await connection.version(GROUP)
    connection.close()
    return version


async def bare() -> None:
    """A server that echoes bodies and writes one ready line to each stream for every write."""
    streams: list[web.StreamResponse] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "GET":
            out = web.StreamResponse(headers={"Content-Type": "application/json"})
            await out.prepare(request)
            streams.append(out)
            await asyncio.Event().wait()
        body = await request.read()
        line = b'{"type":"MODIFIED","object":%b}\n' % body
        for stream in streams:
            await stream.write(line)
        return web.Response(body=body, content_type="application/json")

    low = web.Server(handle, access_log=None, handler_cancellation=True)
    runner = web.ServerRunner(low)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def running(*command: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A server of its own runs for the block, and its port is known."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        yield process, int(url.rpartition(":")[2])
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def one_round(count: int, watchers: int, folder: str) -> dict[str, float]:
    """Every figure once, on fresh processes; the folder is empty."""
    server = ("-m", "kube_queue.apiserver")
    async with (
        running(*server) as (_, port),
        running(*server, "--data-dir", folder) as (_, kept_port),
        running(__file__, "--bare") as (_, echo_port),
    ):
        return await _figures(count, watchers, port, kept_port, echo_port)


async def _figures(
    count: int, watchers: int, port: int, kept_port: int, echo_port: int
) -> dict[str, float]:
    merge = "application/merge-patch+json"

    def create(prefix: str) -> Callable[[int], tuple[str, str, bytes, str]]:
        return lambda n: ("POST", GROUP, unit(f"{prefix}-{n}"), "application/json")

    def patch(n: int) -> tuple[str, str, bytes, str]:
        body = json.dumps({"status": {"phase": "Dequeued", "message": f"at {n}"}}).encode()
        return "PATCH", f"{GROUP}/unit-{n % count}/status", body, merge

    def again(n: int) -> tuple[str, str, bytes, str]:
        # Other words than the first time: a patch that changes nothing makes no event.
        body = json.dumps({"status": {"phase": "Dequeued", "message": f"again {n}"}}).encode()
        return "PATCH", f"{GROUP}/unit-{n % count}/status", body, merge

    def echoed_patch(n: int) -> tuple[str, str, bytes, str]:
        return "PATCH", f"{GROUP}/unit-{n % count}/status", unit(f"unit-{n}"), merge

    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    crd = json.dumps(CRD).encode()
    for each in (port, kept_port):
        await writes(each, 1, 1, lambda _: ("POST", path, crd, "application/json"))
    return {
        "creates": await writes(port, count, 16, create("unit")),
        "kept_creates": await writes(kept_port, count, 16, create("unit")),
        "bare_creates": await writes(echo_port, count, 16, create("unit")),
        "patches": await writes(port, count, 16, patch),
        "kept_patches": await writes(kept_port, count, 16, patch),
        "bare_patches": await writes(echo_port, count, 16, echoed_patch),
        "deliveries": await deliveries(port, count, watchers, again, await present(port)),
        "bare_deliveries": await deliveries(echo_port, count, watchers, echoed_patch),
    }


async def measure(rounds: int, count: int, watchers: int) -> dict[str, Any]:
    """Medians over the rounds, and the ratio of each figure to the bare stack's."""
    seen = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="kube-queue-bench-") as folder:
            seen.append(await one_round(count, watchers, folder))
    result: dict[str, Any] = {
        key: round(statistics.median(figures[key] for figures in seen)) for key in seen[0]
    }
    for key in ("creates", "patches", "deliveries"):
        ratios = [figures[key] / figures[f"bare_{key}"] for figures in seen]
        result[f"{key}_ratio"] = round(statistics.median(ratios), 3)
    for key in ("creates", "patches"):
        ratios = [figures[f"kept_{key}"] / figures[key] for figures in seen]
        result[f"kept_{key}_ratio"] = round(statistics.median(ratios), 3)
    return {"rounds": rounds, "requests": count, "watchers": watchers, **result}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--watchers", type=int, default=16)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        asyncio.run(bare())
        return
    # A server that died in mid-run must end the measurement, not hold it for ever.
    measured = measure(arguments.rounds, arguments.count, arguments.watchers)
    result = asyncio.run(asyncio.wait_for(measured, 120 * arguments.rounds))
    if arguments.json:
        print(json.dumps(result))
        return
    goals = {"creates": 0.25, "patches": 0.2, "deliveries": 0.5}
    print(f"{'':12}{'server':>10}{'bare':>10}{'ratio':>8}{'goal':>8}")
    for key, goal in goals.items():
        print(
            f"{key + '/s':12}{result[key]:>10}{result[f'bare_{key}']:>10}"
            f"{result[f'{key}_ratio']:>8.2f}{goal:>8.2f}"
        )
    print(f"\n{'':12}{'--data-dir':>10}{'memory':>10}{'ratio':>8}")
    for key in ("creates", "patches"):
        print(
            f"{key + '/s':12}{result[f'kept_{key}']:>10}{result[key]:>10}"
            f"{result[f'kept_{key}_ratio']:>8.2f}"
        )


if __name__ == "__main__":
    main()
