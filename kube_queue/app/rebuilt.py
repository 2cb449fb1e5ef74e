"""A controller's or co-scheduler's memory, built here from list calls when none answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Final

from kube_queue.api.names import QUEUE_NAMESPACE
from kube_queue.api.resource_quota import leaf_of
from kube_queue.api.types import QUEUES
from kube_queue.app.quiet import log_only_errors
from kube_queue.config import Settings
from kube_queue.config.settings import QuotaSystem
from kube_queue.controller.queueing.queue_side import QueueSide
from kube_queue.controller.records import queue_record
from kube_queue.kube.client import Client
from kube_queue.observability.meters import Meters
from kube_queue.serving.visibility import Visibility

_AT_ONCE: Final = 32


async def rebuilt_answer(client: Client, what: str, query: Mapping[str, str]) -> tuple[int, bytes]:
    """HTTP status and JSON, as a controller with default settings would answer now.

    Where quotas come from is read off the Queues that the last controller made.
    """
    log_only_errors()
    # Nobody carries evictions out here: those under way are seen, and no new one is told of.
    controller = {"reclaim_policy": "Never", "queue_group_plugin": await _quota_system(client)}
    settings = Settings().replaced(controller=controller)
    side = QueueSide(client, settings, clock=time.time, rng=random.Random(0), meters=Meters())
    running = asyncio.create_task(side.run())
    try:
        await side.synced()
        # One cycle in memory alone: what could be admitted is, and everyone else knows why not.
        side.cache.cycle(time.time())
        return await Visibility(lambda: side, time.time, decides=False).answer(what, query)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def rebuilt_placement_answer(
    client: Client, what: str, query: Mapping[str, str]
) -> tuple[int, bytes]:
    """HTTP status and JSON, as a co-scheduler with default settings would answer now."""
    # They load numpy, which no other question needs.
    from kube_queue.controller.scheduling.side import SchedulingSide
    from kube_queue.serving.placement import PlacementVisibility

    log_only_errors()
    side = SchedulingSide(
        client, Settings(), clock=time.time, rng=random.Random(0), meters=Meters()
    )
    running = asyncio.create_task(side.run())
    try:
        await side.synced()
        # Everybody has a turn in memory alone: who fits is assumed, everyone else knows why not.
        while side.cache.decide(time.time(), _AT_ONCE):
            await asyncio.sleep(0)
        return PlacementVisibility(lambda: side, decides=False).answer(what, query)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _quota_system(client: Client) -> QuotaSystem:
    queues = [queue_record(one).queue for one in await client.list(QUEUES, QUEUE_NAMESPACE)]
    # Only of a namespace's quota the automatic Queue is called like its path: no tree's has `ns-`
    # there unless its one node is its root.
    by_namespace = any(
        one.created_by_us and one.name == one.quota_path and one.name.startswith(leaf_of(""))
        for one in queues
    )
    return QuotaSystem.RESOURCE_QUOTA if by_namespace else QuotaSystem.ELASTIC_QUOTA
