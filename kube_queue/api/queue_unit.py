"""The QueueUnit as it stands on the wire: one job's place in a queue.

For generating the CRD, for documentation and for the command line; never on a watch path, where
units.py projects.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from kube_queue.api.lifecycle import Phase
from kube_queue.api.wire import (
    SERVER_DEFAULT,
    Conditions,
    Count,
    FreeObject,
    Int32,
    ObjectName,
    ResourceList,
    Time,
    WireModel,
    keyed_list,
)

WirePhase = Annotated[
    Phase | Literal[""],
    WithJsonSchema(
        {
            "type": "string",
            "enum": ["", *(phase.value for phase in Phase)],
            "default": Phase.ENQUEUED.value,
            **SERVER_DEFAULT,
        }
    ),
]


class ConsumerRef(WireModel):
    """The job a unit stands for."""

    api_version: Annotated[str, Field(max_length=317)] = ""
    """The job's group and version, for example batch/v1."""
    kind: Annotated[str, Field(max_length=63)] = ""
    """The job's kind."""
    namespace: Annotated[str, Field(max_length=63)] = ""
    """The job's namespace, which is the unit's."""
    name: ObjectName
    """The job's name."""
    uid: Annotated[str, Field(max_length=128)] = ""
    """The job's uid: a job of the same name created later is another job."""


class PodSet(WireModel):
    """Pods of one job that are all alike."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """The role of these pods, for example Worker; unique within the unit."""
    count: Count
    """How many pods."""
    min_count: Count | None = None
    """With how many of them the job can start; absent means all."""
    template: FreeObject | None = None
    """The pods' template; what one pod requests is computed from it."""
    requests: ResourceList | None = None
    """What one pod requests; beats the template."""


class QueueUnitSpec(WireModel):
    """What the unit asks for."""

    consumer_ref: ConsumerRef | None = None
    """The job this unit stands for."""
    priority: Int32 = Field(default=0, json_schema_extra=SERVER_DEFAULT)
    """Larger goes first; may be edited while the unit waits and re-sorts at once."""
    priority_class_name: ObjectName = ""
    """The PriorityClass the job side took the priority from."""
    queue: ObjectName = ""
    """The Queue that takes the unit."""
    resource: ResourceList = Field(default_factory=dict)
    """What the whole job requests now."""
    request: ResourceList = Field(default_factory=dict)
    """What the whole job requested at first; never rewritten."""
    pod_set: Annotated[
        list[PodSet],
        Field(min_length=1, max_length=32, json_schema_extra=keyed_list("name")),
    ] = Field(default_factory=list, validate_default=False)
    """The job's pods in groups of equal ones; the source of every sum."""
    active: bool = Field(default=True, json_schema_extra=SERVER_DEFAULT)
    """False holds the unit; if it runs, its job is suspended and it waits again."""
    maximum_execution_time_seconds: (
        Annotated[int, Field(ge=1, le=2**31 - 1, json_schema_extra={"format": "int32"})] | None
    ) = None
    """How long the job may run; past it the job is suspended and the unit has failed."""


class AdmissionCheck(WireModel):
    """What one admission check says about the unit."""

    name: ObjectName
    """The check's name."""
    state: Literal["Pending", "Ready", "Retry", "Rejected"]
    """All Ready admits, any Retry returns the quota for a while, any Rejected deactivates."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """Why, in a sentence for people."""
    last_transition_time: Time | None = None
    """When the state last changed."""


class RequeueState(WireModel):
    """How often the unit went back to its queue, and from when it may be tried again."""

    count: Count = 0
    """How often so far."""
    requeue_at: Time | None = None
    """Not to be tried before this moment."""
    backoffs: Count = 0
    """How often in a row it had to stay away for a while; the while doubles every time."""


class Admission(WireModel):
    """The quota one pod set holds."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """The pod set's name."""
    replicas: Count = 0
    """For how many pods quota is held."""
    running: Count = 0
    """How many of them run."""
    resources: ResourceList = Field(default_factory=dict)
    """The quota held for all of them together."""


class PodState(WireModel):
    """The job's live pods."""

    running: Count = 0
    """Pods that have a node."""
    pending: Count = 0
    """Pods that wait for a node."""


class QueueUnitStatus(WireModel):
    """Where the unit is and why."""

    phase: WirePhase = Phase.ENQUEUED
    """Empty means Enqueued."""
    reason: Annotated[str, Field(max_length=1024)] = ""
    """Why the unit is where it is, in one CamelCase word."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """The same in a sentence for people."""
    last_update_time: Time | None = None
    """When phase, reason or message last changed."""
    admission_checks: Annotated[
        list[AdmissionCheck], Field(max_length=32, json_schema_extra=keyed_list("name"))
    ] = Field(default_factory=list)
    """What each admission check says."""
    conditions: Conditions = Field(default_factory=list)
    """QuotaReserved, Admitted, PodsReady, Finished, Evicted, Requeued."""
    attempts: Count = 0
    """How often the unit was admitted so far."""
    requeue_state: RequeueState | None = None
    """Set once the unit went back to its queue."""
    admissions: Annotated[
        list[Admission], Field(max_length=32, json_schema_extra=keyed_list("name"))
    ] = Field(default_factory=list)
    """The quota held, per pod set; empty while the unit waits."""
    pod_state: PodState | None = None
    """The job's live pods."""
    last_allocate_time: Time | None = None
    """When quota was last granted."""


class QueueUnit(WireModel):
    """A job's place in a queue: what it asks for, where it stands, and why it waits."""

    api_version: Literal["scheduling.x-k8s.io/v1alpha1"] = "scheduling.x-k8s.io/v1alpha1"
    kind: Literal["QueueUnit"] = "QueueUnit"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: QueueUnitSpec = Field(default_factory=QueueUnitSpec)
    # The API server fills the default in when it reads, so `kubectl get` shows a phase at once
    # and nobody has to write one.
    status: QueueUnitStatus = Field(
        default_factory=QueueUnitStatus, json_schema_extra={"default": {}, **SERVER_DEFAULT}
    )
