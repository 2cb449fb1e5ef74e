"""When a waiting unit will start, as far as anybody can know.

An estimate is an interval of seconds from now in which the unit is given its quota. It holds if

* nothing comes: no new unit, tree, Queue or setting, no edit of a unit, no eviction;
* nothing goes by itself: nobody deletes or holds a unit, pods outside the queue stay as they are;
* run times are kept: every job that runs ends, and every job that starts will run, within the
  interval that ``RunTimes`` knows for it; a job starts when its unit is admitted, and one that was
  admitted and is not seen to run yet starts now; decisions and writes take no time.

**The earliest start** follows from a schedule in which all jobs are as short as they may be: those
that run now, and those that certainly have their turn before this unit. Who else may come first is
left out, which can only make the start earlier. A job whose run time is not known may end at once.

**The latest start** is exact where the order of starts is certain: the same schedule with all jobs
as long as they may be. Everywhere else it is a bound: the unit waits only while jobs that end hold
what it needs, so it waits no longer than all of them last, one after the other, and no longer than
their work takes if it fills the room that must be filled to keep the unit out. A job whose run time
is not known holds its quota for ever; where the unit does not fit beside all of those, there is no
latest start, and a sentence says why.

What is read is bounded by ``HOLDERS_READ``, ``WAITERS_READ`` and ``WAITERS_PASSED``; beyond it
nothing is estimated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from typing import Final, NamedTuple

from kube_queue.admission.lanes import Lane, Waiter
from kube_queue.admission.ledger import Demand, QuotaLedger
from kube_queue.admission.order import Key
from kube_queue.admission.pending import PendingQueues
from kube_queue.admission.rooms import Needs, Room, Rooms, add, fits
from kube_queue.admission.running import Held, Running
from kube_queue.admission.runtimes import Interval, RunTimes
from kube_queue.api.lifecycle import Phase
from kube_queue.api.queues import Policy
from kube_queue.api.reasons import Reason

HOLDERS_READ: Final = 2_000
"""Units that hold quota which one estimate looks at."""
WAITERS_READ: Final = 1_000
"""Waiting units that one estimate takes into account."""

WAITERS_PASSED: Final = 20_000
"""Waiting units, of whatever quota, that one estimate goes through to find them."""

_ANY_ORDER: Final = (Policy.ROUND, Policy.PRIORITY)
"""Policies under which a unit that fits is not kept waiting by one that does not."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds from now in which a unit starts; the module says what it promises.

    ``latest`` None: not known, and ``unknown`` says why; ``earliest`` None: not known either.
    """

    earliest: float | None
    latest: float | None
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an estimate is made from."""

    ledger: QuotaLedger
    pending: PendingQueues
    running: Running
    run_times: RunTimes
    now: float
    """Seconds since the epoch."""


class _Job(NamedTuple):
    """What a job holds or will hold, and for how long from now or from its start."""

    needs: Needs
    least: float
    most: float
    """Infinite when nothing is known."""


class _NotKnown(Exception):
    """There is no estimate; the message says why."""


def estimate(facts: Facts, waiter: Waiter) -> Estimate:
    """When the waiting unit starts."""
    group = waiter.group
    try:
        if waiter.hold is not None:
            raise _NotKnown(waiter.hold.message)
        if group is None:
            raise _NotKnown("it is in no queue")
        if group.exceeds is not None:
            raise _NotKnown(group.exceeds.waits_for)
        if not waiter.has_turns or group.deferred:
            raise _NotKnown("it pauses after a try that failed")
        return _Outlook(facts, waiter, group.lane).estimate()
    except _NotKnown as why:
        return Estimate(None, None, str(why))


class _Outlook:
    """Everything that may keep one unit waiting."""

    def __init__(self, facts: Facts, waiter: Waiter, lane: Lane) -> None:
        self._facts = facts
        self._waiter = waiter
        self._lane = lane
        state = facts.pending.queue(lane.line.queue.name)
        self._policy = state.policy if state is not None else Policy.ROUND
        self._ahead = list(self._certainly_ahead())
        mates = [] if self._policy in _ANY_ORDER else list(self._mates())
        demands = {self._demand(one) for one in (waiter, *self._ahead, *mates)}
        self._rooms = Rooms(facts.ledger, lane.leaf, demands)
        self._heads = [waiter, *mates]
        self._holders = list(self._read_holders())

    def estimate(self) -> Estimate:
        """See the module."""
        lenders = (node for node in self._rooms.below() if node is not self._rooms.top)
        if any(node.quota.lend_limit is not None for node in lenders):
            raise _NotKnown(f"what {self._where} may lend changes with what its quotas use")
        holds = [self._running_job(held) for held in self._holders]
        ahead = [self._waiting_job(one) for one in self._ahead]
        earliest = self._start(holds, ahead, longest=False)
        if earliest == inf:
            raise _NotKnown(f"what holds {self._where} is not given back by any job of the queue")
        try:
            rivals = list(self._rivals())
            self._demand_calm(rivals)
        except _NotKnown as why:
            return Estimate(earliest, None, str(why))
        rival_jobs = [self._waiting_job(one) for one in rivals]
        if self._certain_order(rivals):
            latest = self._start(holds, ahead, longest=True)
        else:
            latest = self._bound(holds, rival_jobs)
        if latest == inf:
            return Estimate(earliest, None, self._endless(holds, rival_jobs))
        return Estimate(earliest, max(earliest, latest))

    # --- who counts -----------------------------------------------------------------------------

    def _certainly_ahead(self) -> Iterator[Waiter]:
        """Units that have their turn before this one under every course of events, in order.

        Block serves its lane in order; under Priority units that ask for the same share a verdict
        and go in order; the other policies promise nothing of the kind.
        """
        group = self._waiter.group
        keys: Iterable[Key] = ()
        if self._policy is Policy.BLOCK:
            keys = self._lane.order
        elif self._policy is Policy.PRIORITY and group is not None:
            keys = group.units
        for count, key in enumerate(keys):
            if key >= self._waiter.key:
                return
            if count == WAITERS_READ:
                raise _NotKnown(f"more than {WAITERS_READ} units are before it")
            one = self._facts.pending.waiter(key[-1])
            if one is not None:
                yield one

    def _mates(self) -> Iterator[Waiter]:
        """Units of the same lane for which this one may have to wait although it fits."""
        count = 0
        for other in self._everybody():
            if _same_lane(other, self._waiter) and self._may_come_first(other):
                count += 1
                if count > WAITERS_READ:
                    raise _NotKnown(f"more than {WAITERS_READ} units are before it")
                yield other

    def _rivals(self) -> Iterator[Waiter]:
        """Waiting units that may take from a room before this one starts."""
        count = 0
        for other in self._everybody():
            leaf = other.place.leaf
            if leaf is None or not self._rooms.reached_from(leaf):
                continue
            if self._may_come_first(other):
                count += 1
                if count > WAITERS_READ:
                    raise _NotKnown(f"more than {WAITERS_READ} units wait for {self._where}")
                yield other

    def _everybody(self) -> Iterator[Waiter]:
        for count, other in enumerate(self._facts.pending.waiters()):
            if count == WAITERS_PASSED:
                raise _NotKnown(f"more than {WAITERS_PASSED} units wait")
            yield other

    def _may_come_first(self, other: Waiter) -> bool:
        if other is self._waiter:
            return False
        if other.key > self._waiter.key:
            if self._policy is Policy.BLOCK and _same_lane(other, self._waiter):
                return False
            if self._policy is Policy.PRIORITY and other.group is self._waiter.group:
                return False
        if other.group is not None:
            return other.group.exceeds is None
        # Held out of the lanes: what ends by the clock or with an eviction comes back by itself.
        return other.hold is not None and other.hold.reason in (
            Reason.BACKOFF,
            Reason.RECLAIM_PENDING,
        )

    def _read_holders(self) -> Iterator[Held]:
        running = self._facts.running
        leaves = [node.path for node in self._rooms.below()]
        if sum(map(running.count_in, leaves)) > HOLDERS_READ:
            raise _NotKnown(f"more than {HOLDERS_READ} units hold {self._where}")
        for leaf in leaves:
            yield from running.in_leaf(leaf)

    def _demand_calm(self, rivals: list[Waiter]) -> None:
        """Nothing is under way that no run time tells about."""
        leaving = sum(1 for held in self._holders if held.unit.evicted)
        promised = any(
            one.hold is not None and one.hold.reason is Reason.RECLAIM_PENDING for one in rivals
        )
        if leaving or promised:
            raise _NotKnown(f"units are being evicted from {self._where}")
        if any(not one.has_turns for one in self._heads):
            raise _NotKnown("a unit before it pauses after a try that failed")

    def _certain_order(self, rivals: list[Waiter]) -> bool:
        """Whether those in front start in the order of the lane and nobody comes between: nobody
        else takes from the same rooms, and the policy is Block, or it is Priority and all who
        could pass ask for the same.
        """
        return self._policy in (Policy.BLOCK, Policy.PRIORITY) and len(rivals) == len(self._ahead)

    # --- run times ------------------------------------------------------------------------------

    def _demand(self, waiter: Waiter) -> Demand:
        return self._facts.ledger.demand(waiter.place.request, waiter.unit.preemptible)

    def _waiting_job(self, waiter: Waiter) -> _Job:
        leaf = waiter.place.leaf
        needs = self._rooms.needs(leaf, self._demand(waiter)) if leaf is not None else ()
        known = self._facts.run_times.expected(waiter.unit)
        return _Job(needs, *(known or (0.0, inf)))

    def _running_job(self, held: Held) -> _Job:
        demand = self._facts.ledger.demand(held.request, held.unit.preemptible)
        needs = self._rooms.needs(held.leaf, demand) if held.leaf is not None else ()
        return _Job(needs, *(self._left(held) or (0.0, inf)))

    def _left(self, held: Held) -> Interval | None:
        """How long a holder's job still runs; None when nothing that is known tells."""
        known = self._facts.run_times.expected(held.unit)
        ran = self._ran(held)
        if known is None or ran > known.most or held.unit.phase is Phase.RESERVED:
            return None
        return Interval(max(0.0, known.least - ran), known.most - ran)

    def _ran(self, held: Held) -> float:
        started = held.unit.started / 1_000_000
        return max(0.0, self._facts.now - started) if started else 0.0

    # --- schedules ------------------------------------------------------------------------------

    def _start(self, holds: list[_Job], ahead: list[_Job], *, longest: bool) -> float:
        """When the unit starts behind these, in this order; infinite: never."""
        free = dict(self._rooms.free)
        ends: list[tuple[float, Needs]] = []

        def hold(since: float, job: _Job) -> None:
            end = since + (job.most if longest else job.least)
            if end < inf:
                heappush(ends, (end, job.needs))

        for job in holds:
            hold(0.0, job)
        now = 0.0
        for job in (*ahead, self._waiting_job(self._waiter)):
            while not fits(free, job.needs):
                if not ends:
                    return inf
                end, needs = heappop(ends)
                now = max(now, end)
                add(free, needs, 1)
            add(free, job.needs, -1)
            hold(now, job)
        return now

    def _bound(self, holds: list[_Job], rivals: list[_Job]) -> float:
        """How long the unit waits at most while its rivals take their turns as they please;
        infinite: for ever.
        """
        finite = [job for job in (*holds, *rivals) if job.most < inf]
        work: dict[Room, float] = dict.fromkeys(self._rooms.free, 0.0)
        for job in finite:
            for room, amount in job.needs:
                work[room] += amount * job.most
        most = dict.fromkeys(self._rooms.free, 0)
        for head in self._heads:
            for room, amount in self._waiting_job(head).needs:
                most[room] = max(most[room], amount)
        filled = 0.0
        for room, whole in self._beside_the_endless(holds, rivals).items():
            # While one of the heads does not fit, at least so much of a room is held.
            held = whole - most[room] + 1
            if most[room] == 0 and self._rooms.free[room] >= 0:
                continue
            if held <= 0:
                return inf
            filled += work[room] / held
        last = max((job.most for job in holds if job.most < inf), default=0.0)
        one_by_one = last + sum(job.most for job in rivals if job.most < inf)
        return min(one_by_one, filled)

    def _beside_the_endless(self, holds: list[_Job], rivals: list[_Job]) -> dict[Room, int]:
        """How large each room is for jobs that end, while all that may not end hold theirs."""
        rooms = dict(self._rooms.free)
        for job in holds:
            if job.most < inf:
                add(rooms, job.needs, 1)
        for job in rivals:
            if job.most == inf:
                add(rooms, job.needs, -1)
        return rooms

    # --- words ----------------------------------------------------------------------------------

    def _endless(self, holds: list[_Job], rivals: list[_Job]) -> str:
        """Whose run time would have to be known."""
        holding = sum(1 for job in holds if job.most == inf)
        waiting = sum(1 for job in rivals if job.most == inf)
        overdue = sum(
            1
            for held in self._holders
            if (known := self._facts.run_times.expected(held.unit)) and self._ran(held) > known.most
        )
        if holding and holding == overdue:
            return f"{self._who_hold(holding, len(holds))} ran longer than expected"
        if holding:
            who = self._who_hold(holding, len(holds))
            return f"{who} {_have(holding)} no known run time"
        if waiting:
            who = f"{_some(waiting, len(rivals))} that may start before it"
            return f"{who} {_have(waiting)} no known run time"
        return f"pods outside the queue hold a part of {self._where}"

    def _who_hold(self, count: int, total: int) -> str:
        hold = "holds" if total == 1 else "hold"
        return f"{_some(count, total)} that {hold} {self._where}"

    @property
    def _where(self) -> str:
        top = self._rooms.top
        return f"quota {top.path}" if top is not None else "its quota"


def _same_lane(one: Waiter, other: Waiter) -> bool:
    return (one.place.queue, one.place.leaf) == (other.place.queue, other.place.leaf)


def _some(count: int, total: int) -> str:
    return "the one unit" if total == 1 else f"{count} of the {total} units"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"
