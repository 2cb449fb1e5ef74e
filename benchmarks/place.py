"""place: pods on a real API server, from the scheduler's start until the last one is bound.

    python -m benchmarks.place --scheduler ours|kube-scheduler [--nodes 5000] [--pods 10000]
        [--gang 1] [--preempt] [--while-running] [--control-plane kubernetes|embedded]

Nodes and pods exist before the scheduler starts; with ``--while-running`` pods are created, as fast
as the server takes them, once it runs. ``--preempt`` fills every node with pods of low priority
first and measures as many pods of high priority as there are nodes; who is told to go, goes at
once. kube-scheduler runs with its client's limits lifted. Run both in the same sitting and compare.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.cluster import DESCRIBED, PYTHON, Cluster, control_plane_option, started
from benchmarks.figures import ProcessTimes, lanes_of, show_lanes, show_processes, write_json
from benchmarks.place_load import NAMESPACE, OURS, PEER, node, pod, pods
from kube_queue.api.errors import ApiError, ConnectionLost, NotFound
from kube_queue.api.types import EVENTS, NAMESPACES, NODES, PODS, PRIORITY_CLASSES, ResourceType
from kube_queue.app.child import run_loop
from kube_queue.app.supervisor import Child, Supervisor
from kube_queue.controlplane.build import obtain_all
from kube_queue.controlplane.programs import program

IN_FLIGHT: Final = 32
PEER_QPS: Final = 5_000
_ACCOUNTS: Final = ResourceType("", "v1", "serviceaccounts", "ServiceAccount")
_HIGH: Final = "high"
_PER_NODE: Final = 4
"""Pods of low priority that fill a node, in --preempt."""
_WITHIN: Final = 1_200.0


class Watcher:
    """Counts the pods that have a node, from one watch."""

    def __init__(self, cluster: Cluster, prefix: str, on_gone: Callable[[str], None]) -> None:
        self.bound: dict[str, float] = {}
        self._cluster = cluster
        self._prefix = prefix
        self._on_gone = on_gone
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follow pods until cancelled."""
        version = (await _first(self._cluster, PODS))["metadata"]["resourceVersion"]
        while True:
            # A busy API server ends a watch whose reader is slow.
            with contextlib.suppress(ConnectionLost):
                async with self._cluster.client.watch(
                    PODS, version, seconds=int(_WITHIN), read_timeout=_WITHIN
                ) as lines:
                    async for line in lines:
                        version = _text(line, b"resourceVersion") or version
                        self._read(line)

    def _read(self, line: bytes) -> None:
        # Decoding each event would cost the machine more than the scheduler under measurement.
        name = _text(line, b"name")
        if b'"deletionTimestamp"' in line and b'"type":"DELETED"' not in line[:40]:
            self._on_gone(name)
        if not name.startswith(self._prefix) or b'"nodeName":"' not in line:
            return
        if name not in self.bound:
            self.bound[name] = time.perf_counter()
            self._changed.set()

    async def until(self, count: int) -> None:
        """So many are bound."""
        while len(self.bound) < count:
            self._changed.clear()
            await self._changed.wait()


def _text(line: bytes, key: bytes) -> str:
    """The first value of the key in the line; empty without one."""
    return line.partition(b'"' + key + b'":"')[2].partition(b'"')[0].decode()


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Start a server, fill it, start the scheduler, and gather the figures."""
    async with started(options.control_plane) as cluster:
        await _prepare(cluster, options)
        name = OURS if options.scheduler == "ours" else PEER
        wanted = list(pods(options.pods, name, options.gang))
        if options.preempt:
            wanted = [
                pod(index, name, cpu="8", priority_class=_HIGH) for index in range(options.nodes)
            ]
        if not options.while_running:
            await _create_all(cluster, PODS, wanted)
        prefix = "high-" if options.preempt else "pod-"
        evicted: set[str] = set()
        gone: asyncio.Queue[str] = asyncio.Queue()

        def going(who: str) -> None:
            if who not in evicted:
                evicted.add(who)
                gone.put_nowait(who)

        watcher = Watcher(cluster, prefix, going)
        following = [
            asyncio.ensure_future(watcher.run()),
            *(asyncio.ensure_future(_let_go(cluster, gone)) for _ in range(8)),
        ]
        began = time.perf_counter()
        async with _scheduler(cluster, options) as (pids, metrics):
            times = ProcessTimes({**cluster.pids(), **pids, "runner": os.getpid()})
            creating = asyncio.ensure_future(
                _create_all(cluster, PODS, wanted if options.while_running else [])
            )
            try:
                async with asyncio.timeout(_WITHIN):
                    await watcher.until(len(wanted))
            except TimeoutError:
                print(f"only {len(watcher.bound)} of {len(wanted)} are bound", file=sys.stderr)
                raise
            seconds = time.perf_counter() - began
            await creating
            figures = times.figures()
            lanes = await lanes_of(metrics) if metrics else {}
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        firsts = sorted(watcher.bound.values())
        return {
            "scheduler": options.scheduler,
            "control_plane": options.control_plane,
            "nodes": options.nodes,
            "pods": len(wanted),
            "gang": options.gang,
            "preempt": options.preempt,
            "while_running": options.while_running,
            "seconds": seconds,
            "per_second": len(wanted) / seconds,
            "from_first_to_last": firsts[-1] - firsts[0],
            "events": await _count(cluster, EVENTS),
            "evicted": len(evicted),
            "lanes": lanes,
            "processes": figures,
        }


async def _prepare(cluster: Cluster, options: argparse.Namespace) -> None:
    client = cluster.client
    await client.create(NAMESPACES, _named("v1", "Namespace", NAMESPACE))
    with contextlib.suppress(ApiError):  # there by itself where a controller makes it
        await client.create(_ACCOUNTS, _named("v1", "ServiceAccount", "default"), NAMESPACE)
    await client.create(
        PRIORITY_CLASSES, {**_named("scheduling.k8s.io/v1", "PriorityClass", _HIGH), "value": 1000}
    )
    await _create_all(cluster, NODES, [node(index) for index in range(options.nodes)])
    await _in_turn(
        [f"node-{index:05}" for index in range(options.nodes)],
        lambda name: client.patch(NODES, "", name, {"spec": {"taints": None}}),
    )
    if options.preempt:
        low = [pod(index, PEER, cpu="8") for index in range(options.nodes * _PER_NODE)]
        for index, each in enumerate(low):
            each["spec"]["nodeName"] = f"node-{index // _PER_NODE:05}"
        await _create_all(cluster, PODS, low)


async def _let_go(cluster: Cluster, gone: asyncio.Queue[str]) -> None:
    """Pods that were told to go are gone: what a kubelet would do."""
    now = orjson.dumps({"gracePeriodSeconds": 0})
    while True:
        with contextlib.suppress(NotFound):
            name = await gone.get()
            await cluster.client.raw("DELETE", PODS.path(NAMESPACE, name), body=now)


async def _create_all(
    cluster: Cluster, resource: ResourceType, manifests: Iterable[dict[str, Any]]
) -> None:
    await _in_turn(
        manifests,
        lambda each: cluster.client.create(resource, each, each["metadata"].get("namespace", "")),
    )


async def _in_turn(work: Iterable[Any], send: Callable[[Any], Any]) -> None:
    rest = iter(list(work))

    async def sender() -> None:
        for each in rest:
            await send(each)

    await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))


async def _count(cluster: Cluster, resource: ResourceType) -> int:
    page = await _first(cluster, resource)
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount") or 0)


async def _first(cluster: Cluster, resource: ResourceType) -> dict[str, Any]:
    """The first page of all objects of the kind, one object long."""
    answer = await cluster.client.raw("GET", resource.path(), query=[("limit", "1")])
    page: dict[str, Any] = orjson.loads(answer.body)
    return page


@asynccontextmanager
async def _scheduler(
    cluster: Cluster, options: argparse.Namespace
) -> AsyncIterator[tuple[dict[str, int], str]]:
    """The scheduler runs for the block; its process ids and the address of its metrics, if any."""
    if options.scheduler == "ours":
        words = ("kube_queue", "scheduler", "--kubeconfig", str(cluster.kubeconfig))
        command = (*PYTHON, *words, "--child", "--port", "0")
        supervisor = Supervisor(cluster.directory, _say)
        try:
            facts = await supervisor.start(Child("scheduler", command))
            yield supervisor.pids(), facts["scheduler"].rstrip("/") + "/metrics"
        finally:
            await supervisor.stop()
        return
    found = await obtain_all([program("kube-scheduler")], _say)
    assert cluster.plane is not None, "kube-scheduler needs --control-plane kubernetes"
    process = await asyncio.create_subprocess_exec(
        str(found["kube-scheduler"]),
        f"--kubeconfig={cluster.kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        f"--kube-api-qps={PEER_QPS}",
        f"--kube-api-burst={2 * PEER_QPS}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield {"kube-scheduler": process.pid}, ""
    finally:
        process.kill()
        await process.wait()


def _named(api_version: str, kind: str, name: str) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def show(figures: dict[str, Any]) -> None:
    """Print the figures as tables."""
    what = "created while it runs" if figures["while_running"] else "created before it starts"
    if figures["preempt"]:
        what += f", evicting {figures['evicted']} of low priority"
    print(
        f"place on {DESCRIBED[figures['control_plane']]}: {figures['scheduler']}, "
        f"{figures['pods']} pods in gangs of {figures['gang']} on {figures['nodes']} nodes, {what}"
    )
    print(
        f"{figures['seconds']:.1f} s, {figures['per_second']:.0f} pods/s; first to last "
        f"{figures['from_first_to_last']:.1f} s; Events {figures['events']}"
    )
    if figures["lanes"]:
        show_lanes("scheduler", figures["lanes"])
    show_processes(figures["processes"])


def main() -> int:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    control_plane_option(parser)
    parser.add_argument("--scheduler", choices=("ours", "kube-scheduler"), default="ours")
    parser.add_argument("--nodes", type=int, default=5_000)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--gang", type=int, default=1)
    parser.add_argument("--preempt", action="store_true")
    parser.add_argument("--while-running", action="store_true")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()

    async def run() -> None:
        figures = await measure(options)
        show(figures)
        write_json(options.json, figures)

    run_loop(run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
