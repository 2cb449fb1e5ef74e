"""A pod as placing it needs it: what all replicas share in one ``PodSpec``, the rest in ``Pod``.

Equal specs are one object for as long as somebody holds it, so comparing and hashing them costs
nothing, and what is worked out for one of 10,000 replicas serves all. Odd content never raises: a
pod that cannot be read keeps its place and says why in ``spec.invalid``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from sys import intern
from types import MappingProxyType
from typing import Any, Final

import orjson

from kube_queue.api.conditions import parse_rfc3339
from kube_queue.api.errors import InvalidInput
from kube_queue.api.gangs import GangMark, gang_mark
from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.names import DEFAULT_SCHEDULER, GANG_COMMIT_ANNOTATION
from kube_queue.api.node_selectors import (
    NodeTerm,
    Toleration,
    WeightedNodeTerm,
    list_of,
    read_node_terms,
    read_preferred_node_terms,
    read_tolerations,
)
from kube_queue.api.pod_affinity import (
    PodAffinity,
    SpreadConstraint,
    read_pod_affinity,
    read_spread,
)
from kube_queue.api.pod_requests import pod_request
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.units import is_preemptible, quota_label

Labels = Mapping[str, str]

ONE_POD: Final = ResourceVector.of({"pods": 1})
_SHARED: Final = 65_536
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_NOT_OF_THE_SPEC: Final = frozenset(
    {GANG_COMMIT_ANNOTATION, "kubectl.kubernetes.io/last-applied-configuration"}
)
"""Annotations that differ from replica to replica, or that nothing reads."""
_UNSUPPORTED: Final = ("resourceClaims",)
_LIGHTEST: Final = ResourceVector.of({"cpu": 100, "memory": 200 * 1024 * 1024})
"""What a container that asks for none of it is taken for when nodes are compared, as
kube-scheduler's.
"""


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the node that a pod takes; ``ip`` 0.0.0.0 is every address."""

    ip: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class PodSpec:
    """Everything that placing any of a pod's replicas depends on; compared by identity."""

    request: ResourceVector
    """What one pod takes of a node, itself counted as one of "pods"."""
    weight: tuple[int, int]
    """Millicores and bytes it counts for when nodes are compared, at least what it asks for."""
    node_selector: tuple[tuple[str, str], ...]
    node_terms: tuple[NodeTerm, ...] | None
    """Required node affinity: one of them has to match; None: there is none."""
    preferred_nodes: tuple[WeightedNodeTerm, ...]
    tolerations: tuple[Toleration, ...]
    affinity: PodAffinity
    spread: tuple[SpreadConstraint, ...]
    host_ports: tuple[HostPort, ...]
    images: tuple[str, ...]
    containers: int
    annotations: Labels
    """The pod's annotations, for plug-ins; without those that differ between replicas."""
    labels: Labels | None
    """The pod's labels where affinity or spread makes them part of what decides, else None."""
    never_preempts: bool
    """preemptionPolicy Never."""
    invalid: str
    """Why it cannot be placed at all, naming the field; or empty."""


@dataclass(frozen=True, slots=True)
class ControllerRef:
    """The object that controls a pod."""

    api_version: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod; times are microseconds since the epoch, 0 = not yet."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    spec: PodSpec
    labels: Labels
    """Equal labels are the same object."""
    scheduler: str
    priority: int
    created: int
    controller: ControllerRef | None = None
    gang: GangMark | None = None
    """The gang its labels, annotations or spec name."""
    quota: str = ""
    """The quota its label names; empty: something else decides."""
    preemptible: bool = True
    node: str = ""
    nominated: str = ""
    gated: bool = False
    finished: bool = False
    succeeded: bool = False
    running: bool = False
    ready: bool = False
    deletion: int = 0
    """deletionTimestamp: when its grace period is over."""
    grace: int = 30
    """Seconds it is given to end."""
    claims: tuple[str, ...] = ()
    """Names of the PersistentVolumeClaims it mounts, those it owns itself included."""
    own_claims: tuple[str, ...] = ()
    """Those of them that are made for it alone: generic ephemeral volumes."""
    charged: ResourceVector = field(default=EMPTY)
    """What it takes of its node: the largest of spec, allocated and actual."""
    unschedulable: str = ""
    """The message of its condition PodScheduled=False; empty without one."""
    commit: str = ""
    """The gang commit its binding was part of."""
    bound: int = 0
    """When it was given its node, as far as its status tells."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    @property
    def takes_room(self) -> bool:
        """It stands on a node and has not ended."""
        return bool(self.node) and not self.finished


def pod_of(obj: Mapping[str, Any]) -> Pod:
    """The pod an object stands for; it never raises on odd content."""
    metadata, spec, status = (mapping_of(obj.get(part)) for part in ("metadata", "spec", "status"))
    namespace, name = intern(text_of(metadata.get("namespace"))), text_of(metadata.get("name"))
    labels = shared_labels(mapping_of(metadata.get("labels")))
    annotations = mapping_of(metadata.get("annotations"))
    shared = _spec_of(_spec_key(namespace, labels, annotations, spec))
    claims, own_claims = _claims(name, spec)
    scheduled = _condition(status, "PodScheduled")
    phase = text_of(status.get("phase"))
    return Pod(
        namespace=namespace,
        name=name,
        uid=text_of(metadata.get("uid")),
        resource_version=text_of(metadata.get("resourceVersion")),
        spec=shared,
        labels=labels,
        scheduler=intern(text_of(spec.get("schedulerName")) or DEFAULT_SCHEDULER),
        priority=_number(spec.get("priority")),
        created=_moment(metadata.get("creationTimestamp")),
        controller=_controller(metadata),
        gang=gang_mark(labels, annotations, spec),
        quota=quota_label(labels),
        preemptible=is_preemptible(labels),
        node=intern(text_of(spec.get("nodeName"))),
        nominated=intern(text_of(status.get("nominatedNodeName"))),
        gated=bool(spec.get("schedulingGates")),
        finished=phase in ("Succeeded", "Failed"),
        succeeded=phase == "Succeeded",
        running=phase == "Running",
        ready=_condition(status, "Ready").get("status") == "True",
        deletion=_moment(metadata.get("deletionTimestamp")),
        grace=_grace(metadata, spec),
        claims=claims,
        own_claims=own_claims,
        charged=_charged(shared, spec, status),
        unschedulable=(
            text_of(scheduled.get("message")) if scheduled.get("status") == "False" else ""
        ),
        commit=text_of(annotations.get(GANG_COMMIT_ANNOTATION)),
        bound=_bound(scheduled, status),
    )


def shared_labels(labels: Mapping[str, Any]) -> Labels:
    """These labels, read-only and sorted; equal ones are the same object."""
    return _labels(tuple(sorted((str(key), text_of(value)) for key, value in labels.items())))


@lru_cache(maxsize=_SHARED)
def _labels(items: tuple[tuple[str, str], ...]) -> Labels:
    return MappingProxyType({intern(key): intern(value) for key, value in items})


# --- the spec that replicas share ---------------------------------------------------------------


def _spec_key(
    namespace: str, labels: Labels, annotations: Mapping[str, Any], spec: Mapping[str, Any]
) -> bytes:
    """The fields that the shared spec is read from, as bytes; what else differs is left out."""
    affinity = mapping_of(spec.get("affinity"))
    around = "podAffinity" in affinity or "podAntiAffinity" in affinity
    spread = spec.get("topologySpreadConstraints")
    containers = [_container_key(each) for each in list_of(spec, "containers")]
    starting = [_container_key(each) for each in list_of(spec, "initContainers")]
    return orjson.dumps(
        (
            (namespace, dict(labels)) if around or spread else None,
            {key: value for key, value in annotations.items() if key not in _NOT_OF_THE_SPEC},
            {
                "containers": containers,
                "initContainers": starting,
                "nodeSelector": spec.get("nodeSelector"),
                "affinity": affinity,
                "topologySpreadConstraints": spread,
                "tolerations": spec.get("tolerations"),
                "overhead": spec.get("overhead"),
                "resources": spec.get("resources"),
                "preemptionPolicy": spec.get("preemptionPolicy"),
                "hostNetwork": spec.get("hostNetwork"),
                **{name: True for name in _UNSUPPORTED if spec.get(name)},
            },
        ),
        option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS,
        default=str,
    )


def _container_key(value: object) -> object:
    if not isinstance(value, Mapping):
        return None
    return [value.get(name) for name in ("resources", "ports", "image", "restartPolicy")]


@lru_cache(maxsize=_SHARED)
def _spec_of(key: bytes) -> PodSpec:
    around, annotations, spec = orjson.loads(key)
    for name in ("containers", "initContainers"):
        spec[name] = [
            dict(zip(("resources", "ports", "image", "restartPolicy"), each, strict=True))
            if isinstance(each, list)
            else each
            for each in spec[name]
        ]
    namespace, labels = around if around is not None else ("", {})
    affinity = mapping_of(spec["affinity"])
    nodes = mapping_of(affinity.get("nodeAffinity"))
    request, invalid = _request(spec)
    return PodSpec(
        request=request,
        weight=_weight(spec),
        node_selector=tuple(
            sorted((intern(k), text_of(v)) for k, v in mapping_of(spec["nodeSelector"]).items())
        ),
        node_terms=read_node_terms(nodes[_REQUIRED]) if nodes.get(_REQUIRED) else None,
        preferred_nodes=read_preferred_node_terms(nodes.get(_PREFERRED)),
        tolerations=read_tolerations(spec["tolerations"]),
        affinity=read_pod_affinity(affinity, namespace, labels),
        spread=read_spread(spec["topologySpreadConstraints"], labels),
        host_ports=_host_ports(spec),
        images=tuple(
            intern(text_of(each.get("image")))
            for each in spec["containers"] + spec["initContainers"]
            if isinstance(each, dict)
        ),
        containers=len(spec["containers"]) + len(spec["initContainers"]),
        annotations=MappingProxyType({str(k): text_of(v) for k, v in annotations.items()}),
        labels=shared_labels(labels) if around is not None else None,
        never_preempts=spec["preemptionPolicy"] == "Never",
        invalid=invalid or _unsupported(spec),
    )


def _request(spec: Mapping[str, Any]) -> tuple[ResourceVector, str]:
    try:
        return pod_request(spec) + ONE_POD, ""
    except InvalidInput as error:
        return ONE_POD, str(error)


def _weight(spec: Mapping[str, Any]) -> tuple[int, int]:
    try:
        weighed = pod_request(spec, container_defaults=_LIGHTEST)
    except InvalidInput:
        weighed = _LIGHTEST
    return weighed["cpu"], weighed["memory"]


def _unsupported(spec: Mapping[str, Any]) -> str:
    for name in _UNSUPPORTED:
        if spec.get(name):
            return f"spec.{name} is not supported by this scheduler"
    return ""


def _host_ports(spec: Mapping[str, Any]) -> tuple[HostPort, ...]:
    """Host ports of containers and restartable init containers."""
    found: dict[HostPort, None] = {}
    sidecars = [
        each
        for each in spec["initContainers"]
        if isinstance(each, dict) and each.get("restartPolicy") == "Always"
    ]
    for container in (*spec["containers"], *sidecars):
        for port in map(mapping_of, list_of(mapping_of(container), "ports")):
            number = port.get("hostPort")
            if not number and spec["hostNetwork"] is True:
                number = port.get("containerPort")
            if isinstance(number, int) and number > 0:
                ip = text_of(port.get("hostIP")) or "0.0.0.0"
                found[HostPort(ip, text_of(port.get("protocol")) or "TCP", number)] = None
    return tuple(found)


# --- the pod itself -----------------------------------------------------------------------------


def _claims(pod: str, spec: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found, own = [], []
    for volume in map(mapping_of, list_of(spec, "volumes")):
        claim = text_of(mapping_of(volume.get("persistentVolumeClaim")).get("claimName"))
        if claim:
            found.append(claim)
        elif volume.get("ephemeral"):
            found.append(f"{pod}-{text_of(volume.get('name'))}")
            own.append(found[-1])
    return tuple(found), tuple(own)


def _charged(shared: PodSpec, spec: Mapping[str, Any], status: Mapping[str, Any]) -> ResourceVector:
    """While a pod is resized in place, what it was given or still has counts as well."""
    states = [mapping_of(each) for each in list_of(status, "containerStatuses")]
    asked = {
        text_of(each.get("name")): mapping_of(each.get("resources")).get("requests")
        for each in map(mapping_of, list_of(spec, "containers"))
    }
    # Every running container says what it was given; only what differs is worth the reckoning.
    if all(_as_asked(each, asked.get(text_of(each.get("name")))) for each in states):
        return shared.request
    total = shared.request
    for source in ("allocatedResources", "resources"):
        given = {}
        for each in states:
            found = each.get(source)
            given[text_of(each.get("name"))] = (
                {"requests": found} if source == "allocatedResources" else found
            )
        containers = [
            {**each, "resources": given.get(text_of(each.get("name"))) or each.get("resources")}
            for each in map(mapping_of, list_of(spec, "containers"))
        ]
        total = total.highest(_request({**spec, "containers": containers})[0])
    return total


def _as_asked(state: Mapping[str, Any], requests: object) -> bool:
    actual = mapping_of(state.get("resources")).get("requests")
    return all(each in (None, requests) for each in (state.get("allocatedResources"), actual))


def _controller(metadata: Mapping[str, Any]) -> ControllerRef | None:
    for entry in map(mapping_of, list_of(metadata, "ownerReferences")):
        if entry.get("controller") is True and entry.get("uid"):
            return _shared_controller(
                *(text_of(entry.get(name)) for name in ("apiVersion", "kind", "name", "uid"))
            )
    return None


@lru_cache(maxsize=_SHARED)
def _shared_controller(api_version: str, kind: str, name: str, uid: str) -> ControllerRef:
    return ControllerRef(api_version, kind, name, uid)


def _grace(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> int:
    for value in (
        metadata.get("deletionGracePeriodSeconds"),
        spec.get("terminationGracePeriodSeconds"),
    ):
        if isinstance(value, int):
            return value
    return 30


def _condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    for each in map(mapping_of, list_of(status, "conditions")):
        if each.get("type") == type_:
            return each
    return {}


def _bound(scheduled: Mapping[str, Any], status: Mapping[str, Any]) -> int:
    """The API server writes it down with the binding; a kubelet when it sees the pod first."""
    if scheduled.get("status") == "True":
        return _moment(scheduled.get("lastTransitionTime")) or _moment(status.get("startTime"))
    return _moment(status.get("startTime"))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


@lru_cache(maxsize=_SHARED)
def _parsed(text: str) -> int:
    try:
        return parse_rfc3339(text)
    except InvalidInput:
        return 0


def _moment(value: object) -> int:
    return _parsed(value) if isinstance(value, str) else 0
