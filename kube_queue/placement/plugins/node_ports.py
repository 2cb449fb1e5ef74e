"""NodePorts: a host port of a node is taken by one pod at a time."""

from __future__ import annotations

import numpy as np

from kube_queue.api.nodes import Node
from kube_queue.api.pods import HostPort, Pod
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.framework import Refusals
from kube_queue.placement.verdict import Refusal

_ANY = "0.0.0.0"


class NodePorts:
    """Filters pods with host ports by the host ports that are taken."""

    name = "NodePorts"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._taken: dict[tuple[str, int], dict[int, dict[str, int]]] = {}
        """By protocol and port, row and address: how many pods have it."""
        self._refusal = Refusal(
            self.name, "node(s) didn't have free ports for the requested pod ports"
        )
        cluster.follow(self)

    def filters_by_pods(self, pod: Pod) -> bool:
        return bool(pod.spec.host_ports)

    def refusals(self, pod: Pod) -> Refusals:
        codes = np.zeros(self._cluster.columns.rows, np.int16)
        for port in pod.spec.host_ports:
            for row, addresses in self._taken.get((port.protocol, port.port), {}).items():
                if _collides(port, addresses):
                    codes[row] = 1
        return Refusals(codes, (self._refusal,))

    def row_refusal(self, pod: Pod, row: int) -> Refusal | None:
        for port in pod.spec.host_ports:
            addresses = self._taken.get((port.protocol, port.port), {}).get(row)
            if addresses and _collides(port, addresses):
                return self._refusal
        return None

    def pod_added(self, pod: Pod, row: int) -> None:
        for port in pod.spec.host_ports:
            rows = self._taken.setdefault((port.protocol, port.port), {})
            addresses = rows.setdefault(row, {})
            addresses[port.ip] = addresses.get(port.ip, 0) + 1

    def pod_removed(self, pod: Pod, row: int) -> None:
        for port in pod.spec.host_ports:
            rows = self._taken[port.protocol, port.port]
            addresses = rows[row]
            addresses[port.ip] -= 1
            if not addresses[port.ip]:
                del addresses[port.ip]
            if not addresses:
                del rows[row]
            if not rows:
                del self._taken[port.protocol, port.port]

    def node_changed(self, row: int, old: Node | None, new: Node | None) -> None:
        """Ports belong to pods alone."""


def _collides(port: HostPort, addresses: dict[str, int]) -> bool:
    return port.ip == _ANY or _ANY in addresses or port.ip in addresses
