"""Plans of rows that are kept from one pod to the next of its kind.

A row's plan holds until something of the row changes, so the next pod costs the plans of the rows
that changed for the one before it, and of a few that nobody looked at yet: the best of all that
are known is chosen, and what is known grows by rows that are looked at in turn.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Final

from kube_queue.placement.columns import Mask
from kube_queue.placement.making_room import Room
from kube_queue.placement.row_search import CANDIDATES, MOST_ROWS, Harm, RowPlan, in_turn

_MORE: Final = 4
"""Rows that are looked at for a pod besides those that are known."""
_FOR_BETTER: Final = 32
"""Rows that are looked at besides where the best of those is worse than the one before."""
_KEPT: Final = 5 * CANDIDATES
"""Plans that are kept when there are more than twice as many: the better ones."""


class Board:
    """The plans of rows for pods of one spec, quota and priority, as long as the rows stay."""

    def __init__(self, turn: int) -> None:
        self._turn = turn
        """The row after the one looked at last."""
        self._ahead: deque[int] = deque()
        """Rows to look at next: candidates when they were last asked for."""
        self._plans: dict[int, RowPlan] = {}
        self._without: set[int] = set()
        """Rows that have no plan."""
        self._by_harm: list[tuple[Harm, int]] = []
        """A heap of all plans, and of some that do not hold any more."""
        self._grouped: set[int] = set()
        """Rows where somebody leaves with others, of other rows perhaps."""
        self._former: Harm = ()
        """How much harm the plan chosen last did."""
        self._seen = -1
        self._nodes = -1
        self._budgets = -1
        self._groups = -1

    def refresh(self, room: Room) -> None:
        """Only plans that still hold are left."""
        changes, budgets, groups = room.cluster.changes, room.budgets.version, room.victims.groups
        rows = changes.since(self._seen) if self._seen >= 0 else None
        if room.cluster.node_changes.version != self._nodes:
            self._nodes = room.cluster.node_changes.version
            self._ahead.clear()
        if rows is None or budgets != self._budgets:
            self._plans.clear()
            self._without.clear()
            self._by_harm.clear()
            self._grouped.clear()
        for row in set(rows or ()):
            self._forget(row)
        if groups != self._groups:
            for row in self._grouped:
                self._forget(row)
            self._grouped.clear()
        self._seen, self._budgets, self._groups = changes.version, budgets, groups

    def knows(self, row: int) -> bool:
        """Whether the row was looked at and has not changed since."""
        return row in self._plans or row in self._without

    def plan(self, row: int) -> RowPlan | None:
        """The plan of a row that is known."""
        return self._plans.get(row)

    def keep(self, row: int, plan: RowPlan | None, *, grouped: bool) -> None:
        """The plan holds until something changes."""
        if plan is None:
            self._without.add(row)
        else:
            self._plans[row] = plan
            heapq.heappush(self._by_harm, (plan.harm, row))
        if grouped:
            self._grouped.add(row)

    def best(
        self,
        within: Mask | None,
        candidates: Callable[[], Mask],
        plan_of: Callable[[int], RowPlan | None],
    ) -> RowPlan | None:
        """The plan of least harm of those that are known; so many more are made that there are
        CANDIDATES of them, and some more in any case, of MOST_ROWS at most: the next pod goes on
        there. ``within``: only these rows.
        """
        known = len(self._plans)
        if within is not None:
            known = sum(bool(within[row]) for row in self._plans)
            self._ahead.clear()
        self._look(max(CANDIDATES - known, _MORE), candidates, plan_of)
        found = self._least(within)
        if found is not None and _severity(found) > self._former:
            # The best of those that are known are used up: others may still be as good.
            self._look(_FOR_BETTER, candidates, plan_of)
            found = self._least(within)
        if found is not None:
            self._former = _severity(found)
        if within is not None:
            self._ahead.clear()
        if len(self._by_harm) > 2 * _KEPT:
            self._thin()
        return found

    # --- inside ---------------------------------------------------------------------------------

    def _forget(self, row: int) -> None:
        self._plans.pop(row, None)
        self._without.discard(row)

    def _look(
        self, more: int, candidates: Callable[[], Mask], plan_of: Callable[[int], RowPlan | None]
    ) -> None:
        """So many more plans are made, of rows in turn; fewer where there are not so many, or one
        of them costs nothing.
        """
        # Who is a candidate is asked once for many pods: a plan is exact, whoever it is made for.
        asked, left = False, MOST_ROWS
        while more and left:
            if not self._ahead:
                if asked:
                    break
                self._look_ahead(candidates())
                asked = True
                continue
            row = self._ahead.popleft()
            self._turn = row + 1
            if self.knows(row):
                continue
            plan = plan_of(row)
            left -= 1
            more -= plan is not None
            if plan is not None and not plan.picks:
                break

    def _look_ahead(self, rows: Mask) -> None:
        """The rows that are looked at next are those of the mask that are not known, in turn."""
        rows[list(self._plans)] = False
        rows[list(self._without)] = False
        self._ahead = deque(in_turn(rows, self._turn))

    def _least(self, within: Mask | None) -> RowPlan | None:
        heap, elsewhere = self._by_harm, []
        found: RowPlan | None = None
        while heap and found is None:
            harm, row = heap[0]
            plan = self._plans.get(row)
            if plan is not None and plan.harm == harm and (within is None or within[row]):
                found = plan
            else:
                heapq.heappop(heap)
                if plan is not None and plan.harm == harm:
                    elsewhere.append((harm, row))
        for entry in elsewhere:
            heapq.heappush(heap, entry)
        return found

    def _thin(self) -> None:
        """The better half is left; who is forgotten is looked at again in its turn."""
        best = heapq.nsmallest(_KEPT, self._plans.values(), key=lambda plan: plan.harm)
        self._plans = {plan.row: plan for plan in best}
        self._by_harm = [(plan.harm, plan.row) for plan in best]


def _severity(plan: RowPlan) -> Harm:
    """The harm, without what only tells equals apart: when pods started, and the row."""
    return plan.harm[:-2] or plan.harm
