"""Kubeflow's operator for TFJobs, as arena installs it: it obeys the suspend annotation.

A TFJob is held by the annotation or by runPolicy.suspend alike. Pods have names that follow from
their places (job1-worker-0), so creating one twice is impossible.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from kube_queue.api.errors import Conflict, NotFound
from kube_queue.api.types import TFJOBS
from kube_queue.kube.client import Client
from kube_queue.kube.patches import merge_patch
from kube_queue.kube.workqueue import WorkQueue, run_workers
from kube_queue.simulator.fields import mapping, merge_difference
from kube_queue.simulator.owned_pods import OwnedPods, Voice, Wanted
from kube_queue.simulator.table import Table
from kube_queue.simulator.tfjob_status import Outcome, Replicas, plan, tfjob_spec
from kube_queue.simulator.views import (
    REPLICA_INDEX,
    REPLICA_TYPE,
    JobDocument,
    PodView,
    job_document,
)

Key = tuple[str, str]

NAME_TAKEN_SECONDS: Final = 1.0
"""A place whose name another pod still holds is tried again after this."""
_WORKERS: Final = 8


class TFJobOperator:
    """Plays the operator of kubeflow.org/v1 TFJobs."""

    def __init__(
        self,
        client: Client,
        jobs: Table[JobDocument],
        pods: Table[PodView],
        *,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._pods = pods
        self._owned = OwnedPods(
            client, pods, TFJOBS, Voice("tfjob-controller", "FailedCreatePod"), clock
        )
        self._clock = clock
        self._queue: WorkQueue[Key] = WorkQueue()
        jobs.subscribe(self._job_changed)
        pods.subscribe(self._pod_changed)

    async def run(self) -> None:
        """TFJobs are worked on, until cancelled."""
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
        if mapping(job.get("metadata")).get("deletionTimestamp"):
            return None
        outcome = plan(job, self._pods.of_group(document.uid), self._clock())
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
        for replicas, index in outcome.create:
            waiting |= not await self._create(job, replicas, index)
        again = min(outcome.again, NAME_TAKEN_SECONDS if waiting else math.inf)
        return None if math.isinf(again) else again

    async def _create(self, job: Mapping[str, Any], replicas: Replicas, index: int) -> bool:
        metadata = mapping(job.get("metadata"))
        slot = replicas.slot(index)
        labels = {
            "training.kubeflow.org/job-name": metadata["name"],
            "training.kubeflow.org/operator-name": "tfjob-controller",
            REPLICA_TYPE: replicas.kind.lower(),
            REPLICA_INDEX: str(index),
        }
        if slot == "worker-0" or replicas.kind in ("Chief", "Master"):
            leads = replicas.kind != "Worker" or not tfjob_spec(job).chiefs
            labels |= {"training.kubeflow.org/job-role": "master"} if leads else {}
        policy = replicas.restart_policy
        restart = "Never" if policy == "ExitCode" else policy
        wanted = Wanted(f"{metadata['name']}-{slot}", labels, spec={"restartPolicy": restart})
        return await self._owned.create(metadata, replicas.template, wanted)

    async def _write_status(
        self, document: JobDocument, job: Mapping[str, Any], outcome: Outcome
    ) -> bool:
        """The status is written if it differs; False when the job is gone.

        The patch carries the version it was computed from, so a condition that somebody else
        appended meanwhile is met again, not dropped: Conflict puts the job back in the queue.
        """
        changes = merge_difference(mapping(job.get("status")), outcome.status)
        if not changes:
            return True
        patch = merge_patch(document.uid, document.resource_version, {"status": changes})
        try:
            answer = await self._client.patch(
                TFJOBS, document.namespace, document.name, patch, subresource="status"
            )
        except NotFound:
            return False
        self._jobs.wrote(job_document(answer))
        return True

    async def _expire(self, document: JobDocument) -> None:
        try:
            await self._client.delete(
                TFJOBS,
                document.namespace,
                document.name,
                uid=document.uid,
                propagation="Background",
            )
        except (NotFound, Conflict):
            return
