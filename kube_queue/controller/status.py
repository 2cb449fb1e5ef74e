"""Status of Queues and of quota trees: few writes a second, the most-changed object first."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from kube_queue.api.errors import Conflict, KubeQueueError
from kube_queue.api.types import ResourceType
from kube_queue.controller.records import digest
from kube_queue.kube.client import Client
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.writes import Failed, Lane, Outcome, WriteScheduler

Key = tuple[str, str, str]
"""Plural, namespace, name."""

FULL_DETAIL_BELOW: Final = 100.0
"""Changes a second from which on a Queue's status is written without its list of units."""
REST: Final = 20
"""A status that took a while to work out rests that many times as long: 5 % of a core at most."""
QUIET_SECONDS: Final = 1.0
"""The least span over which changes a second are counted."""

_log = structlog.get_logger("controller.status")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The status an object should have."""

    resource: ResourceType
    namespace: str
    name: str
    uid: str
    status: Mapping[str, Any]
    written: bytes
    """Digest of the status it has, as far as the informer knows."""
    version: str = ""
    """The resourceVersion that it has to have still when it is written; empty: any."""


class Source(Protocol):
    """Knows the status of one kind of objects."""

    def wanted(self, key: Key, *, hurried: bool) -> Wanted | None:
        """What the object's status should be; None when there is no such object (any more).

        `hurried` asks for the short form: the object changes too fast for the long one.
        """
        ...


class StatusWriter:
    """Writes a status when it differs from the one that stands, at most `rate` a second in all.

    `touched` is called for every change that may show in a status and costs one addition; what the
    status is, is asked of the source when its turn has come.
    """

    def __init__(self, source: Source, *, rate: float) -> None:
        self._source = source
        self._pause = 1.0 / rate
        self._changes: Counter[Key] = Counter()
        self._since: dict[Key, float] = {}
        self._written: dict[Key, tuple[str, bytes]] = {}
        self._open: Counter[Key] = Counter()
        """Writes under way."""
        self._doubted: set[Key] = set()
        """Whose status was seen last to be another one than the one under way."""
        self._rests: dict[Key, float] = {}
        """Until when those that were costly are left alone."""
        self._news = asyncio.Event()

    def touched(self, key: Key) -> None:
        """The object's status may have changed once more."""
        if key not in self._changes:
            self._since[key] = asyncio.get_running_loop().time()
        self._changes[key] += 1
        self._news.set()

    def seen(self, key: Key, written: bytes) -> None:
        """The object's status was seen to be another, of this digest: if it is none of ours, ours
        is written again.
        """
        known = self._written.get(key)
        if known is None or known[1] == written:
            self._doubted.discard(key)
        elif key in self._open:
            # One that stood before ours, or that took its place before we were answered.
            self._doubted.add(key)
        else:
            self._look_again(key)

    def gone(self, key: Key) -> None:
        """The object is no more, or its status none of ours."""
        self._changes.pop(key, None)
        self._since.pop(key, None)
        self._written.pop(key, None)
        self._rests.pop(key, None)
        self._doubted.discard(key)

    async def run(self, writes: WriteScheduler) -> None:
        """Write until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            # What happens together is told together.
            await asyncio.sleep(self._pause)
            while self._changes:
                key = self._next()
                if key is None or self._write(key, writes):
                    await asyncio.sleep(self._pause)
                else:
                    await asyncio.sleep(0)

    def _next(self) -> Key | None:
        """The most-changed object; None while all that changed rest."""
        now = asyncio.get_running_loop().time()
        self._rests = {key: until for key, until in self._rests.items() if until > now}
        awake = (entry for entry in self._changes.items() if entry[0] not in self._rests)
        return max(awake, key=lambda entry: (entry[1], entry[0]), default=(None, 0))[0]

    def _write(self, key: Key, writes: WriteScheduler) -> bool:
        """Whether the object needed a write, now on its way."""
        began = asyncio.get_running_loop().time()
        elapsed = began - self._since.pop(key)
        hurried = self._changes.pop(key) >= FULL_DETAIL_BELOW * max(elapsed, QUIET_SECONDS)
        wanted = self._source.wanted(key, hurried=hurried)
        ended = asyncio.get_running_loop().time()
        self._rests[key] = ended + REST * (ended - began)
        if wanted is None:
            return False
        if hurried:
            # Once it is quiet again, the long form is due.
            asyncio.get_running_loop().call_later(QUIET_SECONDS, self.touched, key)
        fresh = digest(wanted.status)
        uid, stands = self._written.get(key, ("", b""))
        if fresh == (stands if uid == wanted.uid else wanted.written):
            return False
        self._written[key] = (wanted.uid, fresh)
        self._submit(writes, key, wanted)
        return True

    def _submit(self, writes: WriteScheduler, key: Key, wanted: Wanted) -> None:
        # Where the status is ours alone no version is asked for: only that it is the same object.
        patch = merge_patch(wanted.uid, wanted.version, {"status": wanted.status})

        async def send(client: Client) -> None:
            await client.patch(
                wanted.resource, wanted.namespace, wanted.name, patch, subresource="status"
            )

        def done(outcome: Outcome) -> None:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
            if isinstance(outcome, Failed):
                self._failed(key, outcome.error)
            elif key in self._doubted and key not in self._open:
                self._look_again(key)

        self._open[key] += 1
        writes.submit(Lane.STATUS, key, send, done)

    def _look_again(self, key: Key) -> None:
        """What stands is what the informer knows."""
        self._doubted.discard(key)
        self._written.pop(key, None)
        self.touched(key)

    def _failed(self, key: Key, error: KubeQueueError) -> None:
        _log.info("a status was not written", object="/".join(key), problem=str(error))
        # What stands is not known: the next change writes whatever it finds.
        self._written.pop(key, None)
        self._doubted.discard(key)
        if isinstance(error, Conflict):
            # There was a change, and it will be seen.
            self.touched(key)
