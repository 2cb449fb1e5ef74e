"""What is true of one job, read from its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kube_queue.api.conditions import parse_rfc3339
from kube_queue.api.errors import InvalidInput
from kube_queue.api.names import JOB_HAS_ENQUEUED_ANNOTATION, STOPPED_ANNOTATION
from kube_queue.api.units import JobRef
from kube_queue.jobframework.extension import JobExtension, JobState
from kube_queue.jobframework.fields import section, text
from kube_queue.jobframework.joining import owners_of
from kube_queue.jobframework.ownership import NO_BORDERS, Borders, somebody_elses


@dataclass(frozen=True, slots=True)
class JobView:
    """One job as the plan sees it. `manifest` is the whole object it was read from."""

    extension: JobExtension
    manifest: Mapping[str, Any]
    ref: JobRef
    resource_version: str
    created: int
    """Microseconds since the epoch; the API server gives whole seconds."""
    deleting: bool
    state: JobState
    foreign: str
    """Why it is none of ours; empty if it is ours."""
    released_before: bool
    """The queue has released it at least once."""
    stopped: bool
    """The queue has stopped it for good."""

    @property
    def owners(self) -> tuple[JobRef, ...]:
        """The objects with whom the job's unit goes; none where the job itself is the one."""
        return owners_of(self.extension, self.manifest)

    @property
    def annotations(self) -> Mapping[str, Any]:
        """The job's annotations."""
        return section(self.manifest, "metadata", "annotations")

    @property
    def labels(self) -> Mapping[str, Any]:
        """The job's labels."""
        return section(self.manifest, "metadata", "labels")


def view_job(
    extension: JobExtension, manifest: Mapping[str, Any], borders: Borders = NO_BORDERS
) -> JobView:
    """The job that `manifest` describes, as `extension` understands it.

    Nothing in spec or status makes this fail; what cannot be read counts as absent.
    """
    state = extension.state(manifest)
    metadata = section(manifest, "metadata")
    annotations = section(metadata, "annotations")
    return JobView(
        extension=extension,
        manifest=manifest,
        ref=JobRef(
            _api_version(extension, manifest),
            extension.resource.kind,
            text(metadata, "namespace"),
            text(metadata, "name"),
            text(metadata, "uid"),
        ),
        resource_version=text(metadata, "resourceVersion"),
        created=_moment(text(metadata, "creationTimestamp")),
        deleting=metadata.get("deletionTimestamp") is not None,
        state=state,
        foreign=somebody_elses(manifest, state, borders),
        released_before=annotations.get(JOB_HAS_ENQUEUED_ANNOTATION) == "true",
        stopped=bool(annotations.get(STOPPED_ANNOTATION)),
    )


def _api_version(extension: JobExtension, manifest: Mapping[str, Any]) -> str:
    """The version the job was read in: an owner reference by one that is not served is an orphan's.

    Objects of built-in kinds come without it in a list.
    """
    written = text(manifest, "apiVersion")
    same_group = written.rpartition("/")[0] == extension.resource.group
    return written if written and same_group else extension.resource.api_version


def _moment(written: str) -> int:
    try:
        return parse_rfc3339(written)
    except InvalidInput:
        return 0
