"""Puts what the informers see into the placement cache, and wakes the loop.

Informers call it synchronously, so the cache is never older than the informers' copies.
"""

from __future__ import annotations

from collections.abc import Callable

from kube_queue.api.gangs import PodGroup
from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod
from kube_queue.cache.placing import PlacementCache
from kube_queue.controller.scheduling.foreign import ForeignChanges


class PlacementFeeder:
    """Handlers of informers; `wake` is called after every piece of news that may matter."""

    def __init__(
        self,
        cache: PlacementCache,
        foreign: ForeignChanges,
        clock: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._cache = cache
        self._foreign = foreign
        self._clock = clock
        self._wake = wake

    def pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        """The cache knows the pod as it is now, or that it is gone."""
        self._foreign.pod_seen(new)
        self._cache.pod_seen(old, new, self._clock())
        self._wake()

    def node_changed(self, old: Node | None, new: Node | None) -> None:
        """The cache knows the node as it is now, or that it is gone."""
        self._foreign.node_seen(old, new)
        if new is not None:
            self._cache.node_seen(new, self._clock())
        elif old is not None:
            self._cache.node_gone(old.name, self._clock())
        self._wake()

    def group_changed(self, old: PodGroup | None, new: PodGroup | None) -> None:
        """The cache knows the PodGroup as it is now, or that it is gone."""
        self._cache.group_seen(old, new, self._clock())
        self._wake()
