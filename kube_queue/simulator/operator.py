"""An operator: it reads a job and the pods below it, and carries out what its kind's plan decides.

Pods have names that follow from their places (job1-worker-0), so creating one twice is impossible.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from kube_queue.api.errors import Conflict, NotFound
from kube_queue.kube.client import Client
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.workqueue import WorkQueue, run_workers
from kube_queue.simulator.fields import mapping, merge_difference
from kube_queue.simulator.outcome import OperatedKind, Outcome
from kube_queue.simulator.owned_pods import OwnedPods, Voice
from kube_queue.simulator.table import Table
from kube_queue.simulator.views import JobDocument, PodView, job_document

Key = tuple[str, str]

NAME_TAKEN_SECONDS: Final = 1.0
"""A place whose name another pod still holds is tried again after this."""
_WORKERS: Final = 8


class Operator:
    """Plays the operator of one kind, from its construction until `close`."""

    def __init__(
        self,
        client: Client,
        kind: OperatedKind,
        jobs: Table[JobDocument],
        pods: Table[PodView],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._kind = kind
        self._jobs = jobs
        self._pods = pods
        voice = Voice(kind.component, "FailedCreatePod")
        self._owned = OwnedPods(client, pods, kind.resource, voice, clock)
        self._clock = clock
        self._queue: WorkQueue[Key] = WorkQueue()
        jobs.subscribe(self._job_changed)
        pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        """Jobs are worked on, until cancelled."""
        await self._pods.synced.wait()
        await self._jobs.synced.wait()
        await run_workers(self._queue, self._reconcile, _WORKERS)

    def close(self) -> None:
        """It hears of no pod any more."""
        self._pods.unsubscribe(self._pod_changed)

    def _job_changed(self, old: JobDocument | None, new: JobDocument | None) -> None:
        del old
        if new is not None:
            self._queue.add((new.namespace, new.name))

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        pod = new if new is not None else old
        if pod is None or not pod.owner:
            return
        jobs = self._jobs.of_group(pod.owner)
        if not jobs:
            # Executors are owned by their driver, which is owned by the job.
            driver = self._pods.with_uid(pod.owner)
            jobs = self._jobs.of_group(driver.owner) if driver is not None and driver.owner else []
        for job in jobs:
            self._queue.add((job.namespace, job.name))

    def _pods_below(self, uid: str) -> list[PodView]:
        """The job's pods, and theirs."""
        own = self._pods.of_group(uid)
        return [*own, *(each for pod in own for each in self._pods.of_group(pod.uid))]

    async def _reconcile(self, key: Key) -> float | None:
        document = self._jobs.get(*key)
        if document is None:
            return None
        job = document.manifest()
        metadata = mapping(job.get("metadata"))
        if metadata.get("deletionTimestamp"):
            return None
        outcome = self._kind.plan(job, self._pods_below(document.uid), self._clock())
        if outcome.expired:
            await self._expire(document)
            return None
        # The status first: where it has news, a job that was suspended meanwhile refuses it, and no
        # pod is created that would have to be deleted at once.
        if not await self._write_status(document, job, outcome):
            return None
        for pod in outcome.delete:
            await self._owned.delete(pod)
        waiting = False
        for pod_plan in outcome.create:
            waiting |= not await self._owned.create(
                metadata, pod_plan.template, pod_plan.wanted, pod_plan.owner
            )
        again = min(outcome.again, NAME_TAKEN_SECONDS if waiting else math.inf)
        return None if math.isinf(again) else again

    async def _write_status(
        self, document: JobDocument, job: Mapping[str, Any], outcome: Outcome
    ) -> bool:
        """The status is written if it differs; False when the job is gone.

        The patch carries the version it was computed from, so a condition that somebody else
        appended meanwhile is met again, not dropped: Conflict puts the job back in the queue.
        """
        changes: dict[str, Any] = {}
        status = merge_difference(mapping(job.get("status")), outcome.status)
        if status:
            changes["status"] = status
        held = mapping(mapping(job.get("metadata")).get("labels"))
        labels = {name: value for name, value in outcome.labels.items() if held.get(name) != value}
        if labels:
            changes["metadata"] = {"labels": labels}
        if not changes:
            return True
        patch = merge_patch(document.uid, document.resource_version, changes)
        try:
            answer = await self._client.patch(
                self._kind.resource,
                document.namespace,
                document.name,
                patch,
                subresource="status" if self._kind.status_subresource else "",
            )
        except NotFound:
            return False
        self._jobs.wrote(job_document(answer))
        return True

    async def _expire(self, document: JobDocument) -> None:
        try:
            await self._client.delete(
                self._kind.resource,
                document.namespace,
                document.name,
                uid=document.uid,
                propagation="Background",
            )
        except (NotFound, Conflict):
            return
