"""What exists in the cluster of one kind, kept up to date.

Holds: Informer. It lists once, page by page, and then watches, resuming from the last version
seen. It lists again only when the server no longer knows that version, and tells the difference as
events.

::

                      410 anywhere, or a refusal that no waiting mends
            +------------------------------------------------------------+
            v                                                            |
          list --pages--> differences told --> watch --ended, stalled, lost--> watch again
            ^   404, 429, 5xx, lost: backoff      ^   429, 5xx, lost: backoff     |
            +---+                                 +------------------------------+
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import orjson
import structlog

from kube_queue.api.errors import (
    ApiError,
    ConnectionLost,
    Expired,
    InvalidInput,
    ServerFault,
    TooManyRequests,
    api_error,
)
from kube_queue.api.types import ResourceType
from kube_queue.kube.backoff import Backoff
from kube_queue.kube.client import Client, Selection

WATCH_SECONDS = (300, 600)
"""The server is asked to end a watch after a random time in this range."""
STALL_SECONDS = 10.0
"""A watch silent for this much longer than its own end is dead."""
SHORT_WATCH_SECONDS = 1.0
BATCH = 500

# What a projection raises on an object it was not written for. Anything else is a bug of ours.
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, InvalidInput)

Key = tuple[str, str]


class Projected(Protocol):
    """What an informer keeps of an object."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def resource_version(self) -> str: ...


T = TypeVar("T", bound=Projected)
Handler = Callable[[T | None, T | None], None]


class Informer(Generic[T]):
    """A local copy of one kind's objects, each as its projection.

    Handlers are called synchronously, in the order of their addition, after the copy has changed.
    An object the projection cannot read is left as it was last readable and logged. Objects reach
    the projection without metadata.managedFields, which nobody reads and which is half their size.
    """

    def __init__(
        self,
        client: Client,
        resource: ResourceType,
        project: Callable[[dict[str, Any]], T],
        *,
        namespace: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        rng: random.Random,
        page_size: int = 500,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        """Set once the first list is in the copy and told."""
        self.relists = 0
        """Lists after the first."""
        self.unreadable = 0
        """Objects the projection could not read, counted each time one came."""
        self._client = client
        self._project = project
        self._selection = Selection(namespace, "", field_selector, metadata_only)
        self._rng = rng
        self._page_size = page_size
        self._objects: dict[Key, T] = {}
        self._handlers: list[Handler[T]] = []
        self._version = ""
        self._backoff = Backoff(rng, first=0.2, last=30.0)
        self._log = structlog.get_logger("kube.informer").bind(kind=resource.kind)

    def add_handler(self, handler: Handler[T]) -> None:
        """From now on told (old, new): (None, x) added, (a, b) modified, (a, None) deleted.

        What is in the copy already is told at once as added.
        """
        self._handlers.append(handler)
        for value in list(self._objects.values()):
            handler(None, value)

    def get(self, namespace: str, name: str) -> T | None:
        """The object as last seen."""
        return self._objects.get((namespace, name))

    def __len__(self) -> int:
        return len(self._objects)

    def values(self) -> Iterable[T]:
        """Every object as last seen; not to be kept across an await."""
        return self._objects.values()

    async def run(self) -> None:
        """Keep the copy up to date until cancelled. Faults of the server are waited out."""
        while True:
            wait: float | None = None
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                continue
            except Expired:
                # Not a fault: the version is older than what the server remembers.
                self._version = ""
                self._log.info("the version is too old, listing again")
            except (TooManyRequests, ServerFault, ConnectionLost) as error:
                wait = error.retry_after if isinstance(error, ApiError) else None
                self._log.info("the server is away, trying again", problem=str(error))
            except ApiError as error:
                # A kind not served (yet), or not allowed (yet): only somebody else can mend it.
                self._version = ""
                self._log.warning("refused, trying again", problem=str(error))
            await self._backoff.wait(wait)

    # Listing.

    async def _list(self) -> None:
        try:
            version, fresh = await self._fetch(self._page_size)
        except Expired:
            # The pages' snapshot is gone. One page of everything cannot lose it again.
            version, fresh = await self._fetch(0)
        if self.synced.is_set():
            self.relists += 1
        await self._reconcile(fresh)
        self._version = version
        self.synced.set()

    async def _fetch(self, page_size: int) -> tuple[str, dict[Key, T | None]]:
        """The list's version, and each object it has; None stands for one that cannot be read."""
        version = ""
        fresh: dict[Key, T | None] = {}
        pages = self._client.pages(self.resource, self._selection, page_size=page_size)
        async for page in pages:
            version = page.resource_version
            for obj in page.items:
                fresh[_key(obj)] = self._read(obj)
        return version, fresh

    async def _reconcile(self, fresh: dict[Key, T | None]) -> None:
        for number, key in enumerate([key for key in self._objects if key not in fresh]):
            self._set(key, None)
            if number % BATCH == BATCH - 1:
                await asyncio.sleep(0)
        for number, (key, new) in enumerate(fresh.items()):
            if new is not None:
                self._set(key, new)
            # A large list must not keep the loop from renewing a lease.
            if number % BATCH == BATCH - 1:
                await asyncio.sleep(0)

    # Watching.

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        seconds = self._rng.randint(*WATCH_SECONDS)
        watch = self._client.watch(
            self.resource,
            self._version,
            self._selection,
            seconds=seconds,
            read_timeout=seconds + STALL_SECONDS,
        )
        before = self._version
        try:
            async with watch as lines:
                await self._follow(lines)
        except ConnectionLost as error:
            # How a watch ends tells nothing; only one that never began or brought nothing waits.
            self._log.debug("the watch broke off", problem=str(error))
        if self._version == before and loop.time() - began < SHORT_WATCH_SECONDS:
            await self._backoff.wait()
        else:
            self._backoff.reset()

    async def _follow(self, lines: AsyncIterator[bytes]) -> None:
        async for line in lines:
            try:
                event = orjson.loads(line)
                kind, obj = event["type"], event["object"]
                if kind == "ERROR":
                    self._fail(api_error(obj.get("code") or 500, obj))
                version = obj["metadata"]["resourceVersion"]
                key = _key(obj) if kind != "BOOKMARK" else None
            except (ValueError, LookupError, TypeError, AttributeError):
                raise ConnectionLost("the watch carried something that is no event") from None
            if key is not None:
                new = self._read(obj) if kind != "DELETED" else None
                if new is not None or kind == "DELETED":
                    self._set(key, new)
            self._version = version

    def _fail(self, error: ApiError) -> NoReturn:
        if not isinstance(error, TooManyRequests):
            # The server gave up on this version, for age or for a fault of its own.
            self._version = ""
        raise error

    # The copy.

    def _read(self, obj: dict[str, Any]) -> T | None:
        obj["metadata"].pop("managedFields", None)
        try:
            return self._project(obj)
        except UNREADABLE as error:
            self.unreadable += 1
            namespace, name = _key(obj)
            self._log.exception(
                "an object cannot be read", namespace=namespace, name=name, problem=str(error)
            )
            return None

    def _set(self, key: Key, new: T | None) -> None:
        old = self._objects.get(key)
        if new is None:
            if old is not None:
                del self._objects[key]
                self._tell(old, None)
            return
        if old is not None and old.resource_version == new.resource_version and old.uid == new.uid:
            return
        if old is not None and old.uid != new.uid:
            # Deleted and created again between two looks: two objects, so two events.
            del self._objects[key]
            self._tell(old, None)
            old = None
        self._objects[key] = new
        self._tell(old, new)

    def _tell(self, old: T | None, new: T | None) -> None:
        for handler in self._handlers:
            handler(old, new)


def _key(obj: dict[str, Any]) -> Key:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
