"""Priority: on every release the scan starts from the highest priority and the earliest unit.

Units that do not fit are passed by lower ones. No backoff is in the way.
"""

from __future__ import annotations

from heapq import heappop, heappush
from operator import attrgetter
from typing import Final

from kube_queue.admission.lanes import Dimension, Group, Lane, Line, Position
from kube_queue.admission.order import Key
from kube_queue.admission.scan import Choice, Scan

_OPEN_ALL_FROM: Final = 64
"""From so many groups with room on, they go into the heap instead of being compared each turn."""

_head: Final = attrgetter("head")


class PriorityScan(Scan):
    """Strict order with passing: the first unit that could fit."""

    def position(self, line: Line, key: Key) -> Position:
        """Where the unit stands in the scan."""
        return 0, key

    def joined(self, line: Line, group: Group, key: Key, newcomer: bool) -> bool:
        if group.exceeds is not None or group.deferred or group.watched is not None:
            return False
        if not group.opened:
            return self.reopened(line, group)
        position = self.position(line, key)
        if group.token is None or position < group.token:
            self._push(line, group, position)
        return True

    def left(self, line: Line, lane: Lane, key: Key, was_head: bool) -> bool:
        return False

    def ahead_of(self, lane: Lane, key: Key) -> Key | None:
        return None

    def reopened(self, line: Line, group: Group) -> bool:
        group.lane.unwatch(group)
        line.stirred[group.lane] = None
        group.opened = True
        self._push(line, group, self.next_of(line, group))
        return True

    def shut(self, lane: Lane) -> None:
        for group in lane.groups.values():
            group.opened = False
            group.token = None

    def opened(self, line: Line, lane: Lane) -> bool:
        for group in lane.groups.values():
            if group.watched is None and group.exceeds is None:
                self.reopened(line, group)
        if lane.watch:
            line.awake[lane] = None
        return bool(lane.order)

    def choose(self, line: Line) -> Choice | None:
        best: Position | None = None
        chosen: Group | None = None
        for lane in line.awake:
            group, position = self._first_of(line, self._with_room(line, lane))
            if group is not None and (best is None or position < best):
                best, chosen = position, group
        while line.open and (best is None or line.open[0][:2] < best):
            lap, key, _, opened = line.open[0]
            position = lap, key
            if key in opened.units and opened.opened:
                return Choice(opened, position)
            heappop(line.open)
            self._stale(line, opened, position)
        return Choice(chosen, best) if chosen is not None and best is not None else None

    def admitted(self, line: Line, choice: Choice) -> None:
        line.stirred[choice.group.lane] = None

    def refused(
        self, line: Line, choice: Choice, blocked: tuple[Dimension, int], now: float
    ) -> None:
        group = choice.group
        group.lane.unwatch(group)
        group.opened = False
        group.token = None
        group.lane.watch_for(group, *blocked)
        line.stirred[group.lane] = None

    def _first_of(self, line: Line, groups: list[Group]) -> tuple[Group | None, Position]:
        """The group whose turn comes first, and its position."""
        if not groups:
            return None, line.cursor
        first = min(groups, key=_head)
        return first, (0, first.head)

    def _with_room(self, line: Line, lane: Lane) -> list[Group]:
        found: list[Group] = []
        for dimension, index in lane.watch.items():
            found += index.fitting(lane.free(dimension))
        if len(found) < _OPEN_ALL_FROM:
            return found
        for group in found:
            self.reopened(line, group)
        return []

    def _stale(self, line: Line, group: Group, position: Position) -> None:
        # The entry's unit left or its group was judged meanwhile; an open group goes on with the
        # unit that is next now.
        if group.opened and group.token == position and group.units:
            self._push(line, group, self.next_of(line, group))

    def _push(self, line: Line, group: Group, position: Position) -> None:
        group.token = position
        heappush(line.open, (*position, group.serial, group))
