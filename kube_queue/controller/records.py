"""What the informers of the queue side keep of an object, besides what admission decides by.

Admission needs no pod sets and no conditions; writing its decision does. Pod sets are kept only
while a unit waits, what concerns an admitted unit's way back only once it has left its queue,
conditions until it ends. Equal pod sets are shared, so 100,000 waiting units of 200 shapes hold 200
tuples; of conditions, which carry times, only the words are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from sys import intern
from typing import Any, Final, NamedTuple

import orjson

from kube_queue.api.admission_checks import Check, checks_of
from kube_queue.api.conditions import parse_rfc3339
from kube_queue.api.errors import InvalidInput
from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA, Phase
from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.names import RECLAIM_REQUESTED_ANNOTATION
from kube_queue.api.queues import Queue, project_queue
from kube_queue.api.quota import SeenTree, project_tree
from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import Unit, pod_sets_request, project_unit

Conditions = tuple[tuple[str, str, str, str, str], ...]
"""Type, status, reason, message and lastTransitionTime of each condition."""

_CONDITION_FIELDS: Final = ("type", "status", "reason", "message", "lastTransitionTime")
_SHARED: Final = 65_536


@dataclass(frozen=True, slots=True)
class PodSet:
    """A group of like pods and what all of them ask for together."""

    name: str
    count: int
    total: ResourceVector


class Answer(NamedTuple):
    """What one admission check says about a unit, as status.admissionChecks has it."""

    name: str
    state: str
    message: str
    since: str

    def manifest(self) -> dict[str, str]:
        """The entry on the wire."""
        entry = {"name": self.name, "state": self.state, "message": self.message}
        return {**entry, "lastTransitionTime": self.since} if self.since else entry


@dataclass(frozen=True, slots=True)
class Standing:
    """What decides how a unit that has left its queue goes on."""

    requeues: int
    """How often it went back so far."""
    backoffs: int
    """How often in a row it had to stay away from its queue for a while."""
    pods: int | None
    """Live pods of its job as the job side tells; None where it has not told."""
    labels: tuple[tuple[str, str], ...] = ()
    """Its labels; kept only while its admission checks run."""
    answers: tuple[Answer, ...] = ()
    """What its checks say; kept only while they run."""
    reclaimed_by: str = ""
    """The uid of the pod or PodGroup for which the scheduler asks the unit to go; or empty."""


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """A unit as its informer keeps it."""

    unit: Unit
    pod_sets: tuple[PodSet, ...]
    """Empty once the unit left its queue, and where they do not add up to its request."""
    conditions: Conditions
    """Empty once the unit has ended."""
    standing: Standing | None = None
    """None once it has ended, and while it waits in its queue and is not asked to go."""

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
        """The version this record was made of."""
        return self.unit.resource_version


@dataclass(frozen=True, slots=True)
class QueueRecord:
    """A Queue as its informer keeps it."""

    queue: Queue
    conditions: Conditions
    written: bytes
    """Digest of the status as it stands."""
    checks: tuple[Check, ...] = ()
    """What units have to pass between reservation and admission."""

    @property
    def namespace(self) -> str:
        """The Queue's namespace."""
        return self.queue.namespace

    @property
    def name(self) -> str:
        """The Queue's name."""
        return self.queue.name

    @property
    def uid(self) -> str:
        """The Queue's uid."""
        return self.queue.uid

    @property
    def resource_version(self) -> str:
        """The version this record was made of."""
        return self.queue.resource_version


@dataclass(frozen=True, slots=True)
class TreeRecord:
    """An ElasticQuotaTree as its informer keeps it."""

    seen: SeenTree
    conditions: Conditions
    written: bytes
    """Digest of the status as it stands."""
    spec: bytes
    """Digest of what the tree asks for: a write of status leaves it alone."""
    shown: frozenset[str]
    """Resources the status shows at the root."""
    created: int
    """Microseconds since the epoch."""

    @property
    def turn(self) -> tuple[int, str]:
        """Of several trees the one with the least turn counts: the oldest, then by name."""
        return self.created, self.name

    @property
    def namespace(self) -> str:
        """The tree's namespace."""
        return self.seen.namespace

    @property
    def name(self) -> str:
        """The tree's name."""
        return self.seen.name

    @property
    def uid(self) -> str:
        """The tree's uid."""
        return self.seen.uid

    @property
    def resource_version(self) -> str:
        """The version this record was made of."""
        return self.seen.resource_version


def unit_record(obj: Mapping[str, Any]) -> UnitRecord:
    """The record of a QueueUnit object; never raises on content."""
    unit = project_unit(obj)
    if unit.phase in FINISHED:
        return UnitRecord(unit, (), ())
    if unit.phase in HOLDS_QUOTA or unit.phase is Phase.TIMEOUT_BACKOFF:
        return UnitRecord(unit, (), conditions_of(obj, unit.message), _standing(obj, unit.phase))
    annotations = mapping_of(mapping_of(obj.get("metadata")).get("annotations"))
    return UnitRecord(
        unit,
        _pod_sets(mapping_of(obj.get("spec")).get("podSet"), unit.request),
        conditions_of(obj, unit.message),
        # A request that came too late has to be taken off before the unit is admitted again.
        _standing(obj, unit.phase) if RECLAIM_REQUESTED_ANNOTATION in annotations else None,
    )


def queue_record(obj: Mapping[str, Any]) -> QueueRecord:
    """The record of a Queue object; never raises on content."""
    checks = checks_of(mapping_of(obj.get("spec")).get("admissionChecks"))
    return QueueRecord(project_queue(obj), conditions_of(obj), digest(obj.get("status")), checks)


def labels_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """The object's labels."""
    labels = mapping_of(mapping_of(obj.get("metadata")).get("labels"))
    return {name: text_of(value) for name, value in labels.items()}


def tree_record(obj: Mapping[str, Any]) -> TreeRecord:
    """The record of an ElasticQuotaTree object; never raises on content."""
    metadata = mapping_of(obj.get("metadata"))
    return TreeRecord(
        project_tree(obj),
        conditions_of(obj),
        digest(obj.get("status")),
        digest([obj.get("spec"), metadata.get("labels")]),
        _shown(mapping_of(mapping_of(obj.get("status")).get("root"))),
        _moment(metadata.get("creationTimestamp")),
    )


def conditions_of(obj: Mapping[str, Any], message: str = "") -> Conditions:
    """The conditions an object's status carries; odd entries are left out.

    A condition that says the same as `message` shares its text; the other words repeat from object
    to object and are interned.
    """
    entries = mapping_of(obj.get("status")).get("conditions")
    if not isinstance(entries, (list, tuple)):
        return ()
    return tuple(_condition(entry, message) for entry in entries if isinstance(entry, Mapping))


def conditions_manifest(conditions: Conditions) -> list[dict[str, str]]:
    """The conditions as they go on the wire; a time nobody wrote is left out."""
    return [
        {
            name: text
            for name, text in zip(_CONDITION_FIELDS, entry, strict=True)
            if text or name != "lastTransitionTime"
        }
        for entry in conditions
    ]


def digest(value: object) -> bytes:
    """Sixteen bytes that differ where JSON values differ.

    The order of keys does not count, nor does a null against an absent key.
    """
    text = orjson.dumps(_without_nulls(value), option=orjson.OPT_SORT_KEYS)
    return blake2b(text, digest_size=16).digest()


def _without_nulls(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_without_nulls(item) for item in value]
    return value


def _standing(obj: Mapping[str, Any], phase: Phase) -> Standing:
    status = mapping_of(obj.get("status"))
    requeued = mapping_of(status.get("requeueState"))
    pods = status.get("podState")
    told = mapping_of(pods)
    standing = _shared_standing(
        _count(requeued.get("count")),
        _count(requeued.get("backoffs")),
        None if pods is None else _count(told.get("running")) + _count(told.get("pending")),
    )
    annotations = mapping_of(mapping_of(obj.get("metadata")).get("annotations"))
    reclaimed_by = text_of(annotations.get(RECLAIM_REQUESTED_ANNOTATION))
    if reclaimed_by:
        standing = replace(standing, reclaimed_by=reclaimed_by)
    if phase is not Phase.RESERVED:
        return standing
    answers = tuple(_answers(status.get("admissionChecks")))
    return replace(standing, labels=tuple(labels_of(obj).items()), answers=answers)


def _answers(entries: object) -> Iterator[Answer]:
    for entry in map(mapping_of, entries if isinstance(entries, (list, tuple)) else ()):
        name, state = text_of(entry.get("name")), text_of(entry.get("state"))
        since = text_of(entry.get("lastTransitionTime"))
        yield Answer(name, state, text_of(entry.get("message")), since)


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _moment(text: object) -> int:
    try:
        return parse_rfc3339(text_of(text))
    except InvalidInput:
        return 0


def _shown(root: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(mapping_of(root.get("used"))) | frozenset(mapping_of(root.get("request")))


def _pod_sets(entries: object, request: ResourceVector) -> tuple[PodSet, ...]:
    if not isinstance(entries, (list, tuple)) or not entries:
        return ()
    found: list[PodSet] = []
    total = ResourceVector.of({})
    for entry in entries:
        try:
            asked = pod_sets_request([entry])
        except InvalidInput:
            return ()
        total += asked
        found.append(_shared_pod_set(text_of(entry.get("name")), entry["count"], asked))
    return _shared_pod_sets(tuple(found)) if total == request else ()


def _condition(entry: Mapping[str, Any], message: str) -> tuple[str, str, str, str, str]:
    type_, status, reason, said, since = (text_of(entry.get(name)) for name in _CONDITION_FIELDS)
    said = message if said == message else said
    return intern(type_), intern(status), intern(reason), said, intern(since)


@lru_cache(maxsize=_SHARED)
def _shared_standing(requeues: int, backoffs: int, pods: int | None) -> Standing:
    return Standing(requeues, backoffs, pods)


@lru_cache(maxsize=_SHARED)
def _shared_pod_set(name: str, count: int, total: ResourceVector) -> PodSet:
    return PodSet(name, count, total)


@lru_cache(maxsize=_SHARED)
def _shared_pod_sets(pod_sets: tuple[PodSet, ...]) -> tuple[PodSet, ...]:
    return pod_sets
