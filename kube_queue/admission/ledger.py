"""The quota ledger: who is charged how much where, and what is still free.

A charge counts on its leaf and on every node above it. Three bounds are kept per node (see
``Bound``), each as exact integers; ``quota_node`` says what is free of them. A resource without a
limit has no entry in ``free``. ``kube-queue/max-jobs`` is counted as one per charge.

What a charge is comes from outside and is level: charging a uid again replaces its charge, charging
above a limit is allowed (the decision not to is the caller's), and a charge whose leaf is not in
the tree is kept by uid without counting anywhere until a tree has a leaf for it.

Promises: what ``promise`` names is kept back from everybody while charges that were told to
``leave`` for it are on their way out, so that it is free at the latest when the last one is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from kube_queue.admission.bounds import Blocked, NodeUsage, QuotaBounds
from kube_queue.admission.quota_node import MAX, Demand, LedgerNode, dimensions
from kube_queue.api.quota import QuotaTree
from kube_queue.api.resources import EMPTY, ResourceVector

__all__ = [
    "Blocked",
    "Charge",
    "Demand",
    "LedgerNode",
    "NodeUsage",
    "QuotaLedger",
    "dimensions",
]


class Charge(NamedTuple):
    """What one unit holds; ``leaf`` is None while no leaf of the tree takes it."""

    leaf: str | None
    request: ResourceVector
    preemptible: bool


class QuotaLedger(QuotaBounds):
    """All charges and the sums they make. Not safe for use by two threads."""

    def __init__(self) -> None:
        super().__init__()
        self._charges: dict[str, Charge] = {}
        self._unmanaged: dict[str, ResourceVector] = {}
        self._promises: dict[str, Charge] = {}
        self._leaving: dict[str, bool] = {}
        self.changed: dict[str, None] = {}
        """Paths whose sums changed since somebody cleared this."""

    def set_tree(
        self,
        tree: QuotaTree | None,
        oversell_rate: float = 1.0,
        home: Callable[[str, Charge], Charge] | None = None,
    ) -> None:
        """The limits are this tree's and every charge is what ``home`` says.

        ``home`` gets uid and charge and answers with the charge in this tree, leaf None = it counts
        nowhere; without it a charge stays as it is. Limits are floor(amount x rate), the rate taken
        as the decimal it prints as, so 0.7 of 10 is 7. Sums of waiting requests start at zero, and
        so do those of pods without a unit.
        """
        self._build(tree, Fraction(str(oversell_rate)))
        self._promises.clear()
        self._unmanaged.clear()
        charges, self._charges = self._charges, {}
        for uid, charge in charges.items():
            self.charge(uid, *(home(uid, charge) if home is not None else charge))
        self.changed = dict.fromkeys(self._nodes)

    # --- charges ------------------------------------------------------------------------------

    def charge(
        self, uid: str, leaf: str | None, request: ResourceVector, preemptible: bool = True
    ) -> Charge | None:
        """The uid holds exactly this. Returns the charge it replaced if that was another one."""
        fresh = Charge(leaf if leaf in self._chains else None, request, preemptible)
        former = self._charges.get(uid)
        if former == fresh:
            return None
        if former is not None:
            self._count(uid, former, -1)
        self._charges[uid] = fresh
        self._count(uid, fresh, 1)
        return former

    def release(self, uid: str) -> Charge | None:
        """The uid holds nothing. Returns the charge it had, None if it had none."""
        former = self._charges.pop(uid, None)
        if former is not None:
            self._count(uid, former, -1)
            self._leaving.pop(uid, None)
        return former

    def held(self, uid: str) -> Charge | None:
        """What the uid is charged."""
        return self._charges.get(uid)

    @property
    def charges(self) -> Mapping[str, Charge]:
        """Every charge by uid, those without a leaf included."""
        return self._charges

    def _count(self, uid: str, charge: Charge, sign: int) -> None:
        if charge.leaf is None:
            return
        self.count(charge, sign)
        for node in self._chains[charge.leaf]:
            self.changed[node.path] = None
        if uid in self._leaving:
            self._set_leaving(charge, self._leaving[uid], sign)

    def count(self, charge: Charge, sign: int) -> None:
        """The sums hold the charge once more or once less, whoever it belongs to: whoever tries
        out what would be without it puts it back before anybody else looks.
        """
        if charge.leaf is None:
            return
        demand, chain = self.demand(charge.request, charge.preemptible), self._chains[charge.leaf]
        for node in chain:
            node.add(demand, sign)
        if self._lent:
            self._keep(chain, demand)

    def _keep(self, chain: tuple[LedgerNode, ...], demand: Demand) -> None:
        lent = self._lent.intersection(name for name, _ in demand[0][1])
        for node, parent in zip(chain, (*chain[1:], None), strict=True):
            node.keep_to_itself(parent, lent)

    def set_unmanaged(self, leaf: str, held: ResourceVector) -> None:
        """Pods that no unit stands for hold exactly this in the leaf. KeyError: no such leaf.

        It counts against max like a charge, and neither as a job nor against min.
        """
        former = self._unmanaged.pop(leaf, EMPTY)
        if held:
            self._unmanaged[leaf] = held
        for demand, sign in (((MAX, former.items),), -1), (((MAX, held.items),), 1):
            for node in self._chains[leaf]:
                node.add(demand, sign)
                self.changed[node.path] = None
            if self._lent:
                self._keep(self._chains[leaf], demand)

    def unmanaged(self, leaf: str) -> ResourceVector:
        """What pods that no unit stands for hold in the leaf."""
        return self._unmanaged.get(leaf, EMPTY)

    # --- promises -----------------------------------------------------------------------------

    def promise(self, uid: str, charge: Charge) -> bool:
        """So much is kept back for the uid until ``withdraw``. KeyError: its leaf is not in the
        tree. Returns whether something is free for others that was not: what leaves for several
        promises is one sum.
        """
        self.withdraw(uid)
        self._promises[uid] = charge
        return self._set_aside(charge, 1)

    def withdraw(self, uid: str) -> Charge | None:
        """Nothing is kept back for the uid any more. Returns what was."""
        charge = self._promises.pop(uid, None)
        if charge is not None:
            self._set_aside(charge, -1)
        return charge

    def leave(self, uid: str, *, promised: bool) -> bool:
        """The uid's charge is on its way out, for a promise or for nobody. Returns whether
        something is free that was not.
        """
        self.stay(uid)
        self._leaving[uid] = promised
        charge = self._charges.get(uid)
        return charge is not None and self._set_leaving(charge, promised, 1)

    def stay(self, uid: str) -> None:
        """The uid's charge is not known to be on its way out."""
        promised, charge = self._leaving.pop(uid, None), self._charges.get(uid)
        if promised is not None and charge is not None:
            self._set_leaving(charge, promised, -1)

    @property
    def lends_in_part(self) -> bool:
        """Whether a node of the tree declares how much of its min it lends."""
        return bool(self._lent)

    def settled(self) -> Iterator[tuple[Charge, int]]:
        """(charge, sign) of everything that changes when all who leave have left and all promises
        are kept.
        """
        for uid in self._leaving:
            if uid in self._charges:
                yield self._charges[uid], -1
        for charge in self._promises.values():
            yield charge, 1

    def _set_aside(self, charge: Charge, sign: int) -> bool:
        demand, more = self.demand(charge.request, charge.preemptible), False
        for node in self._chains[charge.leaf or ""]:
            more = node.set_aside(node.promised, demand, sign) or more
        return more

    def _set_leaving(self, charge: Charge, promised: bool, sign: int) -> bool:
        if charge.leaf is None:
            return False
        demand, more = self.demand(charge.request, charge.preemptible), False
        for node in self._chains[charge.leaf]:
            sums = node.leaving if promised else node.going
            more = node.set_aside(sums, demand, sign) or more
        return more

    # --- waiting requests, for status only -------------------------------------------------------

    def ask(self, leaf: str, request: ResourceVector, sign: int) -> None:
        """The request of one waiting unit counts at its leaf once more (1) or once less (-1)."""
        chain = self._chains[leaf]
        waiting = chain[0].waiting
        for resource, amount in request.items:
            total = waiting.get(resource, 0) + sign * amount
            if total:
                waiting[resource] = total
            else:
                del waiting[resource]
        for node in chain:
            self.changed[node.path] = None
