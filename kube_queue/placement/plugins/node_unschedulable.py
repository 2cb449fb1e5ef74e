"""NodeUnschedulable: a cordoned node takes only pods that tolerate its being cordoned."""

from __future__ import annotations

from typing import Final

from kube_queue.api.node_selectors import NO_SCHEDULE, Taint
from kube_queue.api.nodes import Node
from kube_queue.api.pods import PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.verdict import Refusal

_CORDON: Final = Taint("node.kubernetes.io/unschedulable", "", NO_SCHEDULE)


class NodeUnschedulable:
    """Filters by ``spec.unschedulable``, and nodes whose status cannot be read."""

    name = "NodeUnschedulable"

    def __init__(self, cluster: Cluster) -> None:
        self._cordoned = Refusal(self.name, "node(s) were unschedulable", unresolvable=True)

    def filters_nodes_for(self, spec: PodSpec) -> bool:
        return True

    def node_refusal(self, spec: PodSpec, node: Node) -> Refusal | None:
        if node.invalid:
            return Refusal(self.name, f"node(s) cannot be read: {node.invalid}", unresolvable=True)
        if node.cordoned and not any(each.tolerates(_CORDON) for each in spec.tolerations):
            return self._cordoned
        return None
