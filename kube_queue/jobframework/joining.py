"""Several pods seen as one job: the manifest that stands for all of them, and patches taken apart.

The manifest of a group has the metadata of a job, and its pods, whole, as `members` by name. So a
merge patch of the group holds a merge patch of each pod that it changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kube_queue.api.names import JOB_HAS_ENQUEUED_ANNOTATION, STOPPED_ANNOTATION
from kube_queue.api.pod_groups import pod_group_uid
from kube_queue.api.units import JobRef
from kube_queue.jobframework.extension import Grouped, JobExtension, JobPatch
from kube_queue.jobframework.fields import section, text

MOST_OWNERS: Final = 16
"""Pods of a group that own its unit; once all of them are gone the unit is written anew."""
_MARKS: Final = (JOB_HAS_ENQUEUED_ANNOTATION, STOPPED_ANNOTATION)


def joined(
    extension: JobExtension, group: Grouped, name: str, pods: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The manifest of the group of this name; its pods are not changed, and there is one at least.

    Labels, annotations and controller are those of the pod that stands for it. A mark of ours is on
    the group where it is on any of its pods.
    """
    members = sorted(pods, key=_age)
    head = group.head(name, members) or {}
    namespace = text(members[0], "metadata", "namespace")
    annotations = dict(section(head, "metadata", "annotations"))
    for pod in members:
        found = section(pod, "metadata", "annotations")
        annotations.update({mark: found[mark] for mark in _MARKS if mark in found})
    metadata: dict[str, Any] = {
        "namespace": namespace,
        "name": name,
        "uid": pod_group_uid(namespace, name) if group.by_name else text(head, "metadata", "uid"),
        "resourceVersion": max((_version(pod) for pod in members), key=_number),
        "creationTimestamp": text(members[0], "metadata", "creationTimestamp"),
        "annotations": annotations,
        "labels": dict(section(head, "metadata", "labels")),
        "ownerReferences": section(head, "metadata").get("ownerReferences") or [],
    }
    if all(section(pod, "metadata").get("deletionTimestamp") is not None for pod in members):
        metadata["deletionTimestamp"] = section(members[0], "metadata")["deletionTimestamp"]
    return {
        "apiVersion": extension.resource.api_version,
        "kind": extension.resource.kind,
        "metadata": metadata,
        "members": {text(pod, "metadata", "name"): pod for pod in members},
    }


def members_of(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The pods of a group's manifest by name, the oldest first; what is none is left out."""
    found = section(manifest, "members")
    pods = {name: pod for name, pod in found.items() if isinstance(pod, Mapping)}
    return dict(sorted(pods.items(), key=lambda item: (_age(item[1]), item[0])))


def owners_of(extension: JobExtension, manifest: Mapping[str, Any]) -> tuple[JobRef, ...]:
    """The objects with whom the unit of this group goes; none where the job itself is one."""
    if not isinstance(extension, Grouped) or not extension.by_name:
        return ()
    pods = list(members_of(manifest).items())[:MOST_OWNERS]
    resource = extension.resource
    return tuple(
        JobRef(
            resource.api_version,
            resource.kind,
            text(pod, "metadata", "namespace"),
            name,
            text(pod, "metadata", "uid"),
        )
        for name, pod in pods
    )


def taken_apart(
    manifest: Mapping[str, Any], patch: JobPatch
) -> Iterator[tuple[Mapping[str, Any], JobPatch]]:
    """Each pod that has not ended, with what the patch of its group means for it."""
    whole = {name: part for name, part in patch.items() if name == "metadata"}
    for name, pod in members_of(manifest).items():
        if text(pod, "status", "phase") not in ("Succeeded", "Failed"):
            yield pod, {**section(patch, "members", name), **whole}


def _age(pod: Mapping[str, Any]) -> tuple[str, str]:
    metadata = section(pod, "metadata")
    return text(metadata, "creationTimestamp"), text(metadata, "name")


def _version(pod: Mapping[str, Any]) -> str:
    return text(pod, "metadata", "resourceVersion")


def _number(version: str) -> int:
    return int(version) if version.isdecimal() and version.isascii() else 0
