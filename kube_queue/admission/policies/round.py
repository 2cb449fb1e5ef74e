"""Round: every unit gets its turn in order, and the scan goes on behind the unit last tried.

A failed try starts a backoff of 1, 2, 4, 8, 16, 20 s for the units that share its verdict; smaller
units behind them run meanwhile. A release ends the backoff of those it could help.

What counts as a try: the unit was given to the ledger, or it arrived and shared the verdict of
units alike. A unit that a release cannot help is not tried and does not move the scan.
"""

from __future__ import annotations

from heapq import heappush

from kube_queue.admission.backoff import backoff
from kube_queue.admission.lanes import Dimension, Group, Line, Position
from kube_queue.admission.order import Key
from kube_queue.admission.policies.priority import PriorityScan
from kube_queue.admission.scan import Choice


class RoundScan(PriorityScan):
    """Rotation: the scan goes on behind the unit last tried."""

    backs_off = True

    def position(self, line: Line, key: Key) -> Position:
        lap, last = line.cursor
        return (lap, key) if key > last else (lap + 1, key)

    def next_of(self, line: Line, group: Group) -> Position:
        lap, last = line.cursor
        if group.head > last:
            return lap, group.head
        key = group.units.after(last)
        return (lap, key) if key is not None else (lap + 1, group.head)

    def _first_of(self, line: Line, groups: list[Group]) -> tuple[Group | None, Position]:
        first: Group | None = None
        least = line.cursor
        lap, last = line.cursor
        for group in groups:
            # Spelled out, because this is the innermost loop of a release.
            position = (lap, group.head) if group.head > last else self.next_of(line, group)
            if first is None or position < least:
                first, least = group, position
        return first, least

    def joined(self, line: Line, group: Group, key: Key, newcomer: bool) -> bool:
        if group.exceeds is not None:
            return False
        if group.deferred:
            # The newcomer needs no backoff to end, and its verdict is everybody's.
            return newcomer and self.reopened(line, group)
        if not newcomer:
            return super().joined(line, group, key, newcomer)
        if not group.opened and group.watched is None:
            return self.reopened(line, group)
        heappush(line.open, (*self.position(line, key), group.serial, group))
        return True

    def reopened(self, line: Line, group: Group) -> bool:
        group.deferred = False
        return super().reopened(line, group)

    def admitted(self, line: Line, choice: Choice) -> None:
        super().admitted(line, choice)
        line.cursor = max(line.cursor, choice.position)

    def refused(
        self, line: Line, choice: Choice, blocked: tuple[Dimension, int], now: float
    ) -> None:
        super().refused(line, choice, blocked, now)
        line.cursor = max(line.cursor, choice.position)
        choice.group.attempts += 1
        choice.group.until = now + backoff(choice.group.attempts)

    def _stale(self, line: Line, group: Group, position: Position) -> None:
        super()._stale(line, group, position)
        if position[1] in group.units and group.watched is not None:
            # A newcomer among units that are known not to fit: it had its turn with their verdict.
            line.cursor = max(line.cursor, position)
