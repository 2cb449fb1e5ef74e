"""Who is next inside one line: a scan per policy.

======== ==========================================================================================
Priority Every try starts from the first unit in order; those known not to fit are passed over.
Round    The same, but the scan goes on behind the unit last tried and starts over at the end; a
         failed try starts a backoff of 1, 2, 4, 8, 16, 20 s for the units that share its verdict.
Block    Only the head of the lane is tried: the first unit that could run if all quota were free.
======== ==========================================================================================

What counts as a try under Round: the unit was given to the ledger, or it arrived and shared the
verdict of units alike. A unit that a release cannot help is not tried and does not move the scan.

Intelligent and Backfill are not in this version: a Queue that asks for one of them, or for a word
nobody knows, behaves as Round and ``notice`` says so. No unit is dropped for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from heapq import heappop, heappush
from operator import attrgetter
from typing import Final, NamedTuple

from kube_queue.admission.lanes import Dimension, Group, Lane, Line, Position
from kube_queue.admission.order import Key
from kube_queue.api.queues import Policy, Queue

BACKOFF_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 20.0)
"""How long the n-th failure in a row keeps a unit back; the last value stays."""

_OPEN_ALL_FROM: Final = 64
"""From so many groups with room on, they go into the heap instead of being compared each turn."""


_head: Final = attrgetter("head")


def backoff(failures: int) -> float:
    """Seconds after the n-th failure in a row, n from 1."""
    return BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1]


class Choice(NamedTuple):
    """The unit a line would try now."""

    group: Group
    position: Position

    @property
    def key(self) -> Key:
        return self.position[1]

    @property
    def uid(self) -> str:
        return self.position[1][3]


class Scan(ABC):
    """One policy; all state is on the line."""

    per_lane = False
    """Whether every lane of the queue is a line of its own."""
    backs_off = False
    """Whether a failed try keeps the unit from tries that no release asked for."""
    keeps_held_in_lane = False
    """Whether a unit that has no turn for a while (a failed write, a promise) keeps its place in
    front of others meanwhile."""

    @abstractmethod
    def joined(self, line: Line, group: Group, key: Key, newcomer: bool) -> bool:
        """The unit is in its group. Returns whether the line has something to try because of it."""

    @abstractmethod
    def left(self, line: Line, lane: Lane, key: Key, was_head: bool) -> bool:
        """The unit is out of its group. Returns whether the line has something to try."""

    @abstractmethod
    def reopened(self, line: Line, group: Group) -> bool:
        """The group waits for a new verdict. Returns whether the line has something to try."""

    @abstractmethod
    def choose(self, line: Line) -> Choice | None:
        """The unit whose turn it is; None when nothing of the line could fit."""

    @abstractmethod
    def admitted(self, line: Line, choice: Choice) -> None:
        """The choice was admitted; it is still in its group."""

    @abstractmethod
    def refused(
        self, line: Line, choice: Choice, blocked: tuple[Dimension, int], now: float
    ) -> None:
        """The choice does not fit: its group watches ``blocked``, a dimension and an amount."""


class PriorityScan(Scan):
    """Strict order with passing: the first unit that could fit."""

    def position(self, line: Line, key: Key) -> Position:
        """Where the unit stands in the scan."""
        return 0, key

    def next_of(self, line: Line, group: Group) -> Position:
        """The group's unit whose turn comes first."""
        return 0, group.head

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

    def reopened(self, line: Line, group: Group) -> bool:
        group.lane.unwatch(group)
        line.stirred[group.lane] = None
        group.opened = True
        self._push(line, group, self.next_of(line, group))
        return True

    def choose(self, line: Line) -> Choice | None:
        best: Position | None = None
        chosen: Group | None = None
        for lane in line.awake:
            group, position = self._first_of(line, self._with_room(line, lane))
            if group is not None and (best is None or position < best):
                best, chosen = position, group
        while line.open and (best is None or line.open[0][0] < best):
            position, _, opened = line.open[0]
            if position[1] in opened.units and opened.opened:
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
            found.extend(index.fitting(lane.free(dimension)))
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
        heappush(line.open, (position, group.serial, group))


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
        heappush(line.open, (self.position(line, key), group.serial, group))
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


class BlockScan(Scan):
    """Only the head of each lane."""

    per_lane = True
    keeps_held_in_lane = True

    def joined(self, line: Line, group: Group, key: Key, newcomer: bool) -> bool:
        return group.exceeds is None and group.lane.order.first == key

    def left(self, line: Line, lane: Lane, key: Key, was_head: bool) -> bool:
        return was_head

    def reopened(self, line: Line, group: Group) -> bool:
        return True

    def choose(self, line: Line) -> Choice | None:
        for lane in line.lanes.values():
            head = lane.order.first if lane.order else None
            waiter = line.waiters[head[3]] if head is not None else None
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


_SCANS: Final[dict[Policy, Scan]] = {
    Policy.ROUND: RoundScan(),
    Policy.PRIORITY: PriorityScan(),
    Policy.BLOCK: BlockScan(),
}


def effective_policy(queue: Queue, default: Policy) -> Policy:
    """The policy the queue is served by: its own, else the default, Round where neither is here."""
    wanted = queue.policy if queue.policy is not None else default
    return wanted if wanted in _SCANS and not queue.policy_unknown else Policy.ROUND


def notice(queue: Queue, default: Policy) -> str:
    """One sentence where the queue asks for something it does not get, else empty."""
    wanted = queue.policy if queue.policy is not None else default
    if queue.policy_unknown:
        return f"policy {queue.policy_text!r} is unknown; the queue behaves as Round"
    if wanted not in _SCANS:
        return f"policy {wanted} is not in this version; the queue behaves as Round"
    return ""


def scan_of(policy: Policy) -> Scan:
    """The scan of an effective policy."""
    return _SCANS[policy]
