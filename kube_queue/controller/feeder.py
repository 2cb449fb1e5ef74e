"""Puts what the informers see into the cache, and wakes who waits for it.

Informers call it synchronously, so the cache is never older than the informers' copies. It adds
nothing and leaves nothing out; every method may be called twice with the same news.
"""

from __future__ import annotations

from collections.abc import Callable

from kube_queue.admission.place import Places
from kube_queue.api.quota import QuotaTree
from kube_queue.api.resources import ResourceVector
from kube_queue.cache import Cache
from kube_queue.controller.records import QueueRecord, UnitRecord
from kube_queue.kube.informer import Informer


class Feeder:
    """Units and Queues as the informers see them are in the cache, the tree as it is put in force.

    `fed` is called after all news, `wake` after such as gave the cache something to try.
    """

    def __init__(self, cache: Cache, wake: Callable[[], None], fed: Callable[[], None]) -> None:
        self._cache = cache
        self._wake = wake
        self._fed = fed

    def attach(self, units: Informer[UnitRecord], queues: Informer[QueueRecord]) -> None:
        """From now on, and for what is there already, their news reach the cache."""
        queues.add_handler(self.queue_changed)
        units.add_handler(self.unit_changed)

    def unit_changed(self, old: UnitRecord | None, new: UnitRecord | None) -> None:
        """The cache knows the unit as it is now, or that it is gone."""
        if new is not None:
            self._cache.unit_seen(new.unit)
        elif old is not None:
            self._cache.unit_gone(old.uid)
        self._pass_on()

    def queue_changed(self, old: QueueRecord | None, new: QueueRecord | None) -> None:
        """The cache knows the Queue as it is now, or that it is gone."""
        if new is not None:
            self._cache.queue_seen(new.queue)
        elif old is not None:
            self._cache.queue_gone(old.namespace, old.name)
        self._pass_on()

    def tree_in_force(self, tree: QuotaTree | None, places: Places | None = None) -> None:
        """The cache decides by these quotas from now on; None: there are none."""
        self._cache.tree_seen(tree, places)
        self._pass_on()

    def tree_grown(self, tree: QuotaTree, leaf: str) -> None:
        """The cache knows one leaf more."""
        self._cache.tree_grown(tree, leaf)
        self._pass_on()

    def unmanaged_changed(self, quota: str, namespace: str, held: ResourceVector) -> None:
        """The cache knows what pods hold there that no unit stands for."""
        self._cache.unmanaged_seen(quota, namespace, held)
        self._pass_on()

    def _pass_on(self) -> None:
        self._fed()
        if self._cache.has_work():
            self._wake()
