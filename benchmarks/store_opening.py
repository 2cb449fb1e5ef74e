"""How long an API server with `--data-dir` takes to serve again, by how much it keeps.

`python -m benchmarks.store_opening [--objects 100000]` stores that many units of about 1 KB (and,
as the floor, none) and starts a server on each: seconds until it serves, CPU seconds, memory, and
the size of the store. Every object is checked against its checksum and is listed afterwards.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.figures import since_start, write_json
from benchmarks.server import CRD, GROUP, running, unit
from kube_queue.apiserver.journal import Changes, Journal

_CHUNK = 1_000


def _fill(folder: Path, count: int) -> None:
    store = Journal(folder)
    rv = store.rv
    for first in range(0, count, _CHUNK):
        numbers = range(first, min(count, first + _CHUNK))
        changes: Changes = {
            ("bench.kube-queue/units", f"default/unit-{number}"): _stored(number, rv + number + 1)
            for number in numbers
        }
        store.commit(changes, rv + numbers[-1] + 1)
    store.close()


def _stored(number: int, rv: int) -> bytes:
    whole = json.loads(unit(f"unit-{number}"))
    whole["metadata"] |= {
        "namespace": "default",
        # Any will do, as long as each is another.
        "uid": str(uuid.UUID(int=number)),
        "resourceVersion": str(rv),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "generation": 1,
    }
    message = "waits for quota " * 40
    whole["status"] = {"phase": "Enqueued", "message": f"{message}{number}"}
    return json.dumps(whole, separators=(",", ":")).encode()


async def _define(folder: Path) -> None:
    """The store holds what a new cluster holds, and the kind of the units."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    async with (
        running("-m", "kube_queue.apiserver", "--data-dir", str(folder)) as (_, port),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
        session.post(path, json=CRD) as answer,
    ):
        answer.raise_for_status()


async def opening(count: int) -> dict[str, Any]:
    """The figures of one server on a store of that many units."""
    with tempfile.TemporaryDirectory(prefix="kube-queue-opening-") as name:
        folder = Path(name)
        await _define(folder)
        _fill(folder, count)
        size = (folder / "store.db").stat().st_size
        began = time.perf_counter()
        async with running("-m", "kube_queue.apiserver", "--data-dir", name) as (process, port):
            took = time.perf_counter() - began
            used = since_start(process.pid)
            async with (
                aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
                session.get(f"{GROUP}?limit=1") as answer,
            ):
                listed = await answer.json()
        found = len(listed["items"]) + listed["metadata"].get("remainingItemCount", 0)
    if found != count:
        raise SystemExit(f"{count} units were stored, and {found} are listed")
    return {
        "objects": count,
        "seconds": round(took, 2),
        "cpu_seconds": round(used["cpu_seconds"], 2),
        "peak_mb": round(used["peak_mb"]),
        "store_mb": round(size / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    rows = [asyncio.run(opening(count)) for count in (0, arguments.objects)]
    print("".join(f"{column:>14}" for column in rows[0]))
    for row in rows:
        print("".join(f"{value:>14}" for value in row.values()))
    write_json(arguments.json, {"openings": rows})


if __name__ == "__main__":
    main()
