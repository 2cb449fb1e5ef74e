"""The PodGroup as it stands on the wire; see gangs.py for what gangs read of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from kube_queue.api.wire import SERVER_DEFAULT, Conditions, Count, ResourceList, WireModel


class GroupPhase(StrEnum):
    """How far a gang is; the first of these that holds, from the last to the first."""

    PENDING = "Pending"
    """Nothing of it stands on a node."""
    SCHEDULING = "Scheduling"
    """Some of its pods stand on nodes, fewer than its minimum."""
    SCHEDULED = "Scheduled"
    """Its minimum stands on nodes."""
    RUNNING = "Running"
    """Its minimum runs or has succeeded."""
    FAILED = "Failed"
    """A pod failed, and fewer than its minimum are left."""
    FINISHED = "Finished"
    """Its minimum has succeeded."""


class PodGroupSpec(WireModel):
    """What has to start together."""

    min_member: Count = Field(default=1, json_schema_extra=SERVER_DEFAULT)
    """How many pods start together or not at all."""
    schedule_timeout_seconds: Count | None = None
    """Read and kept for other schedulers; a gang here never holds nodes while it waits."""
    min_resources: ResourceList = Field(default_factory=dict)
    """What the pods that have to start together ask for."""


class PodGroupStatus(WireModel):
    """How far the gang is; written by the co-scheduler."""

    phase: Annotated[str, Field(max_length=64)] = ""
    """Pending, Scheduling, Scheduled, Running, Failed or Finished."""
    scheduled: Count = 0
    """Pods that were given a node, those that have ended included."""
    running: Count = 0
    """Pods that run."""
    succeeded: Count = 0
    """Pods that ended well."""
    failed: Count = 0
    """Pods that ended badly."""
    satisfied_by: Annotated[
        list[str], Field(max_length=128, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    ] = Field(default_factory=list)
    """The uids of the controllers whose pods reached the minimum; nothing is asked of them again.
    """
    conditions: Conditions = Field(default_factory=list)
    """Satisfied."""


class PodGroup(WireModel):
    """Pods that are given nodes together or not at all."""

    api_version: Literal["scheduling.sigs.k8s.io/v1alpha1"] = "scheduling.sigs.k8s.io/v1alpha1"
    kind: Literal["PodGroup"] = "PodGroup"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: PodGroupSpec = Field(default_factory=PodGroupSpec)
    status: PodGroupStatus = Field(default_factory=PodGroupStatus)
