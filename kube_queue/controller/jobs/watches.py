"""One watch a kind, for as long as the cluster serves the kind.

::

    definitions (metadata only) --changed--> ask discovery --served--> watch of that kind alone
                                                           --gone----> its jobs are gone with it

A definition says when to ask, discovery what is served: definitions are large, and only their names
and versions are kept. Kinds that come without a definition, and clusters that do not show theirs,
are asked for again and again, ever more rarely.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog

from kube_queue.api.errors import NotFound
from kube_queue.api.types import CRDS, ResourceType
from kube_queue.controller.jobs.records import JobRecord, job_record
from kube_queue.controller.jobs.versions import Unknown, served
from kube_queue.jobframework.extension import JobExtension, Versioned
from kube_queue.jobframework.fields import section, text
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer

FIRST_PAUSE = 0.2
SECOND_LOOK = 1.0
"""Discovery may learn of a change a moment later than whoever watches definitions."""
LONGEST_PAUSE = 30.0
"""Seconds between two questions for a kind that should be served, or whose definition is hidden."""
WITHOUT_DEFINITION = 300.0
"""Seconds between two questions for a kind that has no definition: it may come from elsewhere."""

_log = structlog.get_logger("controller.jobs.watches")

JobHandler = Callable[[JobRecord | None, JobRecord | None], None]


@dataclass(frozen=True, slots=True)
class Definition:
    """A CustomResourceDefinition, of which only the version matters."""

    namespace: str
    name: str
    uid: str
    resource_version: str


def definition(obj: Mapping[str, Any]) -> Definition:
    """The record of a definition, given its metadata alone."""
    metadata = section(obj, "metadata")
    return Definition(
        "", text(metadata, "name"), text(metadata, "uid"), text(metadata, "resourceVersion")
    )


class Definitions:
    """The names of all definitions, and who is to be woken when one changes."""

    def __init__(self, client: Client, *, rng: random.Random, page_size: int) -> None:
        self._informer = Informer[Definition](
            client, CRDS, definition, metadata_only=True, rng=rng, page_size=page_size
        )
        self._informer.add_handler(self._seen)
        self._changed: dict[str, asyncio.Event] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        await self._informer.run()

    @property
    def shown(self) -> bool:
        """The cluster has shown them."""
        return self._informer.synced.is_set()

    def has(self, resource: ResourceType) -> bool:
        """Whether this kind is defined."""
        return self._informer.get("", _name(resource)) is not None

    def changed(self, resource: ResourceType) -> asyncio.Event:
        """Set whenever the kind's definition comes, changes or goes; whoever waits clears it."""
        return self._changed.setdefault(_name(resource), asyncio.Event())

    async def settled(self, seconds: float) -> None:
        """They have been shown, or so many seconds have passed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._informer.synced.wait()

    def _seen(self, old: Definition | None, new: Definition | None) -> None:
        each = new or old
        if each is not None and each.name in self._changed:
            self._changed[each.name].set()


class KindWatch:
    """The jobs of one kind, watched while it is served.

    `seen` is told of every job that comes, changes and goes, those of a kind that goes included;
    `listed` is called whenever the jobs there are have all been told of.
    """

    def __init__(
        self,
        client: Client,
        extension: JobExtension,
        definitions: Definitions,
        *,
        seen: JobHandler,
        listed: Callable[[], None],
        rng: random.Random,
        page_size: int,
    ) -> None:
        self.resource = extension.resource
        """The version that is watched; the preferred one while none is."""
        self._client = client
        self._extension = extension
        self._definitions = definitions
        self._seen = seen
        self._listed = listed
        self._rng = rng
        self._page_size = page_size
        self._informer: Informer[JobRecord] | None = None
        self._absent = False
        self._defined = False

    @property
    def ready(self) -> bool:
        """Whether all its jobs are known; there are none of a kind that is not defined."""
        return self._absent or (self._informer is not None and self._informer.synced.is_set())

    def get(self, namespace: str, name: str) -> JobRecord | None:
        """The job as last seen."""
        return None if self._informer is None else self._informer.get(namespace, name)

    def jobs(self) -> list[JobRecord]:
        """Every job as last seen."""
        return [] if self._informer is None else list(self._informer.values())

    async def read(self, client: Client, namespace: str, name: str) -> JobRecord | None:
        """The job as the server has it now; None where there is none."""
        try:
            return job_record(await client.get(self.resource, namespace, name))
        except NotFound:
            return None

    async def run(self) -> None:
        """Watch whenever the kind is served, until cancelled."""
        changed = self._definitions.changed(self._extension.resource)
        while True:
            self.resource = await self._served(changed)
            informer = Informer[JobRecord](
                self._client,
                self.resource,
                job_record,
                rng=self._rng,
                page_size=self._page_size,
            )
            informer.add_handler(self._seen)
            self._informer = informer
            self._absent = False
            tasks = [
                asyncio.ensure_future(informer.run()),
                asyncio.ensure_future(self._announce(informer)),
            ]
            try:
                await self._until_gone(changed, tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            self._informer = None
            _log.info("no longer queueing", kind=self.resource.kind, version=self.resource.version)
            for job in list(informer.values()):
                self._seen(job, None)

    async def _announce(self, informer: Informer[JobRecord]) -> None:
        await informer.synced.wait()
        resource = informer.resource
        _log.info("queueing", kind=resource.kind, version=resource.version, jobs=len(informer))
        self._listed()

    async def _served(self, changed: asyncio.Event) -> ResourceType:
        """The version to watch, as soon as there is one."""
        pause = FIRST_PAUSE
        while True:
            changed.clear()
            resource: ResourceType | None = None
            undefined = self._undefined()
            # What went with its definition is not served, whatever discovery still says.
            if not (undefined and self._defined):
                try:
                    resource = await served(self._client, _versions(self._extension))
                except Unknown:
                    undefined = False
            if resource is not None:
                return resource
            if undefined and not self._absent:
                self._absent = True
                # Units whose jobs went with the kind are looked at, and go as well.
                self._listed()
            if await _set_within(changed, pause):
                pause = FIRST_PAUSE
            else:
                pause = min(2 * pause, self._longest())

    def _undefined(self) -> bool:
        """Whether the cluster shows its definitions, and none is this kind's."""
        has = self._definitions.has(self._extension.resource)
        self._defined = self._defined or has
        return self._definitions.shown and not has

    def _longest(self) -> float:
        builtin = "." not in self._extension.resource.group
        return WITHOUT_DEFINITION if self._undefined() and not builtin else LONGEST_PAUSE

    async def _until_gone(
        self, changed: asyncio.Event, tasks: Sequence[asyncio.Future[None]]
    ) -> None:
        while True:
            waits = asyncio.ensure_future(changed.wait())
            try:
                # The informer ends only by a fault of ours, which is to be heard of.
                await asyncio.wait((waits, tasks[0]), return_when=asyncio.FIRST_COMPLETED)
            finally:
                waits.cancel()
            if tasks[0].done():
                tasks[0].result()
            changed.clear()
            if await self._gone():
                return

    async def _gone(self) -> bool:
        """Whether the version that is watched is served no more."""
        pause = FIRST_PAUSE
        looks = 0
        while looks < 2:
            if self._undefined() and self._defined:
                return True
            try:
                if await served(self._client, (self.resource,)) is None:
                    return True
                looks += 1
                await asyncio.sleep(SECOND_LOOK)
            except Unknown:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        return False


def _versions(extension: JobExtension) -> Sequence[ResourceType]:
    return extension.versions if isinstance(extension, Versioned) else (extension.resource,)


def _name(resource: ResourceType) -> str:
    return f"{resource.plural}.{resource.group}"


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
            return True
    return False
