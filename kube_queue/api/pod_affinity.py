"""Where a pod stands in relation to other pods: affinity, anti-affinity and spreading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, Final

from kube_queue.api.admission_checks import Requirement
from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.node_selectors import list_of
from kube_queue.api.selectors import Selector

NOTHING: Final = Selector((Requirement("", "", frozenset()),))
"""Selects no pod: what an absent label selector of an affinity term means."""


@dataclass(frozen=True, slots=True)
class PodTerm:
    """Pods of these labels in these namespaces, counted by the node's label ``key``."""

    selector: Selector
    namespaces: frozenset[str]
    """Names; the pod's own where neither names nor a namespace selector are given."""
    namespace_selector: Selector | None
    """Namespaces by label, besides those named; None: only those named. Empty: all."""
    key: str


@dataclass(frozen=True, slots=True)
class WeightedPodTerm:
    """A term worth this much, negative for anti-affinity, where it matches."""

    weight: int
    term: PodTerm


@dataclass(frozen=True, slots=True)
class PodAffinity:
    """What a pod asks of the pods around it."""

    required: tuple[PodTerm, ...] = ()
    preferred: tuple[WeightedPodTerm, ...] = ()
    anti_required: tuple[PodTerm, ...] = ()
    anti_preferred: tuple[WeightedPodTerm, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.required or self.preferred or self.anti_required or self.anti_preferred)


@dataclass(frozen=True, slots=True)
class SpreadConstraint:
    """At most ``max_skew`` more matching pods in one domain of ``key`` than in the emptiest."""

    key: str
    max_skew: int
    required: bool
    """DoNotSchedule; else ScheduleAnyway."""
    selector: Selector
    min_domains: int
    honour_affinity: bool
    """Only nodes that the pod's node selector and affinity allow are counted."""
    honour_taints: bool
    """Only nodes whose taints the pod tolerates are counted."""


def read_pod_affinity(affinity: object, namespace: str, labels: Mapping[str, str]) -> PodAffinity:
    """The pod affinity and anti-affinity of a pod of this namespace and these labels."""
    fields = mapping_of(affinity)
    near, away = mapping_of(fields.get("podAffinity")), mapping_of(fields.get("podAntiAffinity"))
    required, preferred = (
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
    )
    return PodAffinity(
        tuple(_term(each, namespace, labels) for each in list_of(near, required)),
        tuple(_weighted(each, namespace, labels) for each in list_of(near, preferred)),
        tuple(_term(each, namespace, labels) for each in list_of(away, required)),
        tuple(_weighted(each, namespace, labels, -1) for each in list_of(away, preferred)),
    )


def read_spread(constraints: object, labels: Mapping[str, str]) -> tuple[SpreadConstraint, ...]:
    """The topologySpreadConstraints of a pod of these labels."""
    found = []
    for each in constraints if isinstance(constraints, list) else ():
        fields = mapping_of(each)
        skew, least = fields.get("maxSkew"), fields.get("minDomains")
        found.append(
            SpreadConstraint(
                key=intern(text_of(fields.get("topologyKey"))),
                max_skew=skew if isinstance(skew, int) and skew > 0 else 1,
                required=fields.get("whenUnsatisfiable") != "ScheduleAnyway",
                selector=_selector_of(fields, labels),
                min_domains=least if isinstance(least, int) and least > 0 else 1,
                honour_affinity=fields.get("nodeAffinityPolicy") != "Ignore",
                honour_taints=fields.get("nodeTaintsPolicy") == "Honor",
            )
        )
    return tuple(found)


def read_selector(value: object) -> Selector | None:
    """The selector of a LabelSelector object; None where there is none. Empty selects all."""
    if not isinstance(value, Mapping):
        return None
    found = [
        Requirement(intern(str(key)), "In", frozenset((text_of(each),)))
        for key, each in sorted(mapping_of(value.get("matchLabels")).items())
    ]
    for each in list_of(value, "matchExpressions"):
        fields = mapping_of(each)
        found.append(
            Requirement(
                intern(text_of(fields.get("key"))),
                intern(text_of(fields.get("operator"))),
                frozenset(one for one in list_of(fields, "values") if isinstance(one, str)),
            )
        )
    return Selector(tuple(found))


def _selector_of(fields: Mapping[str, Any], labels: Mapping[str, str]) -> Selector:
    """The term's selector with what its matchLabelKeys add from the pod's own labels."""
    selector = read_selector(fields.get("labelSelector"))
    if selector is None:
        return NOTHING
    added = []
    for name, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
        for key in list_of(fields, name):
            if isinstance(key, str) and key in labels:
                added.append(Requirement(intern(key), operator, frozenset((labels[key],))))
    # The API server writes these requirements into the selector itself: once is enough.
    missing = tuple(each for each in added if each not in selector.requirements)
    return Selector(selector.requirements + missing)


def _term(value: object, namespace: str, labels: Mapping[str, str]) -> PodTerm:
    fields = mapping_of(value)
    names = frozenset(one for one in list_of(fields, "namespaces") if isinstance(one, str))
    by_label = read_selector(fields.get("namespaceSelector"))
    return PodTerm(
        selector=_selector_of(fields, labels),
        namespaces=names if names or by_label is not None else frozenset((namespace,)),
        namespace_selector=by_label,
        key=intern(text_of(fields.get("topologyKey"))),
    )


def _weighted(
    value: object, namespace: str, labels: Mapping[str, str], sign: int = 1
) -> WeightedPodTerm:
    fields = mapping_of(value)
    weight = fields.get("weight")
    return WeightedPodTerm(
        sign * weight if isinstance(weight, int) else 0,
        _term(fields.get("podAffinityTerm"), namespace, labels),
    )
