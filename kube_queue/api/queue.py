"""The Queue as it stands on the wire; see queues.py for the projection decisions are made from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from kube_queue.api.queues import Policy, StopPolicy
from kube_queue.api.wire import (
    SERVER_DEFAULT,
    Conditions,
    Count,
    Int32,
    ObjectName,
    WireModel,
    keyed_list,
)


class LabelSelectorRequirement(WireModel):
    """One comparison of a label."""

    key: str
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label is compared."""
    values: Annotated[list[str], Field(json_schema_extra={"x-kubernetes-list-type": "atomic"})] = (
        Field(default_factory=list)
    )
    """What In and NotIn compare with."""


class LabelSelector(WireModel):
    """Which units are meant, by their labels; all of it has to hold."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    """Labels with exactly these values."""
    match_expressions: Annotated[
        list[LabelSelectorRequirement],
        Field(json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = Field(default_factory=list)
    """Comparisons of labels."""


class QueueAdmissionCheck(WireModel):
    """A check that units of this queue have to pass while their quota is reserved."""

    name: ObjectName
    """The check's name."""
    label_selector: LabelSelector | None = None
    """The units it applies to; absent means all."""


class QueueSpec(WireModel):
    """How the queue picks among its units."""

    queue_policy: Policy | None = None
    """Absent means the controller's default."""
    priority: Int32 = Field(default=0, json_schema_extra=SERVER_DEFAULT)
    """Larger queues are served first."""
    priority_class_name: ObjectName = ""
    """The PriorityClass the priority comes from."""
    admission_checks: Annotated[
        list[QueueAdmissionCheck], Field(max_length=32, json_schema_extra=keyed_list("name"))
    ] = Field(default_factory=list)
    """Checks between reservation and admission."""
    stop_policy: StopPolicy | None = None
    """Hold admits nothing more; HoldAndDrain also evicts what was admitted. Absent means None."""


class QueueItem(WireModel):
    """One waiting unit and its place."""

    namespace: Annotated[str, Field(max_length=63)] = ""
    """The unit's namespace."""
    name: ObjectName
    """The unit's name."""
    position: Annotated[int, Field(ge=1, le=2**31 - 1, json_schema_extra={"format": "int32"})]
    """Its place in the order, 1 is the first."""
    priority: Int32 = 0
    """Its priority."""


class QueueStatus(WireModel):
    """How full the queue is."""

    pending: Count = 0
    """Units that wait."""
    reserved: Count = 0
    """Units that hold quota while their checks run."""
    admitted: Count = 0
    """Units that were admitted and have not ended."""
    head: str = ""
    """namespace/name of the first waiting unit."""
    queue_item_details: Annotated[
        list[QueueItem],
        Field(max_length=100, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = Field(default_factory=list)
    """The first hundred waiting units in order; left out while the queue changes very fast."""
    conditions: Conditions = Field(default_factory=list)
    """PolicyKnown."""


class Queue(WireModel):
    """A line of units and the policy by which they are admitted."""

    api_version: Literal["scheduling.x-k8s.io/v1alpha1"] = "scheduling.x-k8s.io/v1alpha1"
    kind: Literal["Queue"] = "Queue"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: QueueSpec = Field(default_factory=QueueSpec)
    status: QueueStatus = Field(default_factory=QueueStatus)
