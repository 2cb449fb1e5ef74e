"""The controller's memory, built here from list calls when no controller answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping

from kube_queue.app.quiet import log_only_errors
from kube_queue.config import Settings
from kube_queue.controller.queueing.queue_side import QueueSide
from kube_queue.kube.client import Client
from kube_queue.observability.meters import Meters
from kube_queue.serving.visibility import Visibility


async def rebuilt_answer(client: Client, what: str, query: Mapping[str, str]) -> tuple[int, bytes]:
    """HTTP status and JSON, as a controller with default settings would answer now."""
    log_only_errors()
    # Nobody carries evictions out here: those under way are seen, and no new one is told of.
    settings = Settings().replaced(controller={"reclaim_policy": "Never"})
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
