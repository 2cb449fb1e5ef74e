"""ResourceQuotas as quotas of a queue: what one bounds, which pods it counts, what it refuses.

Every ResourceQuota of a namespace has to hold for a job to be admitted there, as every one has to
hold for the API server to create the job's pods. All of a namespace's become one leaf of a quota
tree without a root; each bound of each quota is a resource of its own in it, called ``quota:key``
(``compute:requests.cpu``), so that two quotas that count different pods keep their sums apart. Jobs
and pods are charged in these resources: ``charge_of`` translates.

Counted are the keys that are about pods: cpu, memory, ephemeral-storage and hugepages with or
without ``requests.``, ``limits.`` of the first three, ``requests.`` of extended resources, pods and
count/pods. Every other key bounds objects that the API server charges when they are created, which
no job waits for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from types import MappingProxyType
from typing import Any, Final

from kube_queue.api.errors import InvalidInput
from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.pod_shapes import PodGroups, PodShape
from kube_queue.api.quota_tree import QuotaNode, QuotaTree
from kube_queue.api.resources import ResourceVector, bound_name, parse_limit

_PREFIX: Final = "ns-"
_COUNTS: Final = frozenset({"pods", "count/pods"})
_NATIVE: Final = ("cpu", "memory", "ephemeral-storage")
_REQUESTS: Final = "requests."
_LIMITS: Final = "limits."
_HUGEPAGES: Final = "hugepages-"
_EXISTS: Final = "Exists"
_REMEMBERED: Final = 65_536


@dataclass(frozen=True, slots=True)
class Scope:
    """One condition on the pods a quota counts."""

    name: str
    operator: str = _EXISTS
    values: tuple[str, ...] = ()

    def counts(self, pod: PodShape) -> bool:
        """Whether the pod meets it. A scope that is not about pods meets none."""
        match self.name:
            case "Terminating":
                return pod.terminating
            case "NotTerminating":
                return not pod.terminating
            case "BestEffort":
                return pod.best_effort
            case "NotBestEffort":
                return not pod.best_effort
            case "CrossNamespacePodAffinity":
                return pod.crosses_namespaces
            case "PriorityClass":
                return self._counts_class(pod.priority_class)
            case _:
                return False

    def _counts_class(self, name: str) -> bool:
        match self.operator:
            case "Exists":
                return bool(name)
            case "DoesNotExist":
                return not name
            case "In":
                return bool(name) and name in self.values
            case "NotIn":
                return name not in self.values
            case _:
                return False


@dataclass(frozen=True, slots=True)
class ResourceQuota:
    """What one ResourceQuota asks for; what it says is used is nobody's business here."""

    namespace: str
    name: str
    hard: tuple[tuple[str, int], ...]
    """The keys about pods in the order of their names, in millicores and whole units. An amount
    that cannot be read allows nothing."""
    scopes: tuple[Scope, ...]
    """All of them have to be met."""

    def counts(self, pod: PodShape) -> bool:
        """Whether the pod is one of those this quota bounds."""
        return bool(self.hard) and all(scope.counts(pod) for scope in self.scopes)


def read_resource_quota(obj: Mapping[str, Any]) -> ResourceQuota:
    """What a ResourceQuota object asks for; never raises on content."""
    metadata, spec = mapping_of(obj.get("metadata")), mapping_of(obj.get("spec"))
    hard: dict[str, int] = {}
    for key, amount in mapping_of(spec.get("hard")).items():
        if not counts_pods(key):
            continue
        try:
            hard[intern(key)] = parse_limit(key, amount)
        except InvalidInput:
            hard[intern(key)] = 0
    scopes = [Scope(intern(text_of(name))) for name in _list(spec.get("scopes"))]
    selector = mapping_of(spec.get("scopeSelector"))
    for entry in map(mapping_of, _list(selector.get("matchExpressions"))):
        values = tuple(text_of(value) for value in _list(entry.get("values")))
        name, operator = text_of(entry.get("scopeName")), text_of(entry.get("operator"))
        scopes.append(Scope(intern(name), operator, values))
    return ResourceQuota(
        namespace=intern(text_of(metadata.get("namespace"))),
        name=intern(text_of(metadata.get("name"))),
        hard=tuple(sorted(hard.items())),
        scopes=tuple(scopes),
    )


def counts_pods(key: str) -> bool:
    """Whether a key of ``hard`` is about pods and what they ask for."""
    if key in _COUNTS or key in _NATIVE or key.startswith(_HUGEPAGES):
        return True
    if key.startswith(_LIMITS):
        return key.removeprefix(_LIMITS) in _NATIVE
    asked = key.removeprefix(_REQUESTS)
    if asked == key:
        return False
    # Requests of storage are those of volume claims; an extended resource has a domain.
    return asked in _NATIVE or asked.startswith(_HUGEPAGES) or "/" in asked


@lru_cache(maxsize=_REMEMBERED)
def charge_of(quotas: tuple[ResourceQuota, ...], groups: PodGroups) -> ResourceVector:
    """What these pods are charged under the quotas of their namespace, as ``quota:key``."""
    amounts: dict[str, int] = {}
    for quota in quotas:
        for group in groups:
            if not quota.counts(group.shape):
                continue
            for key, _ in quota.hard:
                name = bound_name(quota.name, key)
                amounts[name] = amounts.get(name, 0) + group.count * _amount(key, group.shape)
    return ResourceVector.of(amounts)


@lru_cache(maxsize=_REMEMBERED)
def refusal(quotas: tuple[ResourceQuota, ...], groups: PodGroups) -> str:
    """Why a quota would refuse the pods whatever is free: one sentence, empty if none would.

    A quota on cpu or memory takes only pods of which every container says how much.
    """
    for quota in quotas:
        keys = {_full(key) for key, _ in quota.hard}
        for group in groups:
            if not group.count or not quota.counts(group.shape):
                continue
            missing = [(key, who) for key, who in group.shape.unspecified if key in keys]
            if missing:
                return _refused(quota, group.name, missing)
    return ""


def _refused(quota: ResourceQuota, pod_set: str, missing: list[tuple[str, str]]) -> str:
    by_key: dict[str, list[str]] = {}
    for key, container in missing:
        by_key.setdefault(key, []).append(container)
    what = "; ".join(f"{key} for: {', '.join(names)}" for key, names in sorted(by_key.items()))
    pods = f"pods of {pod_set}" if pod_set else "its pods"
    return f"ResourceQuota {quota.namespace}/{quota.name} refuses {pods}: must specify {what}"


def _amount(key: str, pod: PodShape) -> int:
    if key == "count/pods":
        return 1
    if pod.ended:
        return 0
    if key == "pods":
        return 1
    if key.startswith(_LIMITS):
        return pod.limits[key.removeprefix(_LIMITS)]
    return pod.requests[key.removeprefix(_REQUESTS)]


def _full(key: str) -> str:
    return f"{_REQUESTS}{key}" if key in _NATIVE else key


# --- the tree ---------------------------------------------------------------------------------


def leaf_of(namespace: str) -> str:
    """The path of the namespace's leaf, which is the name of its automatic Queue as well."""
    return intern(f"{_PREFIX}{namespace}")


def namespace_of(leaf: str) -> str:
    """The namespace of a leaf's path."""
    return leaf.removeprefix(_PREFIX)


def namespace_leaf(namespace: str, quotas: Iterable[ResourceQuota]) -> QuotaNode:
    """The leaf of a namespace: every bound of its quotas, none if it has none.

    What a ResourceQuota allows is the namespace's own, so it is min as well as max.
    """
    bounds = {bound_name(quota.name, key): hard for quota in quotas for key, hard in quota.hard}
    path = leaf_of(namespace)
    return QuotaNode(
        name=path,
        path=path,
        parent=None,
        children=(),
        namespaces=(namespace,),
        min=MappingProxyType(bounds),
        max=MappingProxyType(bounds),
        min_declared=True,
        leaf=True,
        each_bound_alone=True,
    )


def tree_of_namespaces(leaves: Iterable[QuotaNode]) -> QuotaTree:
    """The leaves, made by ``namespace_leaf``, side by side: nothing bounds two namespaces."""
    nodes = {leaf.path: leaf for leaf in leaves}
    return QuotaTree(
        namespace="",
        name="",
        uid="",
        resource_version="",
        root="",
        nodes=MappingProxyType(nodes),
        _by_namespace=MappingProxyType({namespace_of(leaf): leaf for leaf in nodes}),
    )


def _list(value: object) -> list[Any] | tuple[Any, ...]:
    return value if isinstance(value, (list, tuple)) else []
