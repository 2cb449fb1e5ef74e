"""Which version of a kind a cluster serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from kube_queue.api.errors import ApiError, ConnectionLost, NotFound
from kube_queue.api.types import ResourceType
from kube_queue.jobframework.fields import entries, text
from kube_queue.kube.client import Client


class Unknown(Exception):
    """The cluster does not say, or not just now, what it serves."""


async def served(client: Client, versions: Sequence[ResourceType]) -> ResourceType | None:
    """The first of these versions that the cluster serves; None where it serves none of them.

    Raises Unknown where that cannot be told.
    """
    for version in versions:
        known = await _resources(client, version.api_version)
        if any(text(each, "name") == version.plural for each in entries(known, "resources")):
            return version
    return None


async def _resources(client: Client, api_version: str) -> Mapping[str, Any]:
    path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    try:
        answer = await client.raw("GET", path)
        found: Mapping[str, Any] = orjson.loads(answer.body)
    except NotFound:
        return {}
    except (ApiError, ConnectionLost, orjson.JSONDecodeError) as error:
        raise Unknown(str(error)) from error
    return found
