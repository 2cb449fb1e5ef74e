"""The unit as the job side keeps it: the shared projection and what a status write needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from kube_queue.api.errors import InvalidInput
from kube_queue.api.lifecycle import HOLDS_QUOTA
from kube_queue.api.names import ENQUEUE_TIMESTAMP_ANNOTATION, INVALID_REQUEST_ANNOTATION
from kube_queue.api.pod_requests import pod_request
from kube_queue.api.pod_shapes import pod_shape
from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import Unit, project_unit
from kube_queue.jobframework.fields import entries, number, section, text
from kube_queue.jobframework.requests import AskedSet
from kube_queue.jobframework.templates import whereabouts

_OWNERS = ("metadata", "ownerReferences")


@dataclass(frozen=True, slots=True)
class HeldSet:
    """The pods of one set that the unit holds quota for, and how much for all of them."""

    name: str
    count: int
    total: ResourceVector

    @property
    def each(self) -> ResourceVector:
        """What one of the pods is charged, rounded up."""
        return self.total.shared_by(self.count)


@dataclass(frozen=True, slots=True)
class UnitView:
    """One QueueUnit; what waits is small, because it has neither conditions nor pods."""

    unit: Unit
    pod_sets: tuple[AskedSet, ...]
    """As spec.podSet says; empty if it cannot be read."""
    held_sets: tuple[HeldSet, ...]
    """As status.admissions says, or spec.podSet where that says nothing; empty while it waits."""
    conditions: bytes
    """status.conditions as JSON, or empty."""
    pods_on_node: int
    pods_pending: int
    pods_told: bool
    """Whether status.podState says anything."""
    requeues: int
    """How often it went back to its queue so far."""
    backoffs: int
    """How often in a row it had to stay away from its queue for a while."""
    problem: str
    """Why the job's request could not be read when the unit was last written; or empty."""
    has_request: bool
    """spec.request, the original total, has been written."""
    owners: int
    """Another number where other objects own it; the same only within one process."""
    ours: bool
    """It carries the time of submission, which the job side writes, and names its job's uid."""

    @property
    def namespace(self) -> str:
        """The unit's namespace."""
        return self.unit.namespace

    @property
    def name(self) -> str:
        """The unit's name."""
        return self.unit.name

    @property
    def uid(self) -> str:
        """The unit's uid."""
        return self.unit.uid

    @property
    def resource_version(self) -> str:
        """The version this was read from."""
        return self.unit.resource_version

    def condition_list(self) -> list[dict[str, Any]]:
        """status.conditions, a copy of its own."""
        conditions = orjson.loads(self.conditions) if self.conditions else []
        return [entry for entry in conditions if isinstance(entry, dict)]

    def condition(self, type_: str) -> Mapping[str, Any]:
        """The condition of this type, or an empty mapping."""
        return next((c for c in self.condition_list() if c.get("type") == type_), {})


def view_unit(obj: Mapping[str, Any]) -> UnitView:
    """The view of a QueueUnit object; never raises on its content."""
    status = section(obj, "status")
    conditions = status.get("conditions")
    unit = project_unit(obj)
    pod_sets = _shared(_pod_sets(obj))
    holds = unit.phase in HOLDS_QUOTA
    return UnitView(
        unit=unit,
        pod_sets=pod_sets,
        held_sets=_held_sets(status, pod_sets) if holds else (),
        conditions=orjson.dumps(conditions) if conditions else b"",
        pods_on_node=number(status, "podState", "running"),
        pods_pending=number(status, "podState", "pending"),
        pods_told=status.get("podState") is not None,
        requeues=number(status, "requeueState", "count"),
        backoffs=number(status, "requeueState", "backoffs"),
        problem=text(section(obj, "metadata", "annotations"), INVALID_REQUEST_ANNOTATION),
        has_request=section(obj, "spec").get("request") is not None,
        owners=owners_number(text(each, "uid") for each in entries(obj, *_OWNERS)),
        ours=_ours(obj),
    )


def owners_number(uids: Iterable[str]) -> int:
    """What `UnitView.owners` is where objects of these uids own the unit."""
    return hash(frozenset(uids))


def _ours(obj: Mapping[str, Any]) -> bool:
    # The owner reference tells less: deleting a job with --cascade=orphan takes it away.
    annotations = section(obj, "metadata", "annotations")
    return ENQUEUE_TIMESTAMP_ANNOTATION in annotations and bool(
        text(obj, "spec", "consumerRef", "uid")
    )


def _pod_sets(obj: Mapping[str, Any]) -> tuple[AskedSet, ...]:
    sets: list[AskedSet] = []
    for entry in entries(obj, "spec", "podSet"):
        try:
            spec = section(entry, "template", "spec")
            shape = pod_shape(spec) if spec else None
            if entry.get("requests") is not None:
                each = ResourceVector.parse(entry["requests"])
            else:
                each = pod_request(spec)
        except InvalidInput:
            return ()
        where = whereabouts(section(entry, "template"))
        sets.append(AskedSet(text(entry, "name"), number(entry, "count"), each, shape, where))
    return tuple(sets)


def _held_sets(status: Mapping[str, Any], pod_sets: tuple[AskedSet, ...]) -> tuple[HeldSet, ...]:
    admissions = entries(status, "admissions")
    if not admissions:
        return _shared_held(
            tuple(HeldSet(each.name, each.count, each.each * each.count) for each in pod_sets)
        )
    try:
        return _shared_held(
            tuple(
                HeldSet(
                    text(each, "name"),
                    number(each, "replicas"),
                    ResourceVector.parse(each.get("resources")),
                )
                for each in admissions
            )
        )
    except InvalidInput:
        return ()


@lru_cache(maxsize=4096)
def _shared_held(sets: tuple[HeldSet, ...]) -> tuple[HeldSet, ...]:
    return sets


@lru_cache(maxsize=4096)
def _shared(sets: tuple[AskedSet, ...]) -> tuple[AskedSet, ...]:
    """One value for all the units that ask the same."""
    return sets
