"""The compiled quota tree: frozen nodes, look-up of a job's leaf, names of automatic queues."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal

from kube_queue.api.names import QUEUE_NAME_ANNOTATION, QUOTA_LABELS, TREE_NAMESPACE

_LONGEST_QUEUE_NAME: Final = 63
_HASH_LENGTH: Final = 8
_OUTSIDE: Final = re.compile(r"[^a-z0-9.-]")
_BAD_DOT: Final = re.compile(r"[.-]*(?:\.[.-]|-\.)[.-]*")


@dataclass(frozen=True, slots=True)
class QuotaNode:
    """One node of the tree; amounts are millicores for cpu and whole units for everything else."""

    name: str
    path: str
    """The names from the root joined by ``/``: ``root/root.a/root.a.1``."""
    parent: str | None
    """The parent's path; None for the root."""
    children: tuple[str, ...]
    """The children's paths in the order of the manifest."""
    namespaces: tuple[str, ...]
    min: Mapping[str, int]
    """Guaranteed amounts; an absent resource has none."""
    max: Mapping[str, int]
    """Upper bounds; an absent resource is unlimited, zero allows nothing."""
    min_declared: bool
    """Whether the manifest gives this node a min of its own."""
    leaf: bool
    lend_limit: Mapping[str, int] | None = None
    """How much of min others may borrow, by resource; None where nothing is declared, and then,
    as for resources it does not list, everything may be borrowed."""
    each_bound_alone: bool = False
    """Whether usage above one bound keeps out only what asks for that resource, as a ResourceQuota
    does; else a node above a bound admits nothing at all until it is below."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule. An error is a contradiction, a warning only looks like a mistake."""

    path: str
    problem: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


@dataclass(frozen=True, slots=True)
class QuotaTree:
    """All nodes of one ElasticQuotaTree by path, parents before their children."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    root: str
    """The root's path, which is its name."""
    nodes: Mapping[str, QuotaNode]
    max_preemptible_jobs: int | None = None
    """The tree's label of that name; None without it."""
    _by_name: Mapping[str, str] = field(default_factory=dict, repr=False)
    _by_namespace: Mapping[str, str] = field(default_factory=dict, repr=False)

    def leaf_for(self, quota_name: str, namespace: str) -> QuotaNode | None:
        """The leaf a job is charged to: the one its label names, without a label the one that
        lists its namespace, else None. A label that names no leaf never falls back to the
        namespace: that would charge somebody else.
        """
        path = self._by_name.get(quota_name) if quota_name else self._by_namespace.get(namespace)
        node = self.nodes[path] if path is not None else None
        return node if node is not None and node.leaf else None

    def no_leaf_because(self, quota_name: str, namespace: str) -> str:
        """One sentence for the unit that ``leaf_for`` found no leaf for; empty where it did."""
        if self.leaf_for(quota_name, namespace) is not None:
            return ""
        if not quota_name:
            return f"namespace {namespace} does not belong to any elastic quota"
        if quota_name in self._by_name:
            return f"elastic quota {quota_name} has children: the label has to name a leaf"
        return f"no elastic quota is called {quota_name}"

    def how_to_get_a_leaf(self, quota_name: str, namespace: str) -> str:
        """What to do about ``no_leaf_because``."""
        tree = f"ElasticQuotaTree {self.namespace}/{self.name}"
        if quota_name:
            return f"name a leaf of {tree} in label {QUOTA_LABELS[0]}, or add the leaf to the tree"
        return (
            f"list {namespace} in the namespaces of a leaf of {tree}, "
            f"or name a leaf in the job's label {QUOTA_LABELS[0]}"
        )

    def chain(self, path: str) -> tuple[str, ...]:
        """The paths from this node up to the root, both included. KeyError: no such node."""
        chain = [path]
        while (parent := self.nodes[chain[-1]].parent) is not None:
            chain.append(parent)
        return tuple(chain)

    def leaves(self) -> tuple[QuotaNode, ...]:
        """Every leaf in the order of the manifest."""
        return tuple(node for node in self.nodes.values() if node.leaf)


@dataclass(frozen=True, slots=True)
class SeenTree:
    """One ElasticQuotaTree object: what could be compiled of it, and all that is wrong with it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    tree: QuotaTree | None
    violations: tuple[Violation, ...]

    @property
    def effective(self) -> bool:
        """Whether the object is in the namespace where trees take effect."""
        return self.namespace == TREE_NAMESPACE

    @property
    def errors(self) -> tuple[Violation, ...]:
        """The violations that are contradictions."""
        return tuple(found for found in self.violations if found.severity == "error")


def queue_name(path: str) -> str:
    """The automatic Queue's name for the leaf at ``path``: a valid object name, 63 characters
    at most; ``root/root.defaultQuotaGroup`` becomes ``root-root.defaultquotagroup``.

    Where writing the path that way lost more than capitals, eight hex digits of its SHA-256 keep
    two leaves apart.
    """
    names = path.split("/")
    joined = "-".join(names).lower()
    text = _BAD_DOT.sub("-", _OUTSIDE.sub("-", joined)).strip("-.")
    if text == joined and len(text) <= _LONGEST_QUEUE_NAME and not any("-" in n for n in names):
        return text
    digest = sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    room = _LONGEST_QUEUE_NAME - _HASH_LENGTH - 1
    kept = text[:room].rstrip("-.")
    return f"{kept}-{digest}" if kept else f"quota-{digest}"


def queue_for(annotations: Mapping[str, Any], leaf: QuotaNode | None) -> str:
    """The Queue a job's unit goes to: the one its annotation names, else its leaf's automatic
    one, else empty: not known yet.
    """
    named = annotations.get(QUEUE_NAME_ANNOTATION)
    if named and isinstance(named, str):
        return named
    return queue_name(leaf.path) if leaf is not None else ""
