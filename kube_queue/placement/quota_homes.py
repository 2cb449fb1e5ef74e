"""Which leaf of the quota tree a pod is charged to, and which QueueUnit stands for it.

The leaf is the one the pod's label names; else, where a QueueUnit's job is among what the pod
stands below, the unit's; else the one that lists its namespace; else none, and then no quota
bounds the pod. A label that names no leaf leads nowhere else: such a pod is not placed.

What a pod stands below is its own uid, its controller's, and whatever ``owner_seen`` says of
these: ReplicaSet and Deployment, Job and JobSet, or pod and group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from kube_queue.api.lifecycle import HOLDS_QUOTA
from kube_queue.api.pods import Pod
from kube_queue.api.quota import QuotaTree
from kube_queue.api.units import Unit

_HIGHEST: Final = 16
"""Owners that are climbed; a longer chain is a circle."""


class Home(NamedTuple):
    """Where a pod is charged."""

    leaf: str
    """Path of the leaf; empty: no quota."""
    unit: str
    """uid of the QueueUnit that holds quota for it; empty: none does."""
    preemptible: bool
    problem: str
    """Why it cannot be charged anywhere though it asks for it; or empty."""


NOWHERE: Final = Home("", "", True, "")


class Homes:
    """The tree in effect, the QueueUnits and the owners of pods."""

    def __init__(self) -> None:
        self.tree: QuotaTree | None = None
        self.problem = ""
        """Why the tree that is there cannot be used; then no pod is placed."""
        self.units: dict[str, Unit] = {}
        self._by_job: dict[str, dict[str, Unit]] = {}
        self._owners: dict[str, str] = {}

    def unit_seen(self, old: Unit | None, new: Unit | None) -> set[str]:
        """The QueueUnit is as it says; None: gone. Returns the uids of its job, past and now."""
        jobs = set()
        for unit in (old, new):
            if unit is not None and unit.job is not None:
                jobs.add(unit.job.uid)
                self.units.pop(unit.uid, None)
                self._by_job.get(unit.job.uid, {}).pop(unit.uid, None)
        if new is not None and new.job is not None:
            self.units[new.uid] = new
            self._by_job.setdefault(new.job.uid, {})[new.uid] = new
        for uid in jobs:
            if not self._by_job.get(uid):
                self._by_job.pop(uid, None)
        return jobs

    def owner_seen(self, uid: str, owner: str) -> bool:
        """The object is owned by another; an empty owner: by none. Returns whether that is news."""
        if self._owners.get(uid, "") == owner:
            return False
        if owner:
            self._owners[uid] = owner
        else:
            self._owners.pop(uid, None)
        return True

    def above(self, pod: Pod) -> Iterator[str]:
        """The pod's uid and those of everything it is known to stand below, nearest first."""
        for start in (pod.uid, pod.controller.uid if pod.controller is not None else ""):
            uid = start
            for _ in range(_HIGHEST):
                if not uid:
                    break
                yield uid
                uid = self._owners.get(uid, "")

    def unit_of(self, pod: Pod) -> Unit | None:
        """The QueueUnit whose job the pod is or stands below; one that holds quota goes first."""
        if not self._by_job:
            return None
        found = [unit for uid in self.above(pod) for unit in self._by_job.get(uid, {}).values()]
        return min(found, key=lambda unit: (unit.phase not in HOLDS_QUOTA, unit.uid), default=None)

    def of_unit(self, unit: Unit) -> str:
        """Path of the leaf the unit is charged to; empty: none."""
        namespace = unit.job.namespace if unit.job is not None else unit.namespace
        leaf = self.tree.leaf_for(unit.quota, namespace) if self.tree is not None else None
        return leaf.path if leaf is not None else ""

    def of(self, pod: Pod) -> Home:
        """Where the pod is charged."""
        tree = self.tree
        if tree is None:
            return Home("", "", True, self.problem) if self.problem else NOWHERE
        unit = self.unit_of(pod)
        quota = pod.quota or (unit.quota if unit is not None else "")
        leaf = tree.leaf_for(quota, pod.namespace)
        if leaf is None:
            return Home("", "", True, tree.no_leaf_because(quota, "")) if quota else NOWHERE
        preemptible = pod.preemptible and (unit is None or unit.preemptible)
        holds = unit is not None and unit.phase in HOLDS_QUOTA
        return Home(leaf.path, unit.uid if holds and unit is not None else "", preemptible, "")
