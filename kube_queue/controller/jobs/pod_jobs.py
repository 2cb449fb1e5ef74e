"""The pods that are jobs themselves, seen by the watch that counts the pods of all jobs.

Most pods are nobody's to queue: of those only the counts' few words are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from kube_queue.api.types import PODS, ResourceType
from kube_queue.controller.jobs.records import JobKey, JobRecord, PodRecord, pod_record
from kube_queue.controller.jobs.watches import JobHandler
from kube_queue.jobframework.extension import Hold, JobExtension, Selective
from kube_queue.jobframework.fields import text
from kube_queue.jobframework.unit_view import UnitView
from kube_queue.kube.informer import Informer


class Units(Protocol):
    """The units that are watched."""

    def unit(self, key: JobKey) -> UnitView | None:
        """The object that has the name of the job's unit."""


class PodProjection:
    """What is kept of a pod: the whole of it if `extension` queues pods and this is one of them.

    One is a job if it concerns the extension or has a unit, whatever became of its marks.
    """

    def __init__(self, extension: JobExtension | None, units: Units) -> None:
        self._extension = extension
        self._units = units

    def __call__(self, obj: dict[str, Any]) -> PodRecord:
        """The record of the pod."""
        extension = self._extension
        if extension is None or not self._is_job(extension, obj):
            return pod_record(obj)
        return pod_record(obj, job=True, free=extension.state(obj).hold is Hold.NONE)

    def _is_job(self, extension: JobExtension, obj: dict[str, Any]) -> bool:
        if not isinstance(extension, Selective) or extension.concerns(obj):
            return True
        names = (text(obj, "metadata", "namespace"), text(obj, "metadata", "name"))
        unit = self._units.unit(JobKey(extension.name, *names))
        job = None if unit is None else unit.unit.job
        return job is not None and job.uid == text(obj, "metadata", "uid")


class PodJobs:
    """The jobs of the kind Pod; see KindWatch, whose face it has."""

    def __init__(
        self, pods: Informer[PodRecord], *, seen: JobHandler, listed: Callable[[], None]
    ) -> None:
        self.resource: ResourceType = PODS
        self._pods = pods
        self._seen = seen
        self._listed = listed
        pods.add_handler(self._pod_seen)

    @property
    def ready(self) -> bool:
        """See KindWatch."""
        return self._pods.synced.is_set()

    def get(self, namespace: str, name: str) -> JobRecord | None:
        """See KindWatch."""
        pod = self._pods.get(namespace, name)
        return None if pod is None else pod.job

    def jobs(self) -> list[JobRecord]:
        """See KindWatch."""
        return [job for job in (pod.job for pod in self._pods.values()) if job is not None]

    async def run(self) -> None:
        """Say when the pods have been listed; whoever runs their informer watches them."""
        await self._pods.synced.wait()
        self._listed()

    def _pod_seen(self, old: PodRecord | None, new: PodRecord | None) -> None:
        before = None if old is None else old.job
        after = None if new is None else new.job
        if before is not None or after is not None:
            self._seen(before, after)
