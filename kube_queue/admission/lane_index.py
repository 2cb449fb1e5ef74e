"""Every lane by its leaf: waiting units join and leave, and events wake whom they may help.

Which Queue serves a unit, and whether anything keeps it out, is decided before (``pending``); here
it has a leaf and a Queue. A group whose backoff came with it from elsewhere is *deferred*: a try is
asked for and waits for the backoff's end, or for a release that could help.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kube_queue.admission.lanes import Group, Kind, Lane, Line, Waiter
from kube_queue.admission.ledger import Charge, QuotaLedger, dimensions
from kube_queue.admission.queue_state import QueueState
from kube_queue.admission.runtimes import Alike
from kube_queue.admission.scan import Choice
from kube_queue.admission.timers import Timers
from kube_queue.admission.turns import Turns

Backoff = tuple[int, float]
"""(failures in a row, until when in seconds since the epoch)."""


class LaneIndex:
    """The lanes of all Queues, in which every unit stands that may have a turn."""

    def __init__(
        self,
        ledger: QuotaLedger,
        turns: Turns,
        timers: Timers[Waiter | Group | Lane],
        queues: Mapping[str, QueueState],
        waiters: Mapping[str, Waiter],
    ) -> None:
        self._ledger = ledger
        self._turns = turns
        self._timers = timers
        self._queues = queues
        self._waiters = waiters
        self._lanes: dict[str, dict[Lane, None]] = {}
        self._timed: dict[Lane, None] = {}
        """Lanes in which run times matter."""
        self._deferred: dict[Group, None] = {}
        self._serial = 0

    def clear(self) -> None:
        """Nobody is in a lane."""
        self._lanes.clear()
        self._timed.clear()
        self._deferred.clear()

    # --- units ------------------------------------------------------------------------------

    def join(self, waiter: Waiter, leaf: str, inherited: Backoff | None) -> None:
        """The unit is in the lane of its Queue and this leaf. KeyError: there is no such Queue."""
        lane = self._lane_for(self._queues[waiter.place.queue], waiter, leaf)
        line, unit = lane.line, waiter.unit
        kind = waiter.place.request, unit.preemptible, line.scan.length(waiter)
        group = lane.groups.get(kind)
        if group is None:
            group = self._new_group(lane, kind, inherited)
        waiter.group = group
        group.units.add(waiter.key)
        group.head = group.units.first
        if group.exceeds is None:
            lane.order.add(waiter.key)
            if lane.order.first == waiter.key:
                self._turns.rerank(lane)
            if len(lane.order) == 1:
                self._gate(lane)
        if line.scan.joined(line, group, waiter.key, inherited is None):
            self._deferred.pop(group, None)
            self._turns.call(line, lane.rank)

    def leave(self, waiter: Waiter) -> None:
        """The unit is in no lane."""
        group, waiter.group = waiter.group, None
        if group is None:
            return
        lane = group.lane
        was_head = bool(lane.order) and lane.order.first == waiter.key
        group.units.remove(waiter.key)
        if group.exceeds is None:
            lane.order.remove(waiter.key)
            if not lane.order:
                self._gate(lane)
        if group.units:
            group.head = group.units.first
        else:
            lane.unwatch(group)
            group.opened = False
            self._deferred.pop(group, None)
            del lane.groups[group.kind]
        if not lane.groups:
            self._drop(lane)
            return
        # Its head may be another one, and an admission has changed the leaf's share.
        self._turns.rerank(lane)
        if lane.line.scan.left(lane.line, lane, waiter.key, was_head):
            self._turns.call(lane.line, lane.rank)

    def admitted(self, line: Line, choice: Choice) -> None:
        """The choice has its quota; it is still in its group."""
        line.scan.admitted(line, choice)
        lane = choice.group.lane
        waiter = self._waiters[choice.uid]
        self.leave(waiter)
        others = self._lanes[lane.leaf]
        if len(others) > 1 or (others and lane not in others):
            self.reshared(lane.leaf)

    def dissolve(self, state: QueueState) -> None:
        """Every unit of the Queue is in no lane."""
        for key in state.order:
            self._waiters[key[-1]].group = None
        for lane in state.dissolve():
            self._turns.dropped(lane)
            del self._lanes[lane.leaf][lane]
            self._timed.pop(lane, None)
            for group in lane.groups.values():
                self._deferred.pop(group, None)
                group.deferred = False
            # Whoever still knows a group of it sees that it is none of the lane's any more.
            lane.groups.clear()

    def _new_group(self, lane: Lane, kind: Kind, inherited: Backoff | None) -> Group:
        self._serial += 1
        request, preemptible, _ = kind
        group = Group(lane, kind, self._ledger.demand(request, preemptible), self._serial)
        group.exceeds = self._ledger.never_fits(lane.leaf, request, preemptible)
        lane.groups[kind] = group
        if inherited is not None and lane.line.scan.backs_off and group.exceeds is None:
            group.attempts, group.until = inherited
            group.deferred = True
            self._deferred[group] = None
            self._timers.set(group.until, group)
        return group

    def _lane_for(self, state: QueueState, waiter: Waiter, leaf: str) -> Lane:
        line = state.line_for(leaf, waiter.unit.priority, self._waiters)
        lane = line.lanes.get(leaf)
        if lane is None:
            lane = line.lanes[leaf] = Lane(line, leaf, self._ledger.chain(leaf))
            self._lanes.setdefault(leaf, {})[lane] = None
            if line.scan.by_run_time:
                self._timed[lane] = None
            leader = state.leader(lane)
            if leader is not None:
                self._turns.shut(lane, leader)
        return lane

    def _gate(self, lane: Lane) -> None:
        """Whoever has to wait while somebody is in this lane does, and only so long."""
        follower = self._queues[lane.line.queue.name].follower(lane)
        if follower is not None and lane.order:
            self._turns.shut(follower, lane)
        elif follower is not None:
            self._turns.open(follower)

    def _drop(self, lane: Lane) -> None:
        self._turns.dropped(lane)
        del self._lanes[lane.leaf][lane]
        self._timed.pop(lane, None)
        self._queues[lane.line.queue.name].drop(lane)

    # --- events -----------------------------------------------------------------------------

    def released(self, charge: Charge) -> None:
        """What this charge held is free: who sleeps for it wakes, and his backoff ends."""
        if charge.leaf is None:
            return
        demand = self._ledger.demand(charge.request, charge.preemptible)
        self._turns.released(self._ledger.chain(charge.leaf), demand)
        self.reshared(charge.leaf)
        if self._deferred:
            freed = dimensions(demand)
            for group in tuple(self._deferred):
                if not freed.isdisjoint(dimensions(group.demand)):
                    self.open(group)

    def reshared(self, leaf: str) -> None:
        """The leaf's usage changed, and with it the rank of its lanes."""
        for lane in self._lanes.get(leaf, ()):
            self._turns.rerank(lane)

    def look_again(self, leaf: str, concerned: Callable[[Group], bool]) -> None:
        """Units charged to the leaf whose ``concerned`` groups do not fit are tried once more."""
        for lane in self._lanes.get(leaf, ()):
            for group in filter(concerned, tuple(lane.groups.values())):
                self.try_again(group)

    def try_again(self, group: Group) -> None:
        """The group is tried once more if its last verdict was no; a backoff is waited out."""
        lane = group.lane
        if not group.asleep or lane.groups.get(group.kind) is not group:
            return
        lane.unwatch(group)
        if lane.line.scan.reopened(lane.line, group):
            self._turns.call(lane.line, lane.rank)

    def is_deferred(self, group: Group) -> bool:
        """Whether a try of the group waits for the end of its backoff."""
        return group in self._deferred

    def open(self, group: Group) -> None:
        """The deferred group's backoff is over. KeyError: it has none."""
        del self._deferred[group]
        group.deferred = False
        line = group.lane.line
        if line.scan.reopened(line, group):
            self._turns.call(line, group.lane.rank)

    def look_over(self, lane: Lane) -> None:
        """A unit that holds quota of the lane's nodes has run longer than expected."""
        lane.look_at = 0.0
        self._reopen_kept(lane)

    def learned(self, alike: Alike) -> None:
        """What is known of the run time of jobs so alike counts for those that wait already. Costs
        a look at every lane where run times matter, and the first time one at every unit so alike.
        """
        for lane in tuple(self._timed):
            groups: dict[Group, list[Waiter]] = {}
            for uid in lane.unlearned.like(alike):
                waiter = self._waiters[uid]
                if waiter.group is not None:
                    groups.setdefault(waiter.group, []).append(waiter)
            for group, waiters in groups.items():
                self._regroup(group, waiters)
            self._reopen_kept(lane)

    def _regroup(self, group: Group, waiters: list[Waiter]) -> None:
        """These units of the group are where their run time, which is learned now, has them."""
        lane = group.lane
        kind = group.request, group.preemptible, lane.line.scan.length(waiters[0])
        if len(waiters) == len(group.units) and kind not in lane.groups:
            # Jobs of one sweep are many, and alike.
            lane.groups[kind] = lane.groups.pop(group.kind)
            group.length = kind[2]
            for waiter in waiters:
                lane.unlearned.discard(waiter.unit.uid)
            return
        for waiter in waiters:
            self.leave(waiter)
            self.join(waiter, lane.leaf, None)

    def _reopen_kept(self, lane: Lane) -> None:
        again = [
            lane.line.scan.reopened(lane.line, group) for group in lane.kept_groups(with_room=False)
        ]
        if any(again):
            self._turns.call(lane.line, lane.rank)
