"""How the embedded API server bears many watchers and many objects, beside the bare HTTP stack.

`python -m benchmarks.server_scale [--json]`: every change of one kind told to 1,000 watchers; then
100,000 objects listed in pages of 500 and in one page. The bare aiohttp server, in the same run,
writes the same lines to as many streams and sends the same pages, ready beforehand, as fast as it
can. Memory is the server's own, in MB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.server import CRD, GROUP, deliveries, present, running, unit, writes

PAGE = 500
MERGE = "application/merge-patch+json"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
BARE = str(Path(__file__).with_name("server.py"))


def memory(process: asyncio.subprocess.Process) -> int:
    """Resident MB of the process."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def patch(number: int) -> tuple[str, str, bytes, str]:
    """A change of the one unit that is watched."""
    body = json.dumps({"status": {"phase": "Dequeued", "message": f"at {number}"}}).encode()
    return "PATCH", f"{GROUP}/watched/status", body, MERGE


def echoed(number: int) -> tuple[str, str, bytes, str]:
    """As many bytes for the bare server to write to each stream."""
    return "PATCH", f"{GROUP}/watched/status", unit(f"watched-{number}"), MERGE


async def many_watchers(watchers: int, changes: int) -> dict[str, Any]:
    """Deliveries a second, and what a watcher costs in memory."""
    async with (
        running("-m", "kube_queue.apiserver") as (ours, port),
        running(BARE, "--bare") as (_, echo_port),
    ):
        await _define(port)
        await writes(port, 1, 1, lambda _: ("POST", GROUP, unit("watched"), "application/json"))
        before = memory(ours)
        rate = await deliveries(port, changes, watchers, patch, await present(port))
        after = memory(ours)
        bare = await deliveries(echo_port, changes, watchers, echoed)
    return {
        "watchers": watchers,
        "deliveries": round(rate),
        "bare_deliveries": round(bare),
        "deliveries_ratio": round(rate / bare, 3),
        "kb_a_watcher": round((after - before) * 1024 / watchers),
    }


async def _define(port: int) -> None:
    crd = json.dumps(CRD).encode()
    await writes(port, 1, 1, lambda _: ("POST", DEFINITIONS, crd, "application/json"))


async def many_objects(objects: int) -> dict[str, Any]:
    """Seconds to list them all, in pages and at once."""
    async with running("-m", "kube_queue.apiserver") as (ours, port):
        await _define(port)
        await writes(
            port, objects, 32, lambda n: ("POST", GROUP, unit(f"unit-{n:06}"), "application/json")
        )
        before = memory(ours)
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{port}",
            read_bufsize=1 << 20,
            connector=aiohttp.TCPConnector(limit=1),
        ) as session:
            paged, pages = await _paged(session, objects)
            began = time.perf_counter()
            async with session.get(GROUP) as answer:
                whole = await answer.read()
            at_once = time.perf_counter() - began
        after = memory(ours)
    bare_paged, bare_at_once = await _bare(pages, whole)
    return {
        "objects": objects,
        "list_mb": len(whole) >> 20,
        "paged_seconds": round(paged, 2),
        "bare_paged_seconds": round(bare_paged, 2),
        "paged_ratio": round(bare_paged / paged, 3),
        "at_once_seconds": round(at_once, 2),
        "bare_at_once_seconds": round(bare_at_once, 2),
        "at_once_ratio": round(bare_at_once / at_once, 3),
        "store_mb": before,
        "after_lists_mb": after,
    }


async def _paged(session: aiohttp.ClientSession, objects: int) -> tuple[float, list[bytes]]:
    pages: list[bytes] = []
    token, seen, began = "", 0, time.perf_counter()
    while True:
        query = {"limit": str(PAGE), **({"continue": token} if token else {})}
        async with session.get(GROUP, params=query) as answer:
            pages.append(await answer.read())
        # Only the end of a page's head says where the next begins; items are not decoded.
        head = json.loads(pages[-1].partition(b',"items":')[0] + b"}")
        token = head["metadata"].get("continue", "")
        seen += pages[-1].count(b'"kind":"Unit"')
        if not token:
            break
    took = time.perf_counter() - began
    if seen != objects:
        raise SystemExit(f"{seen} of {objects} objects were listed")
    return took, pages


async def _bare(pages: list[bytes], whole: bytes) -> tuple[float, float]:
    """The same bytes from a bare aiohttp server, which echoes what it is sent once and keeps it."""
    async with (
        running("-m", "benchmarks.bare_pages") as (_, port),
        aiohttp.ClientSession(
            f"http://127.0.0.1:{port}",
            read_bufsize=1 << 20,
            connector=aiohttp.TCPConnector(limit=1),
        ) as session,
    ):
        for number, page in enumerate([whole, *pages]):
            async with session.put(f"/{number}", data=page):
                pass
        began = time.perf_counter()
        for number in range(1, len(pages) + 1):
            async with session.get(f"/{number}") as answer:
                await answer.read()
        paged = time.perf_counter() - began
        began = time.perf_counter()
        async with session.get("/0") as answer:
            await answer.read()
        at_once = time.perf_counter() - began
    return paged, at_once


async def measure(watchers: int, changes: int, objects: int) -> dict[str, Any]:
    """Both parts, and the load of the machine before them."""
    load = round(os.getloadavg()[0], 1)
    return {
        "load": load,
        **await many_watchers(watchers, changes),
        **await many_objects(objects),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--watchers", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--objects", type=int, default=100_000)
    given = parser.parse_args()
    measured = measure(given.watchers, given.changes, given.objects)
    result = asyncio.run(asyncio.wait_for(measured, 1200))
    if given.json:
        print(json.dumps(result))
        return
    print(f"{'':34}{'server':>10}{'bare':>10}{'ratio':>8}")
    rows = (
        (f"deliveries/s to {result['watchers']} watchers", "deliveries", 0),
        (f"{result['objects']} objects, pages of {PAGE}, s", "paged_seconds", 2),
        (f"{result['list_mb']} MB in one page, s", "at_once_seconds", 2),
    )
    for label, key, digits in rows:
        ratio = result[f"{key.removesuffix('_seconds')}_ratio"]
        print(
            f"{label:34}{result[key]:>10.{digits}f}{result[f'bare_{key}']:>10.{digits}f}{ratio:>8.2f}"
        )
    print(
        f"memory: {result['kb_a_watcher']} KB a watcher, {result['store_mb']} MB with the objects, "
        f"{result['after_lists_mb']} MB after the lists; load {result['load']}"
    )


if __name__ == "__main__":
    main()
