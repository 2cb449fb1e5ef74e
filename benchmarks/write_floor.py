"""write-floor: what the writes of kueue-baseline cost when nobody decides anything.

The same creates, admissions and finishes, as many and as large, sent as fast as the API server
takes them with 32 under way and nobody watching. No controller can be faster on this machine.

    python -m benchmarks.write_floor [--control-plane embedded|kubernetes] [--scale 1.0]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.cluster import DESCRIBED, Cluster, control_plane_option, started
from benchmarks.figures import ProcessTimes, show_processes, write_json
from benchmarks.kueue_load import finish_patch, namespace, places, quota_path, shapes, tree, unit
from kube_queue.api.types import QUEUE_UNITS
from kube_queue.app.child import run_loop
from kube_queue.controller.records import unit_record
from kube_queue.controller.unit_patches import admission_patch
from kube_queue.kube.client import Client

IN_FLIGHT = 32
WRITES_OF_A_UNIT = 3

Work = tuple[dict[str, Any], str]
"""A unit and the quota that it is admitted to."""


def work(scale: float) -> Iterator[Work]:
    """Every unit of kueue-baseline, the leaves in turn."""
    for shape in shapes(scale):
        for index in range(shape.count):
            for parent, leaf in places():
                yield unit(parent, leaf, shape, index), quota_path(parent, leaf)


def admit_patch(created: dict[str, Any], quota: str, now: float) -> dict[str, Any]:
    """What the controller would write to admit the unit as it stands."""
    return admission_patch(unit_record(created), quota, now)


async def measure(control_plane: str, scale: float) -> dict[str, Any]:
    """Send everything to a fresh server, and gather the figures."""
    async with started(control_plane) as cluster:
        await cluster.prepare((namespace(*place) for place in places()), tree())
        return {"control_plane": control_plane, **await _send_all(cluster, scale)}


async def _send_all(cluster: Cluster, scale: float) -> dict[str, Any]:
    times = ProcessTimes({**cluster.pids(), "sender": os.getpid()})
    rest, units = work(scale), 0

    async def sender() -> None:
        nonlocal units
        for one in rest:
            await _live(cluster.client, one)
            units += 1

    began = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))
    seconds = time.perf_counter() - began
    writes = units * WRITES_OF_A_UNIT
    return {
        "units": units,
        "writes": writes,
        "seconds": seconds,
        "writes_per_second": writes / seconds,
        "processes": times.figures(),
    }


async def _live(client: Client, one: Work) -> None:
    """A unit's whole life, written."""
    manifest, quota = one
    place, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    created = await client.create(QUEUE_UNITS, manifest, place)
    admitted = admit_patch(created, quota, time.time())
    await client.patch(QUEUE_UNITS, place, name, admitted, subresource="status")
    finished = finish_patch(created["metadata"]["uid"])
    await client.patch(QUEUE_UNITS, place, name, finished, subresource="status")


def show(figures: dict[str, Any]) -> None:
    """Print the figures as tables."""
    print(
        f"write-floor on {DESCRIBED[figures['control_plane']]}: {figures['writes']} writes, "
        f"{IN_FLIGHT} under way: {figures['seconds']:.1f} s, "
        f"{figures['writes_per_second']:.0f} writes/s"
    )
    show_processes(figures["processes"])


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    control_plane_option(parser)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the units")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()

    async def run() -> None:
        figures = await measure(options.control_plane, options.scale)
        show(figures)
        write_json(options.json, figures)

    run_loop(run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
