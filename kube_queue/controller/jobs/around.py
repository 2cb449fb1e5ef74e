"""Watches what jobs take from other objects: quota tree, priority classes, defaults, overheads."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import structlog

from kube_queue.api.errors import (
    ApiError,
    ConnectionLost,
    Forbidden,
    InvalidInput,
    NotFound,
    ServerFault,
    TooManyRequests,
)
from kube_queue.api.names import TREE_NAMESPACE
from kube_queue.api.pod_requests import limit_range_defaults, limit_range_limits
from kube_queue.api.resources import ResourceVector
from kube_queue.api.types import (
    ELASTIC_QUOTA_TREES,
    LIMIT_RANGES,
    PRIORITY_CLASSES,
    RUNTIME_CLASSES,
)
from kube_queue.controller.jobs.records import (
    LimitRangeRecord,
    PriorityClassRecord,
    RuntimeClassRecord,
    limit_range_record,
    priority_class_record,
    runtime_class_record,
)
from kube_queue.controller.records import TreeRecord, tree_record
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue.kube.backoff import Backoff
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer

SYNC_SECONDS = 5.0
"""How long jobs wait for these kinds at the start: a cluster may not serve or allow them all."""

_log = structlog.get_logger("controller.jobs.around")


class AroundWatch:
    """Keeps one Surroundings up to date; `changed` is called when jobs may ask for other things.

    `by_namespace`: the ResourceQuotas of a job's namespace are its quota. `asks_nodes`: nodes are
    asked before a job is released.
    """

    def __init__(
        self,
        client: Client,
        changed: Callable[[], None],
        *,
        rng: random.Random,
        page_size: int,
        by_namespace: bool = False,
        asks_nodes: bool = False,
    ) -> None:
        self.surroundings = Surroundings(by_namespace=by_namespace, asks_nodes=asks_nodes)
        self._client = client
        self._backoff = Backoff(rng, first=0.2, last=5.0)
        self._changed = changed
        self._trees = Informer[TreeRecord](
            client,
            ELASTIC_QUOTA_TREES,
            tree_record,
            namespace=TREE_NAMESPACE,
            rng=rng,
            page_size=page_size,
        )
        self._classes = Informer[PriorityClassRecord](
            client, PRIORITY_CLASSES, priority_class_record, rng=rng, page_size=page_size
        )
        self._limits = Informer[LimitRangeRecord](
            client, LIMIT_RANGES, limit_range_record, rng=rng, page_size=page_size
        )
        self._runtimes = Informer[RuntimeClassRecord](
            client, RUNTIME_CLASSES, runtime_class_record, rng=rng, page_size=page_size
        )
        self._due = False
        self._trees.add_handler(self._tree_seen)
        for informer in (self._classes, self._limits, self._runtimes):
            informer.add_handler(self._seen)

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in (self._trees, self._classes, self._limits):
                group.create_task(informer.run())
            if await self._has_runtimes():
                group.create_task(self._runtimes.run())
            else:
                # Rarely used, and some clusters do not serve them: then there are no overheads.
                self._runtimes.synced.set()

    async def _has_runtimes(self) -> bool:
        """Whether the server serves RuntimeClasses to us; its faults are waited out."""
        while True:
            try:
                await self._client.list(RUNTIME_CLASSES)
                return True
            except (NotFound, Forbidden):
                return False
            except (TooManyRequests, ServerFault, ConnectionLost) as error:
                await self._backoff.wait(error.retry_after if isinstance(error, ApiError) else None)

    async def settled(self) -> None:
        """What there is has been seen, or SYNC_SECONDS have passed."""
        informers = (self._trees, self._classes, self._limits, self._runtimes)
        waits = [asyncio.ensure_future(informer.synced.wait()) for informer in informers]
        try:
            _, missing = await asyncio.wait(waits, timeout=SYNC_SECONDS)
            if missing:
                kinds = [i.resource.kind for i in informers if not i.synced.is_set()]
                _log.warning("going on without kinds that cannot be read yet", kinds=kinds)
        finally:
            for wait in waits:
                wait.cancel()
        self._gather()

    def _tree_seen(self, _old: TreeRecord | None, _new: TreeRecord | None) -> None:
        # Units keep the queue they were created with, so no job asks for anything else now.
        self._gather_soon()

    def _seen(self, _old: object, _new: object) -> None:
        self._gather_soon()

    def _gather_soon(self) -> None:
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._gather)

    def _gather(self) -> None:
        self._due = False
        usable = (record for record in self._trees.values() if record.seen.tree is not None)
        first = min(usable, key=lambda record: record.turn, default=None)
        defaults = [each for each in self._classes.values() if each.default]
        fresh = replace(
            self.surroundings,
            tree=None if first is None else first.seen.tree,
            priority_classes={each.name: each.value for each in self._classes.values()},
            # As Kubernetes does: of several defaults the lowest counts.
            default_priority_class=min(defaults, key=lambda c: (c.value, c.name)).name
            if defaults
            else "",
            container_defaults=dict(self._of_limit_ranges(limit_range_defaults)),
            container_limits=dict(self._of_limit_ranges(limit_range_limits)),
            overheads={each.name: each.overhead for each in self._runtimes.values()},
        )
        asks_differ = _asks(fresh) != _asks(self.surroundings)
        self.surroundings = fresh
        if asks_differ:
            self._changed()

    def _of_limit_ranges(
        self, read: Callable[[Iterable[Mapping[str, Any]]], ResourceVector]
    ) -> Iterator[tuple[str, ResourceVector]]:
        by_namespace: dict[str, list[LimitRangeRecord]] = {}
        for each in self._limits.values():
            by_namespace.setdefault(each.namespace, []).append(each)
        for namespace, ranges in by_namespace.items():
            ranges.sort(key=lambda each: each.name)
            try:
                yield namespace, read(each.manifest for each in ranges)
            except InvalidInput as error:
                _log.warning("a LimitRange is ignored", namespace=namespace, problem=str(error))


def _asks(surroundings: Surroundings) -> tuple[Any, ...]:
    """What requests and priorities depend on."""
    return (
        surroundings.priority_classes,
        surroundings.default_priority_class,
        surroundings.container_defaults,
        surroundings.container_limits if surroundings.by_namespace else None,
        surroundings.default_priority_class if surroundings.by_namespace else None,
        surroundings.overheads,
    )
