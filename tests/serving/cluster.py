"""A controller that answers over HTTP, on the wall clock, before an API server in this process."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from kube_queue import manifests
from kube_queue.api.types import CRDS, ELASTIC_QUOTA_TREES, NAMESPACES, QUEUE_UNITS
from kube_queue.apiserver.core import ApiServer
from kube_queue.app.controller import run_controller
from kube_queue.app.in_process import InProcessTransport
from kube_queue.config import Settings
from kube_queue.kube.client import Client
from tests.controller.queueing.world import a_tree, a_unit_manifest

START = 1_767_225_600.0

SETTINGS = Settings().replaced(leader={"enabled": False}, serving={"port": 0})


@dataclass
class Cluster:
    """An API server, a user's client, and the address of the controller."""

    user: Client
    url: str
    http: aiohttp.ClientSession

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(self.url + path) as answer:
            return answer.status, await answer.json(content_type=None)

    async def text(self, path: str) -> tuple[int, str]:
        async with self.http.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def create_unit(self, name: str, **kinds: Any) -> None:
        await self.user.create(QUEUE_UNITS, a_unit_manifest(name, **kinds))

    async def create_tree(self, root: dict[str, Any]) -> None:
        await self.user.create(ELASTIC_QUOTA_TREES, a_tree(root, "elasticquotatree"))

    async def phases(self, expected: dict[str, str]) -> None:
        """Return once the controller tells these phases of units."""
        async with asyncio.timeout(30):
            while True:
                _, answer = await self.get("/visibility/v1/units")
                if {one["name"]: one["phase"] for one in answer["units"]} == expected:
                    return
                await asyncio.sleep(0.01)


def clock() -> float:
    """Seconds since the epoch, as far as these clusters know."""
    return START + asyncio.get_running_loop().time()


async def an_api(*, crds: bool = True) -> tuple[ApiServer, Client]:
    server = ApiServer(clock=clock, rng=random.Random(1))
    user = Client(InProcessTransport(server))
    if crds:
        await serve_crds(user)
    return server, user


async def serve_crds(user: Client) -> None:
    for crd in manifests.crds():
        await user.create(CRDS, crd)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-queue"}}
    await user.create(NAMESPACES, namespace)


@contextlib.asynccontextmanager
async def cluster(settings: Settings = SETTINGS) -> AsyncIterator[Cluster]:
    """A cluster whose controller knows what exists."""
    server, user = await an_api()
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(
        run_controller(
            Client(InProcessTransport(server)),
            settings,
            clock=clock,
            rng=random.Random(1),
            ready=url.set_result,
        )
    )
    async with aiohttp.ClientSession() as http:
        await asyncio.wait([url, running], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        try:
            yield Cluster(user, url.result(), http)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await server.close()
