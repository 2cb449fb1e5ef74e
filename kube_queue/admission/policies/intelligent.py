"""Intelligent: units of high priority block; the others pass each other while no high one waits.

Units of at least the queue's threshold are served as under Block, in lanes of their own, for each
quota. The rest is served as under Priority, and only in quotas in which no high unit of the queue
waits: the high lane is the leader of the low one, which is shut as long as it is not empty. Who is
passed over under Block (inactive, invalid, too early, larger than a bound) is in no lane and holds
nobody up.
"""

from __future__ import annotations

from kube_queue.admission.lanes import Group, Lane, Line
from kube_queue.admission.order import Key
from kube_queue.admission.policies.priority import PriorityScan


class LowScan(PriorityScan):
    """Strict order with passing, in lanes that have no high unit before them."""

    def joined(self, line: Line, group: Group, key: Key, newcomer: bool) -> bool:
        return group.lane.leader is None and super().joined(line, group, key, newcomer)

    def reopened(self, line: Line, group: Group) -> bool:
        if group.lane.leader is None:
            return super().reopened(line, group)
        group.lane.unwatch(group)
        return False

    def ahead_of(self, lane: Lane, key: Key) -> Key | None:
        return lane.leader.order.first if lane.leader is not None else None
