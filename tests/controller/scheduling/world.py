"""A cluster in virtual time with a scheduling side: what a user would do, and what was written."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from kube_queue import manifests
from kube_queue.api.names import SCHEDULER_COMPONENT
from kube_queue.api.types import (
    CRDS,
    ELASTIC_QUOTA_TREES,
    EVENTS,
    NAMESPACES,
    NODES,
    PODS,
    PRIORITY_CLASSES,
)
from kube_queue.apiserver.core import ApiServer
from kube_queue.app.in_process import InProcessTransport
from kube_queue.app.leading import first_to_end
from kube_queue.app.virtual_time import run_virtual, virtual_clock
from kube_queue.config import Settings
from kube_queue.controller.scheduling.side import SchedulingSide
from kube_queue.kube.client import Client
from kube_queue.kube.writes import WriteScheduler
from kube_queue.observability.meters import Meters
from tests.controller.queueing.world import Recorder, Write, a_tree
from tests.placement.builders import NodeBuilder, PodBuilder, a_node, a_pod

Object = dict[str, Any]

__all__ = ["Object", "World", "Write", "a_node", "a_pod", "binds", "in_world", "tells"]


def binds(write: Write) -> bool:
    return write.path.endswith("/binding")


def tells(write: Write) -> bool:
    return "/pods/" in write.path and write.path.endswith("/status")


@dataclass
class World:
    """One API server; the scheduling side can be ended and started again."""

    server: ApiServer
    user: Client
    recorder: Recorder
    clock: Callable[[], float]
    settings: Settings
    side: SchedulingSide = field(init=False)
    meters: Meters = field(init=False)
    _running: asyncio.Task[None] | None = None
    _seed: int = 1

    async def start(self) -> None:
        """The scheduling side runs and knows what exists."""
        self._seed += 1
        client = Client(self.recorder)
        rng = random.Random(self._seed)
        self.meters = Meters()
        self.side = SchedulingSide(
            client, self.settings, clock=self.clock, rng=rng, meters=self.meters
        )
        writes = WriteScheduler(client, rng=rng)

        async def lead() -> None:
            await self.side.synced()
            await self.side.lead(writes)

        self._running = asyncio.create_task(first_to_end(self.side.run(), lead(), writes.run()))
        await self.side.synced()

    async def kill(self) -> None:
        """The scheduling side ends wherever it is, as a killed process would."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    def check_alive(self) -> None:
        if self._running is not None and self._running.done():
            self._running.result()
            raise AssertionError("the scheduling side ended by itself")

    async def settle(self, seconds: float = 1.0) -> None:
        await asyncio.sleep(seconds)
        self.check_alive()

    # What a user and other components do.

    async def create(self, *things: NodeBuilder | PodBuilder) -> None:
        for thing in things:
            resource = NODES if isinstance(thing, NodeBuilder) else PODS
            await self.user.create(resource, fresh(thing.manifest))

    async def create_tree(self, root: Object) -> Object:
        return await self.user.create(ELASTIC_QUOTA_TREES, a_tree(root, "elasticquotatree"))

    async def change_tree(self, root: Object) -> None:
        patch = [{"op": "replace", "path": "/spec/root", "value": root}]
        tree = ("kube-system", "elasticquotatree")
        await self.user.patch(ELASTIC_QUOTA_TREES, *tree, patch, kind="json")

    async def create_priority(self, name: str, value: int, *, preempts: bool = True) -> None:
        priority = {
            "apiVersion": PRIORITY_CLASSES.api_version,
            "kind": PRIORITY_CLASSES.kind,
            "metadata": {"name": name},
            "value": value,
            "preemptionPolicy": "PreemptLowerPriority" if preempts else "Never",
        }
        await self.user.create(PRIORITY_CLASSES, priority)

    async def delete_pod(
        self, name: str, grace_seconds: int | None = 0, namespace: str = "default"
    ) -> None:
        await self.user.delete(PODS, namespace, name, grace_seconds=grace_seconds)

    async def bind(self, name: str, node: str) -> None:
        """Another scheduler binds the pod."""
        binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": node}}
        await self.user.create_subresource(PODS, "default", name, "binding", binding)

    async def set_status(self, name: str, status: Object) -> None:
        patch = {"status": status}
        await self.user.patch(PODS, "default", name, patch, kind="strategic", subresource="status")

    # What is on the server.

    async def pod(self, name: str, namespace: str = "default") -> Object:
        return await self.user.get(PODS, namespace, name)

    async def nodes_of(self, prefix: str = "") -> dict[str, str]:
        """The node of each pod, empty for none."""
        return {
            pod["metadata"]["name"]: pod["spec"].get("nodeName", "")
            for pod in await self.user.list(PODS)
            if pod["metadata"]["name"].startswith(prefix)
        }

    async def bound(self, prefix: str = "") -> set[str]:
        return {name for name, node in (await self.nodes_of(prefix)).items() if node}

    async def condition(self, name: str) -> Object:
        """The pod's condition PodScheduled; empty without one."""
        for one in (await self.pod(name)).get("status", {}).get("conditions", ()):
            if one["type"] == "PodScheduled":
                found: Object = one
                return found
        return {}

    async def events(self, reason: str = "") -> list[Object]:
        events = await self.user.list(EVENTS)
        ours = [one for one in events if one["source"]["component"] == SCHEDULER_COMPONENT]
        return [one for one in ours if not reason or one["reason"] == reason]

    def count(self, chosen: Callable[[Write], bool]) -> int:
        return sum(1 for write in self.recorder.writes if chosen(write))


def fresh(manifest: Object) -> Object:
    """The manifest as somebody writes it, before a server completed it."""
    drop = ("uid", "resourceVersion", "creationTimestamp")
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in drop}
    return {**manifest, "metadata": metadata}


@contextlib.asynccontextmanager
async def world(settings: Settings | None = None, *, start: bool = True) -> AsyncIterator[World]:
    """A cluster with our CRDs, whose scheduling side runs unless told otherwise."""
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
