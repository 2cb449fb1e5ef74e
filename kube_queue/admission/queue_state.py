"""One Queue with the units that wait in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from kube_queue.admission.lanes import Lane, Line, Position, QueueFace, Waiter
from kube_queue.admission.order import SortedKeys
from kube_queue.admission.policies import scan_of
from kube_queue.api.queues import Policy, Queue

_WHOLE_QUEUE: Final = ""


class QueueState:
    """The Queue as last seen, its units in order, and its lines."""

    def __init__(self, queue: Queue, policy: Policy, cursor: Position) -> None:
        self.queue = queue
        self.policy = policy
        self.face = QueueFace(queue.name, queue.priority)
        self.order = SortedKeys()
        """Every waiting unit of the queue, held ones included: positions count in it."""
        self._cursor = cursor
        self._lines: dict[str, Line] = {}

    @property
    def cursor(self) -> Position:
        """The unit last tried, as far as its scan cares."""
        line = self._lines.get(_WHOLE_QUEUE)
        return line.cursor if line is not None else self._cursor

    @property
    def keeps_held_in_lane(self) -> bool:
        """Whether a unit that has no turn for a while keeps its place in front of others."""
        return scan_of(self.policy).keeps_held_in_lane

    def line_for(self, leaf: str, waiters: Mapping[str, Waiter]) -> Line:
        """The line that units of this leaf stand in."""
        scan = scan_of(self.policy)
        name = leaf if scan.per_lane else _WHOLE_QUEUE
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Line(self.face, scan, waiters, self.cursor)
        return line

    def drop(self, lane: Lane) -> None:
        """The lane is empty and in no line."""
        del lane.line.lanes[lane.leaf]
        if lane.line.scan.per_lane:
            del self._lines[lane.leaf]

    def dissolve(self) -> Iterator[Lane]:
        """Every lane, once; afterwards the lines are empty."""
        for line in self._lines.values():
            yield from line.lanes.values()
            line.lanes.clear()
            line.open.clear()
