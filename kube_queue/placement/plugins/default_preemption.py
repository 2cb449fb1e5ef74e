"""DefaultPreemption: lower priorities make room for higher ones, as kube-scheduler's do.

A pod with a quota finds its victims in its own quota, one without among pods without. Gangs that
would fall below their minimum leave whole; pods of a unit that holds quota leave with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from kube_queue.api.pods import Pod, PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.framework import Preemption
from kube_queue.placement.making_room import Room, RowPlan, Search
from kube_queue.placement.quota import Capacity, Shortage
from kube_queue.placement.units import Unit
from kube_queue.placement.verdict import Verdict
from kube_queue.placement.victims import Pick, rank

_KEPT: Final = 65_536
_LOWEST: Final = 2**31


class _Known(NamedTuple):
    """A row's plan and what it holds for."""

    version: int
    free: tuple[int, ...]
    budgets: int
    groups: int
    """The groups' version; -1 where nobody on the row is part of one."""
    plan: RowPlan | None


class DefaultPreemption:
    """Evicts pods of lower priority for units that find no room."""

    name = "DefaultPreemption"

    def __init__(self, cluster: Cluster) -> None:
        self._capacity = cluster.shared(Capacity)
        self._known: dict[tuple[PodSpec, str, int, int], _Known] = {}

    def preemption(
        self, unit: Unit, members: Sequence[Pod], why: Verdict, room: Room
    ) -> Preemption | None:
        """Whom to evict for the unit; nobody where a member has preemptionPolicy Never."""
        if any(pod.spec.never_preempts for pod in members) or why.unresolvable:
            return None
        if len(self._known) > _KEPT:
            self._known.clear()
        return Search(room, unit, members, _Lower(self._capacity, unit, self._known)).run()


class _Lower:
    """Pods of lower priority than the unit's, of the same quota."""

    reclaims = False

    def __init__(
        self,
        capacity: Capacity,
        unit: Unit,
        known: dict[tuple[PodSpec, str, int, int], _Known],
    ) -> None:
        self._capacity = capacity
        self._priority = unit.priority
        self._known = known

    # --- the quota pass -------------------------------------------------------------------------

    def of_quota(self, search: Search, shortages: Sequence[Shortage]) -> Pick | None:
        blocked = shortages[0]
        if blocked.bound != "max":
            return None
        scarce = [each.resource for each in shortages if each.path == blocked.path]
        leaves = {self._capacity.homes.of(pod).leaf for pod in search.members}
        best: tuple[tuple[object, ...], Pick] | None = None
        for leaf in sorted(leaves):
            if not leaf or not _is_below(self._capacity, leaf, blocked.path):
                continue
            for pod in search.room.victims.ranked(leaf):
                if pod.priority >= self._priority:
                    break
                if not any(pod.spec.request[name] for name in scarce):
                    continue
                pick = self._pick(search, pod, leaf)
                if pick is None:
                    continue
                harm = (search.spending.violations(pick.pods), len(pick.pods) > 1, rank(pod))
                if best is None or harm < best[0]:
                    best = harm, pick
                if not harm[0] and not harm[1]:
                    break
        return best[1] if best is not None else None

    def _pick(self, search: Search, pod: Pod, leaf: str) -> Pick | None:
        victims = search.room.victims
        pick = victims.pick(pod, search.room.gangs)
        for each in pick.pods:
            if each.priority >= self._priority or victims.leaf(each) != leaf:
                return None
            if search.is_own(each) or not victims.evictable(each):
                return None
            if each.uid in search.room.spared:
                return None
        return pick

    # --- the node pass --------------------------------------------------------------------------

    def may_free(self, search: Search, pod: Pod, name: str) -> np.ndarray:
        leaf = self._capacity.homes.of(pod).leaf
        return search.room.victims.free(leaf, self._priority).used(name)

    def row_plan(self, search: Search, pod: Pod, row: int) -> RowPlan | None:
        """kube-scheduler's way: as many as possible stay, those first whom a budget protects, then
        the most important.
        """
        filters = search.room.placer.profile.state_filters
        apart = search.picks or search.room.spared or any(search.unit.placed())
        if apart or any(each.filters_by_pods(pod) for each in filters):
            return self._tried(search, pod, row)
        leaf = self._capacity.homes.of(pod).leaf
        columns, victims = search.room.cluster.columns, search.room.victims
        key = pod.spec, leaf, self._priority, row
        free = tuple(
            columns.has(row, name) - columns.takes(row, name) for name, _ in pod.spec.request.items
        )
        version, budgets = victims.versions.get(row, 0), search.room.budgets.version
        known = self._known.get(key)
        if (
            known is None
            or known[:3] != (version, free, budgets)
            or known.groups not in (-1, victims.groups)
        ):
            plan = self._reckoned(search, pod, row, leaf, free)
            grouped = any(victims.is_grouped(each) for each in victims.on_row(row)[0])
            groups = victims.groups if grouped else -1
            known = self._known[key] = _Known(version, free, budgets, groups, plan)
        return known.plan

    def _reckoned(
        self, search: Search, pod: Pod, row: int, leaf: str, free: tuple[int, ...]
    ) -> RowPlan | None:
        """The plan by amounts alone."""
        going = search.room.victims.on_row(row)[1]
        request = pod.spec.request.items
        need = [amount - has for (_, amount), has in zip(request, free, strict=True)]
        for each in going:
            need = _less(need, request, each)
        on_row = search.room.cluster.pods[row]
        picks: list[Pick] = []
        for pick in self._in_turn(search, row, leaf):
            if all(amount <= 0 for amount in need):
                break
            picks.append(pick)
            for each in pick.pods:
                if each.uid in on_row:
                    need = _less(need, request, each)
        if any(amount > 0 for amount in need):
            return None
        for pick in tuple(reversed(picks)):
            again = need
            for each in pick.pods:
                if each.uid in on_row:
                    again = _less(again, request, each, -1)
            if all(amount <= 0 for amount in again):
                picks.remove(pick)
                need = again
        return RowPlan(row, tuple(picks), self._harm(search, picks, row))

    def _tried(self, search: Search, pod: Pod, row: int) -> RowPlan | None:
        """The plan by every filter, tried out."""
        leaf = self._capacity.homes.of(pod).leaf
        going = search.room.victims.on_row(row)[1]
        turn = self._in_turn(search, row, leaf)
        search.journal.take(going)
        taken: list[Pick] = []
        try:
            for pick in turn:
                if search.room.placer.row_refusal(pod, row) is None:
                    break
                taken.append(pick)
                search.journal.take(pick.pods, pick.unit)
            if search.room.placer.row_refusal(pod, row) is not None:
                return None
            for pick in tuple(reversed(taken)):
                search.journal.give_back(pick.pods, pick.unit)
                if search.room.placer.row_refusal(pod, row) is None:
                    taken.remove(pick)
                else:
                    search.journal.take(pick.pods, pick.unit)
            return RowPlan(row, tuple(taken), self._harm(search, taken, row))
        finally:
            for pick in reversed(taken):
                search.journal.give_back(pick.pods, pick.unit)
            search.journal.give_back(going)

    def _in_turn(self, search: Search, row: int, leaf: str) -> list[Pick]:
        """Who of the row may leave, in the order in which they have to: the least important first,
        those whom a budget protects last.
        """
        lower = [
            pod
            for pod in search.room.victims.on_row(row)[0]
            if pod.priority < self._priority and search.room.victims.leaf(pod) == leaf
        ]
        singles: dict[str, Pick] = {}
        for pod in sorted(lower, key=rank):
            pick = self._pick(search, pod, leaf)
            if pick is not None:
                singles.setdefault(min(each.uid for each in pick.pods), pick)
        picks = _whole_where_needed(search, list(singles.values()))
        spent: list[Pod] = []
        free: list[Pick] = []
        protected: list[Pick] = []
        # Budgets are kept for the most important: these are asked first.
        for pick in sorted(picks, key=_importance, reverse=True):
            before = search.spending.violations(spent)
            violating = search.spending.violations((*spent, *pick.pods)) > before
            spent += pick.pods
            (protected if violating else free).append(pick)
        return [*reversed(free), *reversed(protected)]

    def _harm(self, search: Search, picks: Sequence[Pick], row: int) -> tuple[int | str, ...]:
        """kube-scheduler's order of nodes: fewest violations, lowest of the highest priorities,
        lowest sum of priorities, fewest pods, latest start of the most important.
        """
        pods = [pod for pick in picks for pod in pick.pods]
        if not pods:
            return (-1,)
        highest = max(pod.priority for pod in pods)
        return (
            search.spending.violations(pods),
            highest,
            sum(pod.priority + _LOWEST for pod in pods),
            len(pods),
            -min(pod.created for pod in pods if pod.priority == highest),
            row,
        )


def _whole_where_needed(search: Search, picks: list[Pick]) -> list[Pick]:
    """Of members of one gang only as many leave singly as it can spare; the rest of them is one
    pick, and that is the whole gang.
    """
    by_gang: dict[object, list[Pick]] = {}
    found = []
    for pick in picks:
        gang = pick.pods[0].gang
        if len(pick.pods) > 1 or pick.unit or gang is None:
            found.append(pick)
        else:
            by_gang.setdefault((pick.pods[0].namespace, gang.name), []).append(pick)
    for members in by_gang.values():
        spare = search.room.victims.spare(members[0].pods[0], search.room.gangs)
        found += members[:spare]
        if len(members) > spare:
            whole = search.room.victims.gang_of(members[0].pods[0])
            rest = [pod for pod in whole if all((pod,) != one.pods for one in members[:spare])]
            if all(pod.priority < search.unit.priority for pod in rest):
                found.append(Pick(tuple(rest)))
    return found


def _importance(pick: Pick) -> tuple[object, ...]:
    return max(rank(pod) for pod in pick.pods)


def _less(
    need: list[int], request: Sequence[tuple[str, int]], pod: Pod, sign: int = 1
) -> list[int]:
    amounts = pod.charged or pod.spec.request
    return [left - sign * amounts[name] for left, (name, _) in zip(need, request, strict=True)]


def _is_below(capacity: Capacity, leaf: str, path: str) -> bool:
    return any(node.path == path for node in capacity.sums.nodes[leaf].chain())
