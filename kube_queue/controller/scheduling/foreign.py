"""Which nodes somebody else changed since something was decided about them."""

from __future__ import annotations

from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod
from kube_queue.cache.placing import PlacementCache


class ForeignChanges:
    """Counts changes of nodes that this scheduler did not make itself.

    The API server does not look at a node's room when it binds a pod, so whoever is about to bind
    has to look again at a node that another scheduler, a kubelet or a person touched meanwhile.
    """

    def __init__(self, cache: PlacementCache) -> None:
        self.count = 0
        """How many there were so far; what is decided now is decided with all of them."""
        self._cache = cache
        self._last: dict[str, int] = {}

    def pod_seen(self, new: Pod | None) -> None:
        """To be called before the cache is told: is it news that the pod stands there?"""
        if new is None or not new.takes_room:
            return
        known = self._cache.cluster.placed(new.uid)
        if known is None or known.node != new.node or not _same_charge(known.pod, new):
            self._note(new.node)

    def node_seen(self, old: Node | None, new: Node | None) -> None:
        """Whether it is news is told by the two."""
        node = new or old
        if node is not None and (old is None or new is None or not old.same_place(new)):
            self._note(node.name)
        if new is None and node is not None:
            self._last.pop(node.name, None)

    def since(self, node: str, count: int) -> bool:
        """Whether the node changed after so many changes, or is gone."""
        return self._last.get(node, self.count + 1) > count

    def _note(self, node: str) -> None:
        self.count += 1
        self._last[node] = self.count


def _same_charge(known: Pod, new: Pod) -> bool:
    # A pod that was assumed takes what it requests; what it is charged for is the same or more.
    return known.charged == new.charged
