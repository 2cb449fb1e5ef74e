"""What the status of a Queue and of the quota tree says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kube_queue.admission import NodeUsage
from kube_queue.api.conditions import QueueCondition, TreeCondition, rfc3339, set_condition
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.quota import QuotaTree
from kube_queue.api.reasons import Reason
from kube_queue.api.resources import format_amount
from kube_queue.api.types import ELASTIC_QUOTA_TREES, QUEUES
from kube_queue.cache import Cache, QueueItem
from kube_queue.controller.queueing.status import Key, Wanted
from kube_queue.controller.records import (
    QueueRecord,
    TreeRecord,
    conditions_manifest,
)
from kube_queue.controller.trees import TreeKeeper
from kube_queue.kube.informer import Informer


class Statuses:
    """The status each Queue and each tree should have, from memory."""

    def __init__(
        self,
        cache: Cache,
        queues: Informer[QueueRecord],
        trees: Informer[TreeRecord],
        keeper: TreeKeeper,
        clock: Callable[[], float],
    ) -> None:
        self._cache = cache
        self._queues = queues
        self._trees = trees
        self._keeper = keeper
        self._clock = clock

    def wanted(self, key: Key, *, hurried: bool) -> Wanted | None:
        """See status.Source."""
        plural, namespace, name = key
        if plural == QUEUES.plural:
            queue = self._queues.get(namespace, name)
            return None if queue is None else self._of_queue(queue, hurried=hurried)
        tree = self._trees.get(namespace, name)
        return None if tree is None else self._of_tree(tree)

    def _of_queue(self, record: QueueRecord, *, hurried: bool) -> Wanted | None:
        counts = self._cache.queue_status(record.queue.key)
        if counts is None:
            return None
        status: dict[str, Any] = {
            "pending": counts.pending,
            "reserved": counts.reserved,
            "admitted": counts.admitted,
            "head": counts.head,
            "queueItemDetails": None if hurried else [_item_words(one) for one in counts.items],
        }
        queue = record.queue
        # A Queue that never named an unknown policy is not told that it did not.
        if counts.notice or record.conditions:
            known, wrong = not counts.notice, Reason.INVALID_THRESHOLD
            if queue.policy_unknown:
                wrong = Reason.UNKNOWN_POLICY
            status["conditions"] = set_condition(
                conditions_manifest(record.conditions),
                QueueCondition.POLICY_KNOWN,
                known,
                Reason.POLICY_KNOWN if known else wrong,
                "The queue is served by the policy it names." if known else counts.notice,
                rfc3339(self._clock()),
            )
        return Wanted(QUEUES, queue.namespace, queue.name, queue.uid, status, record.written)

    def _of_tree(self, record: TreeRecord) -> Wanted:
        verdict = self._keeper.verdict(record)
        status: dict[str, Any] = {
            "conditions": set_condition(
                conditions_manifest(record.conditions),
                TreeCondition.VALID,
                verdict.valid,
                verdict.reason,
                verdict.message,
                rfc3339(self._clock()),
            )
        }
        tree = self._keeper.in_force
        if tree is not None and tree.uid == record.uid:
            root = node_status(tree, tree.root, self._cache.quota_status())
            # A merge patch adds to the maps that stand: what left the tree has to be named.
            for sums in (root["used"], root["request"]):
                sums.update({name: None for name in record.shown if name not in sums})
            status["root"] = root
        return Wanted(
            ELASTIC_QUOTA_TREES, record.namespace, record.name, record.uid, status, record.written
        )


def node_status(tree: QuotaTree, path: str, usage: Mapping[str, NodeUsage]) -> dict[str, Any]:
    """What a node and all below it use and ask for, in the form of the manifest."""
    node = tree.nodes[path]
    sums = usage[path]
    status: dict[str, Any] = {
        "name": node.name,
        "namespaces": list(node.namespaces),
        "used": amounts_manifest(sums.used, node.max, node.min),
        "request": amounts_manifest(sums.request, node.max, node.min),
    }
    children = [node_status(tree, child, usage) for child in node.children]
    status["children"] = children or None
    return status


def _item_words(item: QueueItem) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "name": item.name,
        "position": item.position,
        "priority": item.priority,
    }


def amounts_manifest(amounts: Mapping[str, int], *listed: Mapping[str, int]) -> dict[str, str]:
    """Amounts as quantities; a resource that one of `listed` names is shown even when it is 0.

    The number of jobs is shown only where it is listed: elsewhere nobody asked for it.
    """
    names = {name for limits in listed for name in limits}
    names.update(name for name in amounts if name != MAX_JOBS)
    return {name: format_amount(name, amounts.get(name, 0)) for name in sorted(names)}
