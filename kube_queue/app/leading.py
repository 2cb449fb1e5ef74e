"""What every process that takes part in an election and talks to one API server has in common."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from kube_queue.config import ClientSettings, LeaderSettings
from kube_queue.kube.client import Client
from kube_queue.kube.leader import LeaderElector
from kube_queue.kube.limiter import LimitedTransport
from kube_queue.kube.writes import WriteScheduler

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


async def _over(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
