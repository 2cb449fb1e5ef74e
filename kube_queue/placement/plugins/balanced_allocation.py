"""NodeResourcesBalancedAllocation: rather a node whose cpu and memory are taken alike."""

from __future__ import annotations

import numpy as np

from kube_queue.api.pods import PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import IntColumn, Rows
from kube_queue.placement.framework import MAX_SCORE
from kube_queue.placement.plugins.resources_fit import COMPARED


class NodeResourcesBalancedAllocation:
    """Scores by the deviation of the shares of cpu and memory that would be taken."""

    name = "NodeResourcesBalancedAllocation"
    weight = 1

    def __init__(self, cluster: Cluster) -> None:
        self._columns = cluster.columns

    def resource_scores(self, spec: PodSpec, rows: Rows | slice) -> IntColumn:
        shares = []
        for name in COMPARED:
            has = self._columns.allocatable(name)[rows]
            takes = self._columns.used(name)[rows] + spec.request[name]
            shares.append(np.minimum(takes / np.maximum(has, 1), 1.0))
        # Of two shares the standard deviation is half their distance.
        deviation = np.abs(shares[0] - shares[1]) / 2
        scores: IntColumn = ((1.0 - deviation) * MAX_SCORE).astype(np.int64)
        return scores

    def resource_score(self, spec: PodSpec, row: int) -> int:
        shares = []
        for name in COMPARED:
            takes = self._columns.takes(row, name) + spec.request[name]
            shares.append(min(takes / max(self._columns.has(row, name), 1), 1.0))
        return int((1.0 - abs(shares[0] - shares[1]) / 2) * MAX_SCORE)
