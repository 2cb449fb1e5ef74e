"""A copy of one kind that a cluster may or may not serve.

::

    ask discovery --served, in whatever version--> Informer, for ever
         ^   | not served: known, and nothing there
         '---' after a pause that grows to LONGEST_PAUSE
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final, Generic, TypeVar

import orjson
import structlog

from kube_queue.api.errors import ApiError, ConnectionLost, NotFound
from kube_queue.api.types import ResourceType
from kube_queue.kube.backoff import Backoff
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Handler, Informer, Projected

LONGEST_PAUSE: Final = 30.0
"""Seconds between two questions whether a kind is served by now."""

T = TypeVar("T", bound=Projected)

_log = structlog.get_logger("kube.served")


class Served(Generic[T]):
    """The objects of a group and kind, for a cluster that need not know the kind.

    `handler` is told of every object that comes, changes and goes, as an Informer tells.
    """

    def __init__(
        self,
        client: Client,
        resource: ResourceType,
        project: Callable[[dict[str, Any]], T],
        handler: Handler[T],
        *,
        namespace: str = "",
        rng: random.Random,
        page_size: int,
    ) -> None:
        self.resource = resource
        """In the version that is served; as given while none is."""
        self.synced = asyncio.Event()
        """Set once all objects there are are in the copy, or the kind is known not to be served."""
        self._client = client
        self._project = project
        self._handlers = [handler]
        self._namespace = namespace
        self._rng = rng
        self._page_size = page_size
        self._informer: Informer[T] | None = None

    def __len__(self) -> int:
        return 0 if self._informer is None else len(self._informer)

    @property
    def is_served(self) -> bool:
        """Whether the cluster is known to serve the kind."""
        return self._informer is not None

    def get(self, namespace: str, name: str) -> T | None:
        """The object as last seen."""
        return None if self._informer is None else self._informer.get(namespace, name)

    def values(self) -> Iterable[T]:
        """Every object as last seen; not to be kept across an await."""
        return () if self._informer is None else self._informer.values()

    def follow(self, handler: Handler[T]) -> None:
        """The handler, too, is told: at once of what is in the copy already, as added."""
        self._handlers.append(handler)
        if self._informer is not None:
            self._informer.add_handler(handler)

    async def run(self) -> None:
        """Keep the copy up to date until cancelled."""
        self.resource = await self._until_served()
        informer = Informer(
            self._client,
            self.resource,
            self._project,
            namespace=self._namespace,
            rng=self._rng,
            page_size=self._page_size,
        )
        for handler in self._handlers:
            informer.add_handler(handler)
        self._informer = informer
        _log.info("watching", kind=self.resource.kind, version=self.resource.api_version)
        async with asyncio.TaskGroup() as group:
            group.create_task(informer.run())
            await informer.synced.wait()
            self.synced.set()

    async def _until_served(self) -> ResourceType:
        backoff = Backoff(self._rng, first=0.2, last=LONGEST_PAUSE)
        while True:
            try:
                found = await self._served()
            except (ApiError, ConnectionLost, orjson.JSONDecodeError) as error:
                _log.info(
                    "the cluster does not say what it serves",
                    group=self.resource.group,
                    problem=str(error),
                )
            else:
                if found is not None:
                    return found
                self.synced.set()
            await backoff.wait()

    async def _served(self) -> ResourceType | None:
        """The kind in the first version that has it, the server's preferred version first."""
        try:
            group = await self._get(f"/apis/{self.resource.group}")
            preferred = (group.get("preferredVersion") or {}).get("version")
            versions = [each["version"] for each in group.get("versions") or ()]
            versions.sort(key=lambda version: version != preferred)
            for version in versions:
                known = await self._get(f"/apis/{self.resource.group}/{version}")
                names = {each.get("name") for each in known.get("resources") or ()}
                if self.resource.plural in names:
                    return replace(self.resource, version=version)
        except NotFound:
            pass
        return None

    async def _get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads((await self._client.raw("GET", path)).body)
        return found
