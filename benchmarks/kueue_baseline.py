"""kueue-baseline: Kueue's published scheduling load, played against kube-queue.

Prints wall time, time to (the last) admission by class, evictions, writes by lane, CPU seconds (of
the play, start-up left out) and resident memory of each process; with --with-floor also what the
same writes cost alone, on a second fresh server right afterwards. Reclaim and preemption are on, as
in Kueue's own run; --no-eviction switches both off.

    python -m benchmarks.kueue_baseline [--control-plane embedded|kubernetes] [--scale 1.0]
        [--no-eviction] [--with-floor] [--json FILE]
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from benchmarks import write_floor
from benchmarks.cluster import DESCRIBED, control_plane_option, started
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
from benchmarks.kueue_load import Player, namespace, places, tree
from kube_queue.app.child import run_loop

# Order by priority across a leaf, as Kueue's queues do.
ENVIRONMENT = {"StrictConsistency": "true"}
EVICTING = ("--reclaim-policy", "Any", "--preemption-policy", "LowerPriority")
LENIENT = ("--reclaim-policy", "Never", "--preemption-policy", "Never")


async def measure(control_plane: str, scale: float, evicting: bool = True) -> dict[str, Any]:
    """Start a server and the controller, play the load, and gather the figures."""
    async with started(control_plane) as cluster:
        await cluster.prepare((namespace(*place) for place in places()), tree())
        metrics = await cluster.controller(ENVIRONMENT, EVICTING if evicting else LENIENT)
        player = Player(cluster.client, scale)
        times = ProcessTimes({**cluster.pids(), "runner": os.getpid()})
        wall = await player.run()
        processes = times.figures()
        return {
            "control_plane": control_plane,
            "evicting": evicting,
            **_figures(player, wall, await lanes_of(metrics)),
            "processes": processes,
        }


def _figures(player: Player, wall: float, lanes: Lanes) -> dict[str, Any]:
    return {
        "units": player.total,
        "wall_seconds": wall,
        "admission_seconds": {
            name: spread(list(waits.values())) for name, waits in player.waits.items()
        },
        "evictions": dict(player.evictions),
        "writes_by_lane": lanes,
        "writes_by_runner": dict(player.writes),
        "writes_per_unit": (carried_out(lanes) + player.writes.total()) / player.total,
    }


def show(figures: dict[str, Any]) -> None:
    """Print the figures as tables."""
    where = DESCRIBED[figures["control_plane"]]
    mode = "on" if figures["evicting"] else "off"
    print(f"kueue-baseline on {where}; reclaim and preemption {mode}")
    print(f"units {figures['units']}   wall {figures['wall_seconds']:.1f} s")
    print(f"writes per unit {figures['writes_per_unit']:.2f}   by runner", end=" ")
    print(figures["writes_by_runner"])
    print(f"evictions {sum(figures['evictions'].values())}   by class {figures['evictions']}")
    show_lanes("controller", figures["writes_by_lane"])
    show_spreads("to admission", figures["admission_seconds"])
    show_processes(figures["processes"])
    if "floor" in figures:
        write_floor.show(figures["floor"])
        print(f"wall / write-floor {figures['wall_to_floor']:.2f}")


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    control_plane_option(parser)
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the units")
    parser.add_argument(
        "--no-eviction", action="store_true", help="reclaim and preemption off (default: both on)"
    )
    parser.add_argument(
        "--with-floor", action="store_true", help="measure the same writes alone right afterwards"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()

    async def run() -> None:
        figures = await measure(options.control_plane, options.scale, not options.no_eviction)
        if options.with_floor:
            floor = await write_floor.measure(options.control_plane, options.scale)
            figures["floor"] = floor
            figures["wall_to_floor"] = figures["wall_seconds"] / floor["seconds"]
        show(figures)
        write_json(options.json, figures)

    run_loop(run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
