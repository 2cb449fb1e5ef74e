"""NodeAffinity: nodeSelector, required and preferred node affinity."""

from __future__ import annotations

from kube_queue.api.nodes import Node
from kube_queue.api.pods import PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import IntColumn
from kube_queue.placement.plugins.normalising import best_is_most
from kube_queue.placement.verdict import Refusal


class NodeAffinity:
    """Filters by what the pod requires of a node's labels and scores by what it prefers."""

    name = "NodeAffinity"
    weight = 2

    def __init__(self, cluster: Cluster) -> None:
        self._refusal = Refusal(
            self.name, "node(s) didn't match Pod's node affinity/selector", unresolvable=True
        )

    def filters_nodes_for(self, spec: PodSpec) -> bool:
        return bool(spec.node_selector) or spec.node_terms is not None

    def node_refusal(self, spec: PodSpec, node: Node) -> Refusal | None:
        return None if matches_node(spec, node) else self._refusal

    def scores_nodes_for(self, spec: PodSpec) -> bool:
        return bool(spec.preferred_nodes)

    def node_score(self, spec: PodSpec, node: Node) -> int:
        return sum(
            each.weight
            for each in spec.preferred_nodes
            if each.term.matches(node.name, node.labels)
        )

    def normalised(self, raw: IntColumn) -> IntColumn:
        return best_is_most(raw)


def matches_node(spec: PodSpec, node: Node) -> bool:
    """Whether the pod's node selector and required node affinity allow the node."""
    labels = node.labels
    if any(labels.get(key) != value for key, value in spec.node_selector):
        return False
    if spec.node_terms is None:
        return True
    return any(term.matches(node.name, labels) for term in spec.node_terms)
