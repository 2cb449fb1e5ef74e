"""One Queue with the units that wait in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from kube_queue.admission.lanes import Lane, Line, Position, QueueFace, Waiter
from kube_queue.admission.order import SortedKeys
from kube_queue.admission.policies import Scans
from kube_queue.admission.scan import Scan
from kube_queue.api.queues import Policy, Queue, StopPolicy

_WHOLE_QUEUE: Final = ""


class QueueState:
    """The Queue as last seen, its units in order, and its lines."""

    def __init__(self, queue: Queue, policy: Policy, scans: Scans, cursor: Position) -> None:
        self.queue = queue
        self.policy = policy
        self._scans = scans
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

    def serves_alike(self, queue: Queue, policy: Policy) -> bool:
        """Whether nothing changes for any unit if the Queue is this one, served by this policy."""
        same_threshold = self.queue.threshold == queue.threshold
        served = self.policy, self.queue.priority, self.queue.stop
        return served == (policy, queue.priority, queue.stop) and (
            same_threshold or policy is not Policy.INTELLIGENT
        )

    @property
    def stopped(self) -> bool:
        """Whether none of its units has a turn."""
        return self.queue.stop is not StopPolicy.NONE

    def scan(self, priority: int) -> Scan:
        """The scan that serves units of this priority."""
        return self._scans.of(self.policy, self.queue.threshold, priority)

    def line_for(self, leaf: str, priority: int, waiters: Mapping[str, Waiter]) -> Line:
        """The line that units of this leaf and priority stand in."""
        scan = self.scan(priority)
        name = leaf if scan.per_lane else _WHOLE_QUEUE
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Line(self.face, scan, waiters, self.cursor)
        return line

    def leader(self, lane: Lane) -> Lane | None:
        """The lane whose units go before this lane's while there are any, None if there is none."""
        line = self._lines.get(lane.leaf) if not lane.line.scan.per_lane else None
        leader = line.lanes[lane.leaf] if line is not None else None
        return leader if leader is not None and leader.order else None

    def follower(self, lane: Lane) -> Lane | None:
        """The lane whose units come after this lane's, None if there is none."""
        line = self._lines.get(_WHOLE_QUEUE) if lane.line.scan.per_lane else None
        return line.lanes.get(lane.leaf) if line is not None else None

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
