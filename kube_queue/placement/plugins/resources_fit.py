"""NodeResourcesFit's scores. What fits is the framework's own affair (``Columns.fit``)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod, PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import Columns, IntColumn, Rows
from kube_queue.placement.framework import MAX_SCORE

COMPARED = ("cpu", "memory")
"""Resources by which nodes are compared, each of weight 1."""

Amount = TypeVar("Amount", int, IntColumn)


class Weights:
    """What each row's pods count for when nodes are compared: a pod that asks for none of a
    resource counts for a little of it, as kube-scheduler's do.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._extra = Columns()
        self._rows = 0
        cluster.follow(self)

    def extra(self, index: int, rows: Rows | slice) -> IntColumn:
        """What is counted of COMPARED[index] besides what is really taken."""
        return self._extra.used(COMPARED[index])[rows]

    def extra_of(self, index: int, row: int) -> int:
        """The same of one row."""
        return self._extra.takes(row, COMPARED[index])

    def pod_added(self, pod: Pod, row: int) -> None:
        self._count(pod, row, 1)

    def pod_removed(self, pod: Pod, row: int) -> None:
        self._count(pod, row, -1)

    def node_changed(self, row: int, old: Node | None, new: Node | None) -> None:
        while self._extra.rows <= row:
            self._extra.add_row()

    def _count(self, pod: Pod, row: int, sign: int) -> None:
        for name, weight in zip(COMPARED, pod.spec.weight, strict=True):
            more = weight - pod.spec.request[name]
            if more > 0:
                self._extra.used(name)[row] += sign * more


class _Allocated:
    weight = 1

    def __init__(self, cluster: Cluster) -> None:
        self._columns = cluster.columns
        self._weights = Weights(cluster)

    def resource_scores(self, spec: PodSpec, rows: Rows | slice) -> IntColumn:
        total: IntColumn | None = None
        counted: IntColumn | None = None
        for index, name in enumerate(COMPARED):
            has = self._columns.allocatable(name)[rows]
            takes = self._columns.used(name)[rows] + self._weights.extra(index, rows)
            takes = takes + spec.weight[index]
            there = has > 0
            score = np.where(there & (takes <= has), _hundredths(self._part(has, takes), has), 0)
            total = score if total is None else total + score
            counted = there.astype(np.int64) if counted is None else counted + there
        assert total is not None
        assert counted is not None
        return total // np.maximum(counted, 1)

    def resource_score(self, spec: PodSpec, row: int) -> int:
        total = counted = 0
        columns, weights = self._columns, self._weights
        for index, name in enumerate(COMPARED):
            has = columns.has(row, name)
            if has > 0:
                counted += 1
                takes = columns.takes(row, name) + weights.extra_of(index, row)
                takes += spec.weight[index]
                if takes <= has:
                    total += max(self._part(has, takes), 0) * MAX_SCORE // has
        return total // max(counted, 1)

    def _part(self, has: Amount, takes: Amount) -> Amount:
        """What of the node is counted in its favour."""
        raise NotImplementedError


class LeastAllocated(_Allocated):
    """The emptier, the better."""

    name = "NodeResourcesFit"

    def _part(self, has: Amount, takes: Amount) -> Amount:
        return has - takes


class MostAllocated(_Allocated):
    """The fuller, the better: nodes are filled one after another."""

    name = "NodeResourcesFit"

    def _part(self, has: Amount, takes: Amount) -> Amount:
        return takes


def _hundredths(part: IntColumn, whole: IntColumn) -> IntColumn:
    """part / whole in hundredths, rounded down; exact below 2^56, and near enough above."""
    if len(whole) and int(whole.max()) >= 2**56:
        part, whole = part >> 7, whole >> 7
    return np.maximum(part, 0) * MAX_SCORE // np.maximum(whole, 1)
