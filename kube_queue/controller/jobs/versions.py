"""Which version of a kind is watched, where clusters serve it in different ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import orjson

from kube_queue.api.errors import ApiError, ConnectionLost
from kube_queue.api.types import ResourceType
from kube_queue.jobframework.fields import entries, text
from kube_queue.kube.client import Client

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
"""Seconds between two questions for a kind that is not served yet."""


async def served(client: Client, versions: Sequence[ResourceType]) -> ResourceType:
    """The first of these versions that the cluster serves; waits until it serves one."""
    pause = FIRST_PAUSE
    while True:
        for version in versions:
            if await _is_served(client, version):
                return version
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _is_served(client: Client, resource: ResourceType) -> bool:
    try:
        answer = await client.raw("GET", f"/apis/{resource.api_version}")
        known = orjson.loads(answer.body)
    except (ApiError, ConnectionLost, orjson.JSONDecodeError):
        # Not served, or not to be had just now: it is asked for again.
        return False
    return any(text(each, "name") == resource.plural for each in entries(known, "resources"))
