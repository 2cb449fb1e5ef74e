"""What happened to an object, said where `kubectl describe` shows it.

Holds: ObjectRef, EventRecorder. Events are best effort: the same words about the same object are
one Event whose count rises, and when too many wait to be written the next are dropped and counted.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

from cachetools import LRUCache

from kube_queue.api.conditions import rfc3339
from kube_queue.api.errors import AlreadyExists, NotFound
from kube_queue.api.types import EVENTS
from kube_queue.kube.client import Client
from kube_queue.kube.lanes import Lane
from kube_queue.kube.writes import Done, Outcome, Superseded, WriteScheduler

REMEMBERED = 4096
"""Events whose next occurrence raises their count instead of writing another."""
WAITING_LIMIT = 1000
"""Events waiting to be written; at the slow lanes' 50 a second this is twenty seconds."""
MESSAGE_LENGTH = 1024
NAME_LENGTH = 230

EventType = Literal["Normal", "Warning"]


class Refers(Protocol):
    """Anything that names one object."""

    @property
    def api_version(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object; namespace is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(slots=True, eq=False)
class _Spoken:
    """One Event as it should be on the server."""

    name: str
    first: float
    last: float
    count: int = 1
    created: bool = False


_Topic = tuple[str, str, str, str, str, str, str]


class EventRecorder:
    """Writes core/v1 Events through the slowest lane.

    `dropped` counts the occurrences nobody will read: too many waited, or the server refused.
    """

    def __init__(
        self,
        writes: WriteScheduler,
        component: str,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.dropped = 0
        self._writes = writes
        self._component = component
        self._clock = clock
        self._rng = rng
        self._spoken: LRUCache[_Topic, _Spoken] = LRUCache(maxsize=REMEMBERED)

    def record(self, ref: Refers, type: EventType, reason: str, message: str) -> None:
        """The occurrence will be an Event or a higher count of one, if the server keeps up."""
        message = message[:MESSAGE_LENGTH]
        now = self._clock()
        topic = (ref.kind, ref.namespace, ref.name, ref.uid, type, reason, message)
        spoken = self._spoken.get(topic)
        if spoken is not None:
            spoken.count += 1
            spoken.last = now
        if self._writes.waiting[Lane.EVENT] >= WAITING_LIMIT:
            self.dropped += 1
            return
        if spoken is None:
            spoken = _Spoken(f"{ref.name[:NAME_LENGTH]}.{self._suffix(now)}", now, now)
            self._spoken[topic] = spoken
        event = self._event(ref, type, reason, message)
        key = (EVENTS.kind, ref.namespace, spoken.name)
        send = partial(_write, event=event, spoken=spoken)
        self._writes.submit(Lane.EVENT, key, send, self._told)

    def _suffix(self, now: float) -> str:
        # Lists come in the order of names: what happens within one second is then told in order.
        return f"{int(now * 1_000_000):014x}{self._rng.getrandbits(24):06x}"

    def _told(self, outcome: Outcome) -> None:
        # A superseded write is not lost: its successor carries the higher count.
        if not isinstance(outcome, Done | Superseded):
            self.dropped += 1

    def _event(self, ref: Refers, type: EventType, reason: str, message: str) -> dict[str, Any]:
        involved = {
            "apiVersion": ref.api_version,
            "kind": ref.kind,
            "namespace": ref.namespace,
            "name": ref.name,
            "uid": ref.uid,
        }
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "involvedObject": involved,
            "type": type,
            "reason": reason,
            "message": message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": "",
        }


async def _write(client: Client, event: dict[str, Any], spoken: _Spoken) -> None:
    # Events about cluster-scoped objects live in the default namespace.
    namespace = event["involvedObject"]["namespace"] or "default"
    changing = {"count": spoken.count, "lastTimestamp": rfc3339(spoken.last)}
    if spoken.created:
        # Servers forget Events after an hour; then this one starts anew.
        with contextlib.suppress(NotFound):
            await client.patch(EVENTS, namespace, spoken.name, changing)
            return
    metadata = {"name": spoken.name, "namespace": namespace}
    fixed = {**event, "metadata": metadata, "firstTimestamp": rfc3339(spoken.first)}
    try:
        await client.create(EVENTS, {**fixed, **changing})
    except AlreadyExists:
        # An earlier attempt's answer was lost; the name is ours alone.
        await client.patch(EVENTS, namespace, spoken.name, changing)
    spoken.created = True
