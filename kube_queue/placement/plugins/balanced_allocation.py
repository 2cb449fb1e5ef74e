"""NodeResourcesBalancedAllocation: rather a node whose cpu and memory the pod evens out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kube_queue.api.pods import PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import IntColumn, Rows
from kube_queue.placement.framework import MAX_SCORE
from kube_queue.placement.plugins.resources_fit import COMPARED, Amount


class NodeResourcesBalancedAllocation:
    """Scores by how much more alike the shares taken of cpu and memory are with the pod: 75 where
    they are as they were, less where it sets them apart.
    """

    name = "NodeResourcesBalancedAllocation"
    weight = 1

    def __init__(self, cluster: Cluster) -> None:
        self._columns = cluster.columns

    def resource_scores(self, spec: PodSpec, rows: Rows | slice) -> IntColumn:
        asked = tuple(spec.request[name] for name in COMPARED)
        if not any(asked):
            # Pods that ask for nothing would all go to the same node.
            return np.zeros_like(self._columns.allocatable(COMPARED[0])[rows])
        without = self._balances(rows, (0,) * len(COMPARED))
        return _score(self._balances(rows, asked), without)

    def resource_score(self, spec: PodSpec, row: int) -> int:
        asked = tuple(spec.request[name] for name in COMPARED)
        if not any(asked):
            return 0
        has = [self._columns.has(row, name) for name in COMPARED]
        if min(has) <= 0:
            return _score(MAX_SCORE, MAX_SCORE)
        takes = [self._columns.takes(row, name) for name in COMPARED]
        then = [taken + amount for taken, amount in zip(takes, asked, strict=True)]
        return _score(_balance(then, has), _balance(takes, has))

    def _balances(self, rows: Rows | slice, more: tuple[int, ...]) -> IntColumn:
        """100 where the shares are alike, 50 where one is nothing and the other all."""
        first, second = (self._columns.allocatable(name)[rows] for name in COMPARED)
        shares = [
            np.minimum((self._columns.used(name)[rows] + amount) / np.maximum(has, 1), 1.0)
            for name, amount, has in zip(COMPARED, more, (first, second), strict=True)
        ]
        # Of two shares the standard deviation is half their distance; one share has none.
        deviation = np.abs(shares[0] - shares[1]) / 2
        deviation[(first <= 0) | (second <= 0)] = 0.0
        balance: IntColumn = ((1.0 - deviation) * MAX_SCORE).astype(np.int64)
        return balance


def _balance(takes: Sequence[int], has: Sequence[int]) -> int:
    """The balance of one row that has some of both."""
    first, second = (min(taken / each, 1.0) for taken, each in zip(takes, has, strict=True))
    return int((1.0 - abs(first - second) / 2) * MAX_SCORE)


def _score(balance: Amount, without: Amount) -> Amount:
    return MAX_SCORE // 2 + (MAX_SCORE // 2 + balance - without) // 2
