"""Composition root of the co-scheduler: everything it needs, from a client and settings."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable, Iterator
from functools import partial

import structlog

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
from kube_queue.controller.scheduling.side import SchedulingSide
from kube_queue.controller.scheduling.standby import Standby
from kube_queue.kube.client import Client
from kube_queue.kube.leader import LeaderElector
from kube_queue.kube.writes import WriteScheduler
from kube_queue.observability.meters import Meters, Reading
from kube_queue.serving.ops import ops_routes
from kube_queue.serving.placement import PlacementVisibility
from kube_queue.serving.readings import SchedulerSources, scheduler_readings

_log = structlog.get_logger("app.scheduler")


async def run_scheduler(
    client: Client,
    settings: Settings,
    *,
    clock: Callable[[], float],
    rng: random.Random,
    ready: Callable[[str], None] | None = None,
) -> None:
    """The co-scheduler runs until cancelled.

    `clock` gives seconds since the epoch. `ready` is told the address it serves (empty when serving
    is off) once it leads and knows what exists. Pods and nodes are listed anew after the lead was
    had, so that every binding of the former leader is seen. A process that loses the lead stops
    binding at once, stands by, and starts anew with nothing remembered when it leads again; one
    that is stopped first writes what is queued, for at most DRAIN_SECONDS. Raises InvalidSetting at
    once when the address to listen on cannot be had. The client stays open.
    """
    process = _Process(limited(client, settings.client), settings, clock=clock, rng=rng)
    visibility = PlacementVisibility(lambda: process.side)
    routes = [*ops_routes(process.meters, lambda: process.ready), *visibility.routes()]
    async with answering(routes, settings.serving) as url:
        await process.run(lambda: ready(url) if ready is not None else None)


class _Process:
    """Keeps a copy while it waits for the lead, fills a memory, leads; and all of it again when the
    lead is lost.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        *,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.meters = Meters()
        self.side: SchedulingSide | None = None
        """The memory while this process leads."""
        self._standby: Standby | None = None
        """The copy while it does not."""
        self._client = client
        self._settings = settings
        self._clock = clock
        self._rng = rng
        self._identity = lease_identity(settings.leader, rng)
        self._announced = False
        self._writes: WriteScheduler | None = None
        self.meters.read_from(self._readings)

    @property
    def ready(self) -> bool:
        """Whether what exists is in memory."""
        known = self.side or self._standby
        return known is not None and known.ready

    async def run(self, ready: Callable[[], None]) -> None:
        """Take part until cancelled."""
        if not self._settings.leader.enabled:
            await take_part(None, partial(self._lead, ready=ready))
            return
        while True:
            await self._stand_by(ready)
            _log.warning("standing by: another process leads")

    async def _stand_by(self, ready: Callable[[], None]) -> None:
        """It waited for the lead, led, and lost the lead."""
        leads = asyncio.Event()

        async def lead(stop: Stop) -> None:
            # What it leads by is listed anew.
            leads.set()
            self._standby = None
            await self._lead(stop, ready)

        async def copy() -> None:
            await first_to_end(self._copy(), _set(leads))
            await asyncio.Event().wait()

        try:
            await first_to_end(take_part(self._elector(), lead), copy())
        finally:
            self._standby = None

    async def _copy(self) -> None:
        # Who has the lead at once needs no copy.
        await asyncio.sleep(self._settings.leader.retry_seconds)
        self._standby = Standby(self._client, self._settings, rng=self._rng)
        await self._standby.run()

    async def _lead(self, stop: Stop, ready: Callable[[], None]) -> None:
        side = SchedulingSide(
            self._client,
            self._settings,
            clock=self._clock,
            rng=self._rng,
            meters=self.meters,
        )
        writes = writes_of(self._client, self._settings.writes, self._rng)

        async def decide() -> None:
            await side.synced()
            # What was just read stays: the collector need not look at it again and again.
            gc.freeze()
            _log.info("in memory", nodes=len(side.nodes), pods=len(side.pods))
            if not self._announced:
                self._announced = True
                ready()
            await side.lead(writes)

        self.side, self._writes = side, writes
        try:
            await decide_and_write(writes, stop, first_to_end(side.run(), decide()))
        finally:
            self.side = self._writes = None

    def _elector(self) -> LeaderElector | None:
        leader = self._settings.leader
        return elector_of(self._client, leader, leader.scheduler_lease, self._identity, self._clock)

    def _readings(self) -> Iterator[Reading]:
        return scheduler_readings(SchedulerSources(self._client, self.side, self._writes))


async def _set(event: asyncio.Event) -> None:
    await event.wait()
