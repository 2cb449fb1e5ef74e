"""The quotas in force as people know them: nodes of a tree, or ResourceQuotas of namespaces.

Memory keeps all ResourceQuotas of a namespace as one leaf ``ns-<namespace>`` with a resource
``quota:key`` for each bound; told is each ResourceQuota by itself, with the keys of its ``hard``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kube_queue.admission.ledger import NodeUsage
from kube_queue.api.quota_tree import QuotaNode
from kube_queue.api.resource_quota import namespace_of
from kube_queue.api.resources import bound_of
from kube_queue.controller.queueing.queue_side import QueueSide

NOTHING: Final[Mapping[str, int]] = {}
Amounts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """One quota; amounts in millicores for cpu and whole units for everything else."""

    path: str
    """Of a ResourceQuota ``namespace/name``; of a namespace that has none ``ns-<namespace>``."""
    name: str
    parent: str | None
    leaf: bool
    namespaces: tuple[str, ...]
    resource_quota: bool
    used: Amounts
    request: Amounts
    min: Amounts
    """Empty for a ResourceQuota: it guarantees nothing that others could take back."""
    max: Amounts


def quota_rows(side: QueueSide) -> Iterator[QuotaRow]:
    """Every quota in force: parents before their children, or namespaces by name."""
    tree = side.quotas.in_force
    if tree is None:
        return
    usage = side.cache.quota_status()
    if side.quotas.by_namespace:
        for path, node in sorted(tree.nodes.items()):
            names = [one.name for one in side.quotas.namespaces.quotas.get(node.namespaces[0], ())]
            yield from _of_namespace(node, usage[path], names)
        return
    for path, node in tree.nodes.items():
        sums = usage[path]
        of_node = (node.name, node.parent, node.leaf, node.namespaces, False)
        yield QuotaRow(path, *of_node, sums.used, sums.request, sums.min, sums.max)


def resource_quota_of(path: str, resource: str) -> str:
    """``namespace/name`` of the ResourceQuota that this bound of a leaf belongs to; empty where it
    is a bound of a tree.
    """
    quota = bound_of(resource)[0]
    return f"{namespace_of(path)}/{quota}" if quota else ""


def _of_namespace(node: QuotaNode, sums: NodeUsage, names: Iterable[str]) -> Iterator[QuotaRow]:
    namespace, empty = node.namespaces[0], True
    for name in names:
        empty = False
        of_quota = (name, None, True, node.namespaces, True)
        bounds = {bound_of(one)[1]: amount for one, amount in _of_quota(sums.max, name)}
        used, request = (
            {**dict.fromkeys(bounds, 0), **{bound_of(one)[1]: n for one, n in _of_quota(of, name)}}
            for of in (sums.used, sums.request)
        )
        yield QuotaRow(f"{namespace}/{name}", *of_quota, used, request, NOTHING, bounds)
    if empty:
        unlimited = (f"namespace {namespace}", None, True, node.namespaces, False)
        yield QuotaRow(node.path, *unlimited, NOTHING, NOTHING, NOTHING, NOTHING)


def _of_quota(amounts: Amounts, name: str) -> Iterator[tuple[str, int]]:
    return ((one, amount) for one, amount in amounts.items() if bound_of(one)[0] == name)
