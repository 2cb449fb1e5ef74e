"""What the benchmarks measure with: processes from /proc, lanes from a metrics page, spreads."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

Lanes = dict[str, dict[str, int]]
"""Writes by lane and by what became of them: sent, failed, retried, superseded."""

_LABELS = ("lane", "result")

CARRIED_OUT = ("sent", "failed", "retried")
"""What costs the API server a request; a superseded write was never sent."""


class ProcessTimes:
    """CPU seconds of processes from its making on, and the most memory they ever had resident."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        self._before = {name: _cpu_seconds(pid) for name, pid in self._pids.items()}

    def figures(self) -> dict[str, dict[str, float]]:
        """`cpu_seconds` since then, `peak_mb` and `mb` (resident now), by name."""
        return {
            name: {"cpu_seconds": _cpu_seconds(pid) - self._before[name], **_memory(pid)}
            for name, pid in self._pids.items()
        }


def since_start(pid: int) -> dict[str, float]:
    """The same figures of one process, since it began."""
    return {"cpu_seconds": _cpu_seconds(pid), **_memory(pid)}


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))


def _memory(pid: int) -> dict[str, float]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    named = dict(line.split(":", 1) for line in lines if ":" in line)
    return {
        "peak_mb": int(named["VmHWM"].split()[0]) / 1024,
        "mb": int(named["VmRSS"].split()[0]) / 1024,
    }


async def lanes_of(metrics: str) -> Lanes:
    """The writes of a controller, from its metrics page."""
    async with aiohttp.ClientSession() as session, session.get(metrics) as answer:
        return parsed_lanes(await answer.text())


def parsed_lanes(page: str) -> Lanes:
    """The writes that a metrics page tells of."""
    found: Lanes = {}
    for line in page.splitlines():
        if line.startswith("kube_queue_api_writes_total{"):
            labels, _, count = line.rpartition(" ")
            lane, result = (labels.split(f'{name}="')[1].split('"')[0] for name in _LABELS)
            found.setdefault(lane, {})[result] = round(float(count))
    return found


def carried_out(lanes: Lanes, *names: str) -> int:
    """Requests that these lanes cost the API server; all lanes when none is named."""
    chosen = [lanes.get(name, {}) for name in names] if names else list(lanes.values())
    return sum(lane.get(result, 0) for lane in chosen for result in CARRIED_OUT)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean and percentiles; all zero when there is nothing."""
    if not values:
        return {"count": 0, "mean": 0.0, "p50": 0.0, "p95": 0.0, "p99": 0.0, "max": 0.0}
    ranked = sorted(values)

    def at(share: float) -> float:
        return ranked[min(len(ranked) - 1, int(len(ranked) * share))]

    return {
        "count": len(ranked),
        "mean": statistics.fmean(ranked),
        "p50": at(0.50),
        "p95": at(0.95),
        "p99": at(0.99),
        "max": ranked[-1],
    }


def show_spreads(title: str, spreads: Mapping[str, Mapping[str, float]]) -> None:
    """One row for each spread."""
    columns = ("mean", "p50", "p95", "p99", "max")
    print(f"{title:14}" + "".join(f"{column + ' s':>10}" for column in columns))
    for name, one in spreads.items():
        print(f"{name:14}" + "".join(f"{one[column]:10.3f}" for column in columns))


def show_lanes(process: str, lanes: Lanes) -> None:
    """One row for each lane that has writes."""
    results = (*CARRIED_OUT, "superseded")
    print(f"{process + ' lane':22}" + "".join(f"{result:>12}" for result in results))
    for lane, counts in lanes.items():
        print(f"{lane:22}" + "".join(f"{counts.get(result, 0):12}" for result in results))


def show_processes(processes: Mapping[str, Mapping[str, float]]) -> None:
    """One row for each process."""
    print(f"{'process':18}{'cpu s':>8}{'peak MB':>10}{'MB at end':>11}")
    for name, one in processes.items():
        print(f"{name:18}{one['cpu_seconds']:8.1f}{one['peak_mb']:10.0f}{one['mb']:11.0f}")


def write_json(path: Path | None, figures: Mapping[str, Any]) -> None:
    """The file, if one was asked for, has the figures."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
