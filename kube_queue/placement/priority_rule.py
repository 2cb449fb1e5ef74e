"""Priority preemption: who of lower priority leaves, and which node, as with kube-scheduler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from kube_queue.api.pods import Pod
from kube_queue.placement.columns import Mask
from kube_queue.placement.making_room import Search
from kube_queue.placement.quota import Capacity
from kube_queue.placement.quota_bounds import Shortage
from kube_queue.placement.row_board import Board
from kube_queue.placement.row_search import CANDIDATES, Harm, RowPlan, least_harmful
from kube_queue.placement.units import Unit
from kube_queue.placement.victims import Pick, Standing, rank

_LOWEST: Final = 2**31


class LowerPriority:
    """Pods of lower priority than the unit's, of the same quota."""

    reclaims = False
    minimal = True

    def __init__(
        self,
        capacity: Capacity,
        unit: Unit,
        boards: Callable[[Pod, str, int, int], Board],
    ) -> None:
        self._capacity = capacity
        self._priority = unit.priority
        self._boards = boards
        self._board: Board | None = None
        """None: rows have to be tried out."""

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
        pick = search.room.victims.pick(pod, search.room.gangs)
        return pick if self._may_leave(search, pick.pods, leaf) else None

    def _may_leave(self, search: Search, pods: Sequence[Pod], leaf: str) -> bool:
        victims, spared = search.room.victims, search.room.spared
        return all(
            pod.priority < self._priority
            and victims.leaf(pod) == leaf
            and victims.evictable(pod)
            and pod.uid not in spared
            and not search.is_own(pod)
            for pod in pods
        )

    # --- the node pass --------------------------------------------------------------------------

    def may_free(self, search: Search, pod: Pod, name: str) -> np.ndarray:
        leaf = self._capacity.homes.of(pod).leaf
        return search.room.victims.free(leaf, self._priority).used(name)

    def begin(self, search: Search, pod: Pod) -> None:
        room = search.room
        self._board = None
        filters = room.placer.profile.state_filters
        apart = search.picks or room.spared or any(search.unit.placed())
        if not apart and not any(each.filters_by_pods(pod) for each in filters):
            leaf = self._capacity.homes.of(pod).leaf
            self._board = self._boards(pod, leaf, self._priority, room.turn)
            self._board.refresh(room)

    def best_plan(self, search: Search, pod: Pod, within: Mask | None) -> RowPlan | None:
        def plan(row: int) -> RowPlan | None:
            return self.row_plan(search, pod, row)

        def rows() -> Mask:
            return search.candidates(pod, within)

        if self._board is not None:
            return self._board.best(within, rows, plan)
        turn = search.in_turn(pod, within)
        return least_harmful(turn, CANDIDATES, lambda row: self._least(search, pod, row), plan)

    def row_plan(self, search: Search, pod: Pod, row: int) -> RowPlan | None:
        """kube-scheduler's way: as many as possible stay, those first whom a budget protects, then
        the most important.
        """
        board = self._board
        if board is None:
            return self._tried(search, pod, row)
        if not board.knows(row):
            there = self._standing(search, pod, row)
            board.keep(row, self._reckoned(search, pod, row, there), grouped=there.grouped)
        return board.plan(row)

    def _standing(self, search: Search, pod: Pod, row: int) -> Standing:
        leaf = self._capacity.homes.of(pod).leaf
        return search.room.victims.standing(row, leaf, self._priority)

    def _least(self, search: Search, pod: Pod, row: int) -> Harm | None:
        """What a row costs by amounts alone; where more than amounts is against the pod, only that
        nobody below the lowest priority has to go is known.
        """
        refusal = search.room.placer.state_refusal(pod, row)
        if refusal is not None and refusal.unresolvable:
            return None
        there = self._standing(search, pod, row)
        reckoned = self._reckoned(search, pod, row, there)
        if reckoned is None or refusal is None:
            return reckoned.harm if reckoned is not None else None
        return (0, there.lower[0].priority) if there.lower else None

    def _reckoned(self, search: Search, pod: Pod, row: int, there: Standing) -> RowPlan | None:
        """The plan by amounts alone."""
        columns = search.room.cluster.columns
        request = pod.spec.request.items
        need = [
            amount + columns.takes(row, name) - columns.has(row, name) for name, amount in request
        ]
        for each in there.going:
            need = _less(need, request, each)
        on_row = search.room.cluster.pods[row]
        picks: list[Pick] = []
        for pick in self._in_turn(search, pod, there):
            if max(need, default=0) <= 0:
                break
            picks.append(pick)
            for each in pick.pods:
                if each.uid in on_row:
                    need = _less(need, request, each)
        if max(need, default=0) > 0:
            return None
        for pick in tuple(reversed(picks)):
            again = need
            for each in pick.pods:
                if each.uid in on_row:
                    again = _less(again, request, each, -1)
            if max(again, default=0) <= 0:
                picks.remove(pick)
                need = again
        return RowPlan(row, tuple(picks), self._harm(search, picks, row))

    def _tried(self, search: Search, pod: Pod, row: int) -> RowPlan | None:
        """The plan by every filter, tried out."""
        there = self._standing(search, pod, row)
        turn = self._in_turn(search, pod, there)
        search.journal.take(there.going)
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
            search.journal.give_back(there.going)

    def _in_turn(self, search: Search, pod: Pod, there: Standing) -> list[Pick]:
        """Who of a row may leave, in the order in which they have to: the least important first,
        those whom a budget protects last.
        """
        room, lower = search.room, there.lower
        budgets = any(room.budgets.any_for(each.namespace) for each in lower)
        if not (there.grouped or room.spared or budgets):
            return [Pick((each,)) for each in lower if not search.is_own(each)]
        leaf = self._capacity.homes.of(pod).leaf
        picks: dict[str, Pick] = {}
        for each in lower:
            pick = self._pick(search, each, leaf)
            if pick is not None:
                picks.setdefault(pick.pods[0].uid, pick)
        if there.grouped:
            found = sorted(self._spared(search, list(picks.values()), leaf), key=_importance)
        else:
            found = list(picks.values())
        if not any(room.budgets.any_for(each.namespace) for pick in found for each in pick.pods):
            return found
        spent: list[Pod] = []
        free: list[Pick] = []
        protected: list[Pick] = []
        # Budgets are kept for the most important: these are asked first.
        for pick in reversed(found):
            before = search.spending.violations(spent)
            violating = search.spending.violations((*spent, *pick.pods)) > before
            spent += pick.pods
            (protected if violating else free).append(pick)
        return [*reversed(free), *reversed(protected)]

    def _spared(self, search: Search, picks: list[Pick], leaf: str) -> list[Pick]:
        """Of members of one gang only as many leave singly as it can spare; the rest of them is one
        pick, and that is what is left of the gang.
        """
        by_gang: dict[object, list[Pick]] = {}
        found = []
        for pick in picks:
            gang = pick.pods[0].gang
            if len(pick.pods) > 1 or pick.unit or gang is None:
                found.append(pick)
            else:
                by_gang.setdefault((pick.pods[0].namespace, gang.name), []).append(pick)
        victims, budgets = search.room.victims, search.room.budgets
        for members in by_gang.values():
            first = members[0].pods[0]
            whole = victims.gang_of(first)
            spare = victims.spare(first, search.room.gangs)
            if len(members) > spare and any(budgets.any_for(pod.namespace) for pod in whole):
                # Whom a budget protects leaves last, and may not be left over of a gang.
                spare = 0
            found += members[:spare]
            single = {pick.pods[0].uid for pick in members[:spare]}
            rest = tuple(pod for pod in whole if pod.uid not in single)
            if len(members) > spare and self._may_leave(search, rest, leaf):
                found.append(Pick(rest))
        return found

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


def _importance(pick: Pick) -> tuple[object, ...]:
    return max(rank(pod) for pod in pick.pods)


def _less(
    need: list[int], request: Sequence[tuple[str, int]], pod: Pod, sign: int = 1
) -> list[int]:
    amounts = pod.charged or pod.spec.request
    return [left - sign * amounts[name] for left, (name, _) in zip(need, request, strict=True)]


def _is_below(capacity: Capacity, leaf: str, path: str) -> bool:
    return any(node.path == path for node in capacity.sums.nodes[leaf].chain())
