"""The pods that are jobs themselves, or parts of one, seen by the watch that counts all pods.

Most pods are nobody's to queue: of those only the counts' few words are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from kube_queue.api.errors import NotFound
from kube_queue.api.types import PODS, ResourceType
from kube_queue.controller.jobs.records import (
    JobKey,
    JobRecord,
    PodRecord,
    job_record,
    pod_record,
)
from kube_queue.controller.jobs.watches import JobHandler
from kube_queue.jobframework.extension import Grouped, Hold, JobExtension, Selective
from kube_queue.jobframework.fields import section, text
from kube_queue.jobframework.joining import joined
from kube_queue.jobframework.unit_view import UnitView
from kube_queue.kube.client import Client
from kube_queue.kube.informer import Informer


class Units(Protocol):
    """The units that are watched."""

    def unit(self, key: JobKey) -> UnitView | None:
        """The object that has the name of the job's unit."""


class PodProjection:
    """What is kept of a pod: the whole of it if it is, or is part of, a job of one of these kinds.

    That is a pod which concerns the kind or whose job has a unit, whatever became of its marks.
    """

    def __init__(self, extensions: Iterable[JobExtension], units: Units) -> None:
        self._units = units
        # Asking an object for its protocols costs more than all the rest, and pods are many.
        self._kinds = [
            (
                each,
                each.concerns if isinstance(each, Selective) else _always,
                each.group if isinstance(each, Grouped) else None,
            )
            for each in extensions
        ]

    def __call__(self, obj: dict[str, Any]) -> PodRecord:
        """The record of the pod."""
        for extension, concerns, group in self._kinds:
            metadata = section(obj, "metadata")
            name = text(metadata, "name") if group is None else group(obj)
            if not name:
                continue
            key = JobKey(extension.name, text(metadata, "namespace"), name)
            uid = text(metadata, "uid") if group is None else ""
            if concerns(obj) or self._has_unit(key, uid):
                return pod_record(obj, part=key, free=_free(extension, obj))
        return pod_record(obj)

    def _has_unit(self, key: JobKey, uid: str) -> bool:
        """Whether the job of this name has a unit; of this uid, unless it is a group."""
        unit = self._units.unit(key)
        job = None if unit is None else unit.unit.job
        return job is not None and uid in ("", job.uid)


class PodJobs:
    """The jobs of one kind whose resource is Pod; see KindWatch, whose face it has."""

    def __init__(
        self,
        extension: JobExtension,
        pods: Informer[PodRecord],
        *,
        seen: JobHandler,
        listed: Callable[[], None],
    ) -> None:
        self.resource: ResourceType = PODS
        self._extension = extension
        self._pods = pods
        self._seen = seen
        self._listed = listed
        self._members: dict[tuple[str, str], dict[str, PodRecord]] = {}
        self._joined: dict[tuple[str, str], JobRecord] = {}
        pods.add_handler(self._pod_seen)

    @property
    def ready(self) -> bool:
        """See KindWatch."""
        return self._pods.synced.is_set()

    def get(self, namespace: str, name: str) -> JobRecord | None:
        """See KindWatch."""
        place = (namespace, name)
        known = self._joined.get(place)
        if known is None and place in self._members:
            pods = [orjson.loads(pod.raw) for pod in self._members[place].values()]
            known = self._joined[place] = _whole(self._extension, name, pods)
        return known

    def jobs(self) -> list[JobRecord]:
        """See KindWatch."""
        found = (self.get(*place) for place in self._members)
        return [job for job in found if job is not None]

    async def read(self, client: Client, namespace: str, name: str) -> JobRecord | None:
        """See KindWatch. Of a group, every pod that has been seen is read again."""
        pods: list[dict[str, Any]] = []
        known = self._members.get((namespace, name), {})
        for pod_name in list(known) if isinstance(self._extension, Grouped) else [name]:
            try:
                pod = await client.get(PODS, namespace, pod_name)
            except NotFound:
                continue
            if _job(self._extension, pod) == name:
                pods.append(pod)
        return _whole(self._extension, name, pods) if pods else None

    async def run(self) -> None:
        """Say when the pods have been listed; whoever runs their informer watches them."""
        await self._pods.synced.wait()
        self._listed()

    def _pod_seen(self, old: PodRecord | None, new: PodRecord | None) -> None:
        before, after = self._part(old), self._part(new)
        for key in dict.fromkeys(key for key in (before, after) if key is not None):
            place = (key.namespace, key.name)
            members = self._members.setdefault(place, {})
            known = _named(key) if members else None
            self._joined.pop(place, None)
            if before == key and old is not None:
                members.pop(old.name, None)
            if after == key and new is not None:
                members[new.name] = new
            if not members:
                del self._members[place]
            if known is not None or members:
                self._seen(known, _named(key) if members else None)

    def _part(self, pod: PodRecord | None) -> JobKey | None:
        if pod is None or pod.part is None or pod.part.extension != self._extension.name:
            return None
        return pod.part


def _always(pod: Mapping[str, Any]) -> bool:
    return True


def _job(extension: JobExtension, pod: Mapping[str, Any]) -> str:
    """The name of the job that the pod would be, or be part of; empty for none."""
    if isinstance(extension, Grouped):
        return extension.group(pod)
    return text(pod, "metadata", "name")


def _free(extension: JobExtension, pod: Mapping[str, Any]) -> bool:
    if isinstance(extension, Grouped):
        return extension.free(pod)
    return extension.state(pod).hold is Hold.NONE


def _whole(extension: JobExtension, name: str, pods: Sequence[dict[str, Any]]) -> JobRecord:
    """The record of the job that these pods are, of which there is one at least."""
    if isinstance(extension, Grouped):
        return job_record(joined(extension, extension, name, pods))
    (pod,) = pods
    return job_record(pod)


def _named(key: JobKey) -> JobRecord:
    """Enough of a job for whoever only wants to know which it is."""
    return JobRecord(key.namespace, key.name, "", "", b"")
