"""Which nodes a pod may stand on: node selectors and taints, as kube-scheduler reads them.

A term that cannot be read matches no node: a slip never widens where a pod may go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, Final

from kube_queue.api.loose import mapping_of, text_of

_NAME_FIELD: Final = "metadata.name"
_OPERATORS: Final = frozenset({"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"})
NO_SCHEDULE: Final = "NoSchedule"
NO_EXECUTE: Final = "NoExecute"
PREFER_NO_SCHEDULE: Final = "PreferNoSchedule"


@dataclass(frozen=True, slots=True)
class NodeRequirement:
    """One comparison of a node's label, or of its name where ``key`` is empty."""

    key: str
    operator: str
    values: tuple[str, ...]

    def holds(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a node of this name and these labels satisfies it."""
        value = labels.get(self.key) if self.key else name
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":
                return self._compares(value)
            case _:
                return False

    def _compares(self, value: str | None) -> bool:
        bound = _integer(self.values[0]) if len(self.values) == 1 else None
        number = _integer(value) if value is not None else None
        if bound is None or number is None:
            return False
        return number > bound if self.operator == "Gt" else number < bound


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """Requirements that hold together; without any, no node matches."""

    requirements: tuple[NodeRequirement, ...]

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a node of this name and these labels satisfies all of them."""
        return bool(self.requirements) and all(
            requirement.holds(name, labels) for requirement in self.requirements
        )


@dataclass(frozen=True, slots=True)
class WeightedNodeTerm:
    """A term worth this much, 1 to 100, on the nodes that match it."""

    weight: int
    term: NodeTerm


@dataclass(frozen=True, slots=True)
class Taint:
    """What keeps pods off a node unless they tolerate it."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint the pod puts up with; an empty key is every key, an empty effect every effect."""

    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Taint) -> bool:
        """Whether the pod may stand on a node in spite of this taint."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        match self.operator:
            case "Exists":
                return True
            case "Equal":
                return bool(self.key) and self.value == taint.value
            case _:
                return False


def untolerated(
    taints: Iterable[Taint], tolerations: tuple[Toleration, ...], effects: frozenset[str]
) -> Taint | None:
    """The first taint of one of these effects that nothing tolerates."""
    for taint in taints:
        if taint.effect in effects and not any(each.tolerates(taint) for each in tolerations):
            return taint
    return None


def read_node_terms(selector: object) -> tuple[NodeTerm, ...]:
    """The terms of a NodeSelector, one of which has to match."""
    return tuple(
        read_node_term(term) for term in list_of(mapping_of(selector), "nodeSelectorTerms")
    )


def read_node_term(term: object) -> NodeTerm:
    """One NodeSelectorTerm."""
    fields = mapping_of(term)
    found = [_requirement(each) for each in list_of(fields, "matchExpressions")]
    for each in list_of(fields, "matchFields"):
        key = text_of(mapping_of(each).get("key"))
        read = _requirement(each)
        # Only the name can be asked for; anything else matches nothing.
        operator = read.operator if key == _NAME_FIELD else ""
        found.append(NodeRequirement("", operator, read.values))
    return NodeTerm(tuple(found))


def read_preferred_node_terms(terms: object) -> tuple[WeightedNodeTerm, ...]:
    """The preferred terms of a node affinity."""
    found = []
    for each in terms if isinstance(terms, list) else ():
        fields = mapping_of(each)
        weight = fields.get("weight")
        if isinstance(weight, int) and weight:
            found.append(WeightedNodeTerm(weight, read_node_term(fields.get("preference"))))
    return tuple(found)


def read_tolerations(value: object) -> tuple[Toleration, ...]:
    """The tolerations of a pod's spec."""
    return tuple(
        Toleration(
            key=intern(text_of(each.get("key"))),
            operator=intern(text_of(each.get("operator")) or "Equal"),
            value=intern(text_of(each.get("value"))),
            effect=intern(text_of(each.get("effect"))),
        )
        for each in (value if isinstance(value, list) else ())
        if isinstance(each, Mapping)
    )


def read_taints(value: object) -> tuple[Taint, ...]:
    """The taints of a node's spec."""
    return tuple(
        Taint(
            key=intern(text_of(each.get("key"))),
            value=intern(text_of(each.get("value"))),
            effect=intern(text_of(each.get("effect"))),
        )
        for each in (value if isinstance(value, list) else ())
        if isinstance(each, Mapping)
    )


def list_of(fields: Mapping[str, Any], name: str) -> list[Any]:
    """The field where it is a list, else an empty one."""
    value = fields.get(name)
    return value if isinstance(value, list) else []


def _requirement(value: object) -> NodeRequirement:
    fields = mapping_of(value)
    operator = text_of(fields.get("operator"))
    values = tuple(each for each in list_of(fields, "values") if isinstance(each, str))
    key = text_of(fields.get("key"))
    if not key or operator not in _OPERATORS:
        return NodeRequirement(intern(key), "", ())
    return NodeRequirement(intern(key), intern(operator), values)


def _integer(text: str) -> int | None:
    try:
        return int(text) if text.isascii() and len(text) <= 20 else None
    except ValueError:
        return None
