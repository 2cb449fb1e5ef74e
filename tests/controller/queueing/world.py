"""A cluster in virtual time with a queue side: what a user would do, and what was written."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import orjson

from kube_queue import manifests
from kube_queue.api.errors import ConnectionLost
from kube_queue.api.types import (
    CRDS,
    ELASTIC_QUOTA_TREES,
    EVENTS,
    NAMESPACES,
    QUEUE_UNITS,
    QUEUES,
)
from kube_queue.apiserver.core import ApiServer
from kube_queue.app.in_process import InProcessTransport
from kube_queue.app.leading import first_to_end
from kube_queue.app.virtual_time import run_virtual, virtual_clock
from kube_queue.config import Settings
from kube_queue.controller.queueing.queue_side import QueueSide
from kube_queue.kube.client import Client
from kube_queue.kube.transport import Query, Response, Transport
from kube_queue.kube.writes import WriteScheduler
from kube_queue.observability.meters import Meters

Object = dict[str, Any]


@dataclass(frozen=True)
class Write:
    """One request of the controller that changed, or would have changed, something."""

    method: str
    path: str
    body: Object
    at: float
    status: int

    @property
    def of_unit_status(self) -> bool:
        return "/queueunits/" in self.path and self.path.endswith("/status")

    @property
    def admits(self) -> bool:
        return self.of_unit_status and self.body["status"].get("phase") == "Dequeued"

    @property
    def reasons(self) -> bool:
        return self.of_unit_status and self.body["status"].get("phase") == "Enqueued"

    @property
    def queue_or_tree_status(self) -> bool:
        return self.path.endswith("/status") and "/queueunits/" not in self.path


Fault = Callable[[str, str, Object], Awaitable[str]]
"""(method, path, body) -> "" to pass, "forbid", "too-many" as a disruption budget answers, or
"lose-before" or "lose-after" it was done."""


async def no_fault(method: str, path: str, body: Object) -> str:
    return ""


@dataclass
class Recorder:
    """A Transport that remembers writes, takes `latency` seconds, and can lose answers."""

    transport: Transport
    latency: float = 0.0
    lateness: float = 0.0
    """Seconds from a write to its answer: a watch tells of it before."""
    fault: Fault = no_fault
    writes: list[Write] = field(default_factory=list)
    patience: dict[str, float] = field(default_factory=dict)
    """By path: how many seconds the last request to it was given."""
    refused: int = 0
    """Requests that were answered as a disruption budget does."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 30.0,
    ) -> Response:
        written = orjson.loads(body) if body else {}
        self.patience[path] = timeout
        await asyncio.sleep(self.latency)
        fate = await self.fault(method, path, written)
        if fate == "forbid":
            status = {"reason": "Forbidden", "message": "not allowed", "code": 403}
            return Response(403, {}, orjson.dumps(status))
        if fate == "too-many":
            self.refused += 1
            said = {"reason": "TooManyRequests", "message": "the budget allows none", "code": 429}
            return Response(429, {}, orjson.dumps(said))
        if fate == "lose-before":
            raise ConnectionLost("lost before it was carried out")
        answer = await self.transport.request(
            method,
            path,
            query=query,
            body=body,
            content_type=content_type,
            accept=accept,
            timeout=timeout,
        )
        if method != "GET":
            at = asyncio.get_running_loop().time()
            self.writes.append(Write(method, path, written, at, answer.status))
            await asyncio.sleep(self.lateness)
        if fate == "lose-after":
            raise ConnectionLost("the answer was lost")
        return answer

    def stream(
        self, path: str, *, query: Query, read_timeout: float, accept: str = "application/json"
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self.transport.stream(path, query=query, read_timeout=read_timeout, accept=accept)

    async def close(self) -> None:
        return None


@dataclass
class World:
    """One API server; the queue side can be ended and started again."""

    server: ApiServer
    user: Client
    recorder: Recorder
    clock: Callable[[], float]
    settings: Settings
    side: QueueSide = field(init=False)
    scheduler: WriteScheduler = field(init=False)
    meters: Meters = field(init=False)
    side_client: Client = field(init=False)
    _running: asyncio.Task[None] | None = None
    _seed: int = 1

    async def start(self, *, lead: bool = True) -> None:
        """The queue side runs and knows what exists."""
        self._seed += 1
        client = self.side_client = Client(self.recorder)
        rng = random.Random(self._seed)
        self.meters = Meters()
        self.side = QueueSide(client, self.settings, clock=self.clock, rng=rng, meters=self.meters)
        self.scheduler = WriteScheduler(client, rng=rng)
        work: list[Coroutine[Any, Any, None]] = [self.side.run()]
        if lead:
            work += [self._lead(), self.scheduler.run()]
        self._running = asyncio.create_task(first_to_end(*work))
        await self.side.synced()

    async def _lead(self) -> None:
        await self.side.synced()
        await self.side.lead(self.scheduler)

    async def kill(self) -> None:
        """The queue side ends wherever it is, as a killed process would."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    def check_alive(self) -> None:
        if self._running is not None and self._running.done():
            self._running.result()
            raise AssertionError("the queue side ended by itself")

    async def settle(self, seconds: float = 1.0) -> None:
        await asyncio.sleep(seconds)
        self.check_alive()

    # What a user and the job side do.

    async def create_tree(self, root: Object, name: str = "elasticquotatree") -> Object:
        return await self.user.create(ELASTIC_QUOTA_TREES, a_tree(root, name))

    async def change_tree(self, root: Object, name: str = "elasticquotatree") -> None:
        patch = [{"op": "replace", "path": "/spec/root", "value": root}]
        await self.user.patch(ELASTIC_QUOTA_TREES, "kube-system", name, patch, kind="json")

    async def create_unit(self, name: str, **kinds: Any) -> Object:
        return await self.user.create(QUEUE_UNITS, a_unit_manifest(name, **kinds))

    async def change_unit(self, name: str, spec: Object, namespace: str = "default") -> None:
        await self.user.patch(QUEUE_UNITS, namespace, name, {"spec": spec})

    async def set_status(self, name: str, status: Object, namespace: str = "default") -> None:
        patch = {"status": status}
        await self.user.patch(QUEUE_UNITS, namespace, name, patch, subresource="status")

    async def finish(self, name: str, namespace: str = "default") -> None:
        await self.set_status(name, {"phase": "Succeed", "reason": "JobSucceeded"}, namespace)

    # What is on the server.

    async def unit(self, name: str, namespace: str = "default") -> Object:
        return await self.user.get(QUEUE_UNITS, namespace, name)

    async def units(self) -> list[Object]:
        return await self.user.list(QUEUE_UNITS)

    async def phases(self) -> dict[str, str]:
        units = await self.units()
        return {one["metadata"]["name"]: phase_of(one) for one in units}

    async def admitted(self) -> set[str]:
        return {name for name, phase in (await self.phases()).items() if phase == "Dequeued"}

    async def queue_names(self) -> list[str]:
        return sorted(queue["metadata"]["name"] for queue in await self.user.list(QUEUES))

    async def queue(self, name: str) -> Object:
        return await self.user.get(QUEUES, "kube-queue", name)

    async def tree(self, name: str = "elasticquotatree") -> Object:
        return await self.user.get(ELASTIC_QUOTA_TREES, "kube-system", name)

    async def events(self, reason: str = "") -> list[Object]:
        events = await self.user.list(EVENTS)
        return [event for event in events if not reason or event["reason"] == reason]

    def count(self, chosen: Callable[[Write], bool]) -> int:
        return sum(1 for write in self.recorder.writes if chosen(write))


def a_node(name: str, **fields: Any) -> Object:
    """A node of a tree; cpu= is a short form of max."""
    node: Object = {"name": name, **fields}
    if "cpu" in node:
        node.setdefault("max", {"cpu": node.pop("cpu")})
        node.pop("cpu", None)
    return node


def a_root(*leaves: Object, **fields: Any) -> Object:
    return a_node("root", children=list(leaves), **fields)


def a_leaf(name: str, cpu: str | int = 4, **fields: Any) -> Object:
    """A leaf for the namespace of its own name, or `namespaces`."""
    return a_node(name, **{"cpu": cpu, "namespaces": [name], **fields})


def a_tree(root: Object, name: str) -> Object:
    return {
        "apiVersion": ELASTIC_QUOTA_TREES.api_version,
        "kind": ELASTIC_QUOTA_TREES.kind,
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"root": root},
    }


def a_unit_manifest(
    name: str,
    *,
    cpu: str | int = 1,
    namespace: str = "default",
    queue: str = "root-default",
    job: str = "",
    priority: int = 0,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Object:
    """A waiting unit; `job` names a Job it stands for."""
    whole: Object = {
        "queue": queue,
        "priority": priority,
        "resource": {"cpu": str(cpu)},
        "request": {"cpu": str(cpu)},
        **spec,
    }
    if job:
        whole["consumerRef"] = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "namespace": namespace,
            "name": job,
            "uid": f"uid-{job}",
        }
    return {
        "apiVersion": QUEUE_UNITS.api_version,
        "kind": QUEUE_UNITS.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels or {},
            "annotations": annotations or {},
        },
        "spec": whole,
    }


@contextlib.asynccontextmanager
async def world(settings: Settings | None = None, *, start: bool = True) -> AsyncIterator[World]:
    """A cluster with our CRDs, whose queue side runs unless told otherwise."""
    clock = virtual_clock()
    server = ApiServer(clock=clock, rng=random.Random(1))
    user = Client(InProcessTransport(server))
    for crd in manifests.crds():
        await user.create(CRDS, crd)
    for name in ("kube-queue", "team-a", "team-b"):
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await user.create(NAMESPACES, space)
    recorder = Recorder(InProcessTransport(server))
    made = World(server, user, recorder, clock, settings or Settings())
    if start:
        await made.start()
    try:
        yield made
        made.check_alive()
    finally:
        await made.kill()
        await server.close()


def in_world(
    story: Callable[[World], Coroutine[Any, Any, None]],
    settings: Settings | None = None,
    *,
    start: bool = True,
) -> None:
    """The story is played in virtual time."""

    async def play() -> None:
        async with world(settings, start=start) as made:
            await story(made)

    run_virtual(play())


def phase_of(unit: Object) -> str:
    """The phase a unit's status says; a unit without a status waits."""
    return str(unit.get("status", {}).get("phase", "Enqueued"))
