"""What the status of a Queue and of the quota tree says, for whoever decides about units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kube_queue.api.conditions import QueueCondition, rfc3339, set_condition
from kube_queue.api.reasons import Reason
from kube_queue.api.types import QUEUES
from kube_queue.cache import Cache, QueueItem
from kube_queue.controller.records import QueueRecord, TreeRecord, conditions_manifest
from kube_queue.controller.status import Key, Wanted
from kube_queue.controller.tree_status import tree_wanted
from kube_queue.controller.trees import TreeKeeper
from kube_queue.kube.informer import Informer


class Statuses:
    """The status each Queue and each tree should have, from memory.

    Without `owns_trees` somebody else writes that of trees.
    """

    def __init__(
        self,
        cache: Cache,
        queues: Informer[QueueRecord],
        trees: Informer[TreeRecord],
        keeper: TreeKeeper,
        clock: Callable[[], float],
        *,
        owns_trees: bool,
    ) -> None:
        self._cache = cache
        self._queues = queues
        self._trees = trees
        self._keeper = keeper
        self._clock = clock
        self._owns_trees = owns_trees

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

    def _of_tree(self, record: TreeRecord) -> Wanted | None:
        if not self._owns_trees:
            return None
        return tree_wanted(record, self._keeper, self._cache.quota_status, self._clock())


def _item_words(item: QueueItem) -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "name": item.name,
        "position": item.position,
        "priority": item.priority,
    }
