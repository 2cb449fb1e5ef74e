"""The pending queues: every waiting unit with its place, and what wakes it.

Units come with ``put`` (level: putting one again moves it if its place changed), leave with
``remove``. Events change what may fit: ``released`` (quota came back), ``queue_seen`` and
``queue_gone``, ``rebuild`` (another tree). ``ring`` ends what is over by the clock. ``cycle`` asks
``turns`` who is next and reports back with ``admitted`` or ``refused``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kube_queue.admission.ends import Ends
from kube_queue.admission.holds import Hold, cooling, no_queue, queue_stopped, too_early
from kube_queue.admission.lane_index import Backoff, LaneIndex
from kube_queue.admission.lanes import NO_CURSOR, Group, Lane, Line, Place, Waiter, key_of
from kube_queue.admission.ledger import Charge, QuotaLedger
from kube_queue.admission.policies import BackfillScan, Scans, effective_policy, notice
from kube_queue.admission.queue_state import QueueState
from kube_queue.admission.runtimes import alike_of
from kube_queue.admission.scan import Choice
from kube_queue.admission.timers import Timers
from kube_queue.admission.turns import Turns
from kube_queue.api.names import QUEUE_NAMESPACE
from kube_queue.api.queues import Policy, Queue
from kube_queue.api.units import Unit


class PendingQueues:
    """All units that wait; decides nothing by itself."""

    def __init__(self, ledger: QuotaLedger, default_policy: Policy, ends: Ends) -> None:
        self.turns = Turns()
        self._ledger = ledger
        self._default = default_policy
        self.ends = ends
        backfill = BackfillScan(ledger, ends, self._look_at)
        self._backfill, self._scans = backfill, Scans(backfill)
        self._queues: dict[str, QueueState] = {}
        self._waiters: dict[str, Waiter] = {}
        self._unserved: dict[str, dict[str, None]] = {}
        self._timers: Timers[Waiter | Group | Lane] = Timers()
        self._lanes = LaneIndex(ledger, self.turns, self._timers, self._queues, self._waiters)
        self.examined = 0
        """Units given to the ledger so far."""

    # --- units ------------------------------------------------------------------------------

    def put(self, unit: Unit, place: Place) -> None:
        """The unit waits at this place; its backoff, if it has one, stays with it."""
        former = self._waiters.get(unit.uid)
        if former is None:
            self._enter(self._newcomer(unit, place), None)
        elif _stays(former, unit, place):
            former.unit = unit
        else:
            inherited = self._backoff_of(former)
            self.remove(unit.uid)
            waiter = self._newcomer(unit, place)
            self._take_over(former, waiter)
            self._enter(waiter, inherited)

    def _newcomer(self, unit: Unit, place: Place) -> Waiter:
        waiter = Waiter(unit, place)
        if waiter.due_at <= self.ends.now:
            # Its time has come already: a promise to it holds, whatever of it is edited.
            waiter.due_at = 0.0
        return waiter

    def _take_over(self, former: Waiter, waiter: Waiter) -> None:
        """What kept the unit from its turns does so still."""
        waiter.kept = former.kept
        waiter.cooling_until = former.cooling_until
        self._look_again_at(waiter)

    def _look_again_at(self, waiter: Waiter) -> None:
        for moment in (waiter.cooling_until, waiter.kept.until if waiter.kept else 0.0):
            if moment:
                self._timers.set(moment, waiter)

    def remove(self, uid: str) -> bool:
        """The unit waits no more. Returns whether it did."""
        waiter = self._waiters.pop(uid, None)
        if waiter is None:
            return False
        state = self._queues.get(waiter.place.queue)
        if state is not None:
            state.order.remove(waiter.key)
        else:
            self._forget_unserved(waiter)
        if _counts(waiter) and waiter.place.leaf is not None:
            self._ledger.ask(waiter.place.leaf, waiter.place.request, -1)
        if waiter.group is not None:
            self._lanes.leave(waiter)
        return True

    def cool(self, uid: str, until: float) -> None:
        """The waiting unit is not tried before ``until``: writing its admission failed.

        No release ends this. Under Block it stays the head meanwhile; elsewhere others pass.
        """
        waiter = self._waiters[uid]
        waiter.cooling_until = until
        self._look_again_at(waiter)
        if waiter.group is not None and not waiter.group.lane.line.scan.keeps_held_in_lane:
            self._lanes.leave(waiter)
            waiter.hold = cooling(until)

    def hold(self, uid: str, why: Hold) -> None:
        """The waiting unit has no turn until ``unhold``, whatever happens to it meanwhile.

        Under Block it stays the head; elsewhere others pass. ``ring`` names it at ``why.until``,
        and holds it on. KeyError: it does not wait.
        """
        waiter = self._waiters[uid]
        before, waiter.kept = waiter.kept, why
        self._look_again_at(waiter)
        group = waiter.group
        if group is not None and not group.lane.line.scan.keeps_held_in_lane:
            self._lanes.leave(waiter)
        if group is not None or waiter.hold in (None, before):
            waiter.hold = why

    def unhold(self, uid: str) -> None:
        """The unit has its turns again; nothing happens if it does not wait or was not held."""
        waiter = self._waiters.get(uid)
        if waiter is not None and waiter.kept is not None:
            waiter.kept = None
            self._resume(waiter)

    def waiter(self, uid: str) -> Waiter | None:
        """The waiting unit with its place."""
        return self._waiters.get(uid)

    def waiters(self) -> Iterable[Waiter]:
        """Every waiting unit, in no order that means anything."""
        return self._waiters.values()

    @property
    def passed_over(self) -> int:
        """Units behind the head of a Backfill queue so far that were looked at and have to wait."""
        return self._backfill.passed_over

    def __len__(self) -> int:
        return len(self._waiters)

    def position(self, waiter: Waiter) -> int:
        """The unit's 1-based position in its Queue, 0 while there is no such Queue."""
        state = self._queues.get(waiter.place.queue)
        return state.order.position(waiter.key) + 1 if state is not None else 0

    def _enter(self, waiter: Waiter, inherited: Backoff | None) -> None:
        place = waiter.place
        self._waiters[waiter.unit.uid] = waiter
        state = self._queues.get(place.queue)
        if state is not None:
            state.order.add(waiter.key)
        else:
            self._unserved.setdefault(place.queue, {})[waiter.unit.uid] = None
        if _counts(waiter) and place.leaf is not None:
            self._ledger.ask(place.leaf, place.request, 1)
        self._settle_in(waiter, inherited)

    def _settle_in(self, waiter: Waiter, inherited: Backoff | None = None) -> None:
        place = waiter.place
        waiter.hold = place.hold
        if place.hold is not None or place.leaf is None:
            return
        state = self._queues.get(place.queue)
        if state is None:
            waiter.hold = no_queue(place.queue)
        elif state.stopped:
            waiter.hold = queue_stopped(place.queue, state.queue.stop)
        elif waiter.kept is not None and not state.scan(waiter.unit.priority).keeps_held_in_lane:
            waiter.hold = waiter.kept
        elif waiter.due_at:
            waiter.hold = too_early(waiter.due_at)
            self._timers.set(waiter.due_at, waiter)
        elif waiter.cooling_until and not state.scan(waiter.unit.priority).keeps_held_in_lane:
            waiter.hold = cooling(waiter.cooling_until)
        else:
            waiter.hold = waiter.kept
            self._lanes.join(waiter, place.leaf, inherited)

    def _forget_unserved(self, waiter: Waiter) -> None:
        waiting = self._unserved[waiter.place.queue]
        del waiting[waiter.unit.uid]
        if not waiting:
            del self._unserved[waiter.place.queue]

    @staticmethod
    def _backoff_of(waiter: Waiter) -> Backoff | None:
        group = waiter.group
        return (group.attempts, group.until) if group is not None and group.until else None

    # --- queues -------------------------------------------------------------------------------

    def queue_seen(self, queue: Queue) -> None:
        """The Queue is served as it says now; units that waited for it are in it."""
        if queue.namespace != QUEUE_NAMESPACE:
            return
        policy = effective_policy(queue, self._default)
        state = self._queues.get(queue.name)
        if state is not None and state.serves_alike(queue, policy):
            state.queue = queue
            return
        cursor = state.cursor if state is not None else NO_CURSOR
        fresh = self._queues[queue.name] = QueueState(queue, policy, self._scans, cursor)
        if state is not None:
            self._move_all(state, fresh)
            return
        for uid in self._unserved.pop(queue.name, {}):
            waiter = self._waiters[uid]
            fresh.order.add(waiter.key)
            self._settle_in(waiter)

    def queue_gone(self, namespace: str, name: str) -> None:
        """There is no such Queue; its units wait for it to come back."""
        state = self._queues.pop(name, None) if namespace == QUEUE_NAMESPACE else None
        if state is None:
            return
        for waiter in self._emptied(state):
            self._unserved.setdefault(name, {})[waiter.unit.uid] = None
            self._settle_in(waiter)

    def queue(self, name: str) -> QueueState | None:
        """The Queue's state."""
        return self._queues.get(name)

    def queues(self) -> Iterable[QueueState]:
        """Every Queue's state."""
        return self._queues.values()

    def notice(self, state: QueueState) -> str:
        """What the Queue asks for and does not get, empty if there is nothing."""
        return notice(state.queue, self._default)

    def _move_all(self, old: QueueState, fresh: QueueState) -> None:
        backoffs = {key[-1]: self._backoff_of(self._waiters[key[-1]]) for key in old.order}
        for waiter in self._emptied(old):
            fresh.order.add(waiter.key)
            self._settle_in(waiter, backoffs[waiter.unit.uid])

    def _emptied(self, state: QueueState) -> list[Waiter]:
        self._lanes.dissolve(state)
        return [self._waiters[key[-1]] for key in state.order]

    # --- events ----------------------------------------------------------------------------

    def released(self, charge: Charge) -> None:
        """What this charge held is free: who sleeps for it wakes, and his backoff ends."""
        self._lanes.released(charge)

    def look_again(
        self, leaf: str, concerned: Callable[[Group], bool] = lambda group: True
    ) -> None:
        """Units charged to the leaf whose ``concerned`` groups do not fit are tried once more.

        For events that change the answer without giving quota back; a backoff is waited out.
        """
        self._lanes.look_again(leaf, concerned)

    def try_again(self, group: Group) -> None:
        """The group is tried once more if its last verdict was no; a backoff is waited out."""
        self._lanes.try_again(group)

    def reshared(self, leaf: str) -> None:
        """The leaf's usage changed, and with it the rank of its lanes."""
        self._lanes.reshared(leaf)

    def rebuild(self, place: Callable[[Unit], Place]) -> None:
        """Every waiting unit is where ``place`` says, in a ledger that has another tree now."""
        waiters = tuple(self._waiters.values())
        backoffs = [self._backoff_of(waiter) for waiter in waiters]
        self.ends.clear()
        self.turns.clear()
        self._timers.clear()
        self._waiters.clear()
        self._unserved.clear()
        self._lanes.clear()
        for name, state in tuple(self._queues.items()):
            self._queues[name] = QueueState(state.queue, state.policy, self._scans, state.cursor)
        for former, inherited in zip(waiters, backoffs, strict=True):
            waiter = self._newcomer(former.unit, place(former.unit))
            self._take_over(former, waiter)
            self._enter(waiter, inherited)

    # --- the clock ----------------------------------------------------------------------------

    def ring(self, now: float) -> list[str]:
        """Everything that was to be looked at by ``now`` (seconds since the epoch) is. Returns the
        uids of units that may be tried from now on, or that whoever holds them looks at.
        """
        self._timers.news = False
        woken: list[str] = []
        self.ends.tell(now)
        while (moment := self.next_wake()) is not None and moment <= now:
            first = self._timers.first
            self._timers.pop()
            if first is None:
                break
            item = first[1]
            if isinstance(item, Group):
                self._lanes.open(item)
            elif isinstance(item, Lane):
                self._lanes.look_over(item)
            else:
                self._wake_waiter(item, now)
                woken.append(item.unit.uid)
        return woken

    def next_wake(self) -> float | None:
        """When the clock alone changes something, in seconds since the epoch; None = never."""
        while (first := self._timers.first) is not None:
            if self._means(first[1], first[0]):
                return first[0]
            self._timers.pop()
        return None

    @property
    def has_work(self) -> bool:
        """Whether a cycle could decide something or has to learn the time."""
        return self._timers.news or self.turns.waiting

    def _wake_waiter(self, waiter: Waiter, now: float) -> None:
        if waiter.due_at and waiter.due_at <= now:
            waiter.due_at = 0.0
        if waiter.cooling_until and waiter.cooling_until <= now:
            waiter.cooling_until = 0.0
        self._resume(waiter)

    def _resume(self, waiter: Waiter) -> None:
        if waiter.group is None:
            self._settle_in(waiter)
        else:
            waiter.hold = waiter.kept
            self.turns.call(waiter.group.lane.line, waiter.group.lane.rank)

    def _means(self, item: Waiter | Group | Lane, moment: float) -> bool:
        if isinstance(item, Group):
            return self._lanes.is_deferred(item) and item.until == moment
        if isinstance(item, Lane):
            return item.look_at == moment
        return self._waiters.get(item.unit.uid) is item and moment in (
            item.due_at,
            item.cooling_until,
            item.kept.until if item.kept is not None else None,
        )

    def _look_at(self, lane: Lane, moment: float) -> None:
        # A cycle is under way, so whoever sleeps until the next moment asks for it afterwards.
        if lane.look_at != moment:
            lane.look_at = moment
            self._timers.set(moment, lane, news=False)

    def learned(self, unit: Unit) -> None:
        """More is known of how long jobs like the unit's run, and counts for those that run or wait
        already.
        """
        alike = alike_of(unit)
        self.ends.learned(alike)
        self._lanes.learned(alike)

    # --- what the cycle reports ----------------------------------------------------------------

    def admitted(self, line: Line, choice: Choice) -> None:
        """The choice has its quota and waits no more."""
        self._lanes.admitted(line, choice)
        self.remove(choice.uid)


def _stays(former: Waiter, unit: Unit, place: Place) -> bool:
    old = former.unit
    return (
        former.place == place
        and old.preemptible == unit.preemptible
        and (old.expected_seconds, old.limit_seconds) == (unit.expected_seconds, unit.limit_seconds)
        and old.requeue_at == unit.requeue_at
        and (old.active, old.invalid) == (unit.active, unit.invalid)
        and former.key == key_of(unit)
    )


def _counts(waiter: Waiter) -> bool:
    return waiter.unit.active and not waiter.unit.invalid
