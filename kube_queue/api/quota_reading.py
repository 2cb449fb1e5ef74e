"""Walks an ElasticQuotaTree's nodes, of any depth and any content, into drafts; see quota.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any, Final

from kube_queue.api.errors import InvalidInput
from kube_queue.api.loose import field_path, shown
from kube_queue.api.names import LEND_LIMIT_ATTRIBUTE, MAX_JOBS
from kube_queue.api.quota_tree import Violation
from kube_queue.api.resources import is_of_pods, parse_limit

# Each level nests a list and a map, and orjson writes 254 levels at most: the status of a deeper
# tree could not be sent.
_DEEPEST: Final = 100
_NODE_FIELDS: Final = frozenset({"name", "namespaces", "attributes", "min", "max", "children"})


@dataclass(slots=True)
class Draft:
    """One node while the tree is read: what it says, before the nodes are held to the rules."""

    name: str
    path: str
    where: str
    """The field path of the node in the manifest: ``spec.root.children[0]``."""
    parent: Draft | None
    depth: int
    children: list[Draft] = field(default_factory=list)
    namespaces: list[tuple[str, str]] = field(default_factory=list)
    """Field path and name of each namespace listed."""
    min: dict[str, int] = field(default_factory=dict)
    max: dict[str, int] = field(default_factory=dict)
    unreadable: set[tuple[str, str]] = field(default_factory=set)
    """("min" or "max", resource) of amounts that took their safe value."""
    lend_limit: dict[str, int] | None = None


def read_nodes(root: Mapping[str, Any], found: list[Violation]) -> list[Draft]:
    """A draft of every usable node, parents before children, in the order of the manifest.

    Violations of single nodes are appended to ``found``. Recursion is avoided: depth is data.
    """
    drafts: list[Draft] = []
    paths: set[str] = set()
    stack: list[tuple[object, str, Draft | None]] = [(root, "spec.root", None)]
    while stack:
        value, where, parent = stack.pop()
        draft = _read_node(value, where, parent, paths, found)
        if draft is None:
            continue
        drafts.append(draft)
        if parent is not None:
            parent.children.append(draft)
        stack.extend(_children(value, draft, found))
    return drafts


def _read_node(
    value: object, where: str, parent: Draft | None, paths: set[str], found: list[Violation]
) -> Draft | None:
    if not isinstance(value, Mapping):
        found.append(Violation(where, f"a node is expected, not {shown(value)}"))
        return None
    depth = parent.depth + 1 if parent is not None else 1
    if depth > _DEEPEST:
        found.append(Violation(where, f"the tree is deeper than {_DEEPEST} levels; left out"))
        return None
    name = value.get("name")
    if not isinstance(name, str) or not name:
        problem = "the node has no name" if name in (None, "") else f"{shown(name)} is no name"
        if parent is not None:
            found.append(Violation(f"{where}.name", f"{problem}; the node is left out"))
            return None
        found.append(Violation(f"{where}.name", f"{problem}; it is called root instead"))
        name = "root"
    path = f"{parent.path}/{name}" if parent is not None else name
    if path in paths:
        problem = f"{shown(name)} is already the path of another node; the node is left out"
        found.append(Violation(f"{where}.name", problem))
        return None
    paths.add(path)
    draft = Draft(intern(name), intern(path), where, parent, depth)
    for key in value:
        if key not in _NODE_FIELDS:
            problem = "a node has no such field; it is ignored"
            found.append(Violation(field_path(where, str(key)), problem, "warning"))
    draft.min = _amounts(value.get("min"), "min", draft, found)
    draft.max = _amounts(value.get("max"), "max", draft, found)
    draft.namespaces = _namespaces(value.get("namespaces"), where, found)
    draft.lend_limit = _lend_limit(value.get("attributes"), draft, found)
    return draft


def _children(
    value: object, draft: Draft, found: list[Violation]
) -> list[tuple[object, str, Draft | None]]:
    """What to read next, last child first: the stack turns the order around again."""
    children = value.get("children") if isinstance(value, Mapping) else None
    if children is None:
        return []
    where = f"{draft.where}.children"
    if not isinstance(children, (list, tuple)):
        found.append(Violation(where, f"a list of nodes is expected, not {shown(children)}"))
        return []
    indexed = list(enumerate(children))
    return [(child, f"{where}[{index}]", draft) for index, child in reversed(indexed)]


def _namespaces(value: object, where: str, found: list[Violation]) -> list[tuple[str, str]]:
    if value is None:
        return []
    path = f"{where}.namespaces"
    if not isinstance(value, (list, tuple)):
        found.append(Violation(path, f"a list of namespaces is expected, not {shown(value)}"))
        return []
    names: list[tuple[str, str]] = []
    for index, name in enumerate(value):
        if isinstance(name, str) and name:
            names.append((f"{path}[{index}]", intern(name)))
        else:
            found.append(Violation(f"{path}[{index}]", f"{shown(name)} is no namespace"))
    return names


def _amounts(value: object, kind: str, draft: Draft, found: list[Violation]) -> dict[str, int]:
    """A node's min or max; what cannot be read guarantees and allows nothing."""
    if value is None:
        return {}
    where = f"{draft.where}.{kind}"
    if not isinstance(value, Mapping):
        problem = f"a map of resource names to quantities is expected, not {shown(value)}"
        if kind == "max":
            # Nobody can say which resources were meant: no job at all, rather than no limit.
            draft.unreadable.add((kind, MAX_JOBS))
            found.append(Violation(where, f"{problem}; no job is admitted below this node"))
            return {MAX_JOBS: 0}
        found.append(Violation(where, f"{problem}; nothing is guaranteed"))
        return {}
    amounts: dict[str, int] = {}
    for key, quantity in value.items():
        name = intern(str(key))
        path = field_path(where, name)
        if not is_of_pods(name):
            problem = f"no pod asks for {shown(name)}; write cpu, memory or a name with a domain"
            found.append(Violation(path, problem, "warning"))
        try:
            amounts[name] = parse_limit(name, quantity)
        except InvalidInput as error:
            amounts[name] = 0
            draft.unreadable.add((kind, name))
            effect = "none of it is allowed" if kind == "max" else "none of it is guaranteed"
            found.append(Violation(path, f"{error}; until then {effect}"))
    return amounts


def _lend_limit(value: object, draft: Draft, found: list[Violation]) -> dict[str, int] | None:
    """The node's declared lend limit; one that cannot be read lends nothing of min."""
    where = f"{draft.where}.attributes"
    if value is None:
        return None
    if not isinstance(value, Mapping):
        found.append(Violation(where, f"a map of texts is expected, not {shown(value)}"))
        return None
    text = value.get(LEND_LIMIT_ATTRIBUTE)
    if text is None:
        return None
    path = field_path(where, LEND_LIMIT_ATTRIBUTE)
    limits = _json_map(text)
    if limits is None:
        problem = f"{shown(text)} is no JSON resource list; nothing of min is lent"
        found.append(Violation(path, problem))
        return dict.fromkeys(draft.min, 0)
    lent: dict[str, int] = {}
    for name, quantity in limits.items():
        try:
            lent[intern(str(name))] = parse_limit(str(name), quantity)
        except InvalidInput as error:
            lent[intern(str(name))] = 0
            problem = f"{name}: {error}; until then nothing of it is lent"
            found.append(Violation(path, problem))
    return lent


def _json_map(text: object) -> Mapping[str, Any] | None:
    if isinstance(text, str):
        try:
            text = json.loads(text)
        except (ValueError, RecursionError):
            return None
    return text if isinstance(text, Mapping) else None
