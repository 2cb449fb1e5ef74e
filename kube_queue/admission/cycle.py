"""One cycle: whoever fits is admitted, in the order of turns, until nothing that waits fits.

Who does not fit may have others evicted: then their quota is promised to it, and it waits outside
the queues until the last of them is gone, or until there is room that nobody else takes.
"""

from __future__ import annotations

from kube_queue.admission.core import Core
from kube_queue.admission.decisions import Admit, Decision, Requeue
from kube_queue.admission.lanes import Line
from kube_queue.admission.ledger import Blocked, Charge
from kube_queue.admission.running import Held
from kube_queue.admission.scan import Choice
from kube_queue.admission.sentences import eviction
from kube_queue.api.resources import ResourceVector

Alike = tuple[str, ResourceVector, bool]
"""(leaf, request, preemptible): units that share every answer of a cycle."""


def cycle(core: Core, now: float, limit: int = 0) -> list[Decision]:
    """Decisions in the order they were made; what they take is charged or promised, and whom they
    concern waits no more. ``now`` is seconds since the epoch. With a ``limit`` the cycle ends after
    so many admissions and evictions, and the next one goes on where it stopped.
    """
    run = _Cycle(core, now, limit)
    run.ring()
    run.keep_promises()
    run.settle_debts()
    run.take_turns()
    while run.anticipate():
        run.take_turns()
    return run.decisions


class _Cycle:
    """The steps, and what is known within one cycle: in it nothing is given back any more."""

    def __init__(self, core: Core, now: float, limit: int) -> None:
        self._core = core
        self._now = now
        self._limit = limit
        self._written = 0
        self._refused: dict[Alike, Blocked] = {}
        self._helpless: dict[Alike, int] = {}
        self.decisions: list[Decision] = []

    @property
    def may_go_on(self) -> bool:
        return not self._limit or self._written < self._limit

    def ring(self) -> None:
        """What was to be looked at by now is. For whom others left while it might not be tried yet
        (their evictions were read after a restart), that is promised from now on; what was kept on
        for a while is due.
        """
        for uid in self._core.pending.ring(self._now):
            self._core.promises.rung(uid)

    def keep_promises(self) -> None:
        """Whose victims are all gone is admitted; if it does not fit it waits like anybody."""
        core = self._core
        for uid in core.promises.due():
            if not self.may_go_on:
                return
            charge = core.promises.called_in(uid)
            if charge is not None and self._fits(charge):
                self._keep(uid, charge)
            elif charge is None or not core.promises.linger(uid, charge, self._now):
                core.promises.end(uid)

    def settle_debts(self) -> None:
        """For whom others left before this process decided has been tried before anybody else."""
        promises = self._core.promises
        while self.may_go_on and (owed := promises.next_owed()) is not None:
            uid, charge = owed
            if self._fits(charge):
                self._take_out(uid, charge)
            else:
                promises.linger(uid, charge, self._now)

    def next_turn(self) -> tuple[Line, Choice] | None:
        """The unit that is tried next. Who found no victims and may find some now takes part."""
        pending, again = self._core.pending, self._core.again
        while True:
            turn = pending.turns.next()
            line, rank = (turn[0], turn[1].group.lane.rank) if turn is not None else (None, None)
            groups = again.next_groups(line, rank)
            if not groups:
                return turn
            for group in groups:
                pending.try_again(group)

    def take_turns(self) -> None:
        """Nobody is left who has a turn and fits."""
        again = self._core.again
        again.look()
        while self.may_go_on and (turn := self.next_turn()) is not None:
            line, choice = turn
            blocked = self.blocked(choice)
            if blocked is None:
                self.admit(line, choice)
            elif victims := self.victims(line, choice):
                self.evict(line, choice, victims)
            else:
                self.refuse(line, choice, blocked)
            again.had_turn(choice.group.lane)

    def anticipate(self) -> bool:
        """What is left over goes to units that wait for their victims. Returns whether any got it:
        then others behind them may have a turn.
        """
        before, promises = self._written, self._core.promises
        for uid in promises.early() if self.may_go_on else ():
            if self.may_go_on and promises.has_room(uid):
                charge = promises.called_in(uid)
                if charge is not None:
                    self._keep(uid, charge)
        return self._written > before

    def blocked(self, choice: Choice) -> Blocked | None:
        """The bound that has the least room for the choice, None if it fits."""
        alike = _alike(choice)
        found = self._refused.get(alike)
        if found is None:
            self._core.pending.examined += 1
            group = choice.group
            found = self._core.ledger.blocker(group.lane.chain, group.demand)
            if found is not None:
                self._refused[alike] = found
        return found

    def admit(self, line: Line, choice: Choice) -> None:
        """The choice has its quota."""
        group = choice.group
        self._admit(choice.uid, Charge(group.lane.leaf, group.request, group.preemptible))
        self._core.pending.admitted(line, choice)

    def victims(self, line: Line, choice: Choice) -> tuple[Held, ...]:
        """Who would have to go for the choice; units alike of no higher priority have no others."""
        core = self._core
        if not core.reclaim.evicts:
            return ()
        group, alike = choice.group, _alike(choice)
        unit = line.waiters[choice.uid].unit
        failed = self._helpless.get(alike)
        if failed is None or (core.again.depends_on_priority and failed < unit.priority):
            spared = core.promises.spared(unit.uid)
            found = core.reclaim.victims(unit, group.lane.leaf, group.request, spared)
            if found:
                return found
            self._helpless[alike] = unit.priority
        core.again.failed(group, unit.priority)
        return ()

    def evict(self, line: Line, choice: Choice, victims: tuple[Held, ...]) -> None:
        """The victims are told to go, and what the choice needs is promised to it."""
        group, unit = choice.group, line.waiters[choice.uid].unit
        told = [eviction(held, unit, group.lane.leaf, self._core.ledger) for held in victims]
        self.decisions += told
        self._written += len(told)
        line.scan.admitted(line, choice)
        charge = Charge(group.lane.leaf, group.request, group.preemptible)
        self._core.promises.make(unit.uid, charge, [held.unit.uid for held in victims])

    def refuse(self, line: Line, choice: Choice, blocked: Blocked) -> None:
        """The choice waits until something is given back."""
        group, (_, bound, resource, amount) = choice.group, blocked
        shortage = group.shortage = self._core.ledger.told(group.lane.chain, blocked)
        line.scan.refused(line, choice, ((bound, resource), amount), self._now)
        self.decisions.append(Requeue(choice.uid, shortage))

    def _keep(self, uid: str, charge: Charge) -> None:
        self._core.promises.kept(uid)
        self._take_out(uid, charge)

    def _take_out(self, uid: str, charge: Charge) -> None:
        """The unit has its quota, whose turn ever it is."""
        self._admit(uid, charge, others_left=True)
        self._core.pending.remove(uid)
        self._core.pending.reshared(charge.leaf or "")

    def _fits(self, charge: Charge) -> bool:
        ledger = self._core.ledger
        demand = ledger.demand(charge.request, charge.preemptible)
        return ledger.blocker(ledger.chain(charge.leaf or ""), demand) is None

    def _admit(self, uid: str, charge: Charge, *, others_left: bool = False) -> None:
        waiter = self._core.pending.waiter(uid)
        if waiter is None or charge.leaf is None:
            raise ValueError(f"unit {uid} does not wait")
        unit = waiter.unit
        self._core.ledger.take(uid, charge)
        self._core.pending.ends.decided(Held(unit, charge.leaf, charge.request, self._now))
        self._written += 1
        self.decisions.append(
            Admit(
                uid=uid,
                namespace=unit.namespace,
                name=unit.name,
                resource_version=unit.resource_version,
                leaf=charge.leaf,
                queue=waiter.place.queue,
                request=charge.request,
                others_left=others_left,
            )
        )


def _alike(choice: Choice) -> Alike:
    group = choice.group
    return group.lane.leaf, group.request, group.preemptible
