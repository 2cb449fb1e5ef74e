"""Composition root of the job side: everything it needs, from a client and settings."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable, Sequence

import structlog

from kube_queue.app.leading import (
    Stop,
    decide_and_write,
    elector_of,
    lease_identity,
    limited,
    take_part,
    writes_of,
)
from kube_queue.app.permissions import say_when_too_old
from kube_queue.config import Settings
from kube_queue.controller.jobs import JobSide
from kube_queue.controller.jobs.job_side import JobSideOptions
from kube_queue.jobframework import JobExtension, load_extensions
from kube_queue.jobframework.ownership import read_claims
from kube_queue.kube.client import Client
from kube_queue.kube.writes import WriteScheduler

_log = structlog.get_logger("app.job_extensions")


async def run_job_extensions(
    client: Client,
    settings: Settings,
    *,
    clock: Callable[[], float],
    rng: random.Random,
    writes: WriteScheduler | None = None,
    ready: Callable[[], None] | None = None,
) -> None:
    """Queue jobs of the enabled kinds, while leading, until cancelled.

    `writes` is a scheduler shared with, and run by, the rest of the process; None: one of its own.
    `ready` is called once, when jobs are being queued. A process that loses the lead stands by and
    starts anew with nothing remembered when it leads again; one that is stopped first writes what
    is queued, for at most DRAIN_SECONDS, if `writes` is its own. Raises InvalidSetting at once
    when the enabled extensions cannot be had.
    """
    extensions = load_extensions(settings.jobs.enabled_extensions)
    client = limited(client, settings.client)

    async def lead(stop: Stop) -> None:
        if writes is not None:
            await _lead(client, settings, extensions, clock=clock, rng=rng, writes=writes, up=up)
            return
        own = writes_of(client, settings.writes, rng)
        side = _lead(client, settings, extensions, clock=clock, rng=rng, writes=own, up=up)
        await decide_and_write(own, stop, side)

    def up() -> None:
        nonlocal ready
        if writes is None:
            # What has been listed stays: the collector need not look at it again and again.
            gc.freeze()
        if ready is not None:
            ready()
            ready = None

    leader = settings.leader
    identity = lease_identity(leader, rng)
    while True:
        await take_part(elector_of(client, leader, leader.jobs_lease, identity, clock), lead)
        if not leader.enabled:
            return
        _log.warning("standing by: another process leads")


async def _lead(
    client: Client,
    settings: Settings,
    extensions: Sequence[JobExtension],
    *,
    clock: Callable[[], float],
    rng: random.Random,
    writes: WriteScheduler,
    up: Callable[[], None],
) -> None:
    side = JobSide(
        client,
        extensions,
        writes,
        clock=clock,
        rng=rng,
        options=JobSideOptions(
            settings.jobs.workers,
            settings.client.page_size,
            settings.controller.by_namespace,
            settings.controller.placement_check,
            read_claims(
                settings.jobs.queue_owned_by,
                settings.jobs.job_selector,
                settings.jobs.namespace_selector,
            ),
        ),
    )

    async def announce() -> None:
        await side.synced.wait()
        up()
        await say_when_too_old(client)

    async with asyncio.TaskGroup() as group:
        group.create_task(side.run())
        group.create_task(announce())
