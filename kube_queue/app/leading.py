"""What every process that takes part in an election and talks to one API server has in common."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, Final

from aiohttp import web

from kube_queue.config import ClientSettings, LeaderSettings, ServingSettings, WriteSettings
from kube_queue.kube.client import Client
from kube_queue.kube.leader import LeaderElector
from kube_queue.kube.limiter import LimitedTransport
from kube_queue.kube.writes import WriteScheduler
from kube_queue.serving.ops import OpsServer

DRAIN_SECONDS: Final = 2.0
"""How long a process that was asked to stop goes on writing what is queued."""


class Stop:
    """Whether the process was asked to stop. One that lost the lead was not."""

    def __init__(self) -> None:
        self.asked = False


async def take_part(elector: LeaderElector | None, lead: Callable[[Stop], Awaitable[None]]) -> None:
    """Lead when the elector says so, without one at once; return when the lead is lost or over.

    Cancelled, the stop that `lead` was given says so before `lead` is cancelled.
    """
    stop = Stop()

    async def started() -> None:
        await lead(stop)

    part = asyncio.ensure_future(started() if elector is None else elector.run(started))
    try:
        await asyncio.wait([part])
    except asyncio.CancelledError:
        stop.asked = True
        raise
    finally:
        await _over([part])
    part.result()


async def decide_and_write(
    writes: WriteScheduler, stop: Stop, *work: Coroutine[Any, Any, None]
) -> None:
    """The work and its writes went on until one of them ended; what it raised is raised here.

    Cancelled because the process was asked to stop, the work ends first, and what it left queued is
    written for at most DRAIN_SECONDS. Cancelled for any other reason nothing more is written:
    somebody else may lead by now.
    """
    writing = asyncio.ensure_future(writes.run())
    working = [asyncio.ensure_future(one) for one in work]
    ended: list[asyncio.Future[None]] = []
    try:
        await asyncio.wait([writing, *working], return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in (writing, *working) if task.done()]
    except asyncio.CancelledError:
        if stop.asked:
            await _over(working)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await writes.drain()
        raise
    finally:
        await _over([writing, *working])
    for task in ended:
        task.result()


async def first_to_end(*work: Coroutine[Any, Any, None]) -> None:
    """One of them ended, the others are cancelled and over; what it raised is raised here."""
    tasks = [asyncio.ensure_future(one) for one in work]
    ended: list[asyncio.Future[None]] = []
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in tasks if task.done()]
    finally:
        await _over(tasks)
    for task in ended:
        task.result()


def limited(client: Client, settings: ClientSettings) -> Client:
    """The client, or one on the same connection that keeps to the settings' qps and burst."""
    if not settings.qps:
        return client
    burst = settings.burst or max(1, int(2 * settings.qps))
    return Client(LimitedTransport(client.transport, qps=settings.qps, burst=burst))


def lease_identity(leader: LeaderSettings, rng: random.Random) -> str:
    """The name of this process in a Lease: as set, else host name and a random part."""
    return leader.identity or f"{socket.gethostname()}_{rng.getrandbits(48):012x}"


def elector_of(
    client: Client,
    leader: LeaderSettings,
    lease: str,
    identity: str,
    clock: Callable[[], float],
) -> LeaderElector | None:
    """Who asks for the Lease of this name as the settings say; None when no leader is elected."""
    if not leader.enabled:
        return None
    return LeaderElector(
        client,
        lease,
        leader.namespace,
        identity,
        clock,
        lease=leader.lease_seconds,
        renew=leader.renew_seconds,
        retry=leader.retry_seconds,
    )


def writes_of(client: Client, limits: WriteSettings, rng: random.Random) -> WriteScheduler:
    """A scheduler of writes that keeps to the settings' limits."""
    return WriteScheduler(
        client, max_in_flight=limits.max_in_flight, low_rate=limits.low_priority_rate, rng=rng
    )


@contextlib.asynccontextmanager
async def answering(routes: Iterable[web.RouteDef], serving: ServingSettings) -> AsyncIterator[str]:
    """The routes are served inside, at the address it yields (empty when serving is off).

    Raises InvalidSetting when the address to listen on cannot be had.
    """
    if not serving.enabled:
        yield ""
        return
    server = OpsServer(routes, address=serving.bind_address, port=serving.port)
    await server.open()
    try:
        yield server.url
    finally:
        await server.close()


async def _over(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
