"""How each decision is written, and in which lane."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, assert_never

from kube_queue.api.errors import NotFound
from kube_queue.api.lifecycle import Phase
from kube_queue.api.types import QUEUE_UNITS, ResourceType
from kube_queue.controller.jobs.records import JobRecord, job_record
from kube_queue.jobframework.conformance import merged
from kube_queue.jobframework.decisions import (
    AnnotateJob,
    CreateUnit,
    DeleteJob,
    DeleteUnit,
    MarkQueuing,
    ResumeJob,
    StopJob,
    SuspendJob,
    UnitStatus,
    UpdateUnit,
    Write,
)
from kube_queue.jobframework.extension import Grouped, JobExtension, JobPatch
from kube_queue.jobframework.fields import text
from kube_queue.jobframework.joining import joined, members_of, taken_apart
from kube_queue.jobframework.unit_view import UnitView
from kube_queue.kube.client import Client
from kube_queue.kube.lanes import Lane
from kube_queue.kube.patches import merge_patch

Answer = dict[str, Any]
JobWrite = ResumeJob | SuspendJob | StopJob | AnnotateJob | MarkQueuing
"""The writes whose answer is the job."""


def lane_of(write: Write, unit: UnitView | None) -> Lane:
    """How urgent the write is."""
    match write:
        case SuspendJob() | StopJob() | DeleteJob():
            return Lane.EVICT
        case ResumeJob():
            return Lane.RESUME
        case MarkQueuing(waits=waits):
            return Lane.CREATE if waits else Lane.RESUME
        case CreateUnit() | UpdateUnit():
            return Lane.CREATE
        case UnitStatus(phase=Phase.ENQUEUED):
            # It gives quota back that somebody was promised.
            return Lane.EVICT
        case UnitStatus(patch=patch) if patch["status"].get("admissions"):
            # Somebody may wait for what is given back; what is taken is to be known at once.
            return Lane.PROGRESS
        case UnitStatus(phase=phase) if unit is not None and unit.unit.phase is phase:
            # Only its pods changed, which delays nobody.
            return Lane.STATUS
        case UnitStatus() | DeleteUnit() | AnnotateJob():
            return Lane.PROGRESS
        case _:
            assert_never(write)


async def write_unit(
    client: Client,
    write: CreateUnit | UpdateUnit | UnitStatus | DeleteUnit,
    unit: UnitView | None,
) -> Answer:
    """The server's answer. Every write but a create fits only the unit it was decided on."""
    if isinstance(write, CreateUnit):
        return await client.create(QUEUE_UNITS, write.manifest)
    assert unit is not None
    place = (QUEUE_UNITS, unit.namespace, unit.name)
    if isinstance(write, DeleteUnit):
        return await client.delete(*place, uid=unit.uid)
    patch = merge_patch(unit.uid, unit.resource_version, write.patch)
    subresource = "status" if isinstance(write, UnitStatus) else ""
    return await client.patch(*place, patch, subresource=subresource)


async def write_job(
    client: Client,
    extension: JobExtension,
    resource: ResourceType,
    write: JobWrite,
    job: JobRecord,
) -> JobRecord:
    """The job as it is then. The patch fits only what it was decided on, at that version.

    A group's pods are written one after the other; where one refuses, those before it are written.
    """
    if isinstance(extension, Grouped):
        manifest = job.manifest()
        pods = dict(members_of(manifest))
        for pod, part in taken_apart(manifest, write.patch):
            if merged(pod, part) == pod:
                continue
            name = text(pod, "metadata", "name")
            pods[name] = await _patched(client, resource, job_record(dict(pod)), part)
        return job_record(joined(extension, extension, job.name, tuple(pods.values())))
    subresource = "status" if isinstance(write, MarkQueuing) else ""
    return job_record(await _patched(client, resource, job, write.patch, subresource))


async def delete_job(
    client: Client, extension: JobExtension, resource: ResourceType, job: JobRecord
) -> None:
    """The job goes, if it is still the one that was decided on."""
    if not isinstance(extension, Grouped):
        await client.delete(resource, job.namespace, job.name, uid=job.uid)
        return
    for pod, _ in taken_apart(job.manifest(), {}):
        record = job_record(dict(pod))
        with suppress(NotFound):
            await client.delete(resource, record.namespace, record.name, uid=record.uid)


async def _patched(
    client: Client, resource: ResourceType, job: JobRecord, part: JobPatch, subresource: str = ""
) -> Answer:
    patch = merge_patch(job.uid, job.resource_version, part)
    return await client.patch(resource, job.namespace, job.name, patch, subresource=subresource)
