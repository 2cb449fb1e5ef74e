"""Nodes that are kept for a unit which has waited too long, so that smaller ones do not starve it.

What runs there goes on; nothing new of equal or lower priority comes, so the nodes empty until the
unit fits. One unit of each priority has such nodes at a time: the one that found no room first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kube_queue.api.gangs import TopologyConstraint
from kube_queue.placement.columns import IntColumn, Mask
from kube_queue.placement.placing import Placer
from kube_queue.placement.topology import constraint_of, domains, pinned
from kube_queue.placement.units import Unit, UnitKey
from kube_queue.placement.verdict import Refusal


@dataclass(frozen=True, slots=True)
class Reservation:
    """The rows that are kept for one unit against others of its priority and below."""

    unit: UnitKey
    priority: int
    rows: Mask


class Reservations:
    """What is kept for whom, by priority."""

    def __init__(self, after: float) -> None:
        self._after = after
        self._lacking: dict[int, dict[UnitKey, float]] = {}
        """By priority: units that find no room, and since when, the first ones first."""
        self._kept: dict[int, Reservation] = {}

    def lacks_room(self, unit: Unit, now: float) -> None:
        """The unit was tried and no nodes hold it."""
        self._lacking.setdefault(unit.priority, {}).setdefault(unit.key, now)

    def over(self, key: UnitKey) -> bool:
        """The unit was placed, waits for something else, or is gone. Returns whether nodes were
        kept for it.
        """
        opened = False
        for priority, units in list(self._lacking.items()):
            if units.pop(key, None) is not None and not units:
                del self._lacking[priority]
        for priority, kept in list(self._kept.items()):
            if kept.unit == key:
                del self._kept[priority]
                opened = True
        return opened

    def due(self, now: float) -> list[UnitKey]:
        """Units that have waited long enough, are the first of their priority, and have nothing."""
        found = []
        for priority, units in self._lacking.items():
            key, since = next(iter(units.items()))
            if priority not in self._kept and now - since >= self._after:
                found.append(key)
        return found

    def next_due(self) -> float | None:
        """When one is due; None: not without a further failure."""
        times = [
            next(iter(units.values())) + self._after
            for priority, units in self._lacking.items()
            if priority not in self._kept
        ]
        return min(times, default=None)

    def keep(self, unit: Unit, placer: Placer) -> Reservation | None:
        """The best nodes for the unit are kept for it; None: no nodes could ever hold it, and then
        it is asked for no more until it fails anew.
        """
        rows = best_rows(unit, placer)
        if rows is None:
            self.over(unit.key)
            return None
        kept = self._kept[unit.priority] = Reservation(unit.key, unit.priority, rows)
        return kept

    def closed_to(self, unit: Unit, rows: int) -> Mask | None:
        """The rows that are kept for others against this unit; None: none."""
        closed: Mask | None = None
        for kept in self._kept.values():
            if kept.unit == unit.key or kept.priority < unit.priority:
                continue
            if closed is None:
                closed = np.zeros(rows, np.bool_)
            # Nodes that came afterwards are nobody's.
            closed[: len(kept.rows)] |= kept.rows
        return closed

    def all(self) -> tuple[Reservation, ...]:
        """Every reservation."""
        return tuple(self._kept.values())


def best_rows(unit: Unit, placer: Placer) -> Mask | None:
    """The nodes on which the unit will fit soonest if nothing new comes to them; None: on none.

    Of the domains whose nodes are large enough it is the one with most room now. Within it the
    nodes with most room now, as many as would hold what is needed if they were empty.
    """
    members = [pod for part in unit.parts for pod in part.members[: max(1, part.need)]]
    constraint = constraint_of(unit)
    if isinstance(constraint, Refusal):
        return None
    allowed: Mask | None = None
    empty = np.zeros(placer.cluster.columns.rows, np.int64)
    free = np.zeros_like(empty)
    for spec in dict.fromkeys(pod.spec for pod in members):
        view = placer.views.of(spec)
        takes = np.array([view.row_takes(row) is None for row in range(len(empty))], np.bool_)
        allowed = takes if allowed is None else allowed & takes
        empty = empty + placer.cluster.columns.capacity(spec.request)
        free = free + placer.cluster.columns.slots(spec.request, slice(None))
    kinds = len({pod.spec for pod in members})
    assert allowed is not None
    empty, free = np.where(allowed, empty // kinds, 0), np.where(allowed, free // kinds, 0)
    best: tuple[int, Mask] | None = None
    for domain in _candidates(unit, placer, constraint):
        chosen = _enough(empty, free, domain, len(members))
        if chosen is not None and (best is None or int(free[chosen].sum()) > best[0]):
            best = int(free[chosen].sum()), chosen
    return best[1] if best is not None else None


def _candidates(unit: Unit, placer: Placer, constraint: TopologyConstraint | None) -> list[Mask]:
    cluster = placer.cluster
    if constraint is None:
        return [np.array([node is not None for node in cluster.nodes], np.bool_)]
    found = pinned(domains(cluster, constraint), unit.placed(), cluster.row_of)
    return [domain.rows for domain in found]


def _enough(empty: IntColumn, free: IntColumn, within: Mask, need: int) -> Mask | None:
    """The rows with most room now that would hold ``need`` pods empty; None: all do not."""
    rows = np.flatnonzero(within & (empty > 0))
    order = rows[np.lexsort((rows, -empty[rows], -free[rows]))]
    holds = np.cumsum(empty[order])
    last = int(np.searchsorted(holds, need))
    if last >= len(order):
        return None
    chosen = np.zeros(len(within), np.bool_)
    chosen[order[: last + 1]] = True
    return chosen
