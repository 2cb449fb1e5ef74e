"""The walk-through of `kube-queue demo`: the whole system in one process, on the wall clock.

Every part is the one that runs in a cluster; only the sockets between them are left out.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from kube_queue import manifests
from kube_queue.api.types import ELASTIC_QUOTA_TREES, TFJOBS
from kube_queue.apiserver.core import ApiServer
from kube_queue.app.controller import run_controller
from kube_queue.app.demo_gang import play_gang
from kube_queue.app.demo_steps import DemoFailed, Step, sleeping, table
from kube_queue.app.in_process import InProcessTransport
from kube_queue.app.install import install
from kube_queue.app.local import LOCAL_EXTENSIONS
from kube_queue.app.scheduler import run_scheduler
from kube_queue.config import Settings
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer
from kube_queue.observability.log import configure_log
from kube_queue.simulator.profile import profile_named
from kube_queue.simulator.run import run_simulator

PASSING_STATES = {"", "Created", "Suspended"}
LONGEST = 20.0


async def run_demo(
    seconds: float,
    show: Callable[[Step], None],
    explain: Callable[[str], Coroutine[Any, Any, str]],
) -> None:
    """Both jobs ran, one after the other, then a gang, whole; and each change was shown.

    `seconds` is what each pod sleeps. `explain` turns the controller's visibility address into the
    text shown while the second job waits. Raises DemoFailed.
    """
    configure_log(level="error", form="console", clock=time.time)
    server = ApiServer(clock=time.time, rng=random.Random(secrets.randbits(64)))
    client = Client(InProcessTransport(server))
    visibility: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    await install(client, operators=True)
    settings = Settings().replaced(
        leader={"enabled": False},
        serving={"port": 0},
        jobs={"enabled_extensions": LOCAL_EXTENSIONS},
        scheduler={"tell_after_seconds": 0},
    )
    rng = random.Random(secrets.randbits(64))
    parts = [
        run_simulator(client, profile_named("default"), clock=time.time, rng=rng),
        run_controller(
            client, settings, clock=time.time, rng=rng, with_jobs=True, ready=visibility.set_result
        ),
        run_scheduler(client, settings, clock=time.time, rng=rng),
    ]
    tasks = [asyncio.ensure_future(part) for part in parts]
    walk = asyncio.ensure_future(_both_acts(client, seconds, show, explain, visibility))
    try:
        await asyncio.wait([walk, *tasks], return_when=asyncio.FIRST_COMPLETED)
        if not walk.done():
            for task in tasks:
                if task.done():
                    task.result()
            raise DemoFailed("a part of the system ended by itself")
        walk.result()
    finally:
        for task in (walk, *tasks):
            task.cancel()
        await asyncio.gather(walk, *tasks, return_exceptions=True)
        await client.close()
        await server.close()


async def _both_acts(
    client: Client,
    seconds: float,
    show: Callable[[Step], None],
    explain: Callable[[str], Coroutine[Any, Any, str]],
    visibility: asyncio.Future[str],
) -> None:
    await _walk(client, seconds, show, explain, visibility)
    await play_gang(client, seconds, show)


async def _walk(
    client: Client,
    seconds: float,
    show: Callable[[Step], None],
    explain: Callable[[str], Coroutine[Any, Any, str]],
    visibility: asyncio.Future[str],
) -> None:
    address = await visibility
    states = _States(client)
    watching = asyncio.create_task(states.informer.run())
    try:
        await states.informer.synced.wait()
        show(Step("kubectl apply -f elastic-quota-tree.yaml"))
        for manifest in manifests.load("demo/elastic-quota-tree.yaml"):
            await client.create(ELASTIC_QUOTA_TREES, manifest, "kube-system")
        show(await table(client, ELASTIC_QUOTA_TREES, "kubectl get elasticquotatree -A", ""))
        show(Step("kubectl apply -f two-tfjobs.yaml"))
        for manifest in sleeping("demo/two-tfjobs.yaml", seconds):
            await client.create(TFJOBS, manifest, "default")
        explained = False
        async with asyncio.timeout(2 * seconds + LONGEST):
            while states.now() != ("Succeeded", "Succeeded"):
                await states.changed()
                show(await table(client, TFJOBS, "kubectl get tfjob", "default"))
                if not explained and states.now() == ("Running", "Queuing"):
                    explained = True
                    show(Step("kube-queue explain job2", rows=[[await explain(address)]]))
    except TimeoutError:
        raise DemoFailed(f"the jobs are {' and '.join(states.now())}, not Succeeded") from None
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


class _States:
    """The STATE of each TFJob, and a wait for the next one worth showing."""

    def __init__(self, client: Client) -> None:
        self.informer = Informer(client, TFJOBS, _Job.of, rng=random.Random(0))
        self.informer.add_handler(lambda _old, _new: self._event.set())
        self._event = asyncio.Event()
        self._shown: tuple[str, ...] = ()

    def now(self) -> tuple[str, ...]:
        return tuple(job.state for job in sorted(self.informer.values(), key=lambda job: job.name))

    async def changed(self) -> None:
        while self.now() == self._shown or PASSING_STATES.intersection(self.now()):
            self._event.clear()
            await self._event.wait()
        self._shown = self.now()


@dataclass(frozen=True, slots=True)
class _Job:
    namespace: str
    name: str
    uid: str
    resource_version: str
    state: str

    @classmethod
    def of(cls, whole: dict[str, Any]) -> _Job:
        metadata = whole["metadata"]
        conditions = whole.get("status", {}).get("conditions", [])
        return cls(
            metadata["namespace"],
            metadata["name"],
            metadata["uid"],
            metadata["resourceVersion"],
            conditions[-1]["type"] if conditions else "",
        )
