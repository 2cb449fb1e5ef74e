"""Reads an ElasticQuotaTree of any depth into a compiled tree and lists every broken rule.

Nothing an object holds raises, and nothing is admitted for free because of a slip in it:

* an amount that cannot be read or is negative: in a max it allows nothing of the resource, in a
  min it guarantees nothing, in a lend limit nothing is lent;
* a max that is no map at all: no job is admitted below the node (``kube-queue/max-jobs`` 0);
* a node without a usable name, a second node of the same path, a node deeper than a hundred
  levels: left out with all below it; its jobs wait with reason NoQuota;
* a namespace listed twice belongs to the first leaf; one on an inner node belongs to none.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from kube_queue.api.loose import mapping_of, shown, text_of
from kube_queue.api.names import MAX_PREEMPTIBLE_JOBS_LABEL
from kube_queue.api.quota_checks import check_names, check_namespaces, check_numbers
from kube_queue.api.quota_reading import Draft, read_nodes
from kube_queue.api.quota_tree import (
    QuotaNode,
    QuotaTree,
    SeenTree,
    Violation,
    queue_for,
    queue_name,
)

__all__ = [
    "QuotaNode",
    "QuotaTree",
    "SeenTree",
    "Violation",
    "parse_tree",
    "project_tree",
    "queue_for",
    "queue_name",
]


def project_tree(obj: Mapping[str, Any]) -> SeenTree:
    """The SeenTree an object stands for; never raises on content."""
    metadata = mapping_of(obj.get("metadata"))
    tree, violations = parse_tree(obj)
    return SeenTree(
        namespace=text_of(metadata.get("namespace")),
        name=text_of(metadata.get("name")),
        uid=text_of(metadata.get("uid")),
        resource_version=text_of(metadata.get("resourceVersion")),
        tree=tree,
        violations=violations,
    )


def parse_tree(obj: object) -> tuple[QuotaTree | None, tuple[Violation, ...]]:
    """The compiled tree and every broken rule at once; None only when there is no root to use."""
    manifest = mapping_of(obj)
    metadata = mapping_of(manifest.get("metadata"))
    found: list[Violation] = []
    preemptible = _max_preemptible_jobs(mapping_of(metadata.get("labels")), found)
    root = mapping_of(manifest.get("spec")).get("root")
    if not isinstance(root, Mapping):
        what = (
            "the root node is missing" if root is None else f"a node is expected, not {shown(root)}"
        )
        found.append(Violation("spec.root", what))
        return None, tuple(found)
    drafts = read_nodes(root, found)
    by_name = check_names(drafts, found)
    owners = check_namespaces(drafts, found)
    check_numbers(drafts, found)
    tree = QuotaTree(
        namespace=text_of(metadata.get("namespace")),
        name=text_of(metadata.get("name")),
        uid=text_of(metadata.get("uid")),
        resource_version=text_of(metadata.get("resourceVersion")),
        root=drafts[0].path,
        nodes=MappingProxyType({draft.path: _node(draft, owners) for draft in drafts}),
        max_preemptible_jobs=preemptible,
        _by_name=MappingProxyType({name: draft.path for name, draft in by_name.items()}),
        _by_namespace=MappingProxyType({name: draft.path for name, draft in owners.items()}),
    )
    return tree, tuple(found)


def _node(draft: Draft, owners: Mapping[str, Draft]) -> QuotaNode:
    listed = dict.fromkeys(name for _, name in draft.namespaces)
    lent = draft.lend_limit
    return QuotaNode(
        name=draft.name,
        path=draft.path,
        parent=draft.parent.path if draft.parent is not None else None,
        children=tuple(child.path for child in draft.children),
        namespaces=tuple(name for name in listed if owners.get(name) is draft),
        min=MappingProxyType(draft.min),
        max=MappingProxyType(draft.max),
        min_declared=bool(draft.min),
        leaf=not draft.children,
        lend_limit=MappingProxyType(lent) if lent is not None else None,
    )


def _max_preemptible_jobs(labels: Mapping[str, Any], found: list[Violation]) -> int | None:
    text = labels.get(MAX_PREEMPTIBLE_JOBS_LABEL)
    if text is None:
        return None
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 18:
        return int(text)
    problem = f"{shown(text)} is no number of jobs; until then no preemptible job is allowed"
    found.append(Violation(f"metadata.labels[{MAX_PREEMPTIBLE_JOBS_LABEL}]", problem))
    return 0
