"""One of several processes leads, agreed on through a Lease.

Holds: LeaderElector. The holder renews the Lease; the others take it once it has stood still for as
long as it says. Standing still is measured on the watcher's own clock from when it saw the last
change, so the machines' clocks may differ by any amount.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from kube_queue.api.errors import ApiError, Conflict, ConnectionLost, NotFound
from kube_queue.api.types import LEASES
from kube_queue.kube.client import Client, Object

_log = structlog.get_logger("kube.leader")


@dataclass(frozen=True, slots=True)
class _Seen:
    """The Lease as last seen, and when it last changed on the loop's clock."""

    lease: Object
    changed: float

    @property
    def spec(self) -> dict[str, Any]:
        return self.lease.get("spec") or {}

    @property
    def holder(self) -> str:
        return self.spec.get("holderIdentity") or ""

    def stands_until(self) -> float:
        """Seconds on the loop's clock until which a silent holder keeps the lead."""
        return self.changed + float(self.spec.get("leaseDurationSeconds") or 0)


class LeaderElector:
    """Takes part in one election under one identity.

    `clock` gives seconds since the epoch, for what is written into the Lease. `lease`, `renew` and
    `retry` are seconds: how long a silent holder keeps the lead, how long a holder tries to renew
    before it gives up, and the pause between tries. `leading` says whether this process leads now.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        namespace: str,
        identity: str,
        clock: Callable[[], float],
        *,
        lease: float = 15.0,
        renew: float = 10.0,
        retry: float = 2.0,
    ) -> None:
        self.leading = False
        self._client = client
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._clock = clock
        self._lease_seconds = lease
        self._renew_seconds = renew
        self._retry_seconds = retry
        self._seen: _Seen | None = None
        self._log = _log.bind(lease=f"{namespace}/{name}", identity=identity)

    async def run(self, on_started: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lead, then run `on_started()` for as long as it is held.

        Returns when `on_started` returned, or when the lead was lost and `on_started` has been
        cancelled and has ended. Raises what `on_started` raised. A Lease that is still ours at the
        end is released, so that the next holder need not wait.
        """
        while not await self._try():
            await asyncio.sleep(self._retry_seconds)
        self.leading = True
        self._log.info("leading")
        work = asyncio.ensure_future(on_started())
        keeping = asyncio.ensure_future(self._keep())
        try:
            await asyncio.wait({work, keeping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The work stops before the Lease is free: never two leaders at once.
            for task in (work, keeping):
                task.cancel()
            await asyncio.gather(work, keeping, return_exceptions=True)
            self.leading = False
            await self._release()
        for task in (keeping, work):
            if not task.cancelled():
                task.result()

    async def _keep(self) -> None:
        """Return when the Lease is somebody else's, or was not renewed for `renew` seconds."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(self._retry_seconds)
            began = loop.time()
            held = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(renewed + self._renew_seconds):
                    held = await self._try()
            if held:
                # Counted from before the request: the others may have seen it that early.
                renewed = began
            elif self._taken() or loop.time() >= renewed + self._renew_seconds:
                self._log.warning("the lead is lost")
                return

    async def _try(self) -> bool:
        """True when the Lease is ours, written just now."""
        try:
            return await self._renew_last() or await self._claim()
        except (ApiError, ConnectionLost) as error:
            self._log.info("the lease cannot be had now", problem=str(error))
            return False

    async def _renew_last(self) -> bool:
        """The holder writes over what it wrote last, which fits unless somebody else wrote."""
        if not self.leading or self._seen is None or self._taken():
            return False
        try:
            renewed = await self._client.replace(LEASES, self._claimed(self._seen))
        except (Conflict, NotFound):
            return False
        self._observe(renewed)
        return True

    async def _claim(self) -> bool:
        try:
            lease = await self._client.get(LEASES, self._namespace, self._name)
        except NotFound:
            self._observe(await self._client.create(LEASES, self._first()))
            return True
        seen = self._observe(lease)
        expired = seen.stands_until() <= asyncio.get_running_loop().time()
        if seen.holder not in ("", self._identity) and not expired:
            return False
        self._observe(await self._client.replace(LEASES, self._claimed(seen)))
        return True

    async def _release(self) -> None:
        if self._seen is None or self._taken():
            return
        now = _micro_time(self._clock())
        # No server takes a duration of 0; with no holder named it does not count anyway.
        spec = {**self._seen.spec, "holderIdentity": "", "leaseDurationSeconds": 1}
        spec |= {"acquireTime": now, "renewTime": now}
        try:
            async with asyncio.timeout(self._retry_seconds):
                await self._client.replace(LEASES, {**self._seen.lease, "spec": spec})
        except (ApiError, ConnectionLost, TimeoutError) as error:
            self._log.info("the lease could not be released", problem=str(error))
        else:
            self._log.info("the lease is released")

    def _taken(self) -> bool:
        return self._seen is not None and self._seen.holder != self._identity

    def _observe(self, lease: Object) -> _Seen:
        now = asyncio.get_running_loop().time()
        if self._seen is not None and self._seen.spec == (lease.get("spec") or {}):
            now = self._seen.changed
        self._seen = _Seen(lease, now)
        return self._seen

    def _first(self) -> Object:
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec({}),
        }

    def _claimed(self, seen: _Seen) -> Object:
        return {**seen.lease, "spec": self._spec(seen.spec)}

    def _spec(self, old: dict[str, Any]) -> dict[str, Any]:
        now = _micro_time(self._clock())
        spec = {
            **old,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._lease_seconds)),
            "renewTime": now,
        }
        if old.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = (old.get("leaseTransitions") or 0) + 1 if old else 0
        return spec


def _micro_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
