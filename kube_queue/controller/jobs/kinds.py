"""Which job a unit or a pod belongs to, and what is known of one job."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kube_queue.api.types import ResourceType
from kube_queue.api.units import unit_name
from kube_queue.controller.jobs.records import JobKey, PodOwner
from kube_queue.jobframework.extension import JobExtension
from kube_queue.jobframework.unit_view import UnitView


@dataclass(frozen=True, slots=True)
class Kinds:
    """The enabled extensions, by name and by the kind they queue."""

    by_name: Mapping[str, JobExtension]
    by_kind: Mapping[tuple[str, str], tuple[JobExtension, ...]]
    """Several only where a kind's objects are jobs by themselves and in groups."""
    resources: dict[str, ResourceType]
    """By name: the version that is watched; the preferred one until that is known."""

    @classmethod
    def of(cls, extensions: Iterable[JobExtension]) -> Kinds:
        """The lookup tables of these extensions."""
        known = tuple(extensions)
        by_kind: dict[tuple[str, str], tuple[JobExtension, ...]] = {}
        for each in known:
            kind = (each.resource.group, each.resource.kind)
            by_kind[kind] = (*by_kind.get(kind, ()), each)
        return cls(
            {each.name: each for each in known},
            by_kind,
            {each.name: each.resource for each in known},
        )

    def job_of_unit(self, view: UnitView) -> JobKey | None:
        """The job whose own unit this is; None for units of other kinds and ones made by hand."""
        job = view.unit.job
        if job is None or job.namespace != view.namespace:
            return None
        for extension in self.by_kind.get((job.api_version.rpartition("/")[0], job.kind), ()):
            if unit_name(job.name, extension.suffix) == view.name:
                return JobKey(extension.name, job.namespace, job.name)
        return None

    def job_of_pod(self, namespace: str, owner: PodOwner) -> JobKey | None:
        """The job that controls the pods of this owner; None if it is of no enabled kind."""
        for extension in self.by_kind.get((owner.group, owner.kind), ()):
            return JobKey(extension.name, namespace, owner.name)
        return None

    def unit_name(self, key: JobKey) -> str:
        """The name of the job's unit."""
        return unit_name(key.name, self.by_name[key.extension].suffix)
