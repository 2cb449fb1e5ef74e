"""The QueueUnit of a job: how it is first written, and how it follows the job while it waits."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from kube_queue.api.conditions import rfc3339_micro
from kube_queue.api.errors import InvalidInput
from kube_queue.api.names import (
    CARRIED_LABEL_PREFIX,
    ENQUEUE_TIMESTAMP_ANNOTATION,
    EVICTABLE_ANNOTATION,
    EXPECTED_RUN_SECONDS_ANNOTATION,
    INVALID_REQUEST_ANNOTATION,
    JOB_PRIORITY_ANNOTATION,
    PREEMPTIBLE_LABELS,
    QUOTA_LABELS,
)
from kube_queue.api.quota import queue_for
from kube_queue.api.reasons import Reason
from kube_queue.api.resource_quota import leaf_of
from kube_queue.api.types import QUEUE_UNITS
from kube_queue.api.units import (
    JobRef,
    invalid_reason,
    is_preemptible,
    preemptible_problem,
    quota_label,
    unit_name,
)
from kube_queue.jobframework.decisions import CreateUnit, Emit, UpdateUnit
from kube_queue.jobframework.extension import Hold, PodSet, Warns, evictable
from kube_queue.jobframework.priority import JobPriority, job_priority
from kube_queue.jobframework.requests import Asked, asked
from kube_queue.jobframework.resizing import outgrown
from kube_queue.jobframework.run_time import RunTime, run_time
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue.jobframework.unit_view import UnitView, owners_number
from kube_queue.jobframework.view import JobView

_CARRIED_LABELS = (*QUOTA_LABELS, *PREEMPTIBLE_LABELS)
_LAST_MICROSECOND = 999_999
_LONGEST_PROBLEM = 1024
_UNREADABLE = {"name": "unreadable", "count": 1, "template": {"spec": {"containers": "unreadable"}}}
"""Stands for a request nobody can tell: no reader takes it for a request of nothing."""


def create_unit(
    view: JobView, surroundings: Surroundings, first_seen: int, *, certain: bool
) -> CreateUnit:
    """The decision to write the job's unit. `first_seen` is in microseconds since the epoch."""
    wish = _wish(view, surroundings)
    name = unit_name(view.ref.name, view.extension.suffix)
    queue = _queue(view, surroundings)
    annotations = {
        ENQUEUE_TIMESTAMP_ANNOTATION: rfc3339_micro(submitted(view.created, first_seen)),
        JOB_PRIORITY_ANNOTATION: str(wish.priority.value),
    }
    if wish.problem:
        annotations[INVALID_REQUEST_ANNOTATION] = wish.problem
    if wish.run_time.expected:
        annotations[EXPECTED_RUN_SECONDS_ANNOTATION] = str(wish.run_time.expected)
    if not evictable(view.extension, view.manifest):
        annotations[EVICTABLE_ANNOTATION] = "false"
    metadata: dict[str, Any] = {
        "namespace": view.ref.namespace,
        "name": name,
        "annotations": annotations,
        "ownerReferences": _references(view.owners or (view.ref,)),
    }
    labels = {**_selected_by(view), **_labels(view)}
    if labels:
        metadata["labels"] = labels
    spec: dict[str, Any] = {
        "consumerRef": {
            "apiVersion": view.ref.api_version,
            "kind": view.ref.kind,
            "namespace": view.ref.namespace,
            "name": view.ref.name,
            "uid": view.ref.uid,
        },
        "priority": wish.priority.value,
        **_request_fields(wish.asked),
    }
    if wish.asked is None:
        del spec["resource"]
    if wish.priority.class_name:
        spec["priorityClassName"] = wish.priority.class_name
    if queue:
        spec["queue"] = queue
    if wish.run_time.limit:
        spec["maximumExecutionTimeSeconds"] = wish.run_time.limit
    if wish.asked is not None:
        spec["request"] = wish.asked.total.manifest()
    manifest = {
        "apiVersion": QUEUE_UNITS.api_version,
        "kind": QUEUE_UNITS.kind,
        "metadata": metadata,
        "spec": spec,
    }
    where = f"queue {queue}" if queue else "no queue yet"
    news = Emit(Reason.ENQUEUED, f"QueueUnit {name} waits in {where}")
    return CreateUnit(manifest, (news, *wish.warnings), certain)


def update_unit(view: JobView, unit: UnitView, surroundings: Surroundings) -> UpdateUnit | None:
    """The decision that brings a waiting unit up to date with its job; None if it is."""
    wish = _wish(view, surroundings)
    annotations: dict[str, Any] = {}
    spec = _priority_change(wish.priority, unit, annotations)
    spec |= _stopping_change(view, wish.run_time, unit, annotations)
    if unit.ours and wish.run_time.expected != unit.unit.expected_seconds:
        expected = wish.run_time.expected
        annotations[EXPECTED_RUN_SECONDS_ANNOTATION] = str(expected) if expected else None
    if wish.problem != unit.problem:
        annotations[INVALID_REQUEST_ANNOTATION] = wish.problem or None
    if wish.asked is None:
        if wish.problem != unit.problem:
            spec.update(_request_fields(None))
    elif wish.asked.sets != unit.pod_sets or wish.asked.total != unit.unit.request or unit.problem:
        spec.update(_request_fields(wish.asked))
        if not unit.has_request:
            spec["request"] = wish.asked.total.manifest()
    metadata = {"labels": _changed_labels(view, unit), "ownerReferences": _other_owners(view, unit)}
    return _update(spec, annotations, wish.warnings, metadata)


def update_admitted(view: JobView, unit: UnitView, surroundings: Surroundings) -> UpdateUnit | None:
    """The decision that carries over to an admitted unit what may change then; None if nothing did.

    That is its priority, how long it may run, whether it can be stopped, and, once it is released,
    how many pods it has and what larger ones ask for.
    """
    request: dict[str, Any] = {}
    pod_sets: tuple[PodSet, ...] = ()
    with suppress(InvalidInput):
        pod_sets = view.extension.pod_sets(view.manifest)
        if view.state.hold is Hold.NONE and outgrown(unit, pod_sets, view.ref.namespace):
            request = _request_fields(asked(pod_sets, view.ref.namespace, surroundings))
    priority = job_priority(view, pod_sets, surroundings)
    annotations: dict[str, Any] = {}
    times = run_time(view)
    spec = _priority_change(priority, unit, annotations)
    spec |= _stopping_change(view, times, unit, annotations) | request
    metadata = {"ownerReferences": _other_owners(view, unit)}
    return _update(spec, annotations, (*priority.warnings, *times.warnings), metadata)


def submitted(created: int, first_seen: int) -> int:
    """The job's moment of submission, all in microseconds.

    The API server cuts creation times to seconds; when the job was first seen tells jobs of one
    second apart. Later than that second it tells nothing, and the job keeps the second's end.
    """
    return created + min(_LAST_MICROSECOND, max(0, first_seen - created))


class _Wish:
    """What the job asks for now; `asked` is None where it cannot be read, for `problem`."""

    __slots__ = ("asked", "priority", "problem", "run_time", "warnings")

    def __init__(
        self, asked: Asked | None, problem: str, priority: JobPriority, run_time: RunTime
    ) -> None:
        self.asked = asked
        self.problem = problem
        self.priority = priority
        self.run_time = run_time
        self.warnings = (*priority.warnings, *run_time.warnings)
        if problem:
            news = Emit(invalid_reason(problem), problem, warning=True)
            self.warnings = (news, *self.warnings)


def _wish(view: JobView, surroundings: Surroundings) -> _Wish:
    pod_sets: tuple[PodSet, ...] = ()
    found: Asked | None = None
    problem = ""
    try:
        pod_sets = view.extension.pod_sets(view.manifest)
        found = asked(pod_sets, view.ref.namespace, surroundings)
    except InvalidInput as error:
        problem = str(error)[:_LONGEST_PROBLEM]
    wish = _Wish(found, problem, job_priority(view, pod_sets, surroundings), run_time(view))
    extension = view.extension
    if isinstance(extension, Warns):
        said = extension.warnings(view.manifest)
        wish.warnings += tuple(Emit(reason, message, warning=True) for reason, message in said)
    odd = preemptible_problem(view.labels)
    if odd:
        wish.warnings = (*wish.warnings, Emit(Reason.INVALID_JOB, odd, warning=True))
    return wish


def _priority_change(
    priority: JobPriority, unit: UnitView, annotations: dict[str, Any]
) -> dict[str, Any]:
    carried = unit.unit.job_priority
    if carried is None or carried == priority.value:
        # Nobody changed the job's own value, so whatever the unit says now stands.
        return {}
    annotations[JOB_PRIORITY_ANNOTATION] = str(priority.value)
    return {"priority": priority.value, "priorityClassName": priority.class_name or None}


def _stopping_change(
    view: JobView, times: RunTime, unit: UnitView, annotations: dict[str, Any]
) -> dict[str, Any]:
    stops = evictable(view.extension, view.manifest)
    if unit.ours and unit.unit.evictable is not stops:
        annotations[EVICTABLE_ANNOTATION] = None if stops else "false"
    # Without a word of the job's the unit's own stands.
    if times.limit and times.limit != unit.unit.limit_seconds:
        return {"maximumExecutionTimeSeconds": times.limit}
    return {}


def _update(
    spec: dict[str, Any],
    annotations: dict[str, Any],
    warnings: tuple[Emit, ...],
    metadata: dict[str, Any],
) -> UpdateUnit | None:
    patch: dict[str, Any] = {}
    if spec:
        patch["spec"] = spec
    metadata = {"annotations": annotations, **metadata}
    changed = {name: value for name, value in metadata.items() if value}
    if changed:
        patch["metadata"] = changed
    return UpdateUnit(patch, warnings) if patch else None


def _request_fields(found: Asked | None) -> dict[str, Any]:
    if found is None:
        return {"resource": None, "podSet": [_UNREADABLE]}
    pod_sets: list[dict[str, Any]] = [
        {"name": each.name, "count": each.count, "requests": each.each.manifest()}
        for each in found.sets
    ]
    for pod_set, template in zip(pod_sets, found.templates, strict=False):
        if template is not None:
            pod_set["template"] = template
    return {"resource": found.total.manifest(), "podSet": pod_sets}


def _references(owners: Iterable[JobRef]) -> list[dict[str, Any]]:
    return [
        {
            "apiVersion": owner.api_version,
            "kind": owner.kind,
            "name": owner.name,
            "uid": owner.uid,
            "controller": False,
            "blockOwnerDeletion": False,
        }
        for owner in owners
    ]


def _other_owners(view: JobView, unit: UnitView) -> list[dict[str, Any]]:
    """The pods of a group, where others own its unit: it must not go with the first of them."""
    owners = view.owners
    if not owners or owners_number(owner.uid for owner in owners) == unit.owners:
        return []
    return _references(owners)


def _labels(view: JobView) -> dict[str, str]:
    return {
        name: str(view.labels[name])
        for name in _CARRIED_LABELS
        if view.labels.get(name) is not None
    }


def _selected_by(view: JobView) -> dict[str, str]:
    """The labels admission checks select by."""
    return {
        name: value
        for name, value in view.labels.items()
        if name.startswith(CARRIED_LABEL_PREFIX) and isinstance(value, str)
    }


def _changed_labels(view: JobView, unit: UnitView) -> dict[str, str | None]:
    """The labels as they should be where the unit's say something else than the job's."""
    labels = _labels(view)
    said = (quota_label(labels), is_preemptible(labels))
    if not unit.ours or said == (unit.unit.quota, unit.unit.preemptible):
        return {}
    return {name: labels.get(name) for name in _CARRIED_LABELS}


def _queue(view: JobView, surroundings: Surroundings) -> str:
    if surroundings.by_namespace:
        return queue_for(view.annotations, None) or leaf_of(view.ref.namespace)
    leaf = None
    if surroundings.tree is not None:
        leaf = surroundings.tree.leaf_for(quota_label(view.labels), view.ref.namespace)
    return queue_for(view.annotations, leaf)
