"""job-path: suspended batch Jobs through the whole path, controller and job side as processes.

2,000 Jobs wait in one queue with room for 100; ended at a steady rate, each makes room for the
next. Prints the release latency (from sending the write that ends a Job until the release of the
next one is seen), the writes that admitting a Job takes (goal: 3), and every lane.

    python -m benchmarks.job_path [--control-plane embedded|kubernetes] [--jobs 2000] [--room 100]
        [--rate 20] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks.cluster import DESCRIBED, PYTHON, Cluster, control_plane_option, started
from benchmarks.figures import (
    Lanes,
    ProcessTimes,
    carried_out,
    lanes_of,
    show_lanes,
    show_processes,
    show_spreads,
    spread,
    write_json,
)
from benchmarks.job_load import NAMESPACE, Load, Player, tree
from kube_queue.app.child import run_loop
from kube_queue.app.supervisor import Child, Supervisor

ADMITTING = ("create", "admit", "resume")
"""The lanes of a unit's creation, its admission, and the Job's release."""


async def measure(control_plane: str, load: Load) -> dict[str, Any]:
    """Start a server, the controller and the job side, play the load, and gather the figures."""
    async with started(control_plane) as cluster:
        await cluster.prepare([NAMESPACE], tree(load.room))
        metrics = await cluster.controller({})
        # Under a supervisor of its own: its writes can be read once it alone has ended.
        job_side, counts = await _job_side(cluster)
        try:
            pids = {**cluster.pids(), **job_side.pids(), "runner": os.getpid()}
            times = ProcessTimes(pids)
            player = Player(cluster.client, load)
            seconds = await player.run()
            processes, controller = times.figures(), await lanes_of(metrics)
        finally:
            await job_side.stop()
        jobs: Lanes = json.loads(counts.read_text(encoding="utf-8"))
        return {
            "control_plane": control_plane,
            "jobs": load.jobs,
            "room": load.room,
            "rate": load.rate,
            "seconds": seconds,
            "release_seconds": spread(player.releases.latencies),
            "writes_to_admit": writes_to_admit(controller, jobs, load.jobs),
            "controller_lanes": controller,
            "job_side_lanes": jobs,
            "writes_by_runner": dict(player.writes),
            "processes": processes,
        }


def writes_to_admit(controller: Lanes, jobs: Lanes, count: int) -> float:
    """Requests of both processes, from the unit's creation to the Job's release, for each Job."""
    return sum(carried_out(lanes, *ADMITTING) for lanes in (controller, jobs)) / count


async def _job_side(cluster: Cluster) -> tuple[Supervisor, Path]:
    counts = cluster.directory / "job-side-writes.json"
    words = ("--kubeconfig", str(cluster.kubeconfig), "--writes", str(counts))
    supervisor = Supervisor(cluster.directory, lambda said: print(said, file=sys.stderr))
    try:
        await supervisor.start(
            Child("job-extensions", (*PYTHON, "benchmarks.job_side", *words), vital=True)
        )
    except BaseException:
        await supervisor.stop()
        raise
    return supervisor, counts


def show(figures: dict[str, Any]) -> None:
    """Print the figures as tables."""
    rate = f"{figures['rate']:g} a second" if figures["rate"] else "as fast as they are released"
    print(
        f"job-path on {DESCRIBED[figures['control_plane']]}: {figures['jobs']} Jobs, room for "
        f"{figures['room']}, ended {rate}"
    )
    print("seconds", "  ".join(f"{name} {took:.1f}" for name, took in figures["seconds"].items()))
    show_spreads("latency", {"release": figures["release_seconds"]})
    print(f"writes to admit a Job {figures['writes_to_admit']:.2f}   by runner", end=" ")
    print(figures["writes_by_runner"])
    show_lanes("controller", figures["controller_lanes"])
    show_lanes("job side", figures["job_side_lanes"])
    show_processes(figures["processes"])


def main() -> int:
    """Read the command line, measure, print."""
    usual = Load()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    control_plane_option(parser)
    parser.add_argument("--jobs", type=int, default=usual.jobs, help="Jobs in the queue")
    parser.add_argument("--room", type=int, default=usual.room, help="Jobs released at a time")
    parser.add_argument(
        "--rate", type=float, default=usual.rate, help="Jobs ended a second; 0: once released"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()

    async def run() -> None:
        load = Load(options.jobs, options.room, options.rate)
        figures = await measure(options.control_plane, load)
        show(figures)
        write_json(options.json, figures)

    run_loop(run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
