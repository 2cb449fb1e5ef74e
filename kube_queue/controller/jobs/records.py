"""What the job side keeps of jobs, pods and the objects around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, NamedTuple

import orjson

from kube_queue.api.resources import ResourceVector
from kube_queue.jobframework.fields import entries, section, text

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OVER = frozenset({"Succeeded", "Failed"})


class JobKey(NamedTuple):
    """One job of one enabled extension."""

    extension: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it came, in bytes: a tenth of the memory of the decoded object."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    raw: bytes

    def manifest(self) -> dict[str, Any]:
        """The whole object, a copy of its own."""
        found: dict[str, Any] = orjson.loads(self.raw)
        return found


def job_record(obj: dict[str, Any]) -> JobRecord:
    """The record of a job; `obj` is given up to it."""
    metadata = obj["metadata"]
    metadata.pop("managedFields", None)
    annotations = metadata.get("annotations")
    if isinstance(annotations, dict):
        # kubectl's copy of the manifest would be half of it.
        annotations.pop(_LAST_APPLIED, None)
    return JobRecord(
        namespace=intern(text(metadata, "namespace")),
        name=text(metadata, "name"),
        uid=text(metadata, "uid"),
        resource_version=text(metadata, "resourceVersion"),
        # A copy, which is as long as it is: orjson's own bytes keep 4 KB of room at least.
        raw=bytes(memoryview(orjson.dumps(obj))),
    )


class PodOwner(NamedTuple):
    """The object a pod's controller reference names; all empty for a pod without one."""

    group: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class PodRecord:
    """Where a pod stands in its life."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    owner: PodOwner
    live: bool
    """Neither Succeeded nor Failed."""
    on_node: bool
    leaving: bool
    """It is being deleted."""
    part: JobKey | None = None
    """The job that it is, or is part of; None where it is neither."""
    raw: bytes = b""
    """The whole pod, where it is part of a job."""
    free: bool = False
    """It is part of a job, and nothing of ours holds it."""


def pod_record(obj: dict[str, Any], *, part: JobKey | None = None, free: bool = False) -> PodRecord:
    """The record of a pod; `obj` is given up to it."""
    metadata = section(obj, "metadata")
    return PodRecord(
        namespace=intern(text(metadata, "namespace")),
        name=text(metadata, "name"),
        uid=text(metadata, "uid"),
        resource_version=text(metadata, "resourceVersion"),
        owner=_owner(metadata),
        live=text(obj, "status", "phase") not in _OVER,
        on_node=bool(text(obj, "spec", "nodeName")),
        leaving=metadata.get("deletionTimestamp") is not None,
        part=part,
        raw=b"" if part is None else job_record(obj).raw,
        free=free,
    )


@dataclass(frozen=True, slots=True)
class NamespaceRecord:
    """A namespace and its labels."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    labels: Mapping[str, Any]


def namespace_record(obj: Mapping[str, Any]) -> NamespaceRecord:
    """The record of a namespace, given its metadata alone."""
    metadata = section(obj, "metadata")
    return NamespaceRecord(
        namespace="",
        name=intern(text(metadata, "name")),
        uid=text(metadata, "uid"),
        resource_version=text(metadata, "resourceVersion"),
        labels=section(metadata, "labels"),
    )


@dataclass(frozen=True, slots=True)
class PriorityClassRecord:
    """A PriorityClass."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    value: int
    default: bool


def priority_class_record(obj: Mapping[str, Any]) -> PriorityClassRecord:
    """The record of a PriorityClass."""
    metadata = section(obj, "metadata")
    return PriorityClassRecord(
        namespace="",
        name=text(metadata, "name"),
        uid=text(metadata, "uid"),
        resource_version=text(metadata, "resourceVersion"),
        value=int(obj.get("value") or 0),
        default=obj.get("globalDefault") is True,
    )


@dataclass(frozen=True, slots=True)
class LimitRangeRecord:
    """A LimitRange; only its limits matter, and they are few."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    manifest: Mapping[str, Any]


def limit_range_record(obj: Mapping[str, Any]) -> LimitRangeRecord:
    """The record of a LimitRange."""
    metadata = section(obj, "metadata")
    return LimitRangeRecord(
        namespace=text(metadata, "namespace"),
        name=text(metadata, "name"),
        uid=text(metadata, "uid"),
        resource_version=text(metadata, "resourceVersion"),
        manifest={"spec": obj.get("spec")},
    )


@dataclass(frozen=True, slots=True)
class RuntimeClassRecord:
    """A RuntimeClass and what a pod of it takes besides its containers."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    overhead: ResourceVector


def runtime_class_record(obj: Mapping[str, Any]) -> RuntimeClassRecord:
    """The record of a RuntimeClass."""
    metadata = section(obj, "metadata")
    return RuntimeClassRecord(
        namespace="",
        name=text(metadata, "name"),
        uid=text(metadata, "uid"),
        resource_version=text(metadata, "resourceVersion"),
        overhead=ResourceVector.parse(
            section(obj, "overhead").get("podFixed"), "overhead.podFixed"
        ),
    )


def _owner(metadata: Mapping[str, Any]) -> PodOwner:
    for each in entries(metadata, "ownerReferences"):
        if each.get("controller") is True:
            group = text(each, "apiVersion").rpartition("/")[0]
            return PodOwner(
                intern(group),
                intern(text(each, "kind")),
                intern(text(each, "name")),
                intern(text(each, "uid")),
            )
    return _NOBODY


_NOBODY = PodOwner("", "", "", "")
