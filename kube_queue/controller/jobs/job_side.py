"""The whole job side of one process while it leads."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import JOB_EXTENSIONS_COMPONENT
from kube_queue.api.types import PODS, QUEUE_UNITS
from kube_queue.controller.jobs.around import AroundWatch
from kube_queue.controller.jobs.kinds import Kinds
from kube_queue.controller.jobs.neighbours import Neighbours
from kube_queue.controller.jobs.pod_jobs import PodJobs, PodProjection
from kube_queue.controller.jobs.pods import PodCounts
from kube_queue.controller.jobs.reconciler import Reconciler
from kube_queue.controller.jobs.records import (
    JobKey,
    JobRecord,
    PodOwner,
    PodRecord,
)
from kube_queue.controller.jobs.watches import Definitions, JobHandler, KindWatch
from kube_queue.jobframework.extension import JobExtension
from kube_queue.jobframework.ownership import Borders, Claims
from kube_queue.jobframework.plan import Scene
from kube_queue.jobframework.unit_status import Pods
from kube_queue.jobframework.unit_view import UnitView, view_unit
from kube_queue.kube.client import Client
from kube_queue.kube.events import EventRecorder
from kube_queue.kube.informer import Informer
from kube_queue.kube.workqueue import WorkQueue, run_workers
from kube_queue.kube.writes import WriteScheduler

PODS_PAUSE = 1.0
"""Pods of one job come and go together; their number is looked at once a second."""


@dataclass(frozen=True, slots=True)
class JobSideOptions:
    """How much is done at once, and what the jobs' quotas are."""

    workers: int = 16
    page_size: int = 500
    by_namespace: bool = False
    """The ResourceQuotas of a job's namespace, instead of an ElasticQuotaTree."""
    asks_nodes: bool = False
    """Nodes are asked before a job is released: units say where its pods may be."""
    claims: Claims = field(default_factory=Claims)
    """Which suspended jobs are ours."""


class JobSide:
    """Queues the jobs of the given extensions from the moment `run` is called.

    Everything it knows is listed anew then, so that nothing decided before, here or in another
    process, is younger than what it sees.
    """

    def __init__(
        self,
        client: Client,
        extensions: Sequence[JobExtension],
        writes: WriteScheduler,
        *,
        clock: Callable[[], float],
        rng: random.Random,
        options: JobSideOptions | None = None,
    ) -> None:
        options = options or JobSideOptions()
        self.synced = asyncio.Event()
        """Units, pods and what surrounds jobs have been seen; kinds follow one by one."""
        self._client = client
        self._clock = clock
        self._workers = options.workers
        self._kinds = Kinds.of(extensions)
        self._queue: WorkQueue[JobKey] = WorkQueue()
        events = EventRecorder(writes, JOB_EXTENSIONS_COMPONENT, clock, rng)
        self._reconciler = Reconciler(self._kinds, self, self._queue, writes, events)
        self._first_seen: dict[JobKey, int] = {}
        self._last_first_seen = 0
        self._pod_counts = PodCounts(self._pods_changed, self._part_changed)
        size = options.page_size
        self._around = AroundWatch(
            client,
            self._asks_changed,
            rng=rng,
            page_size=size,
            by_namespace=options.by_namespace,
            asks_nodes=options.asks_nodes,
        )
        self._neighbours = Neighbours(
            client,
            options.claims,
            self._kinds,
            self,
            moved=self._namespace_changed,
            rng=rng,
            page_size=size,
        )
        self._units = Informer[UnitView](client, QUEUE_UNITS, view_unit, rng=rng, page_size=size)
        self._pod_kinds = self._kinds.by_kind.get((PODS.group, PODS.kind), ())
        project = PodProjection(self._pod_kinds, self)
        self._pods = Informer[PodRecord](client, PODS, project, rng=rng, page_size=size)
        self._definitions = Definitions(client, rng=rng, page_size=size)
        self._units.add_handler(self._unit_seen)
        self._pods.add_handler(self._pod_counts.seen)
        self._jobs: dict[str, KindWatch | PodJobs] = {
            extension.name: PodJobs(
                extension,
                self._pods,
                seen=self._job_handler(extension.name),
                listed=partial(self._listed, extension.name),
            )
            if extension in self._pod_kinds
            else KindWatch(
                client,
                extension,
                self._definitions,
                seen=self._job_handler(extension.name),
                listed=partial(self._listed, extension.name),
                rng=rng,
                page_size=size,
            )
            for extension in extensions
        }

    async def run(self) -> None:
        """Queue jobs until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._around.run())
                group.create_task(self._units.run())
                if not self._pod_kinds:
                    group.create_task(self._pods.run())
                group.create_task(self._definitions.run())
                group.create_task(self._neighbours.run())
                await self._units.synced.wait()
                if self._pod_kinds:
                    # Pods that are jobs come after their units, as all jobs do.
                    group.create_task(self._pods.run())
                await self._pods.synced.wait()
                await self._around.settled()
                await self._neighbours.settled()
                # Jobs come last: when one is seen free, the unit that freed it has been seen.
                for watch in self._jobs.values():
                    group.create_task(watch.run())
                self.synced.set()
                group.create_task(run_workers(self._queue, self._reconcile, self._workers))
        finally:
            self._reconciler.stop()

    def _listed(self, name: str) -> None:
        """All jobs of the kind are known: units whose job is not there are looked at as well."""
        self._kinds.resources[name] = self._jobs[name].resource
        for unit in list(self._units.values()):
            key = self._kinds.job_of_unit(unit)
            if key is not None and key.extension == name:
                self._queue.add(key)
        for job in self._jobs[name].jobs():
            self._queue.add(JobKey(name, job.namespace, job.name))

    async def _reconcile(self, key: JobKey) -> float | None:
        return await self._reconciler.reconcile(self._client, key)

    # What the reconciler sees.

    def ready(self, key: JobKey) -> bool:
        """See Sight."""
        return self.synced.is_set() and self._jobs[key.extension].ready

    def job(self, key: JobKey) -> JobRecord | None:
        """See Sight."""
        return self._jobs[key.extension].get(key.namespace, key.name)

    def unit(self, key: JobKey) -> UnitView | None:
        """See Sight."""
        return self._units.get(key.namespace, self._kinds.unit_name(key))

    async def read(self, client: Client, key: JobKey) -> JobRecord | None:
        """See Sight."""
        return await self._jobs[key.extension].read(client, key.namespace, key.name)

    def borders(self) -> Borders:
        """See Sight."""
        return self._neighbours.borders

    def scene(self, key: JobKey, uid: str) -> Scene:
        """See Sight."""
        return Scene(
            surroundings=self._around.surroundings,
            now=self._clock(),
            first_seen=self._first_seen.get(key, 0),
            pods=self._pod_counts.of(key if self._consists_of_pods(key) else uid),
        )

    def _consists_of_pods(self, key: JobKey) -> bool:
        return self._kinds.by_name[key.extension] in self._pod_kinds

    # What the informers tell.

    def _job_handler(self, extension: str) -> JobHandler:
        def seen(old: JobRecord | None, new: JobRecord | None) -> None:
            job = new or old
            assert job is not None
            key = JobKey(extension, job.namespace, job.name)
            if new is None:
                self._reconciler.jobs.forget(key)
                self._first_seen.pop(key, None)
            elif old is None and self.unit(key) is None:
                # Jobs that arrive at one instant still arrive one after the other.
                now = int(self._clock() * 1_000_000)
                self._last_first_seen = max(now, self._last_first_seen + 1)
                self._first_seen[key] = self._last_first_seen
            self._queue.add(key)

        return seen

    def _unit_seen(self, old: UnitView | None, new: UnitView | None) -> None:
        # A unit that no longer names its job leaves that job without one: both are looked at.
        for unit in (old, new):
            key = self._kinds.job_of_unit(unit) if unit is not None else None
            if key is None:
                continue
            if new is None:
                self._reconciler.units.forget(key)
            self._queue.add(key)

    def _pods_changed(self, namespace: str, owner: PodOwner, before: Pods, after: Pods) -> None:
        key = self._kinds.job_of_pod(namespace, owner)
        if key is not None:
            self._part_changed(key, before, after)

    def _part_changed(self, key: JobKey, before: Pods, after: Pods) -> None:
        if before.total and after.total:
            self._queue.add_after(key, PODS_PAUSE)
        else:
            self._queue.add(key)

    def _namespace_changed(self, namespace: str) -> None:
        for name, watch in self._jobs.items():
            for job in watch.jobs():
                if job.namespace == namespace:
                    self._queue.add(JobKey(name, job.namespace, job.name))

    def _asks_changed(self) -> None:
        """Jobs that wait may ask for something else now."""
        for unit in list(self._units.values()):
            if unit.unit.phase is Phase.ENQUEUED:
                key = self._kinds.job_of_unit(unit)
                if key is not None:
                    self._queue.add(key)
