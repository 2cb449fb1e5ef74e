"""Capacity scheduling: what pods are charged to the quota tree, and what they ask of it.

Every pod that takes room counts, whatever scheduler placed it, and so does every pod that room is
kept for. What a QueueUnit holds and its pods do not take yet counts for everybody that no such
unit stands for; the unit's own pods find it free.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kube_queue.api.lifecycle import HOLDS_QUOTA
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.pods import Pod
from kube_queue.api.quota import QuotaTree
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.units import Unit as QueueUnit
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.departures import Departures
from kube_queue.placement.quota_bounds import Demand
from kube_queue.placement.quota_homes import Home, Homes
from kube_queue.placement.quota_sums import QuotaSums, Sum


class Charge(NamedTuple):
    """What one pod is charged."""

    home: Home
    amounts: ResourceVector
    priority: int
    going: bool


@dataclass(frozen=True, slots=True)
class QuotaUsage:
    """What the tree's status says of one node; millicores and whole units."""

    path: str
    used: Mapping[str, int]
    """What admission counts, without nominations."""
    request: Mapping[str, int]
    """That, and what waits."""
    min: Mapping[str, int]
    max: Mapping[str, int]


class Capacity:
    """The charges of all pods. ``Cluster.shared(Capacity)`` is the one of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.homes = Homes()
        self.sums = QuotaSums(None, 1.0)
        self.queue_lives = False
        """Whether a queue controller is there: what units hold counts, and it evicts them whole."""
        self.moved = 0
        """Grows whenever pods that are there are charged elsewhere."""
        self.version = 0
        """Grows whenever what ``usage`` answers may be another."""
        self._rate = 1.0
        self._departures = cluster.shared(Departures)
        self._pods: dict[str, Pod] = {}
        self._charges: dict[str, Charge] = {}
        self._promises: dict[str, tuple[Pod, Charge]] = {}
        self._waiting: dict[str, tuple[Pod, Home]] = {}
        self._asked: dict[str, dict[str, int]] = {}
        """What waits, by leaf."""
        self._promised: dict[str, dict[int, tuple[dict[str, int], dict[str, int]]]] = {}
        """What is promised, by leaf and priority: all, and what is not preemptible."""
        self._taken: dict[str, dict[str, int]] = {}
        """What pods take of the quota of the unit that holds it for them, by its uid."""
        self._kept: dict[str, tuple[str, ResourceVector, bool]] = {}
        """(leaf, amounts, firm) of what counts in the sum KEPT, by uid of the unit."""
        self._leaving: set[str] = set()
        """Units that are told to go, or tried out as gone."""
        self._below: dict[str, set[str]] = {}
        """uids of pods by the uid of everything they stand below."""
        cluster.count(self)

    # --- what was seen --------------------------------------------------------------------------

    def set_tree(
        self, tree: QuotaTree | None, oversell_rate: float = 1.0, problem: str = ""
    ) -> None:
        """This tree is in effect; every pod is charged in it anew. ``problem``: there is a tree,
        but for this reason it cannot be used, and no pod is placed until it can.
        """
        self.homes.tree, self.homes.problem, self._rate = tree, problem, oversell_rate
        self.version += 1
        charged = list(self._pods.values())
        promised = [pod for pod, _ in self._promises.values()]
        waiting = [pod for pod, _ in self._waiting.values()]
        self.sums = QuotaSums(tree, oversell_rate)
        for index in (self._charges, self._promises, self._waiting, self._asked, self._promised):
            index.clear()
        self._taken.clear()
        self._kept.clear()
        for pod in charged:
            self._charge(pod)
        for pod in promised:
            self.pod_promised(pod)
        for pod in waiting:
            self.pod_waits(pod)
        for uid in self.homes.units:
            self._keep(uid)
        self.moved += 1

    def unit_seen(self, old: QueueUnit | None, new: QueueUnit | None) -> None:
        """The QueueUnit is as it says; None: gone."""
        jobs = self.homes.unit_seen(old, new)
        if old is None or new is None or not _charged_alike(old, new):
            self._rehome(jobs)
        for unit in (old, new):
            if unit is not None:
                self._keep(unit.uid)

    def set_queue_lives(self, lives: bool) -> None:
        """A queue controller is there, or has not been for so long that nobody counts on it."""
        if self.queue_lives != lives:
            self.queue_lives = lives
            for uid in self.homes.units:
                self._keep(uid)

    def set_leaving(self, unit: str, leaving: bool) -> None:
        """The unit of this uid is told to go: nothing is kept for pods it has not yet."""
        if leaving:
            self._leaving.add(unit)
        else:
            self._leaving.discard(unit)
        self._keep(unit)

    def owner_seen(self, uid: str, owner: str) -> None:
        """The object of this uid is owned by another; an empty owner: by none."""
        if self.homes.owner_seen(uid, owner):
            self._rehome({uid})

    def pod_waits(self, pod: Pod) -> None:
        """The pod waits for a node; counts as requested, for the tree's status."""
        self.pod_waits_no_more(pod.uid)
        home = self.homes.of(pod)
        self._waiting[pod.uid] = pod, home
        self._ask(home, pod, 1)

    def pod_waits_no_more(self, uid: str) -> None:
        """The pod has a node, or is gone."""
        found = self._waiting.pop(uid, None)
        if found is not None:
            self._ask(found[1], found[0], -1)

    def _ask(self, home: Home, pod: Pod, sign: int) -> None:
        if home.leaf:
            self.version += 1
            asked = self._asked.setdefault(home.leaf, {})
            for name, amount in pod.spec.request.items:
                asked[name] = asked.get(name, 0) + sign * amount

    # --- census ---------------------------------------------------------------------------------

    def pod_counted(self, pod: Pod) -> None:
        self._pods[pod.uid] = pod
        for uid in self.homes.above(pod):
            self._below.setdefault(uid, set()).add(pod.uid)
        self._charge(pod)

    def pod_uncounted(self, pod: Pod) -> None:
        self._pods.pop(pod.uid, None)
        for uid in self.homes.above(pod):
            found = self._below.get(uid)
            if found is not None:
                found.discard(pod.uid)
                if not found:
                    del self._below[uid]
        self._discharge(pod.uid)

    def pod_promised(self, pod: Pod) -> None:
        charge = Charge(self.homes.of(pod), pod.spec.request, pod.priority, False)
        self._promises[pod.uid] = pod, charge
        self._count_promise(charge, 1)

    def pod_unpromised(self, pod: Pod) -> None:
        found = self._promises.pop(pod.uid, None)
        if found is not None:
            self._count_promise(found[1], -1)

    def _charge(self, pod: Pod) -> None:
        amounts = pod.charged or pod.spec.request
        going = self._departures.is_going(pod)
        self._charges[pod.uid] = charge = Charge(self.homes.of(pod), amounts, pod.priority, going)
        self._count(charge, 1)

    def _discharge(self, uid: str) -> None:
        charge = self._charges.pop(uid, None)
        if charge is not None:
            self._count(charge, -1)

    def _count(self, charge: Charge, sign: int) -> None:
        home, amounts = charge.home, charge.amounts
        if not home.leaf:
            return
        self.version += 1
        firm = not home.preemptible
        self.sums.add(home.leaf, Sum.PLACED, amounts.items, sign, firm=firm)
        if charge.going:
            self.sums.add(home.leaf, Sum.GOING, amounts.items, sign, firm=firm)
        self._cover(home, amounts, sign)

    def _count_promise(self, charge: Charge, sign: int) -> None:
        home, amounts = charge.home, charge.amounts
        if not home.leaf:
            return
        firm = not home.preemptible
        self.sums.add(home.leaf, Sum.PROMISED, amounts.items, sign, firm=firm)
        by_priority = self._promised.setdefault(home.leaf, {})
        sums = by_priority.setdefault(charge.priority, ({}, {}))
        for each in sums if firm else sums[:1]:
            for name, amount in amounts.items:
                each[name] = each.get(name, 0) + sign * amount
        if not any(sums[0].values()):
            del by_priority[charge.priority]
        self._cover(home, amounts, sign)

    def _cover(self, home: Home, amounts: ResourceVector, sign: int) -> None:
        if home.unit:
            taken = self._taken.setdefault(home.unit, {})
            for name, amount in amounts.items:
                taken[name] = taken.get(name, 0) + sign * amount
            if not any(taken.values()):
                del self._taken[home.unit]
            self._keep(home.unit)

    def _keep(self, uid: str) -> None:
        """What the unit holds and its pods do not take is in the sum KEPT."""
        former = self._kept.pop(uid, None)
        if former is not None:
            self.version += 1
            self.sums.add(former[0], Sum.KEPT, former[1].items, -1, firm=former[2])
        unit = self.homes.units.get(uid)
        if unit is None:
            self._leaving.discard(uid)
        if unit is None or unit.phase not in HOLDS_QUOTA or not self.queue_lives:
            return
        if unit.evicted or uid in self._leaving:
            return
        leaf, taken = self.homes.of_unit(unit), self._taken.get(uid, {})
        left = {name: held - taken.get(name, 0) for name, held in unit.held.items}
        kept = ResourceVector.of(
            {name: amount for name, amount in left.items() if amount > 0 and name != MAX_JOBS}
        )
        if leaf and kept is not EMPTY:
            self.version += 1
            self._kept[uid] = leaf, kept, not unit.preemptible
            self.sums.add(leaf, Sum.KEPT, kept.items, 1, firm=not unit.preemptible)

    def _rehome(self, uids: Iterable[str]) -> None:
        """Pods below these are charged where they belong now."""
        moving = {pod for uid in uids for pod in self._below.get(uid, ()) if pod in self._pods}
        for uid in moving:
            pod = self._pods[uid]
            if self.homes.of(pod) != self._charges[uid].home:
                self._discharge(uid)
                self._charge(pod)
                self.moved += 1
            for above in self.homes.above(pod):
                self._below.setdefault(above, set()).add(uid)
        for pod, charge in list(self._promises.values()):
            if self.homes.of(pod) != charge.home:
                self.pod_unpromised(pod)
                self.pod_promised(pod)
        for pod, home in list(self._waiting.values()) if self._asked else ():
            if self.homes.of(pod) != home:
                self.pod_waits(pod)

    # --- questions ------------------------------------------------------------------------------

    @property
    def in_effect(self) -> bool:
        """Whether any quota bounds anybody."""
        return bool(self.sums.nodes) or bool(self.homes.problem)

    def home(self, pod: Pod) -> Home:
        """Where the pod is charged, or will be."""
        if self.homes.tree is None:
            return self.homes.of(pod)
        charge = self._charges.get(pod.uid)
        return charge.home if charge is not None else self.homes.of(pod)

    def demand(self, members: Sequence[Pod], waiting: Iterable[Pod] = ()) -> Demand:
        """What these pods ask for together; ``waiting``: all pods of their unit, whose promises
        are theirs.
        """
        asked: dict[str, dict[str, int]] = {}
        firm: dict[str, dict[str, int]] = {}
        kept = False
        homes = [(pod, self.homes.of(pod)) for pod in members]
        for pod, home in homes:
            if not home.leaf:
                continue
            kept |= not home.unit
            for node in self.sums.nodes[home.leaf].chain():
                for sums in (asked, firm) if not home.preemptible else (asked,):
                    of_node = sums.setdefault(node.path, {})
                    for name, amount in pod.spec.request.items:
                        of_node[name] = of_node.get(name, 0) + amount
        deepest = sorted(asked, key=lambda path: (-self.sums.nodes[path].depth, path))
        opened = self._open(homes, waiting) if self._promises else {}
        return Demand({path: asked[path] for path in deepest}, firm, opened, kept)

    def _open(
        self, homes: Sequence[tuple[Pod, Home]], waiting: Iterable[Pod]
    ) -> dict[tuple[str, str, bool], int]:
        """What is promised to the pods themselves, and in their leaves to lower priorities."""
        lowest: dict[str, int] = {}
        for pod, home in homes:
            if home.leaf:
                lowest[home.leaf] = min(lowest.get(home.leaf, pod.priority), pod.priority)
        found: dict[tuple[str, str, bool], int] = {}

        def open_up(leaf: str, amounts: Iterable[tuple[str, int]], firm: bool) -> None:
            for node in self.sums.nodes[leaf].chain():
                for name, amount in amounts:
                    key = node.path, name, firm
                    found[key] = found.get(key, 0) + amount

        for leaf, priority in lowest.items():
            for each, (all_, firm) in self._promised.get(leaf, {}).items():
                if each < priority:
                    open_up(leaf, all_.items(), False)
                    open_up(leaf, firm.items(), True)
        own = {pod.uid: pod for pod in (*waiting, *(pod for pod, _ in homes))}
        for uid in own:
            kept = self._promises.get(uid)
            if kept is None or not kept[1].home.leaf:
                continue
            charge = kept[1]
            if charge.priority < lowest.get(charge.home.leaf, charge.priority):
                continue  # Opened up with its priority.
            open_up(charge.home.leaf, charge.amounts.items, False)
            if not charge.home.preemptible:
                open_up(charge.home.leaf, charge.amounts.items, True)
        return found

    def usage(self) -> dict[str, QuotaUsage]:
        """The numbers of every node for the tree's status, by path, parents before children."""
        waiting: dict[str, dict[str, int]] = {path: {} for path in self.sums.nodes}
        for leaf, asked in self._asked.items():
            for node in self.sums.nodes[leaf].chain():
                of_node = waiting[node.path]
                for name, amount in asked.items():
                    of_node[name] = of_node.get(name, 0) + amount
        found: dict[str, QuotaUsage] = {}
        for path, node in self.sums.nodes.items():
            used = _sum(node.all[Sum.PLACED], node.all[Sum.KEPT])
            request = _sum(used, waiting[path])
            found[path] = QuotaUsage(path, used, request, node.limits.min, node.limits.max)
        return found

    def paths(self) -> tuple[str, ...]:
        """Every node's path, parents before children."""
        return tuple(self.sums.nodes)


def _sum(*amounts: Mapping[str, int]) -> dict[str, int]:
    """What they are together, without what is 0."""
    total: dict[str, int] = {}
    for each in amounts:
        for name, amount in each.items():
            total[name] = total.get(name, 0) + amount
    return {name: amount for name, amount in total.items() if amount}


def _charged_alike(old: QueueUnit, new: QueueUnit) -> bool:
    return (old.job, old.quota, old.preemptible, old.phase in HOLDS_QUOTA) == (
        new.job,
        new.quota,
        new.preemptible,
        new.phase in HOLDS_QUOTA,
    )
