"""The queue controller as a process: everything it is made of, put together."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from kube_queue.api.errors import KubeQueueError
from kube_queue.app.job_extensions import run_job_extensions
from kube_queue.config import ClientSettings, LeaderSettings, Settings
from kube_queue.controller.queueing.queue_side import QueueSide
from kube_queue.kube.client import Client
from kube_queue.kube.leader import LeaderElector
from kube_queue.kube.limiter import LimitedTransport
from kube_queue.kube.writes import WriteScheduler
from kube_queue.observability.meters import Meters
from kube_queue.serving.ops import OpsServer, ops_routes
from kube_queue.serving.readings import Sources, readings
from kube_queue.serving.visibility import Visibility

_log = structlog.get_logger("app.controller")


class LeadLost(KubeQueueError):
    """Another process leads now; this one has stopped writing and should be started afresh."""


async def run_controller(
    client: Client,
    settings: Settings,
    *,
    clock: Callable[[], float],
    rng: random.Random,
    with_jobs: bool = False,
    ready: Callable[[str], None] | None = None,
) -> None:
    """The queue controller runs until cancelled.

    `clock` gives seconds since the epoch. `ready` is told the address of /visibility (empty when
    serving is off) once it answers and what exists is in memory. `with_jobs` runs the job side as
    well, under the same lead. Raises LeadLost when another process took the lead, InvalidSetting
    when the address to listen on cannot be had. The client is limited to the settings' qps and
    stays open.
    """
    client = limited(client, settings.client)
    meters = Meters()
    side = QueueSide(client, settings, clock=clock, rng=rng, meters=meters)
    process = _Process(client, settings, side, clock=clock, rng=rng, with_jobs=with_jobs)
    meters.read_from(lambda: readings(process.sources))
    if not settings.serving.enabled:
        await first_to_end(side.run(), process.run("", ready))
        return
    routes = [*ops_routes(meters, lambda: side.ready), *Visibility(side, clock).routes()]
    server = OpsServer(routes, address=settings.serving.bind_address, port=settings.serving.port)
    await server.open()
    try:
        await first_to_end(side.run(), process.run(server.url, ready))
    finally:
        await server.close()


class _Process:
    """What waits for memory and lead, and then leads."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        side: QueueSide,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        with_jobs: bool,
    ) -> None:
        self.sources = Sources(client, side, lambda: self._writes, lambda: self._leading)
        self._client = client
        self._settings = settings
        self._side = side
        self._clock = clock
        self._rng = rng
        self._with_jobs = with_jobs
        self._writes: WriteScheduler | None = None
        self._leading = False

    async def run(self, url: str, ready: Callable[[str], None] | None) -> None:
        await self._side.synced()
        # What was just read stays for long: the collector need not look at it again and again.
        gc.freeze()
        _log.info("in memory", units=len(self._side.units), queues=len(self._side.queues))
        if ready is not None:
            ready(url)
        leader = self._settings.leader
        if not leader.enabled:
            await self._lead()
            return
        elector = LeaderElector(
            self._client,
            leader.controller_lease,
            leader.namespace,
            lease_identity(leader, self._rng),
            self._clock,
            lease=leader.lease_seconds,
            renew=leader.renew_seconds,
            retry=leader.retry_seconds,
        )
        await elector.run(self._lead)
        raise LeadLost("another process leads now; this one has stopped writing")

    async def _lead(self) -> None:
        limits = self._settings.writes
        writes = WriteScheduler(
            self._client,
            max_in_flight=limits.max_in_flight,
            low_rate=limits.low_priority_rate,
            rng=self._rng,
        )
        self._writes, self._leading = writes, True
        work: list[Coroutine[Any, Any, None]] = [writes.run(), self._side.lead(writes)]
        if self._with_jobs:
            # One process, one lead: the job side needs none of its own.
            settings = self._settings.replaced(leader={"enabled": False})
            work.append(
                run_job_extensions(
                    self._client, settings, clock=self._clock, rng=self._rng, writes=writes
                )
            )
        try:
            await first_to_end(*work)
        finally:
            self._leading = False


def limited(client: Client, settings: ClientSettings) -> Client:
    """The client, or one on the same connection that keeps to the settings' qps and burst."""
    if not settings.qps:
        return client
    burst = settings.burst or max(1, int(2 * settings.qps))
    return Client(LimitedTransport(client.transport, qps=settings.qps, burst=burst))


def lease_identity(leader: LeaderSettings, rng: random.Random) -> str:
    """The name of this process in a Lease: as set, else host name and a random part."""
    return leader.identity or f"{socket.gethostname()}_{rng.getrandbits(48):012x}"


async def first_to_end(*work: Coroutine[Any, Any, None]) -> None:
    """One of them ended, the others are cancelled and over; what it raised is raised here."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()
