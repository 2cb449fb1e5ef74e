"""The hot projection of a QueueUnit: what the queue decides by, and nothing else.

One value is a frozen slots object whose strings are interned where they repeat and whose request
vector is shared, so 100,000 of them fit in some 50 MB. A unit that cannot be read is not an
error here: it keeps its place, says why in ``invalid``, and is held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from sys import intern
from typing import Any, Final

from kube_queue.api.conditions import UnitCondition, condition_is_true, parse_rfc3339
from kube_queue.api.errors import InvalidInput, InvalidManifest
from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA, Phase, phase_of
from kube_queue.api.loose import field_path, mapping_of, shown, text_of
from kube_queue.api.names import (
    ENQUEUE_TIMESTAMP_ANNOTATION,
    EVICTABLE_ANNOTATION,
    EXPECTED_RUN_SECONDS_ANNOTATION,
    INVALID_REQUEST_ANNOTATION,
    JOB_PRIORITY_ANNOTATION,
    MIN_RESOURCES_ANNOTATION,
    PREEMPTIBLE_LABELS,
    QUOTA_LABELS,
)
from kube_queue.api.pod_requests import pod_request
from kube_queue.api.pod_shapes import PodGroups, shapes_of_admissions, shapes_of_pod_sets
from kube_queue.api.preemption import preemptor_in
from kube_queue.api.reasons import Reason
from kube_queue.api.resources import EMPTY, ResourceVector

_FALSE_WORDS: Final = frozenset({"false", "f", "0"})
_TRUE_WORDS: Final = frozenset({"true", "t", "1"})
_LONGEST_NAME: Final = 253
_HASH_LENGTH: Final = 8
MIN_RESOURCES_PATH: Final = field_path("metadata.annotations", MIN_RESOURCES_ANNOTATION)
"""Where a job's own word of what it asks for stands."""
INT32_MIN: Final = -(2**31)
INT32_MAX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class JobRef:
    """The job a unit stands for."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Unit:
    """One QueueUnit as admission sees it; times are microseconds since the epoch."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    job: JobRef | None
    queue: str
    """spec.queue; empty while nobody has filled it."""
    quota: str
    """The quota label; empty means the namespace decides."""
    preemptible: bool
    priority: int
    request: ResourceVector
    """What the unit asks for now; empty when it cannot be read."""
    held: ResourceVector
    """What its leaf is charged while the phase holds quota, else empty."""
    active: bool
    phase: Phase
    reason: str
    message: str
    submitted: int
    requeue_at: int
    """Not to be tried before this moment; 0 = none."""
    attempts: int
    evicted: bool
    job_priority: int | None
    """The job's own priority when it was last carried over to the unit."""
    invalid: str
    """Empty, or one sentence with the path of the field that keeps the unit from being admitted."""
    allocated: int = 0
    """When quota was last granted; 0 = not known."""
    started: int = 0
    """Since when the job runs, by condition PodsReady; 0 unless the phase is Running."""
    expected_seconds: int = 0
    """How long the job will run by its owner's word; 0 = nobody said."""
    limit_seconds: int = 0
    """spec.maximumExecutionTimeSeconds; 0 = none."""
    preemptor: str = ""
    """The uid of the unit that its last eviction was for; empty where that names none."""
    evictable: bool = True
    """Whether its job can be stopped once it runs."""
    checks: tuple[tuple[str, str], ...] = ()
    """(name, state) of its admission checks, in the order of status.admissionChecks."""
    ended: int = 0
    """When its job ended, by condition Finished; 0 unless the phase is Succeed or Failed."""
    granted: int = 0
    """When quota was last granted, even if it went back since; 0 = never, or not known."""
    left_for: str = ""
    """While it waits again after an eviction: the uid of the unit that it made room for."""
    left_at: int = 0
    """Since when it does; 0 unless ``left_for`` names somebody."""

    asked_pods: PodGroups = ()
    """The pods behind ``request``; only where quotas count by them (see ``with_pods``)."""
    held_pods: PodGroups = ()
    """The pods behind ``held``, likewise."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


def order_key(unit: Unit) -> tuple[int, int, str, str]:
    """Sorts units as every queue does: priority down, submission up, then namespace and name."""
    return -unit.priority, unit.submitted, unit.namespace, unit.name


def unit_name(job_name: str, suffix: str) -> str:
    """The name of a job's unit: ``<job>-<suffix>-qu``, cut and hashed when over 253 characters."""
    tail = f"-{suffix}-qu"
    if len(job_name) + len(tail) <= _LONGEST_NAME:
        return f"{job_name}{tail}"
    digest = sha256(job_name.encode()).hexdigest()[:_HASH_LENGTH]
    room = _LONGEST_NAME - len(tail) - _HASH_LENGTH - 1
    return f"{job_name[:room].rstrip('-.')}-{digest}{tail}"


def project_unit(obj: Mapping[str, Any]) -> Unit:
    """The Unit a QueueUnit object stands for; never raises on content.

    What cannot be read takes its safe value (asks for nothing, is not active where that is
    unclear) and the first such field is named in ``invalid``.
    """
    metadata = mapping_of(obj.get("metadata"))
    spec = mapping_of(obj.get("spec"))
    status = mapping_of(obj.get("status"))
    labels = mapping_of(metadata.get("labels"))
    annotations = mapping_of(metadata.get("annotations"))
    # The job side's own sentence names the field of the job, which is where it can be mended.
    faults = _Faults(text_of(annotations.get(INVALID_REQUEST_ANNOTATION)))
    request = _request(spec, faults)
    phase = _phase(status, faults)
    evicted = condition_is_true(status.get("conditions"), UnitCondition.EVICTED)
    granted = _time(status.get("lastAllocateTime"))
    left_for = _left_for(status) if phase is Phase.ENQUEUED else ""
    return Unit(
        namespace=intern(text_of(metadata.get("namespace"))),
        name=text_of(metadata.get("name")),
        uid=text_of(metadata.get("uid")),
        resource_version=text_of(metadata.get("resourceVersion")),
        job=_job_ref(spec.get("consumerRef"), metadata),
        queue=intern(text_of(spec.get("queue"))),
        quota=quota_label(labels),
        preemptible=is_preemptible(labels),
        priority=_priority(spec.get("priority"), faults),
        request=request,
        held=_held(status, request) if phase in HOLDS_QUOTA else EMPTY,
        active=_active(spec.get("active"), faults),
        phase=phase,
        reason=intern(text_of(status.get("reason"))),
        message=text_of(status.get("message")),
        submitted=_submitted(metadata, annotations),
        requeue_at=_time(mapping_of(status.get("requeueState")).get("requeueAt")),
        attempts=_count(status.get("attempts")),
        evicted=evicted,
        job_priority=_integer(annotations.get(JOB_PRIORITY_ANNOTATION)),
        invalid=faults.first,
        allocated=granted if phase in HOLDS_QUOTA else 0,
        started=_since(status, UnitCondition.PODS_READY) if phase is Phase.RUNNING else 0,
        expected_seconds=_count(_integer(annotations.get(EXPECTED_RUN_SECONDS_ANNOTATION))),
        limit_seconds=_count(spec.get("maximumExecutionTimeSeconds")),
        preemptor=_preemptor(status),
        evictable=annotations.get(EVICTABLE_ANNOTATION) != "false",
        checks=_checks(status.get("admissionChecks")),
        ended=_since(status, UnitCondition.FINISHED) if phase in FINISHED else 0,
        granted=granted,
        left_for=left_for,
        left_at=_since(status, UnitCondition.REQUEUED) if left_for else 0,
    )


def with_pods(unit: Unit, obj: Mapping[str, Any]) -> Unit:
    """The unit with the shapes of its pods, read from the object it is the projection of."""
    spec = mapping_of(obj.get("spec"))
    asked = shapes_of_pod_sets(
        spec.get("podSet"), unit.request, text_of(spec.get("priorityClassName"))
    )
    held: PodGroups = ()
    if unit.phase in HOLDS_QUOTA:
        held = shapes_of_admissions(mapping_of(obj.get("status")).get("admissions"), asked)
    return replace(unit, asked_pods=asked, held_pods=held)


def quota_label(labels: Mapping[str, Any]) -> str:
    """The quota these labels name, or empty: then the namespace decides."""
    for label in QUOTA_LABELS:
        value = labels.get(label)
        if value and isinstance(value, str):
            return intern(value)
    return ""


def is_preemptible(labels: Mapping[str, Any]) -> bool:
    """Whether these labels allow taking quota back; true unless the label says false."""
    for label in PREEMPTIBLE_LABELS:
        value = labels.get(label)
        if value is not None:
            return str(value).lower() not in _FALSE_WORDS
    return True


def preemptible_problem(labels: Mapping[str, Any]) -> str:
    """What is wrong with the label that says whether quota may be taken back; or empty."""
    for label in PREEMPTIBLE_LABELS:
        value = labels.get(label)
        if value is not None:
            known = str(value).lower() in _FALSE_WORDS | _TRUE_WORDS
            problem = f"{shown(value)} is neither true nor false; it counts as true"
            return "" if known else f"{field_path('metadata.labels', label)}: {problem}"
    return ""


def invalid_reason(problem: str) -> Reason:
    """The reason that belongs to the sentence of what keeps a unit from being admitted."""
    of_annotation = problem.startswith(MIN_RESOURCES_PATH)
    return Reason.INVALID_MIN_RESOURCES if of_annotation else Reason.INVALID_REQUEST


def pod_sets_request(pod_sets: object, path: str = "spec.podSet") -> ResourceVector:
    """The sum over all pod sets, each ``count`` times its requests or its template's request.

    Raises InvalidManifest or InvalidQuantity with the field's path.
    """
    if not isinstance(pod_sets, (list, tuple)):
        raise InvalidManifest("a list of pod sets is expected", path)
    total = EMPTY
    for index, pod_set in enumerate(pod_sets):
        where = f"{path}[{index}]"
        if not isinstance(pod_set, Mapping):
            raise InvalidManifest("a pod set is expected", where)
        count = pod_set.get("count")
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise InvalidManifest(f"{shown(count)} is no number of pods", f"{where}.count")
        if pod_set.get("requests") is not None:
            each = ResourceVector.parse(pod_set["requests"], f"{where}.requests")
        elif pod_set.get("template") is None:
            raise InvalidManifest("requests or a template is expected", where)
        else:
            pod_spec = mapping_of(mapping_of(pod_set.get("template")).get("spec"))
            each = pod_request(pod_spec, f"{where}.template.spec")
        total += each * count
    return total


class _Faults:
    """The first thing found wrong with one unit."""

    __slots__ = ("first",)

    def __init__(self, first: str = "") -> None:
        self.first = first

    def note(self, error: InvalidInput) -> None:
        self.first = self.first or str(error)


def _integer(value: object) -> int | None:
    """An int32 given as such or as decimal text, else None."""
    if isinstance(value, str) and len(value) <= 12:
        try:
            value = int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if INT32_MIN <= value <= INT32_MAX else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _time(value: object) -> int:
    if not isinstance(value, str) or not value:
        return 0
    try:
        return parse_rfc3339(value)
    except InvalidInput:
        return 0


def _submitted(metadata: Mapping[str, Any], annotations: Mapping[str, Any]) -> int:
    # An unreadable annotation must not move a unit to the front of its queue.
    return _time(annotations.get(ENQUEUE_TIMESTAMP_ANNOTATION)) or _time(
        metadata.get("creationTimestamp")
    )


def _condition(status: Mapping[str, Any], kind: UnitCondition) -> Mapping[str, Any]:
    entries = status.get("conditions")
    if isinstance(entries, (list, tuple)):
        for entry in entries:
            if isinstance(entry, Mapping) and entry.get("type") == kind:
                return entry
    return {}


def _since(status: Mapping[str, Any], kind: UnitCondition) -> int:
    """Since when the condition holds; where it says nothing, the last update of the status."""
    held = _condition(status, kind)
    since = _time(held.get("lastTransitionTime")) if held.get("status") == "True" else 0
    return since or _time(status.get("lastUpdateTime"))


def _preemptor(status: Mapping[str, Any]) -> str:
    return preemptor_in(text_of(_condition(status, UnitCondition.EVICTED).get("message")))


def _left_for(status: Mapping[str, Any]) -> str:
    requeued = _condition(status, UnitCondition.REQUEUED)
    return (
        preemptor_in(text_of(requeued.get("message"))) if requeued.get("status") == "True" else ""
    )


def _checks(entries: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(entries, (list, tuple)) or not entries:
        return ()
    read = (mapping_of(entry) for entry in entries)
    return tuple(
        (intern(text_of(entry.get("name"))), intern(text_of(entry.get("state")))) for entry in read
    )


def _phase(status: Mapping[str, Any], faults: _Faults) -> Phase:
    try:
        return phase_of(text_of(status.get("phase")))
    except InvalidInput as error:
        faults.note(error)
        return Phase.ENQUEUED


def _request(spec: Mapping[str, Any], faults: _Faults) -> ResourceVector:
    try:
        if spec.get("resource") is None and spec.get("podSet") is not None:
            return pod_sets_request(spec["podSet"])
        return ResourceVector.parse(spec.get("resource"), "spec.resource")
    except InvalidInput as error:
        faults.note(error)
        return EMPTY


def _held(status: Mapping[str, Any], request: ResourceVector) -> ResourceVector:
    """The sum of status.admissions; a unit that holds quota without saying how much: its request.

    An entry that cannot be read makes the whole list unreadable: charging too little would admit
    others for free.
    """
    admissions = status.get("admissions")
    if not isinstance(admissions, (list, tuple)) or not admissions:
        return request
    total = EMPTY
    try:
        for admission in admissions:
            total += ResourceVector.parse(mapping_of(admission).get("resources"))
    except InvalidInput:
        return request.highest(total)
    return total


def _priority(value: object, faults: _Faults) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not _is_int32(value):
        faults.note(InvalidManifest(f"{shown(value)} is no 32-bit integer", "spec.priority"))
        return 0
    return value


def _is_int32(value: int) -> bool:
    return INT32_MIN <= value <= INT32_MAX


def _active(value: object, faults: _Faults) -> bool:
    if value is None or value is True:
        return True
    if value is not False:
        faults.note(InvalidManifest(f"{shown(value)} is neither true nor false", "spec.active"))
    return False


def _job_ref(value: object, metadata: Mapping[str, Any]) -> JobRef | None:
    reference = mapping_of(value)
    name = text_of(reference.get("name"))
    if not name:
        return None
    return JobRef(
        api_version=intern(text_of(reference.get("apiVersion"))),
        kind=intern(text_of(reference.get("kind"))),
        namespace=intern(text_of(reference.get("namespace")) or text_of(metadata.get("namespace"))),
        name=name,
        uid=text_of(reference.get("uid")),
    )
