"""Tells when something of the queue changed, by watches."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

from kube_queue.api.types import ELASTIC_QUOTA_TREES, QUEUE_UNITS, QUEUES
from kube_queue.api.units import project_unit
from kube_queue.app.quiet import log_only_errors
from kube_queue.kube.connection import connect
from kube_queue.kube.informer import Informer


async def changes(
    kubeconfig: str | None, context: str | None, settle: float
) -> AsyncIterator[None]:
    """Yield at once, and after every change; changes within `settle` seconds count as one."""
    # What the watches have to say about a server that is away is no row of a table.
    log_only_errors()
    client = await connect(kubeconfig, context)
    changed = asyncio.Event()
    informers: list[Informer[Any]] = [
        Informer(client, kind, project_unit, rng=random.Random(0))
        for kind in (QUEUE_UNITS, QUEUES, ELASTIC_QUOTA_TREES)
    ]
    for informer in informers:
        informer.add_handler(lambda _old, _new: changed.set())
    tasks = [asyncio.create_task(informer.run()) for informer in informers]
    try:
        for informer in informers:
            await informer.synced.wait()
        while True:
            changed.clear()
            yield
            await changed.wait()
            await asyncio.sleep(settle)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()
