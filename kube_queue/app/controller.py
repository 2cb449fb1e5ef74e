"""Composition root of the queue controller: everything it needs, from a client and settings."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from kube_queue.app.job_extensions import run_job_extensions
from kube_queue.app.leading import (
    Stop,
    answering,
    decide_and_write,
    elector_of,
    first_to_end,
    lease_identity,
    limited,
    take_part,
    writes_of,
)
from kube_queue.config import Settings
from kube_queue.controller.queueing.queue_side import QueueSide
from kube_queue.jobframework import load_extensions
from kube_queue.kube.client import Client
from kube_queue.kube.leader import LeaderElector
from kube_queue.kube.writes import WriteScheduler
from kube_queue.observability.meters import Meters
from kube_queue.serving.ops import ops_routes
from kube_queue.serving.readings import Sources, readings
from kube_queue.serving.visibility import Visibility

_log = structlog.get_logger("app.controller")


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
    well, under the same lead. A process that loses the lead stops writing, stands by, and starts
    anew with nothing remembered when it leads again; one that is stopped first writes what is
    queued, for at most DRAIN_SECONDS. Raises InvalidSetting at once when the
    address to listen on or the enabled extensions cannot be had. The client stays open.
    """
    if with_jobs:
        load_extensions(settings.jobs.enabled_extensions)
    process = _Process(
        limited(client, settings.client), settings, clock=clock, rng=rng, with_jobs=with_jobs
    )
    visibility = Visibility(lambda: process.side, clock)
    routes = [*ops_routes(process.meters, lambda: process.side.ready), *visibility.routes()]
    async with answering(routes, settings.serving) as url:
        await process.run(lambda: ready(url) if ready is not None else None)


class _Process:
    """Fills a memory, waits for the lead, leads; and all of it again when the lead is lost."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        with_jobs: bool,
    ) -> None:
        self.meters = Meters()
        self._client = client
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._with_jobs = with_jobs
        self._identity = lease_identity(settings.leader, rng)
        self._announced = False
        self._writes: WriteScheduler | None = None
        self._leading = False
        self.side = self._fresh_side()
        sources = Sources(client, lambda: self.side, lambda: self._writes, lambda: self._leading)
        self.meters.read_from(lambda: readings(sources))

    async def run(self, ready: Callable[[], None]) -> None:
        """Take part until cancelled."""
        while True:
            await first_to_end(self.side.run(), self._take_part(ready))
            if not self._settings.leader.enabled:
                return
            _log.warning("standing by: another process leads")
            self.side = self._fresh_side()

    def _fresh_side(self) -> QueueSide:
        return QueueSide(
            self._client,
            self._settings,
            clock=self._clock,
            rng=self._rng,
            meters=self.meters,
        )

    async def _take_part(self, ready: Callable[[], None]) -> None:
        await self.side.synced()
        # What was just read stays: the collector need not look at it again and again.
        gc.freeze()
        _log.info("in memory", units=len(self.side.units), queues=len(self.side.queues))
        if not self._announced:
            self._announced = True
            ready()
        await take_part(self._elector(), self._lead)

    def _elector(self) -> LeaderElector | None:
        leader = self._settings.leader
        return elector_of(
            self._client, leader, leader.controller_lease, self._identity, self._clock
        )

    async def _lead(self, stop: Stop) -> None:
        writes = writes_of(self._client, self._settings.writes, self._rng)
        self._writes, self._leading = writes, True
        work: list[Coroutine[Any, Any, None]] = [self.side.lead(writes)]
        if self._with_jobs:
            work.append(self._job_side(writes))
        try:
            await decide_and_write(writes, stop, *work)
        finally:
            self._leading = False

    async def _job_side(self, writes: WriteScheduler) -> None:
        # One process, one lead, one speed limit: the job side needs none of its own.
        settings = self._settings.replaced(leader={"enabled": False}, client={"qps": 0, "burst": 0})
        await run_job_extensions(
            self._client, settings, clock=self._clock, rng=self._rng, writes=writes
        )
