"""Block: only the head is tried, and whoever stands behind it waits even if he fits.

The head of a (queue, quota) is its first unit that is active, valid, not before its requeueAt, and
would fit if every unit's quota were free. Others are passed over. A failed try starts no backoff.
"""

from __future__ import annotations

from kube_queue.admission.lanes import Dimension, Group, Lane, Line
from kube_queue.admission.order import Key
from kube_queue.admission.scan import Choice, Scan


class BlockScan(Scan):
    """Only the head of each lane."""

    per_lane = True
    keeps_held_in_lane = True

    def joined(self, line: Line, group: Group, key: Key, newcomer: bool) -> bool:
        return group.exceeds is None and group.lane.order.first == key

    def left(self, line: Line, lane: Lane, key: Key, was_head: bool) -> bool:
        return was_head

    def ahead_of(self, lane: Lane, key: Key) -> Key | None:
        head = lane.order.first
        return head if head != key else None

    def reopened(self, line: Line, group: Group) -> bool:
        return True

    def shut(self, lane: Lane) -> None:
        self._watch_only(lane, None)

    def opened(self, line: Line, lane: Lane) -> bool:
        return bool(lane.order)

    def choose(self, line: Line) -> Choice | None:
        for lane in line.lanes.values():
            head = lane.order.first if lane.order else None
            waiter = line.waiters[head[-1]] if head is not None else None
            if waiter is None or waiter.group is None or head is None or not waiter.has_turns:
                self._watch_only(lane, None)
                return None
            if waiter.group.watched is None or waiter.group.has_room:
                return Choice(waiter.group, (0, head))
            self._watch_only(lane, waiter.group)
        return None

    def admitted(self, line: Line, choice: Choice) -> None:
        line.stirred[choice.group.lane] = None

    def refused(
        self, line: Line, choice: Choice, blocked: tuple[Dimension, int], now: float
    ) -> None:
        lane = choice.group.lane
        self._watch_only(lane, None)
        lane.watch_for(choice.group, *blocked)
        line.stirred[lane] = None

    @staticmethod
    def _watch_only(lane: Lane, kept: Group | None) -> None:
        others = [
            group for index in lane.watch.values() for group in index.members() if group is not kept
        ]
        for group in others:
            lane.unwatch(group)
