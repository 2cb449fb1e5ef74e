"""Backfill (EASY): as Block, but a unit behind the head may run if it cannot delay the head.

While the head of a (queue, quota) does not fit, its start is reserved: the first moment at which,
by the known ends of running units, every bound from its leaf up to the root has room for it.
A unit behind it that fits now is admitted if

* it ends, by its own known run time, before that moment; or
* for every bound that it shares with the head there is room for both of them at that moment.

If the start is not known, because what the head is short of is not given back by units with a known
run time, only the second way is open, and what is free now has to be enough for both.

So the head never starts later than reserved because of a unit that passed it, as long as jobs keep
to their run times. Units that would delay the head are *kept back*: the group sleeps until so much
is given back that the answer may be another one, until the head is another one, until a unit
that the reserved start counts on has run longer than expected, or until more is known of run times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from math import inf
from typing import Final

from kube_queue.admission.ends import Ends
from kube_queue.admission.lanes import Bed, Dimension, Group, Lane, Line, Waiter
from kube_queue.admission.ledger import QuotaLedger
from kube_queue.admission.order import Key
from kube_queue.admission.policies.priority import PriorityScan
from kube_queue.admission.quota_node import Demand, LedgerNode, rooms
from kube_queue.admission.runtimes import Learned, Length
from kube_queue.admission.scan import Choice

_MICRO: Final = 1_000_000
_ENDS_READ: Final = 1_000
"""Ends looked at for one bound; what comes back later counts as if nobody knew."""
_OVERDUE_AFTER: Final = 1_000
"""Microseconds after its end from which a unit surely has run longer than expected."""


class BackfillScan(PriorityScan):
    """The head, and whoever cannot delay it."""

    per_lane = True
    by_run_time = True
    keeps_held_in_lane = True

    def __init__(
        self, ledger: QuotaLedger, ends: Ends, look_at: Callable[[Lane, float], None]
    ) -> None:
        self._ledger = ledger
        self._ends = ends
        self._look_at = look_at
        self.passed_over = 0
        """Units behind a head so far that were looked at and have to wait."""

    def length(self, waiter: Waiter) -> Length:
        return self._ends.length(waiter.unit)

    def joined(self, line: Line, group: Group, key: Key, newcomer: bool) -> bool:
        if not isinstance(group.length, Learned):
            group.lane.unlearned.add(line.waiters[key[-1]].unit)
        if group.exceeds is not None:
            return False
        is_head = group.lane.order.first == key
        if group.watched is not None or group.kept:
            return is_head
        return super().joined(line, group, key, newcomer) or is_head

    def left(self, line: Line, lane: Lane, key: Key, was_head: bool) -> bool:
        lane.unlearned.discard(key[-1])
        return was_head

    def ahead_of(self, lane: Lane, key: Key) -> Key | None:
        group = lane.line.waiters[key[-1]].group
        return lane.order.first if group is not None and group.kept else None

    def choose(self, line: Line) -> Choice | None:
        for lane in line.lanes.values():
            head = line.waiters[lane.order.first[-1]] if lane.order else None
            if head is None or head.group is None:
                return None
            if not head.has_turns:
                self._wait_for_head(line, lane)
                return None
            if head.group.has_room:
                return Choice(head.group, (0, head.key))
            if len(lane.order) > 1:
                return self._behind(line, lane, head.group)
        return None

    def _wait_for_head(self, line: Line, lane: Lane) -> None:
        """Whatever room there is, nobody is looked at until the head has turns; then all are."""
        for group in [group for group in lane.groups.values() if group.asleep]:
            self.reopened(line, group)

    def _behind(self, line: Line, lane: Lane, head: Group) -> Choice | None:
        """The first unit that fits and cannot delay the head, which does not fit."""
        reservation: Reservation | None = None
        for group in lane.kept_groups(with_room=lane.kept_for is head):
            reservation = reservation or Reservation(self._ends, lane, head.demand)
            if not self._is_kept_back(line, group, reservation):
                self.reopened(line, group)
        lane.kept_for = head
        while (choice := super().choose(line)) is not None:
            group = choice.group
            blocked = self._ledger.blocker(lane.chain, group.demand)
            self.passed_over += 1
            if blocked is not None:
                _, bound, resource, amount = blocked
                group.shortage = self._ledger.told(lane.chain, blocked)
                self.refused(line, choice, ((bound, resource), amount), self._ends.now)
                continue
            reservation = reservation or Reservation(self._ends, lane, head.demand)
            if not self._is_kept_back(line, group, reservation):
                self.passed_over -= 1
                return choice
            group.opened, group.token = False, None
        if reservation is not None and lane.kept and reservation.overdue_at is not None:
            self._look_at(lane, reservation.overdue_at)
        return None

    @staticmethod
    def _is_kept_back(line: Line, group: Group, reservation: Reservation) -> bool:
        """Whether the group would delay the head; then it sleeps until that may change."""
        beds = reservation.delayed_by(group)
        if beds and beds != group.kept:
            group.lane.unwatch(group)
            group.lane.keep(group, beds)
            line.stirred[group.lane] = None
        return bool(beds)


class Reservation:
    """When the head of a lane starts by the ends that are known, and what it needs then."""

    def __init__(self, ends: Ends, lane: Lane, head: Demand) -> None:
        self._now = ends.now * _MICRO
        self._ends = ends
        bounds = rooms(lane.chain, head)
        self._short = tuple([_Room(*bound) for bound in bounds if bound[4] < bound[3]])
        self.start = 0.0
        """Microseconds since the epoch; infinite: not known."""
        for room in self._short:
            if self.start < inf:
                back = self._comes_back(room, room.amount - room.free, inf)
                self.start = max(self.start, back)
        self._rooms: list[_Room] = []
        """Every bound the head is held against, if its start is known."""
        self._beside: dict[Dimension, tuple[int, LedgerNode]] = {}
        """Of each resource the least that is left beside the head, and where, if it is not."""
        self._until_known: tuple[Bed, ...] = ()
        if self.start < inf:
            short = iter(self._short)
            self._rooms = [next(short) if one[4] < one[3] else _Room(*one) for one in bounds]
            return
        self._until_known = tuple(self._until_it_is_known())
        for node, bound, resource, amount, free in bounds:
            dimension = bound, resource
            least = self._beside.get(dimension)
            if least is None or free - amount < least[0]:
                self._beside[dimension] = free - amount, node

    @property
    def overdue_at(self) -> float | None:
        """When the start is another one unless quota came back by then; seconds since the epoch."""
        if self.start == inf:
            return None
        first = min((room.back[0][0] for room in self._short), default=None)
        return (first + _OVERDUE_AFTER) / _MICRO if first is not None else None

    def delayed_by(self, group: Group) -> tuple[Bed, ...]:
        """Empty if the group's units cannot delay the head. Else what has to be free for another
        answer: as soon as one of the beds has room.
        """
        most = self._ends.most_of(group.length)
        if most is not None and self._now + most * _MICRO <= self.start < inf:
            return ()
        if self.start == inf:
            return self._delayed_now(group)
        asked = {(bound, name): amount for bound, each in group.demand for name, amount in each}
        for room in self._rooms:
            amount = asked.get(room.dimension, 0)
            missing = room.amount + amount - room.free
            if amount and missing > 0 and self._comes_back(room, missing, self.start) == inf:
                return (self._bed(room, missing, self.start),)
        return ()

    def _delayed_now(self, group: Group) -> tuple[Bed, ...]:
        # Nothing is known to come back, so what is free has to be enough for both.
        for bound, amounts in group.demand:
            for resource, amount in amounts:
                beside = self._beside.get((bound, resource))
                if beside is not None and 0 < amount > beside[0]:
                    left, node = beside
                    threshold = node.free[bound][resource] + amount - left
                    return Bed(node, (bound, resource), threshold), *self._until_known
        return ()

    def _until_it_is_known(self) -> Iterator[Bed]:
        for room in self._short:
            missing = room.amount - room.free
            if self._comes_back(room, missing, inf) == inf:
                yield self._bed(room, missing, inf)
                return

    def _comes_back(self, room: _Room, missing: int, by: float) -> float:
        """When so much more is free there; infinite: not by then, or nobody knows."""
        came = 0
        for moment, amount in room.read(self._ends):
            if moment > by:
                break
            came += amount
            if came >= missing:
                return moment
        return inf

    def _bed(self, room: _Room, missing: int, by: float) -> Bed:
        came = sum(amount for moment, amount in room.back if moment <= by)
        bound, resource = room.dimension
        free = room.node.free[bound][resource]
        return Bed(room.node, room.dimension, free + max(1, missing - came))


class _Room:
    """One bound the head is held against."""

    __slots__ = ("_more", "amount", "back", "dimension", "free", "node")

    def __init__(self, node: LedgerNode, bound: int, resource: str, amount: int, free: int) -> None:
        self.node = node
        self.dimension = bound, resource
        self.amount = amount
        """What the head asks for."""
        self.free = free
        """What there is for units of the head's leaf."""
        self.back: list[tuple[int, int]] = []
        """What comes back, as far as it was read: when, how much; soonest first."""
        self._more: Iterator[tuple[int, int]] | None = None

    def read(self, ends: Ends) -> Iterator[tuple[int, int]]:
        """What comes back, read no further than it is asked for."""
        yield from self.back
        bound, resource = self.dimension
        if self._more is None:
            # What children keep to themselves does not come back to their parent.
            lent = not self.node.unlent_if_idle.get(resource, 0)
            self._more = islice(ends.back(self.node, bound, resource), _ENDS_READ if lent else 0)
        for one in self._more:
            self.back.append(one)
            yield one
