"""The job side as a process of its own that leaves behind how many writes of each lane it sent.

    python -m benchmarks.job_side --kubeconfig FILE --writes FILE

Composed as `kube-queue job-extensions` is, except that the write scheduler is made here, so that
its counts can be read at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.figures import Lanes
from kube_queue.app.child import announce, run_loop, until_stopped
from kube_queue.app.job_extensions import run_job_extensions
from kube_queue.config import Settings
from kube_queue.kube.client import Client
from kube_queue.kube.connection import connect
from kube_queue.kube.writes import Lane, WriteScheduler
from kube_queue.observability.log import configure_log


def counted(counts: Mapping[tuple[Lane, str], int]) -> Lanes:
    """The counts of a write scheduler, by the name of their lane."""
    found: Lanes = {}
    for (lane, result), count in counts.items():
        found.setdefault(lane.name.lower(), {})[result] = count
    return found


async def _run(kubeconfig: str, counts: Path) -> None:
    settings = Settings().replaced(jobs={"enabled_extensions": "job"})
    configure_log(level=settings.log.level, form=settings.log.format, clock=time.time)
    client = await connect(kubeconfig)
    rng = random.Random()
    writes = WriteScheduler(
        client,
        max_in_flight=settings.writes.max_in_flight,
        low_rate=settings.writes.low_priority_rate,
        rng=rng,
    )
    try:
        await until_stopped(_work(client, settings, writes, rng), watch_stdin=True)
    finally:
        counts.write_text(json.dumps(counted(writes.counts)), encoding="utf-8")
        await client.close()


async def _work(
    client: Client, settings: Settings, writes: WriteScheduler, rng: random.Random
) -> None:
    sending = asyncio.create_task(writes.run())
    try:
        await run_job_extensions(
            client, settings, clock=time.time, rng=rng, writes=writes, ready=_ready
        )
    finally:
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sending


def _ready() -> None:
    gc.freeze()
    announce({})


def main() -> int:
    """Read the command line, queue jobs until the parent is gone."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kubeconfig", required=True, help="the cluster")
    parser.add_argument("--writes", type=Path, required=True, help="where the counts go")
    options = parser.parse_args()
    run_loop(_run(options.kubeconfig, options.writes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
