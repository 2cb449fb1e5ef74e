"""Gangs: pods that are placed together or not at all, as their pods and PodGroups declare them.

Where several sources name a gang, the first of this order counts: ``spec.schedulingGroup``, the
label of a PodGroup of scheduling.x-k8s.io, that of scheduling.sigs.k8s.io, the labels ``…/name``
and ``…/min-available``, the annotations of the same meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from sys import intern
from typing import Any, Final

import orjson

from kube_queue.api.errors import InvalidInput
from kube_queue.api.loose import mapping_of, shown, text_of
from kube_queue.api.names import (
    CONSTRAINT_ANNOTATION,
    GANG_GROUPS_LABEL,
    GANG_MIN_ANNOTATION,
    GANG_MIN_LABEL,
    GANG_NAME_ANNOTATION,
    GANG_NAME_LABEL,
    MATCH_POLICY_LABEL,
    SIGS_POD_GROUP_LABEL,
    X_POD_GROUP_LABEL,
)
from kube_queue.api.node_selectors import NodeTerm, read_node_term

_LARGEST_MIN: Final = 2**31 - 1
GANG_ANNOTATIONS: Final = (CONSTRAINT_ANNOTATION, GANG_NAME_ANNOTATION, GANG_MIN_ANNOTATION)
"""What a pod's annotations say of its gang and of where that may be."""


class GangSource(StrEnum):
    """Who says what the gang's minimum is."""

    SCHEDULING_GROUP = "scheduling.k8s.io"
    """Kubernetes' own PodGroup."""
    X_POD_GROUP = "scheduling.x-k8s.io"
    SIGS_POD_GROUP = "scheduling.sigs.k8s.io"
    LABELS = "labels"
    ANNOTATIONS = "annotations"


class MatchPolicy(StrEnum):
    """Which members count towards the minimum besides those that wait."""

    ONLY_WAITING = "only-waiting"
    WAITING_AND_RUNNING = "waiting-and-running"
    WAITING_RUNNING_SUCCEED = "waiting-running-succeed"
    ONCE_SATISFIED = "once-satisfied"
    """Nothing is asked of a gang any more once it had its minimum."""


@dataclass(frozen=True, slots=True)
class GangMark:
    """What one pod says of the gang it is a member of."""

    name: str
    source: GangSource
    min: int
    """The minimum the pod itself names; 0 where its PodGroup does, or it cannot be read."""
    policy: MatchPolicy
    groups: tuple[str, ...]
    """``namespace/name`` of the gangs that have to be placed together with this one."""
    problem: str
    """What is wrong with the mark, naming the field; the gang is not placed while there is one."""


@dataclass(frozen=True, slots=True)
class TopologyConstraint:
    """One domain, the same values of all ``keys``, has to hold the whole gang."""

    name: str
    keys: tuple[str, ...]
    terms: tuple[NodeTerm, ...]
    """Nodes match one of them; without any, every node does."""


@dataclass(frozen=True, slots=True)
class PodGroup:
    """A PodGroup object of any of the three kinds, as gangs read it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    source: GangSource
    min_member: int
    topology_key: str
    """The domain key Kubernetes' own PodGroup asks for; empty: none."""
    satisfied: bool
    """Its condition says that the minimum was reached once."""
    phase: str
    controller_uid: str
    problem: str
    satisfied_by: frozenset[str] = frozenset()
    """uids of the controllers whose pods reached the minimum once, as its status keeps them."""


def gang_mark(
    labels: Mapping[str, Any], annotations: Mapping[str, Any], spec: Mapping[str, Any]
) -> GangMark | None:
    """The gang the pod of these labels, annotations and spec is a member of, if any."""
    policy, groups = labels.get(MATCH_POLICY_LABEL), labels.get(GANG_GROUPS_LABEL)
    if groups is None:
        groups = annotations.get(GANG_GROUPS_LABEL)
    own = text_of(mapping_of(spec.get("schedulingGroup")).get("podGroupName"))
    noted, noted_min = annotations.get(GANG_NAME_ANNOTATION), annotations.get(GANG_MIN_ANNOTATION)
    sources = (
        (GangSource.SCHEDULING_GROUP, own, None),
        (GangSource.X_POD_GROUP, labels.get(X_POD_GROUP_LABEL), None),
        (GangSource.SIGS_POD_GROUP, labels.get(SIGS_POD_GROUP_LABEL), None),
        (GangSource.LABELS, labels.get(GANG_NAME_LABEL), labels.get(GANG_MIN_LABEL)),
        (GangSource.ANNOTATIONS, noted, noted_min),
    )
    for source, name, least in sources:
        if name and isinstance(name, str):
            return _mark(name, source, _loose(least), _loose(policy), _loose(groups))
    return None


def _loose(value: object) -> str | None:
    return None if value is None else str(value)


@lru_cache(maxsize=16_384)
def _mark(
    name: str, source: GangSource, least: str | None, policy: str | None, groups: str | None
) -> GangMark:
    problems: list[str] = []
    own = source in (GangSource.LABELS, GangSource.ANNOTATIONS)
    return GangMark(
        name=intern(name),
        source=source,
        min=_min_of(least, source, problems) if own else 0,
        policy=_policy_of(policy, problems),
        groups=_groups_of(groups, problems),
        problem="; ".join(problems),
    )


def _min_of(text: str | None, source: GangSource, problems: list[str]) -> int:
    field = (
        f"metadata.labels[{GANG_MIN_LABEL}]"
        if source is GangSource.LABELS
        else f"metadata.annotations[{GANG_MIN_ANNOTATION}]"
    )
    if text is None:
        problems.append(f"{field} is missing: write how many pods have to start together")
        return 0
    if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= _LARGEST_MIN:
        return int(text)
    problems.append(f"{field}: {shown(text)} is no number of pods")
    return 0


def _policy_of(text: str | None, problems: list[str]) -> MatchPolicy:
    if text is None:
        return MatchPolicy.ONCE_SATISFIED
    try:
        return MatchPolicy(text)
    except ValueError:
        known = ", ".join(MatchPolicy)
        problems.append(f"metadata.labels[{MATCH_POLICY_LABEL}]: {shown(text)} is none of {known}")
        return MatchPolicy.ONCE_SATISFIED


def _groups_of(text: str | None, problems: list[str]) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, list) or not all(
        isinstance(each, str) and each.count("/") == 1 for each in value
    ):
        problems.append(
            f"metadata.labels[{GANG_GROUPS_LABEL}]: {shown(text)} is no JSON list of namespace/name"
        )
        return ()
    return tuple(dict.fromkeys(intern(each) for each in value))


@lru_cache(maxsize=4_096)
def topology_constraint(text: str) -> TopologyConstraint:
    """The constraint of this annotation's value. Raises InvalidInput naming what is wrong."""
    path = f"metadata.annotations[{CONSTRAINT_ANNOTATION}]"
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"no JSON: {error}", path, "quote it as a YAML string") from None
    required = value.get("required") if isinstance(value, dict) else None
    if not isinstance(required, dict):
        raise InvalidInput("an object with the field required is expected", path)
    keys = _keys_of(required.get("topologies"), f"{path}.required.topologies")
    selectors = required.get("nodeSelectors")
    if selectors is None:
        selectors = []
    if not isinstance(selectors, list):
        raise InvalidInput("a list of selectors is expected", f"{path}.required.nodeSelectors")
    terms = tuple(
        _node_selector(each, f"{path}.required.nodeSelectors[{index}]")
        for index, each in enumerate(selectors)
    )
    # An empty selector matches every node, and then the others say nothing.
    matching = () if any(not term.requirements for term in terms) else terms
    return TopologyConstraint(text_of(value.get("name")), keys, matching)


def _keys_of(value: object, path: str) -> tuple[str, ...]:
    entries = value if isinstance(value, list) else []
    keys = [each.get("key") for each in entries if isinstance(each, dict)]
    if not entries or len(keys) != len(entries):
        raise InvalidInput("a list of {key: ...} is expected", path)
    for key in keys:
        if not key or not isinstance(key, str):
            raise InvalidInput(f"{shown(key)} is no label of a node", path)
    return tuple(dict.fromkeys(intern(str(key)) for key in keys))


def _node_selector(value: object, path: str) -> NodeTerm:
    if not isinstance(value, dict):
        raise InvalidInput("a selector is expected", path)
    labels, expressions = value.get("matchLabels"), value.get("matchExpressions")
    if labels is not None and not isinstance(labels, dict):
        raise InvalidInput("a map of labels is expected", f"{path}.matchLabels")
    # The seed's own page writes {} where Kubernetes has a list.
    if expressions in (None, {}):
        expressions = []
    if not isinstance(expressions, list):
        raise InvalidInput("a list of expressions is expected", f"{path}.matchExpressions")
    wanted = [
        {"key": key, "operator": "In", "values": [text_of(each)]}
        for key, each in sorted((labels or {}).items())
    ]
    term = read_node_term({"matchExpressions": wanted + expressions})
    for index, requirement in enumerate(term.requirements):
        if not requirement.operator:
            where = f"{path}.matchExpressions[{max(0, index - len(wanted))}]"
            raise InvalidInput("key or operator cannot be read", where)
    return term
