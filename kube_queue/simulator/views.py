"""What the simulator keeps of the objects it watches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, Final

import orjson

from kube_queue.api.errors import InvalidInput
from kube_queue.api.names import DEFAULT_SCHEDULER
from kube_queue.api.pod_requests import pod_request
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.simulator.fields import (
    condition_status,
    controller_uid,
    mapping,
    mappings,
    moment,
    number,
    text,
)
from kube_queue.simulator.run_time import Script, script_of

COMPLETION_INDEX: Final = "batch.kubernetes.io/job-completion-index"
REPLICA_TYPE: Final = "training.kubeflow.org/replica-type"
REPLICA_INDEX: Final = "training.kubeflow.org/replica-index"
DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
"""Annotation of a pod: of two pods of a ReplicaSet the cheaper one is deleted first."""
OUR_NODE: Final = "simulator.kube-queue/node"
"""Label, "true" on nodes whose kubelet the simulator plays."""
FINISHED_PHASES: Final = frozenset({"Succeeded", "Failed"})
_COST: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,10})")
_ONE_POD: Final = ResourceVector.of({"pods": 1})


@dataclass(frozen=True, slots=True)
class Toleration:
    """One toleration of a pod; an empty key tolerates every key, an empty effect every effect."""

    key: str
    operator: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod. Times are microseconds since the epoch, 0 = not yet."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    owner: str
    """uid of the controller that owns it, or empty."""
    labels: Mapping[str, str]
    slot: str
    """Its place in its job: a completion index, or replica type and index; empty: none."""
    node: str
    scheduler: str
    gated: bool
    phase: str
    demand: ResourceVector
    """What it takes of a node, itself counted as one of "pods"."""
    invalid: str
    """Why it cannot be scheduled or run, or empty."""
    priority: int
    created: int
    deletion: int
    """deletionTimestamp: when its grace period is over."""
    grace: int
    """Seconds of its grace period."""
    started: int
    running_since: int
    finished: int
    exit_code: int
    ready: bool
    ready_since: int
    """When it became ready; 0 while it is not."""
    deletion_cost: int
    """What its annotation says that its loss costs; 0 when it says nothing."""
    restarts: int
    restart_policy: str
    script: Script
    containers: tuple[tuple[str, str], ...]
    """(name, image) of each."""
    selector: tuple[tuple[str, str], ...]
    tolerations: tuple[Toleration, ...]
    unschedulable: bool
    """Its condition PodScheduled says False."""

    @property
    def terminal(self) -> bool:
        """It has ended; nothing of it runs."""
        return self.phase in FINISHED_PHASES

    @property
    def active(self) -> bool:
        """It runs or will: neither ended nor being deleted."""
        return not self.terminal and not self.deletion


@dataclass(frozen=True, slots=True)
class NodeView:
    """A node, as far as placing pods on it needs."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    allocatable: ResourceVector
    labels: Mapping[str, str]
    taints: tuple[tuple[str, str, str], ...]
    """(key, value, effect) of each that keeps pods away."""
    cordoned: bool
    ready: bool
    ours: bool
    reporting: bool
    """It has a Ready condition and a capacity: somebody has played its kubelet before."""


@dataclass(frozen=True, slots=True)
class JobDocument:
    """A job of any kind, kept as bytes and decoded when it is looked at."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    raw: bytes
    owner: str = ""
    """uid of the controller that owns it, or empty."""

    def manifest(self) -> dict[str, Any]:
        """The object; the caller may change it."""
        document: dict[str, Any] = orjson.loads(self.raw)
        return document


def job_document(obj: Mapping[str, Any]) -> JobDocument:
    """The document of a job object."""
    metadata = dict(mapping(obj.get("metadata")))
    metadata.pop("managedFields", None)
    return JobDocument(
        text(metadata.get("namespace")),
        text(metadata.get("name")),
        text(metadata.get("uid")),
        text(metadata.get("resourceVersion")),
        orjson.dumps({**obj, "metadata": metadata}),
        controller_uid(metadata),
    )


def under_owner(obj: PodView | JobDocument) -> str:
    """The group of an object: its owner's uid, or that of its namespace's orphans."""
    return obj.owner or orphans_of(obj.namespace)


def orphans_of(namespace: str) -> str:
    """The group of the objects of a namespace that no controller owns."""
    return f"orphans/{namespace}"


def pod_view(obj: Mapping[str, Any]) -> PodView:
    """The view of a pod object; it never raises on bad content."""
    metadata, spec, status = (mapping(obj.get(part)) for part in ("metadata", "spec", "status"))
    demand, invalid = _demand(spec)
    states = [mapping(each.get("state")) for each in mappings(status.get("containerStatuses"))]
    running = [moment(mapping(state.get("running")).get("startedAt")) for state in states]
    ended = [mapping(state.get("terminated")) for state in states]
    conditions = status.get("conditions")
    return PodView(
        namespace=intern(text(metadata.get("namespace"))),
        name=text(metadata.get("name")),
        uid=text(metadata.get("uid")),
        resource_version=text(metadata.get("resourceVersion")),
        owner=intern(controller_uid(metadata)),
        labels=_labels(metadata),
        slot=_slot(metadata),
        node=intern(text(spec.get("nodeName"))),
        scheduler=intern(text(spec.get("schedulerName")) or DEFAULT_SCHEDULER),
        gated=bool(spec.get("schedulingGates")),
        phase=intern(text(status.get("phase")) or "Pending"),
        demand=demand,
        invalid=invalid,
        priority=number(spec.get("priority")),
        created=moment(metadata.get("creationTimestamp")),
        deletion=moment(metadata.get("deletionTimestamp")),
        grace=number(metadata.get("deletionGracePeriodSeconds")),
        started=moment(status.get("startTime")),
        running_since=max(running, default=0),
        finished=max((moment(each.get("finishedAt")) for each in ended), default=0),
        exit_code=max((number(each.get("exitCode")) for each in ended), default=0),
        ready=condition_status(conditions, "Ready") == "True",
        ready_since=_ready_since(conditions),
        deletion_cost=_deletion_cost(metadata),
        restarts=max(
            (
                number(each.get("restartCount"))
                for each in mappings(status.get("containerStatuses"))
            ),
            default=0,
        ),
        restart_policy=intern(text(spec.get("restartPolicy")) or "Always"),
        script=script_of(obj),
        containers=tuple(
            (text(each.get("name")), intern(text(each.get("image"))))
            for each in mappings(spec.get("containers"))
        ),
        selector=tuple(sorted((k, text(v)) for k, v in mapping(spec.get("nodeSelector")).items())),
        tolerations=tuple(_toleration(each) for each in mappings(spec.get("tolerations"))),
        unschedulable=condition_status(conditions, "PodScheduled") == "False",
    )


def node_view(obj: Mapping[str, Any]) -> NodeView:
    """The view of a node object; it never raises on bad content."""
    metadata, spec, status = (mapping(obj.get(part)) for part in ("metadata", "spec", "status"))
    labels = _labels(metadata)
    try:
        allocatable = ResourceVector.parse(status.get("allocatable"))
    except InvalidInput:
        allocatable = EMPTY
    ready = condition_status(status.get("conditions"), "Ready")
    return NodeView(
        namespace="",
        name=intern(text(metadata.get("name"))),
        uid=text(metadata.get("uid")),
        resource_version=text(metadata.get("resourceVersion")),
        allocatable=allocatable,
        labels=labels,
        taints=tuple(
            (text(taint.get("key")), text(taint.get("value")), text(taint.get("effect")))
            for taint in mappings(spec.get("taints"))
            if taint.get("effect") in ("NoSchedule", "NoExecute")
        ),
        cordoned=spec.get("unschedulable") is True,
        ready=ready == "True",
        ours=labels.get(OUR_NODE) == "true",
        reporting=bool(ready) and bool(allocatable),
    )


def _demand(spec: Mapping[str, Any]) -> tuple[ResourceVector, str]:
    try:
        return pod_request(spec) + _ONE_POD, ""
    except InvalidInput as error:
        return _ONE_POD, str(error)


def _labels(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Keys and values are shared among equal ones: a thousand pods of a set have the same."""
    return {
        intern(key): intern(text(value)) for key, value in mapping(metadata.get("labels")).items()
    }


def _ready_since(conditions: object) -> int:
    for condition in mappings(conditions):
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            return moment(condition.get("lastTransitionTime"))
    return 0


def _deletion_cost(metadata: Mapping[str, Any]) -> int:
    """A cost that is no 32-bit number counts as none given, as with Kubernetes."""
    written = text(mapping(metadata.get("annotations")).get(DELETION_COST))
    cost = int(written) if _COST.fullmatch(written) else 0
    return cost if -(2**31) <= cost < 2**31 else 0


def _slot(metadata: Mapping[str, Any]) -> str:
    annotations, labels = mapping(metadata.get("annotations")), mapping(metadata.get("labels"))
    if COMPLETION_INDEX in annotations:
        return text(annotations[COMPLETION_INDEX])
    if REPLICA_TYPE in labels:
        return f"{text(labels[REPLICA_TYPE])}-{text(labels.get(REPLICA_INDEX))}"
    return ""


def _toleration(value: Mapping[str, Any]) -> Toleration:
    return Toleration(
        key=text(value.get("key")),
        operator=text(value.get("operator")) or "Equal",
        value=text(value.get("value")),
        effect=text(value.get("effect")),
    )
