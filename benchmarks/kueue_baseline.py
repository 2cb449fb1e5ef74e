"""kueue-baseline: Kueue's published scheduling load, played against kube-queue.

5 parents of 6 leaves, 15,000 units in three classes, units without jobs (the job side is off). Each
generator waits its interval before every create; a unit is marked finished its run time after it
was seen admitted. Prints wall time, time to admission by class, writes by lane, CPU seconds and
resident memory of each process.

    python -m benchmarks.kueue_baseline [--scale 1.0] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from kube_queue.api.quota import queue_name
from kube_queue.api.types import ELASTIC_QUOTA_TREES, NAMESPACES, QUEUE_UNITS
from kube_queue.app.child import run_loop
from kube_queue.app.install import install
from kube_queue.app.kubeconfig import write_kubeconfig
from kube_queue.app.supervisor import Child, Supervisor
from kube_queue.kube.client import Client
from kube_queue.kube.credentials import connect
from kube_queue.kube.informer import Informer

PARENTS = 5
LEAVES = 6
PARENT_MAX = 120
LEAF_MIN = 20
PATIENCE = 900.0


@dataclass(frozen=True, slots=True)
class Shape:
    """One class of units per leaf: seconds between creates, seconds of run time, whole cpus."""

    name: str
    count: int
    interval: float
    run: float
    priority: int
    cpu: int


SHAPES = (
    Shape("small", 350, 0.100, 0.200, 50, 1),
    Shape("medium", 100, 0.500, 0.500, 100, 5),
    Shape("large", 50, 1.200, 1.000, 200, 20),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the runner keeps of a unit."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    phase: str

    @classmethod
    def of(cls, whole: dict[str, Any]) -> Seen:
        """Project a QueueUnit."""
        metadata = whole["metadata"]
        return cls(
            metadata["namespace"],
            metadata["name"],
            metadata["uid"],
            metadata["resourceVersion"],
            whole.get("status", {}).get("phase", ""),
        )


class Runner:
    """Creates the units, marks them finished, and notes when each was admitted."""

    def __init__(self, client: Client, scale: float) -> None:
        self.client = client
        self.shapes = [_scaled(shape, scale) for shape in SHAPES]
        self.total = PARENTS * LEAVES * sum(shape.count for shape in self.shapes)
        self.created: dict[str, float] = {}
        self.waits: dict[str, list[float]] = {shape.name: [] for shape in self.shapes}
        self.writes: Counter[str] = Counter()
        self.finished = 0
        self.done = asyncio.Event()
        self._by_name = {shape.name: shape for shape in self.shapes}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> float:
        """Play the whole load; return the seconds from first create to last finish."""
        informer = Informer(self.client, QUEUE_UNITS, Seen.of, rng=random.Random(1))
        informer.add_handler(self._unit_seen)
        watching = asyncio.create_task(informer.run())
        await informer.synced.wait()
        began = time.perf_counter()
        generators = [
            asyncio.create_task(self._generate(shape, f"ns-{parent}-{leaf}"))
            for parent in range(PARENTS)
            for leaf in range(LEAVES)
            for shape in self.shapes
        ]
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*generators)
                await self.done.wait()
        finally:
            watching.cancel()
            await asyncio.gather(watching, *generators, return_exceptions=True)
        return time.perf_counter() - began

    async def _generate(self, shape: Shape, namespace: str) -> None:
        for index in range(shape.count):
            await asyncio.sleep(shape.interval)
            name = f"{shape.name}-{index:04}"
            self.created[f"{namespace}/{name}"] = time.perf_counter()
            await self.client.create(QUEUE_UNITS, _unit(namespace, name, shape), namespace)
            self.writes["create"] += 1

    def _unit_seen(self, old: Seen | None, new: Seen | None) -> None:
        if new is None or new.phase != "Dequeued" or (old is not None and old.phase == "Dequeued"):
            return
        shape = self._by_name[new.name.split("-")[0]]
        self.waits[shape.name].append(
            time.perf_counter() - self.created[f"{new.namespace}/{new.name}"]
        )
        task = asyncio.create_task(self._finish(new, shape.run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, unit: Seen, after: float) -> None:
        await asyncio.sleep(after)
        change = {"metadata": {"uid": unit.uid}, "status": {"phase": "Succeed"}}
        await self.client.patch(
            QUEUE_UNITS, unit.namespace, unit.name, change, subresource="status"
        )
        self.writes["finish"] += 1
        self.finished += 1
        if self.finished == self.total:
            self.done.set()


def _scaled(shape: Shape, scale: float) -> Shape:
    count = max(1, round(shape.count * scale))
    return Shape(shape.name, count, shape.interval, shape.run, shape.priority, shape.cpu)


def _unit(namespace: str, name: str, shape: Shape) -> dict[str, Any]:
    return {
        "apiVersion": "scheduling.x-k8s.io/v1alpha1",
        "kind": "QueueUnit",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "priority": shape.priority,
            # The job side fills the queue when it creates a unit, and so does this runner.
            "queue": queue_name(
                f"root/{namespace.replace('ns', 'parent').rpartition('-')[0]}"
                f"/{namespace.replace('ns', 'leaf')}"
            ),
            "resource": {"cpu": str(shape.cpu)},
            "request": {"cpu": str(shape.cpu)},
            "podSet": [{"name": "main", "count": 1, "requests": {"cpu": str(shape.cpu)}}],
        },
    }


def _tree() -> dict[str, Any]:
    def leaf(parent: int, index: int) -> dict[str, Any]:
        return {
            "name": f"leaf-{parent}-{index}",
            "namespaces": [f"ns-{parent}-{index}"],
            "min": {"cpu": LEAF_MIN},
            "max": {"cpu": PARENT_MAX},
        }

    parents = [
        {
            "name": f"parent-{parent}",
            "min": {"cpu": PARENT_MAX},
            "max": {"cpu": PARENT_MAX},
            "children": [leaf(parent, index) for index in range(LEAVES)],
        }
        for parent in range(PARENTS)
    ]
    whole = {"cpu": PARENT_MAX * PARENTS}
    return {
        "apiVersion": "scheduling.sigs.k8s.io/v1beta1",
        "kind": "ElasticQuotaTree",
        "metadata": {"name": "elasticquotatree", "namespace": "kube-system"},
        "spec": {"root": {"name": "root", "min": whole, "max": whole, "children": parents}},
    }


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds and peak resident MB of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return seconds, int(peak.split()[1]) / 1024


async def lanes(metrics: str) -> dict[str, float]:
    """Writes the controller sent, by lane, from its metrics page."""
    async with aiohttp.ClientSession() as session, session.get(metrics) as answer:
        text = await answer.text()
    found = {}
    for line in text.splitlines():
        if line.startswith("kube_queue_api_writes_total") and 'result="sent"' in line:
            lane = line.split('lane="')[1].split('"')[0]
            found[lane] = float(line.rpartition(" ")[2])
    return found


async def measure(scale: float) -> dict[str, Any]:
    """Start the embedded server and the controller, play the load, and gather the figures."""
    with tempfile.TemporaryDirectory(prefix="kube-queue-bench-") as name:
        directory = Path(name)
        supervisor = Supervisor(directory, lambda sentence: print(sentence, file=sys.stderr))
        try:
            return await _measure(scale, supervisor, directory)
        finally:
            await supervisor.stop()


async def _measure(scale: float, supervisor: Supervisor, directory: Path) -> dict[str, Any]:
    token, kubeconfig = secrets.token_urlsafe(16), directory / "kubeconfig"
    (directory / "token").write_text(token, encoding="utf-8")
    python = (sys.executable, "-m", "kube_queue")
    serve = (*python, "local", "api-server", "--token-file", str(directory / "token"))
    facts = await supervisor.start(Child("api-server", serve, vital=True))
    write_kubeconfig(kubeconfig, server=facts["plain"], token=token)
    client = await connect(kubeconfig=str(kubeconfig))
    try:
        await install(client, operators=False)
        for parent in range(PARENTS):
            for leaf in range(LEAVES):
                namespace = {"metadata": {"name": f"ns-{parent}-{leaf}"}}
                body = {"apiVersion": "v1", "kind": "Namespace", **namespace}
                await client.create(NAMESPACES, body)
        await client.create(ELASTIC_QUOTA_TREES, _tree(), "kube-system")
        control = ("controller", "--kubeconfig", str(kubeconfig), "--child", "--port", "0")
        # Order by priority across a leaf, as Kueue's queues do.
        facts = await supervisor.start(
            Child("controller", (*python, *control), {"StrictConsistency": "true"})
        )
        runner = Runner(client, scale)
        wall = await runner.run()
        metrics = facts["visibility"].partition("/visibility")[0].rstrip("/") + "/metrics"
        figures = _figures(runner, wall, await lanes(metrics))
        figures["processes"] = {
            child: dict(zip(("cpu_seconds", "peak_mb"), usage(pid), strict=True))
            for child, pid in (*supervisor.pids().items(), ("runner", os.getpid()))
        }
        return figures
    finally:
        await client.close()


def _figures(runner: Runner, wall: float, sent: dict[str, float]) -> dict[str, Any]:
    total_writes = sum(sent.values()) + sum(runner.writes.values())
    return {
        "units": runner.total,
        "wall_seconds": wall,
        "admission_seconds": {name: _spread(waits) for name, waits in runner.waits.items()},
        "writes_by_lane": sent,
        "writes_by_runner": dict(runner.writes),
        "writes_per_unit": total_writes / runner.total,
    }


def _spread(waits: Sequence[float]) -> dict[str, float]:
    ranked = sorted(waits)
    return {
        "mean": statistics.fmean(ranked),
        "p50": ranked[len(ranked) // 2],
        "p95": ranked[min(len(ranked) - 1, int(len(ranked) * 0.95))],
    }


def show(figures: dict[str, Any]) -> None:
    """Print the figures as tables."""
    print("kueue-baseline on the embedded server; reclaim and preemption are not in this version")
    print(f"units {figures['units']}   wall {figures['wall_seconds']:.1f} s")
    print(f"writes per unit {figures['writes_per_unit']:.2f}   by runner", end=" ")
    print(figures["writes_by_runner"], "  by lane", figures["writes_by_lane"])
    print(f"{'class':10}{'mean s':>10}{'p50 s':>10}{'p95 s':>10}")
    for name, spread in figures["admission_seconds"].items():
        print(f"{name:10}{spread['mean']:10.2f}{spread['p50']:10.2f}{spread['p95']:10.2f}")
    print(f"{'process':14}{'cpu s':>8}{'peak MB':>10}")
    for name, one in figures["processes"].items():
        print(f"{name:14}{one['cpu_seconds']:8.1f}{one['peak_mb']:10.0f}")


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the units")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    found: list[dict[str, Any]] = []

    async def run() -> None:
        found.append(await measure(options.scale))

    run_loop(run())
    show(found[0])
    if options.json:
        options.json.write_text(json.dumps(found[0], indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
