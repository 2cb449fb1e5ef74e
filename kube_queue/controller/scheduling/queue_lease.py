"""Whether a queue controller is there: its Lease, and how long it has stood still."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.types import LEASES
from kube_queue.config import LeaderSettings
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer

GRACE: Final = 30.0
"""Seconds that a Lease may be gone or run out before nobody counts on its holder any more."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A Lease, as far as it says whether somebody holds it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    holder: str
    seconds: float


def lease_record(obj: Mapping[str, Any]) -> LeaseRecord:
    """The record of a Lease."""
    metadata, spec = mapping_of(obj.get("metadata")), mapping_of(obj.get("spec"))
    seconds = spec.get("leaseDurationSeconds")
    return LeaseRecord(
        text_of(metadata.get("namespace")),
        text_of(metadata.get("name")),
        text_of(metadata.get("uid")),
        text_of(metadata.get("resourceVersion")),
        text_of(spec.get("holderIdentity")),
        float(seconds) if isinstance(seconds, int) else 0.0,
    )


class QueueLease:
    """Follows the queue controller's Lease; `tell` is called whenever `lives` or `gone` changes.

    Time is measured on this process's clock from when it saw the last change, so the machines'
    clocks may differ. Nobody lives until the Lease was seen, and nobody is gone either.
    """

    def __init__(
        self,
        client: Client,
        leader: LeaderSettings,
        tell: Callable[[], None],
        *,
        rng: random.Random,
    ) -> None:
        self.lives = False
        """Somebody holds the Lease, or did so not long ago."""
        self.gone = False
        """For GRACE seconds of this process the Lease has been absent, let go, or run out."""
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None
        self.informer: Informer[LeaseRecord] = Informer(
            client,
            LEASES,
            lease_record,
            namespace=leader.namespace,
            field_selector=f"metadata.name={leader.controller_lease}",
            rng=rng,
        )
        self.informer.add_handler(self._seen)

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.informer.run())
                await self.informer.synced.wait()
                if self._timer is None:
                    self._gone_in(GRACE)
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _seen(self, old: LeaseRecord | None, new: LeaseRecord | None) -> None:
        if new is not None and new.holder:
            self._gone_in(new.seconds + GRACE)
            self._set(lives=True, gone=False)
        elif self.lives:
            # Released or deleted: a successor may be on its way.
            self._gone_in(GRACE)

    def _gone_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, lambda: self._set(lives=False, gone=True))

    def _set(self, *, lives: bool, gone: bool) -> None:
        if (lives, gone) != (self.lives, self.gone):
            self.lives, self.gone = lives, gone
            self._tell()
