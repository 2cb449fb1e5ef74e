"""What the status of an ElasticQuotaTree says, whoever of the two deciders writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kube_queue.api.conditions import TreeCondition, rfc3339, set_condition
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.quota import QuotaTree
from kube_queue.api.resources import format_amount
from kube_queue.api.types import ELASTIC_QUOTA_TREES
from kube_queue.controller.records import TreeRecord, conditions_manifest
from kube_queue.controller.status import Wanted
from kube_queue.controller.trees import TreeKeeper


class Usage(Protocol):
    """What one node of the tree uses and asks for; millicores for cpu, else whole units."""

    @property
    def used(self) -> Mapping[str, int]: ...
    @property
    def request(self) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """Resources that are not shown like all others."""

    where_listed: frozenset[str]
    """Only at nodes whose limits list them: elsewhere nobody asked for them."""
    nowhere: frozenset[str] = frozenset()
    """Not even there, because they are not counted."""


EVERYTHING: Final = Shown(where_listed=frozenset({MAX_JOBS}))


def tree_wanted(
    record: TreeRecord,
    keeper: TreeKeeper,
    usage: Callable[[], Mapping[str, Usage]],
    now: float,
    *,
    shown: Shown = EVERYTHING,
    version: str = "",
) -> Wanted:
    """The status the tree should have: whether it is valid, and where it is in force what every
    node uses and asks for.

    `usage`, asked only then, has every node by path. `version`: see Wanted. `now`: seconds since
    the epoch.
    """
    verdict = keeper.verdict(record)
    status: dict[str, Any] = {
        "conditions": set_condition(
            conditions_manifest(record.conditions),
            TreeCondition.VALID,
            verdict.valid,
            verdict.reason,
            verdict.message,
            rfc3339(now),
        )
    }
    tree = keeper.in_force
    if tree is not None and tree.uid == record.uid:
        root = node_status(tree, tree.root, usage(), shown)
        # A merge patch adds to the maps that stand: what left the tree has to be named.
        for sums in (root["used"], root["request"]):
            sums.update({name: None for name in record.shown if name not in sums})
        status["root"] = root
    return Wanted(
        ELASTIC_QUOTA_TREES,
        record.namespace,
        record.name,
        record.uid,
        status,
        record.written,
        version,
    )


def node_status(
    tree: QuotaTree, path: str, usage: Mapping[str, Usage], shown: Shown = EVERYTHING
) -> dict[str, Any]:
    """What a node and all below it use and ask for, in the form of the manifest."""
    node = tree.nodes[path]
    sums = usage[path]
    children = [node_status(tree, child, usage, shown) for child in node.children]
    return {
        "name": node.name,
        "namespaces": list(node.namespaces),
        "used": _amounts(sums.used, shown, node.max, node.min),
        "request": _amounts(sums.request, shown, node.max, node.min),
        "children": children or None,
    }


def _amounts(
    amounts: Mapping[str, int], shown: Shown, *listed: Mapping[str, int]
) -> dict[str, str]:
    """Amounts as quantities; a resource that one of `listed` names is shown even when it is 0."""
    names = {name for limits in listed for name in limits}
    names.update(name for name in amounts if name not in shown.where_listed)
    return {
        name: format_amount(name, amounts.get(name, 0))
        for name in sorted(names)
        if name not in shown.nowhere
    }
