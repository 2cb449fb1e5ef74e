"""TaintToleration: taints keep pods away, and PreferNoSchedule makes a node a worse choice."""

from __future__ import annotations

from typing import Final

from kube_queue.api.node_selectors import (
    NO_EXECUTE,
    NO_SCHEDULE,
    PREFER_NO_SCHEDULE,
    untolerated,
)
from kube_queue.api.nodes import Node
from kube_queue.api.pods import PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import IntColumn
from kube_queue.placement.plugins.normalising import best_is_least
from kube_queue.placement.verdict import Refusal

_HARD: Final = frozenset({NO_SCHEDULE, NO_EXECUTE})


class TaintToleration:
    """Filters and scores by the taints a pod does not tolerate."""

    name = "TaintToleration"
    weight = 3

    def __init__(self, cluster: Cluster) -> None:
        pass

    def filters_nodes_for(self, spec: PodSpec) -> bool:
        return True

    def node_refusal(self, spec: PodSpec, node: Node) -> Refusal | None:
        if not node.taints:
            return None
        taint = untolerated(node.taints, spec.tolerations, _HARD)
        if taint is None:
            return None
        # The same sentence for one taint is the same reason for every node that has it.
        reason = f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
        return Refusal(self.name, reason, unresolvable=True)

    def scores_nodes_for(self, spec: PodSpec) -> bool:
        return True

    def node_score(self, spec: PodSpec, node: Node) -> int:
        """How many PreferNoSchedule taints are not tolerated: fewer is better."""
        if not node.taints:
            return 0
        soft = [each for each in spec.tolerations if each.effect in ("", PREFER_NO_SCHEDULE)]
        return sum(
            taint.effect == PREFER_NO_SCHEDULE and not any(each.tolerates(taint) for each in soft)
            for taint in node.taints
        )

    def normalised(self, raw: IntColumn) -> IntColumn:
        return best_is_least(raw)
