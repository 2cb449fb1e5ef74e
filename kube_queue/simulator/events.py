"""Events, as the controllers of a cluster say them of an object."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kube_queue.api.conditions import rfc3339
from kube_queue.api.errors import KubeQueueError
from kube_queue.api.types import EVENTS, ResourceType
from kube_queue.kube.client import Client

_LONGEST_SUBJECT: Final = 230
_LONGEST_MESSAGE: Final = 1024


@dataclass(frozen=True, slots=True)
class Said:
    """What is said, and who says it: `type` is Normal or Warning."""

    component: str
    type: str
    reason: str
    message: str


async def tell(
    client: Client,
    about: ResourceType,
    metadata: Mapping[str, Any],
    said: Said,
    *,
    mark: str,
    now: float,
) -> None:
    """The Event of that object is there; of the same `mark` there is one, the first.

    An Event that cannot be written is not worth stopping for.
    """
    stamp = rfc3339(now)
    event = {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {
            "name": f"{metadata['name'][:_LONGEST_SUBJECT]}.{mark}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": said.type,
        "reason": said.reason,
        "message": said.message[:_LONGEST_MESSAGE],
        "source": {"component": said.component},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
    with contextlib.suppress(KubeQueueError):
        await client.create(EVENTS, event)
