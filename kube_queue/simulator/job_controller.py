"""The Job controller of kube-controller-manager, for Jobs that nobody else manages.

Suspension deletes the active pods, parallelism and completions say how many there are, failures
wait longer each time and end the Job at its backoffLimit. Pods are found by their owner's uid.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from kube_queue.api.errors import Conflict, NotFound
from kube_queue.api.types import JOBS
from kube_queue.kube.client import Client
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.workqueue import WorkQueue, run_workers
from kube_queue.simulator import job_status
from kube_queue.simulator.fields import mapping, mappings, merge_difference, moment
from kube_queue.simulator.job_status import JobSpec, Tally
from kube_queue.simulator.owned_pods import OwnedPods, Voice, Wanted, generated_name
from kube_queue.simulator.table import Table
from kube_queue.simulator.views import COMPLETION_INDEX, JobDocument, PodView, job_document

Key = tuple[str, str]

_WORKERS: Final = 8
_MICROSECONDS: Final = 1_000_000


class JobController:
    """Plays the controller of batch/v1 Jobs."""

    def __init__(
        self,
        client: Client,
        jobs: Table[JobDocument],
        pods: Table[PodView],
        *,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._pods = pods
        self._owned = OwnedPods(client, pods, JOBS, Voice("job-controller", "FailedCreate"), clock)
        self._clock = clock
        self._rng = rng
        self._queue: WorkQueue[Key] = WorkQueue()
        jobs.subscribe(self._job_changed)
        pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        """Jobs are worked on, until cancelled."""
        await self._pods.synced.wait()
        await self._jobs.synced.wait()
        await run_workers(self._queue, self._reconcile, _WORKERS)

    def _job_changed(self, old: JobDocument | None, new: JobDocument | None) -> None:
        del old
        if new is not None:
            self._queue.add((new.namespace, new.name))

    def _pod_changed(self, old: PodView | None, new: PodView | None) -> None:
        pod = new if new is not None else old
        if pod is not None and pod.owner:
            for job in self._jobs.of_group(pod.owner):
                self._queue.add((job.namespace, job.name))

    async def _reconcile(self, key: Key) -> float | None:
        document = self._jobs.get(*key)
        if document is None:
            return None
        job = document.manifest()
        spec = job_status.job_spec(job)
        if not spec.managed_by_us or mapping(job.get("metadata")).get("deletionTimestamp"):
            return None
        if job_status.is_finished(job):
            return await self._expire(document, job, spec)
        pods = self._pods.of_group(document.uid)
        counts = job_status.tally(job, spec, pods)
        if not await self._write_status(document, job, spec, counts):
            return None
        return await self._arrange_pods(document, job, spec, counts)

    async def _arrange_pods(
        self, document: JobDocument, job: Mapping[str, Any], spec: JobSpec, counts: Tally
    ) -> float | None:
        """There are as many pods as there should be; seconds until that may change by itself."""
        now = self._clock()
        over = job_status.failure(job, spec, counts, now) is not None
        if over or spec.suspended or job_status.succeeded(spec, counts):
            for pod in counts.active:
                await self._owned.delete(pod)
            return None
        surplus = list(_surplus(spec, counts))
        for pod in surplus:
            await self._owned.delete(pod)
        deadline = job_status.deadline_left(job, spec, now)
        missing = _wanted_active(spec, counts) - (len(counts.active) - len(surplus))
        if missing > 0:
            wait = job_status.backoff_left(counts, now)
            if wait > 0:
                return min(wait, deadline)
            for wanted in self._wanted(document, spec, counts, missing):
                template = mapping(mapping(job.get("spec")).get("template"))
                await self._owned.create(mapping(job.get("metadata")), template, wanted)
        return deadline if deadline < float("inf") else None

    def _wanted(
        self, document: JobDocument, spec: JobSpec, counts: Tally, missing: int
    ) -> Iterator[Wanted]:
        labels = {
            "batch.kubernetes.io/controller-uid": document.uid,
            "batch.kubernetes.io/job-name": document.name,
            "controller-uid": document.uid,
            "job-name": document.name,
        }
        if not spec.indexed:
            for _ in range(missing):
                yield Wanted(generated_name(f"{document.name}-", self._rng), labels)
            return
        taken = counts.completed_indexes | {int(pod.slot) for pod in counts.active if pod.slot}
        free = [index for index in range(spec.completions or 0) if index not in taken]
        for index in map(str, free[:missing]):
            yield Wanted(
                name=generated_name(f"{document.name}-{index}-", self._rng),
                labels={**labels, COMPLETION_INDEX: index},
                annotations={COMPLETION_INDEX: index},
                container_env={"JOB_COMPLETION_INDEX": index},
                spec={"hostname": f"{document.name}-{index}"},
            )

    async def _write_status(
        self, document: JobDocument, job: Mapping[str, Any], spec: JobSpec, counts: Tally
    ) -> bool:
        """The status says what is so; False when the job changed meanwhile and is looked at again.

        The patch carries the version it was computed from: conditions are a list, and somebody
        else's condition in it must not be lost.
        """
        after = job_status.next_status(job, spec, counts, self._clock())
        changes = merge_difference(mapping(job.get("status")), after)
        if not changes:
            return True
        patch = merge_patch(document.uid, document.resource_version, {"status": changes})
        try:
            answer = await self._client.patch(
                JOBS, document.namespace, document.name, patch, subresource="status"
            )
        except NotFound:
            return False
        self._jobs.wrote(job_document(answer))
        return True

    async def _expire(
        self, document: JobDocument, job: Mapping[str, Any], spec: JobSpec
    ) -> float | None:
        if spec.ttl_seconds is None:
            return None
        ends = [
            moment(condition.get("lastTransitionTime"))
            for condition in mappings(mapping(job.get("status")).get("conditions"))
            if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True"
        ]
        left = max(ends, default=0) / _MICROSECONDS + spec.ttl_seconds - self._clock()
        if left > 0:
            return left
        try:
            await self._client.delete(
                JOBS,
                document.namespace,
                document.name,
                uid=document.uid,
                propagation="Background",
            )
        except (NotFound, Conflict):
            return None
        return None


def _wanted_active(spec: JobSpec, counts: Tally) -> int:
    if spec.completions is None:
        return len(counts.active) if counts.succeeded else spec.parallelism
    return min(spec.parallelism, spec.completions - counts.succeeded)


def _surplus(spec: JobSpec, counts: Tally) -> Iterator[PodView]:
    """Active pods there should not be: twice the same index, or more than wanted.

    Those that do not run yet go first, then the youngest.
    """
    kept: list[PodView] = []
    seen: set[str] = set()
    for pod in sorted(counts.active, key=lambda pod: (not pod.started, pod.created, pod.name)):
        index = pod.slot if spec.indexed else ""
        done = index.isdigit() and int(index) in counts.completed_indexes
        if spec.indexed and (index in seen or done):
            yield pod
            continue
        seen.add(index)
        kept.append(pod)
    yield from kept[max(0, _wanted_active(spec, counts)) :]
