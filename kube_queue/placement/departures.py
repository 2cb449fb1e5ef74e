"""Which pods are on their way out: deleted, or told to go by a decision that is being carried out.

What they take will be free. One that is still there a minute after its grace period is stuck and
counts like any other pod: waiting for it may take for ever.
"""

from __future__ import annotations

import heapq
from typing import Final

from kube_queue.api.pods import Pod
from kube_queue.placement.cluster import Cluster

PATIENCE: Final = 60.0
"""Seconds after the end of its grace period for which a pod is believed to be going."""
_MICROSECONDS: Final = 1_000_000


class Departures:
    """Pods that are on their way out. ``Cluster.shared(Departures)`` is the one of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._told: set[str] = set()
        self._stuck: set[str] = set()
        self._due: list[tuple[float, str]] = []
        self._deleted: set[str] = set()

    def is_going(self, pod: Pod) -> bool:
        """Whether the pod is on its way out."""
        told = bool(self._told) and pod.uid in self._told
        return bool(pod.deletion or told) and pod.uid not in self._stuck

    def seen(self, pod: Pod) -> None:
        """The pod is as it says."""
        if pod.deletion and pod.uid not in self._deleted:
            self._deleted.add(pod.uid)
            heapq.heappush(self._due, (pod.deletion / _MICROSECONDS + PATIENCE, pod.uid))

    def gone(self, uid: str) -> None:
        """The pod takes no room any more."""
        for uids in (self._told, self._stuck, self._deleted):
            uids.discard(uid)

    def tell(self, uid: str) -> None:
        """A decision tells the pod to go."""
        if uid not in self._told:
            self._told.add(uid)
            self._recount(uid)

    def stays(self, uid: str) -> None:
        """Nobody tells the pod to go any more; one that is deleted goes all the same."""
        if uid in self._told:
            self._told.discard(uid)
            self._recount(uid)

    def tick(self, now: float) -> bool:
        """Returns whether a pod turned out to be stuck since the last time."""
        found = False
        while self._due and self._due[0][0] <= now:
            _, uid = heapq.heappop(self._due)
            if uid in self._deleted and uid not in self._stuck:
                self._stuck.add(uid)
                self._recount(uid)
                found = True
        return found

    def next_tick(self) -> float | None:
        """When ``tick`` may find something."""
        return self._due[0][0] if self._due else None

    def _recount(self, uid: str) -> None:
        placed = self._cluster.forget(uid)
        if placed is not None:
            self._cluster.put_back(placed)
