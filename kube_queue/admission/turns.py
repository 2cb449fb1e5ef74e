"""Which line has the next turn: Queue priority, then dominant share of the leaf, then oldest head.

A line waits for a turn in one of two ways: it is *ready* because something of it has no verdict
yet, or one of its lanes *sleeps* at a watch that a release touched. Both are compared by rank, so
nobody is looked at before his turn and most sleepers never are.
"""

from __future__ import annotations

from heapq import heappop, heappush

from kube_queue.admission.lanes import Lane, Line, Rank
from kube_queue.admission.ledger import Demand, LedgerNode
from kube_queue.admission.scan import Choice
from kube_queue.admission.wake import WakeIndex


class Turns:
    """The ready lines and the sleeping lanes."""

    def __init__(self) -> None:
        self._ready: list[tuple[Rank, int, Line]] = []
        self._tickets = 0
        self._epoch = 0
        self._index = WakeIndex()

    def clear(self) -> None:
        """No line is known."""
        self._ready.clear()
        self._index.clear()
        self._epoch += 1

    def call(self, line: Line, rank: Rank) -> None:
        """The line is looked at when ``rank`` has its turn, or earlier if it was called so."""
        if line.called_at is not None and line.called_at <= rank:
            return
        self._tickets += 1
        line.ready, line.ticket, line.called_at = True, self._tickets, rank
        heappush(self._ready, (rank, self._tickets, line))

    def released(self, chain: tuple[LedgerNode, ...], demand: Demand) -> None:
        """Lanes that sleep at these nodes are looked at if what was given back is enough."""
        self._epoch += 1
        self._index.released(chain, demand)

    def rerank(self, lane: Lane) -> None:
        """The lane's present rank counts: its head or its leaf's share changed."""
        if self._index.rerank(lane) and lane.line.ready:
            self.call(lane.line, lane.rank)

    def dropped(self, lane: Lane) -> None:
        """The lane takes part in nothing: it is empty and gone, or has to wait for another."""
        self._index.wake(lane)
        lane.line.awake.pop(lane, None)
        lane.line.stirred.pop(lane, None)

    def shut(self, lane: Lane, leader: Lane) -> None:
        """Nobody of the lane is tried before the leader is empty."""
        lane.leader = leader
        lane.line.scan.shut(lane)
        self.dropped(lane)

    def open(self, lane: Lane) -> None:
        """The lane's leader is empty: it has its turns again."""
        lane.leader = None
        if lane.line.scan.opened(lane.line, lane):
            self.call(lane.line, lane.rank)

    @property
    def waiting(self) -> bool:
        """Whether somebody may have a turn."""
        return bool(self._top() or self._index.touched)

    def next(self) -> tuple[Line, Choice] | None:
        """The line whose turn it is and the unit it tries; None when nothing that waits can fit."""
        while (first := self._first()) is not None:
            called_at, line = first
            self._rouse(line)
            choice = line.scan.choose(line)
            if choice is None:
                self._settle(line)
                continue
            rank = choice.group.lane.rank
            if rank > called_at:
                line.called_at = None
                self.call(line, rank)
                continue
            return line, choice
        return None

    def _first(self) -> tuple[Rank, Line] | None:
        """The line that is looked at next, and the rank it is looked at for."""
        while True:
            top = self._top()
            sleep = self._index.best()
            if sleep is None or (top is not None and top[0] <= sleep.lane.rank):
                return (top[0], top[2]) if top is not None else None
            # The watch that woke the lane has room; the rest of its chain may have none.
            lane = sleep.lane
            if lane.has_room:
                self._wake(lane)
                self.call(lane.line, lane.rank)
                return lane.rank, lane.line
            self._index.put_to_sleep(lane)

    def _top(self) -> tuple[Rank, int, Line] | None:
        while self._ready:
            entry = self._ready[0]
            if entry[2].ready and entry[2].ticket == entry[1]:
                return entry
            heappop(self._ready)
        return None

    def _wake(self, lane: Lane) -> None:
        self._index.wake(lane)
        lane.line.awake[lane] = None

    def _rouse(self, line: Line) -> None:
        # Inside a line order decides, not rank: every lane with room takes part in its turn.
        if line.epoch == self._epoch:
            return
        line.epoch = self._epoch
        for lane in line.lanes.values():
            if lane not in line.awake and lane.leader is None and lane.has_room:
                self._wake(lane)

    def _settle(self, line: Line) -> None:
        line.ready, line.called_at = False, None
        lanes = line.lanes.values() if line.scan.per_lane else {**line.awake, **line.stirred}
        for lane in tuple(lanes):
            if lane.leader is None:
                self._index.put_to_sleep(lane)
        line.awake.clear()
        line.stirred.clear()
