"""Whose leaving makes room for a unit: tried out on the cluster itself, and taken back.

::

    quota pass      until the tree has room: the picks of the rule, one after another
    placing         every member that is needed, in one domain
    node pass       where a member finds no node: the picks on the node where least harm is done
    giving back     each pick that turned out unnecessary stays, the last one first

Who is on the way out already counts as gone, so that nobody leaves for what will be free anyway.
If any step fails nobody leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Protocol

import numpy as np

from kube_queue.api.pods import Pod
from kube_queue.placement.budgets import Budgets, Spending
from kube_queue.placement.cluster import Placed
from kube_queue.placement.columns import Mask, both
from kube_queue.placement.framework import Preemption
from kube_queue.placement.gangs import Gangs
from kube_queue.placement.placing import Placer, unplaceable
from kube_queue.placement.quota import Capacity
from kube_queue.placement.quota_bounds import Demand, Shortage, shortages
from kube_queue.placement.row_search import CANDIDATES, MOST_ROWS, Harm, RowPlan, in_turn
from kube_queue.placement.topology import constraint_of, domains, pinned
from kube_queue.placement.units import Unit
from kube_queue.placement.verdict import Refusal
from kube_queue.placement.victims import Pick, Victims


class Rule(Protocol):
    """Who may be made to leave for whom."""

    reclaims: bool
    minimal: bool
    """Whether nobody of a row's plan could stay."""

    def begin(self, search: Search, pod: Pod) -> None:
        """Rows are about to be asked about for the pod, on the cluster as it is."""

    def of_quota(self, search: Search, shortages: Sequence[Shortage]) -> Pick | None:
        """The next pick for limits that have no room; None: there is none."""

    def may_free(self, search: Search, pod: Pod, name: str) -> np.ndarray:
        """How much of the resource each row could at most get free."""

    def row_plan(self, search: Search, pod: Pod, row: int) -> RowPlan | None:
        """What has to leave the row so that the pod fits; the cluster is the same afterwards."""

    def best_plan(self, search: Search, pod: Pod, within: Mask | None) -> RowPlan | None:
        """The plan that does least harm, of as many of the search's candidates as are looked at
        closely. ``within``: only these rows.
        """


class Room:
    """Everything that is asked when room is made on one cluster."""

    def __init__(self, placer: Placer, gangs: Gangs) -> None:
        self.placer = placer
        self.gangs = gangs
        self.cluster = placer.cluster
        self.capacity = self.cluster.shared(Capacity)
        self.victims = self.cluster.shared(Victims)
        self.budgets = self.cluster.shared(Budgets)
        self.spared: frozenset[str] = frozenset()
        """uids of pods that could not be evicted for the unit that is decided about."""
        self.open: Mask | None = None
        """Rows that are not kept for others against that unit; None: all."""
        self.turn = 0
        """The row after the one chosen last: candidates are looked at in turn."""
        self.more = False
        """Whether candidates are left that were not looked at."""

    def begin(self, spared: frozenset[str], is_open: Mask | None) -> None:
        """Another unit is decided about."""
        self.spared, self.open, self.more = spared, is_open, False


class Journal:
    """What was taken off the cluster and put on it on trial."""

    def __init__(self, room: Room) -> None:
        self._cluster = room.cluster
        self._capacity = room.capacity
        self._placed: dict[str, Placed] = {}
        self._assumed: dict[str, Pod] = {}
        self._units: dict[str, None] = {}

    def take(self, pods: Iterable[Pod], unit: str = "") -> None:
        """The pods are gone."""
        if unit:
            self._units[unit] = None
            self._capacity.set_leaving(unit, True)
        for pod in pods:
            placed = self._cluster.forget(pod.uid)
            if placed is not None:
                self._placed[pod.uid] = placed

    def give_back(self, pods: Iterable[Pod], unit: str = "") -> None:
        """They are there again."""
        for pod in pods:
            placed = self._placed.pop(pod.uid, None)
            if placed is not None:
                self._cluster.put_back(placed)
        if self._units.pop(unit, self) is None:
            self._capacity.set_leaving(unit, False)

    def assume(self, pod: Pod, node: str) -> None:
        """The pod is on the node."""
        self._cluster.assume(pod, node)
        self._assumed[pod.uid] = pod

    def unassume(self, pod: Pod) -> None:
        """It is not any more."""
        self._cluster.forget(pod.uid)
        self._assumed.pop(pod.uid, None)

    def back(self) -> None:
        """Everything is as it was."""
        for pod in list(self._assumed.values()):
            self.unassume(pod)
        for placed in reversed(self._placed.values()):
            self._cluster.put_back(placed)
        self._placed.clear()
        for unit in self._units:
            self._capacity.set_leaving(unit, False)
        self._units.clear()


class Search:
    """The search for what has to leave for the members of one unit."""

    def __init__(self, room: Room, unit: Unit, members: Sequence[Pod], rule: Rule) -> None:
        self.room = room
        self.unit = unit
        self.members = members
        self.rule = rule
        self.demand = room.capacity.demand(members, unit.members())
        self.spending = Spending(room.budgets)
        self.journal = Journal(room)
        self.picks: list[Pick] = []
        self._nodes: dict[str, int] = {}
        """Row by uid of members that are on trial there."""
        self._own = {pod.uid for pod in (*unit.members(), *unit.placed())}
        self._settling: set[int] = set()
        """Rows that those on their way out were taken off."""

    def run(self) -> Preemption | None:
        """Who has to leave, and where the members then go; the cluster is the same afterwards."""
        try:
            if any(unplaceable(pod) is not None for pod in self.members):
                return None
            if not self._make_quota():
                return None
            alone = len(self.members) == 1 and not self.unit.constraint
            if alone and self.rule.minimal and not self.picks and not self.unit.domain_key:
                return self._on_one_row(self.members[0])
            if not self._place():
                return None
            self._give_back()
            return self._preemption() if self.picks else None
        finally:
            self.journal.back()

    # --- picks ----------------------------------------------------------------------------------

    def take(self, pick: Pick) -> None:
        """The pick leaves."""
        self.picks.append(pick)
        self.spending.spend(pick.pods)
        self.journal.take(pick.pods, pick.unit)

    def untake(self, pick: Pick) -> None:
        """The pick stays after all."""
        self.picks.remove(pick)
        self.spending.spend(pick.pods, -1)
        self.journal.give_back(pick.pods, pick.unit)

    def is_own(self, pod: Pod) -> bool:
        """Whether the pod belongs to the unit itself."""
        return pod.uid in self._own

    # --- steps ----------------------------------------------------------------------------------

    def _make_quota(self) -> bool:
        sums = self.room.capacity.sums
        while True:
            found = tuple(shortages(sums, self.demand, settled=True))
            if not found:
                return True
            pick = self.rule.of_quota(self, found)
            if pick is None:
                return False
            self.take(pick)

    def _on_one_row(self, pod: Pod) -> Preemption | None:
        """The plan of one row is all there is to do, and needs not be tried out."""
        if self.room.placer.choose(pod, self.room.open) >= 0:
            return None
        plan = self._best_row(pod, self.room.open)
        if plan is None or not plan.picks:
            return None
        self.picks += plan.picks
        self._nodes[pod.uid] = plan.row
        return self._preemption()

    def _place(self) -> bool:
        where = self._domains()
        if where is None:
            return self._place_in(self.room.open)
        best: tuple[Harm, Mask | None] | None = None
        for name, rows in where[:CANDIDATES]:
            before = len(self.picks)
            if self._place_in(rows):
                picks = self.picks[before:]
                pods = [pod for pick in picks for pod in pick.pods]
                harm: Harm = (Spending(self.room.budgets).violations(pods), len(pods), *name)
                if best is None or harm < best[0]:
                    best = harm, rows
            self._unplace(before)
        return best is not None and self._place_in(best[1])

    def _domains(self) -> list[tuple[tuple[str, ...], Mask]] | None:
        constraint = constraint_of(self.unit)
        if constraint is None:
            return None
        if isinstance(constraint, Refusal):
            return []
        cluster = self.room.cluster
        found = pinned(domains(cluster, constraint), self.unit.placed(), cluster.row_of)
        return [(domain.values, both(domain.rows, self.room.open)) for domain in found]

    def _place_in(self, within: Mask | None) -> bool:
        before = len(self.picks)
        for pod in self.members:
            row = self.room.placer.choose(pod, within)
            if row < 0:
                plan = self._best_row(pod, within)
                if plan is None:
                    self._unplace(before)
                    return False
                row = plan.row
                self._settle(row)
                for pick in plan.picks:
                    self.take(pick)
            self._assume(pod, row)
        return True

    def _assume(self, pod: Pod, row: int) -> None:
        node = self.room.cluster.nodes[row]
        assert node is not None
        self.journal.assume(pod, node.name)
        self._nodes[pod.uid] = row

    def _unplace(self, before: int) -> None:
        """No member is placed, and only the first so many picks are left."""
        for pod in self.members:
            if self._nodes.pop(pod.uid, None) is not None:
                self.journal.unassume(pod)
        while len(self.picks) > before:
            self.untake(self.picks[-1])

    def _settle(self, row: int) -> None:
        """Whoever is on the way out of the row is gone."""
        if row not in self._settling:
            self._settling.add(row)
            self.journal.take(self.room.victims.on_row(row)[1])

    # --- nodes ----------------------------------------------------------------------------------

    def _best_row(self, pod: Pod, within: Mask | None) -> RowPlan | None:
        """The row where least harm is done. Where room was kept for the pod already it stays, if
        it can.
        """
        self.rule.begin(self, pod)
        kept = self.room.cluster.row_of.get(self.room.cluster.nomination(pod.uid))
        if kept is not None and (within is None or within[kept]):
            takes = self.room.placer.views.of(pod.spec).row_takes(kept) is None
            plan = self.rule.row_plan(self, pod, kept) if takes else None
            if plan is not None:
                return plan
        best = self.rule.best_plan(self, pod, within)
        if best is not None:
            self.room.turn = best.row + 1
        return best

    def candidates(self, pod: Pod, within: Mask | None) -> Mask:
        """Rows that take the pod if enough others leave, by amounts."""
        cluster = self.room.cluster
        rows = both(self.room.placer.views.of(pod.spec).allowed, within)
        going = self.room.victims.going()
        for name, amount in pod.spec.request.items:
            free = cluster.columns.allocatable(name) - cluster.columns.used(name)
            free = free + going.used(name)
            rows = rows & (free + self.rule.may_free(self, pod, name) >= amount)
        return rows

    def in_turn(self, pod: Pod, within: Mask | None) -> list[int]:
        """The candidates that are looked at now, MOST_ROWS at most, from the row in turn on. If
        none of them helps it is the turn of those behind them.
        """
        rows = in_turn(self.candidates(pod, within), self.room.turn)
        found = list(islice(rows, MOST_ROWS))
        if len(found) == MOST_ROWS:
            self.room.turn, self.room.more = found[-1] + 1, True
        return found

    # --- giving back ----------------------------------------------------------------------------

    def _give_back(self) -> None:
        nothing = replace(
            self.demand,
            asked={path: dict.fromkeys(sums, 0) for path, sums in self.demand.asked.items()},
            firm={path: dict.fromkeys(sums, 0) for path, sums in self.demand.firm.items()},
        )
        for pick in reversed(tuple(self.picks)):
            self.untake(pick)
            if not self._holds(pick, nothing):
                self.take(pick)

    def _holds(self, pick: Pick, nothing: Demand) -> bool:
        """Whether all members fit where they are with the pick there again."""
        if any(True for _ in shortages(self.room.capacity.sums, nothing, settled=True)):
            return False
        cluster, placer = self.room.cluster, self.room.placer
        rows = set()
        for pod in pick.pods:
            placed = cluster.placed(pod.uid)
            if placed is not None:
                rows.add(cluster.row_of.get(placed.node))
        for member in self.members:
            row = self._nodes[member.uid]
            filters = placer.profile.state_filters
            if row not in rows and not any(each.filters_by_pods(member) for each in filters):
                continue
            node = cluster.nodes[row]
            assert node is not None
            cluster.forget(member.uid)
            refusal = placer.row_refusal(member, row)
            cluster.assume(member, node.name)
            if refusal is not None:
                return False
        return True

    def _preemption(self) -> Preemption:
        nodes = self.room.cluster.nodes
        nominations = []
        for pod in self.members:
            node = nodes[self._nodes[pod.uid]]
            assert node is not None
            nominations.append((pod, node.name))
        return Preemption(
            victims=tuple(pod for pick in self.picks if not pick.unit for pod in pick.pods),
            nominations=tuple(nominations),
            reclaim=self.rule.reclaims,
            units=tuple(dict.fromkeys(pick.unit for pick in self.picks if pick.unit)),
            pods_of_units=tuple(pod for pick in self.picks if pick.unit for pod in pick.pods),
        )
