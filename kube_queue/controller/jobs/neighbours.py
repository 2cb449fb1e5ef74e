"""What tells our jobs from others' besides the jobs themselves: namespaces and owners' units."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from kube_queue.api.types import NAMESPACES
from kube_queue.controller.jobs.kinds import Kinds
from kube_queue.controller.jobs.records import (
    JobKey,
    JobRecord,
    NamespaceRecord,
    namespace_record,
)
from kube_queue.jobframework.fields import text
from kube_queue.jobframework.ownership import Borders, Claims, controller_of
from kube_queue.jobframework.unit_view import UnitView
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer

LONGEST_CHAIN = 8
"""Owners of owners that are looked at."""


class Known(Protocol):
    """The jobs and units that are watched."""

    def job(self, key: JobKey) -> JobRecord | None:
        """The job."""

    def unit(self, key: JobKey) -> UnitView | None:
        """The object that has the name of the job's unit."""


class Neighbours:
    """Keeps one Borders up to date; `moved` is called with a namespace whose labels changed.

    Namespaces are watched only where a claim asks for their labels.
    """

    def __init__(
        self,
        client: Client,
        claims: Claims,
        kinds: Kinds,
        known: Known,
        *,
        moved: Callable[[str], None],
        rng: random.Random,
        page_size: int,
    ) -> None:
        self._kinds = kinds
        self._known = known
        self._moved = moved
        self._labels: dict[str, Mapping[str, Any]] = {}
        self._namespaces: Informer[NamespaceRecord] | None = None
        if claims.namespaces:
            self._namespaces = Informer[NamespaceRecord](
                client,
                NAMESPACES,
                namespace_record,
                metadata_only=True,
                rng=rng,
                page_size=page_size,
            )
            self._namespaces.add_handler(self._seen)
        labels = None if self._namespaces is None else self._labels
        self.borders = Borders(claims, labels, self._counted)

    async def run(self) -> None:
        """Watch until cancelled, or not at all."""
        if self._namespaces is not None:
            await self._namespaces.run()

    async def settled(self) -> None:
        """Every namespace has been seen, where that matters."""
        if self._namespaces is not None:
            await self._namespaces.synced.wait()

    def _seen(self, old: NamespaceRecord | None, new: NamespaceRecord | None) -> None:
        if new is None:
            if old is not None:
                self._labels.pop(old.name, None)
            return
        before = self._labels.get(new.name)
        self._labels[new.name] = new.labels
        if before != new.labels:
            self._moved(new.name)

    def _counted(self, namespace: str, owner: Mapping[str, Any]) -> bool:
        """Whether the owner, or an owner of the owner, has a unit that holds for all its pods."""
        above: Mapping[str, Any] | None = owner
        for _ in range(LONGEST_CHAIN):
            if above is None:
                return False
            group = text(above, "apiVersion").rpartition("/")[0]
            extensions = self._kinds.by_kind.get((group, text(above, "kind")), ())
            keys = [JobKey(each.name, namespace, text(above, "name")) for each in extensions]
            units = [self._known.unit(key) for key in keys]
            jobs = [unit.unit.job for unit in units if unit is not None]
            if any(job is not None and job.uid == text(above, "uid") for job in jobs):
                return True
            records = [record for record in map(self._known.job, keys) if record is not None]
            above = controller_of(records[0].manifest()) if records else None
        return False
