"""What was promised to units whose victims leave, and who leaves for whom.

A promise is made with the decision to evict, or anew from the evictions that name its unit (after a
restart). Until it ends, its unit is out of the queues and as much is kept back for it as its
victims gave up so far. It ends

* when the last victim is gone: the unit is admitted, or, if something else than a decision took the
  room meanwhile (another tree, an adopted job), waits like anybody. Where pods that no unit stands
  for have the room, as the victims' own do while the watch of pods is behind that of units, the
  promise is kept for ``LINGER`` seconds more;
* when there is room before that, because others gave something back that nobody else takes: the
  unit is admitted;
* when its unit is gone, held, or asks for something else or elsewhere;
* when one of its evictions could not be carried out.

Victims of a promise that ended still leave; nobody is evicted twice for the same unit.

Whoever takes over finds evictions that name a unit, and units that have left for one and wait. Of
the latter he cannot tell whether the promise had ended, so it is kept once: the unit is tried
before anybody else, and waits like anybody if it does not fit. A unit whose admission could not be
written keeps what others left for it until it is tried again, once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from kube_queue.admission.early import Early
from kube_queue.admission.holds import Hold, kept_back
from kube_queue.admission.lanes import Waiter
from kube_queue.admission.ledger import Charge, QuotaLedger
from kube_queue.admission.pending import PendingQueues
from kube_queue.admission.running import Running
from kube_queue.api.reasons import Reason
from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import Unit

LINGER: Final = 10.0
"""Seconds for which pods that are seen a moment longer than their unit do not end a promise."""
_NAMED_IN_MESSAGE: Final = 3


class _Promise:
    """What one unit waits for."""

    __slots__ = ("charge", "serial", "until", "victims")

    def __init__(
        self, charge: Charge, victims: Iterable[str], serial: int, until: float = 0.0
    ) -> None:
        self.charge = charge
        self.victims = dict.fromkeys(victims)
        self.serial = serial
        self.until = until
        """Kept until then though all victims are gone; seconds since the epoch, 0 = not asked."""


class _Leaving:
    """Why one unit leaves."""

    __slots__ = ("over", "preemptor", "seen")

    def __init__(self, preemptor: str, *, seen: bool) -> None:
        self.preemptor = preemptor
        self.seen = seen
        """Whether the unit was seen to be evicted, which until then is only decided."""
        self.over = False
        """Whether the promise it left for has ended."""


class Promises:
    """All promises and all who leave."""

    def __init__(
        self,
        ledger: QuotaLedger,
        pending: PendingQueues,
        running: Running,
        early: Early,
        moved: Callable[[str, ResourceVector], None],
    ) -> None:
        self._ledger = ledger
        self._pending = pending
        self._running = running
        self._moved = moved
        self._promises: dict[str, _Promise] = {}
        self._leaving: dict[str, _Leaving] = {}
        self._for: dict[str, dict[str, None]] = {}
        """Who leaves for whom, by preemptor."""
        self._evicted_for: dict[str, set[str]] = {}
        """Who was ever evicted for a unit, while it is known."""
        self._due: dict[str, None] = {}
        self._early = early
        self._owed: dict[str, None] = {}
        self._serial = 0

    # --- making and ending ------------------------------------------------------------------------

    def make(self, uid: str, charge: Charge, victims: Collection[str]) -> None:
        """The waiting unit is to get this once the victims are gone."""
        for victim in victims:
            self._leaves(victim, _Leaving(uid, seen=False))
        self._promise(uid, charge, victims, self._why(victims))

    def end(self, uid: str) -> None:
        """Nothing is promised to the unit; if it waits it does so like anybody."""
        promise = self._promises.get(uid)
        if promise is None:
            return
        self.kept(uid)
        self._pending.unhold(uid)
        if (promise.charge.leaf or "") in self._ledger:
            self._pending.released(promise.charge)

    def linger(self, uid: str, charge: Charge, now: float) -> bool:
        """Everybody left for the unit and it does not fit: it has its promise for some seconds
        more if only pods that no unit stands for are in its way. Returns whether it has.
        """
        promise = self._promises.get(uid)
        until = promise.until if promise is not None and promise.until else now + LINGER
        if now >= until or not self._ledger.fits_without_pods(charge):
            return False
        self.keep_on(uid, charge, until)
        return True

    def keep_on(self, uid: str, charge: Charge, until: float) -> None:
        """What others left for the waiting unit is kept for it until then, if that is what it asks
        for; in seconds since the epoch.
        """
        if self._charge_of(self._pending.waiter(uid)) != charge:
            return
        self._promise(uid, charge, (), kept_back(until))

    def rung(self, uid: str) -> None:
        """The unit's time has come: what is promised to it is looked at, or found again."""
        promise = self._promises.get(uid)
        if promise is None:
            self.restore(uid)
        elif not promise.victims:
            self._due[uid] = None

    def called_in(self, uid: str) -> Charge | None:
        """What was promised to the unit, None if it cannot be admitted now; it is kept back no
        more, whatever comes of it. KeyError: no promise.
        """
        promise, waiter = self._promises[uid], self._pending.waiter(uid)
        self._ledger.withdraw(uid)
        if waiter is None or waiter.cooling_until or self._asked(waiter) != promise.charge:
            return None
        return promise.charge

    def kept(self, uid: str) -> None:
        """The unit was admitted, or is not owed anything any more. KeyError: no promise."""
        promise = self._promises.pop(uid)
        self._due.pop(uid, None)
        self._early.drop(uid)
        self._ledger.withdraw(uid)
        for victim in promise.victims:
            self._leaving[victim].over = True
            self._ledger.leave(victim)
        self._moved(promise.charge.leaf or "", promise.charge.request)

    def due(self) -> list[str]:
        """Units whose victims are all gone, in the order in which they were promised."""
        if not self._due:
            return []
        return sorted(self._due, key=lambda uid: self._promises[uid].serial)

    def early(self) -> list[str]:
        """Units that have room already though not all their victims are gone, in the order in which
        they were promised it. Each may take the room of those behind it.
        """
        if not self._early.waiting:
            return []
        waiting = [uid for uid in self._early.with_room() if uid not in self._due]
        found = [uid for uid in waiting if self.has_room(uid)]
        return sorted(found, key=lambda uid: self._promises[uid].serial)

    def has_room(self, uid: str) -> bool:
        """Whether the unit could be admitted now. KeyError: no promise."""
        promise, waiter, ledger = self._promises[uid], self._pending.waiter(uid), self._ledger
        if waiter is None or waiter.cooling_until or self._asked(waiter) != promise.charge:
            return False
        if ledger.lacks(uid) is not None:
            return False
        if not ledger.lends:
            return True
        # What is kept back for it may be a part of what its quotas keep from others.
        ledger.withdraw(uid)
        demand = ledger.demand(promise.charge.request, promise.charge.preemptible)
        blocked = ledger.blocker(ledger.chain(promise.charge.leaf or ""), demand)
        ledger.promise(uid, promise.charge, promise.victims)
        return blocked is None

    def owe(self, uids: Iterable[str]) -> None:
        """Others left for these units before we were there; they are tried once, in this order."""
        self._owed = dict.fromkeys(uids)

    def next_owed(self) -> tuple[str, Charge] | None:
        """The next unit that others left for and what it asks for; it is not named again."""
        while self._owed:
            uid = next(iter(self._owed))
            del self._owed[uid]
            waiter = self._pending.waiter(uid)
            charge = self._charge_of(waiter) if uid not in self._promises else None
            if waiter is not None and not waiter.cooling_until and charge is not None:
                return uid, charge
        return None

    @property
    def waiting(self) -> bool:
        """Whether somebody's victims are all gone, or others may have made room."""
        return bool(self._due) or self._early.waiting or bool(self._owed)

    def __contains__(self, uid: str) -> bool:
        return uid in self._promises

    def leaving_for(self, uid: str) -> tuple[str, ...]:
        """Who was told to leave for the unit and still holds quota, the first told first."""
        return tuple(self._for.get(uid, ()))

    def spared(self, uid: str) -> Collection[str]:
        """Who was evicted for the unit before."""
        return self._evicted_for.get(uid, ())

    def evicting(self, uid: str) -> bool:
        """Whether the unit's eviction is decided, still of use and not seen yet."""
        leaving = self._leaving.get(uid)
        return leaving is not None and not leaving.seen and not leaving.over

    # --- what was seen ----------------------------------------------------------------------------

    def holds(self, unit: Unit) -> None:
        """The unit was seen to hold quota and is charged."""
        leaving = self._leaving.get(unit.uid)
        if unit.evicted:
            if leaving is None:
                self._leaves(unit.uid, _Leaving(unit.preemptor, seen=True))
                self._ledger.leave(unit.uid)
                self.restore(unit.preemptor)
            else:
                leaving.seen = True
                if leaving.preemptor in self._promises:
                    self._early.look_at(leaving.preemptor)
        elif leaving is not None and leaving.seen:
            # It left and came back between two sightings, or somebody took its eviction back.
            self.left(unit.uid)
            self._ledger.stay(unit.uid)

    def left(self, uid: str) -> None:
        """The unit was told to go and holds nothing of what it held then."""
        leaving = self._leaving.pop(uid, None)
        if leaving is None:
            return
        self._running.leaving(uid, False)
        company = self._for[leaving.preemptor]
        del company[uid]
        if not company:
            del self._for[leaving.preemptor]
        promise = self._promises.get(leaving.preemptor)
        if promise is not None and uid in promise.victims:
            del promise.victims[uid]
            self._early.look_at(leaving.preemptor)
            if not promise.victims:
                self._due[leaving.preemptor] = None

    def failed(self, uid: str) -> None:
        """The unit could not be told to go."""
        leaving = self._leaving.get(uid)
        if leaving is None or leaving.seen:
            return
        self.end(leaving.preemptor)
        self._ledger.stay(uid)
        self.left(uid)

    def waits(self, uid: str) -> None:
        """The unit waits, as it was seen last: its promise stands, ends, or is found again."""
        promise = self._promises.get(uid)
        if promise is None:
            self.restore(uid)
        elif promise.charge != self._asked(self._pending.waiter(uid)):
            self.end(uid)

    def forget(self, uid: str) -> None:
        """The unit will not come back."""
        self._evicted_for.pop(uid, None)

    def rebuild(self) -> None:
        """The tree is another one, and everybody is where he belongs in it."""
        self._early.clear()
        for uid, promise in tuple(self._promises.items()):
            charge = self._charge_of(self._pending.waiter(uid))
            if charge is None:
                self.end(uid)
            else:
                promise.charge = charge
                self._ledger.promise(uid, charge, promise.victims)
                self._early.look_at(uid)
        self.restore_all()

    def restore_all(self) -> None:
        """Units that others leave for have their promises."""
        for uid in tuple(self._for):
            self.restore(uid)

    def restore(self, uid: str) -> None:
        """If others leave for the waiting unit, and never did for a promise that ended, it has its
        promise, and waits for all of them.
        """
        victims = [one for one in self._for.get(uid, ()) if not self._leaving[one].over]
        promise = self._promises.get(uid)
        if promise is not None and promise.victims.keys() >= set(victims):
            return
        charge = self._charge_of(self._pending.waiter(uid)) if uid and victims else None
        if charge is not None:
            self._promise(uid, charge, victims, self._why(victims))

    # --- inside -----------------------------------------------------------------------------------

    def _promise(self, uid: str, charge: Charge, victims: Collection[str], why: Hold) -> None:
        self._serial += 1
        self._promises[uid] = _Promise(charge, victims, self._serial, why.until)
        self._due.pop(uid, None)
        self._ledger.promise(uid, charge, victims)
        self._early.look_at(uid)
        self._pending.hold(uid, why)
        self._moved(charge.leaf or "", charge.request)

    def _leaves(self, uid: str, leaving: _Leaving) -> None:
        self._leaving[uid] = leaving
        self._for.setdefault(leaving.preemptor, {})[uid] = None
        self._evicted_for.setdefault(leaving.preemptor, set()).add(uid)
        self._running.leaving(uid, True)

    def _charge_of(self, waiter: Waiter | None) -> Charge | None:
        """What the waiting unit could be promised; None while it cannot be admitted."""
        asked = self._asked(waiter)
        if asked is None or self._ledger.never_fits(asked.leaf or "", *asked[1:]) is not None:
            return None
        return asked

    def _asked(self, waiter: Waiter | None) -> Charge | None:
        """What the waiting unit asks for; None while it has no turns at all."""
        if waiter is None or waiter.due_at or waiter.place.hold is not None:
            return None
        place, preemptible = waiter.place, waiter.unit.preemptible
        queue = self._pending.queue(place.queue)
        if place.leaf is None or queue is None or queue.stopped:
            return None
        return Charge(place.leaf, place.request, preemptible)

    def _why(self, victims: Collection[str]) -> Hold:
        held = [self._running.get(uid) for uid in victims]
        names = sorted(one.unit.key for one in held if one is not None)
        more = len(names) - _NAMED_IN_MESSAGE
        listed = ", ".join(names[:_NAMED_IN_MESSAGE]) + (f" and {more} more" if more > 0 else "")
        leave = "leaves" if len(names) == 1 else "leave"
        return Hold(
            Reason.RECLAIM_PENDING,
            f"{listed} {leave} to make room for it; their quota is kept for it",
            f"waits until the pods of {listed} are gone",
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._promises)
