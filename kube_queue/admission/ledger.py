"""The quota ledger: who is charged how much where, and what is still free.

A charge counts on its leaf and on every node above it. Three bounds are kept per node (see
``Bound``), each as exact integers; ``quota_node`` says what is free of them. A resource without a
limit has no entry in ``free``. ``kube-queue/max-jobs`` is counted as one per charge.

What a charge is comes from outside and is level: charging a uid again replaces its charge, charging
above a limit is allowed (the decision not to is the caller's), and a charge whose leaf is not in
the tree is kept by uid without counting anywhere until a tree has a leaf for it.

Promises: what ``promise`` names is kept back from everybody as far as those who were told to
``leave`` for it do not hold it any more, so that it is free when the last one is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

from kube_queue.admission.bounds import Blocked, NodeUsage, QuotaBounds
from kube_queue.admission.quota_node import (
    MAX,
    Amounts,
    Demand,
    LedgerNode,
    Room,
    add,
    dimensions,
    flat,
    note,
)
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


class Lacking(NamedTuple):
    """What a promised unit waits for; ``need`` None: that the bound is not exceeded any more."""

    node: LedgerNode
    bound: int
    resource: str
    need: int | None


class _Promise:
    """What is kept back for one unit."""

    __slots__ = ("amounts", "chain", "demand", "leaving")

    def __init__(self, chain: tuple[LedgerNode, ...], demand: Demand) -> None:
        self.chain = chain
        self.demand = demand
        self.amounts = flat(demand)
        self.leaving: dict[LedgerNode, dict[Room, int]] = {node: {} for node in chain}
        """What its victims still hold of each node."""

    def keep(self, sign: int) -> None:
        """Its nodes keep back, or do no longer, what its victims hold no more."""
        below: LedgerNode | None = None
        for node in self.chain:
            note(node.promised, self.amounts, sign)
            leaving = self.leaving[node]
            left = [(room, amount - leaving.get(room, 0)) for room, amount in self.amounts]
            node.reserve([one for one in left if one[1] > 0], sign, below)
            below = node

    def follow(self, chain: tuple[LedgerNode, ...], held: Amounts, sign: int) -> None:
        """Its victims hold so much more or less of these nodes."""
        wanted = dict(self.amounts)
        for below, node in zip((None, *self.chain), self.chain, strict=False):
            if node not in chain:
                continue
            leaving, changes = self.leaving[node], []
            for room, moved in held:
                amount = wanted.get(room)
                if amount is None:
                    continue
                before = leaving.get(room, 0)
                after = leaving[room] = before + sign * moved
                kept, keeps = amount - before, amount - after
                change = (keeps if keeps > 0 else 0) - (kept if kept > 0 else 0)
                if change:
                    changes.append((room, change))
            node.reserve(changes, 1, below)


class QuotaLedger(QuotaBounds):
    """All charges and the sums they make. Not safe for use by two threads."""

    def __init__(self) -> None:
        super().__init__()
        self._charges: dict[str, Charge] = {}
        self._unmanaged: dict[str, ResourceVector] = {}
        self._promises: dict[str, _Promise] = {}
        self._leaving: dict[str, str] = {}

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

    # --- charges ------------------------------------------------------------------------------

    def charge(
        self, uid: str, leaf: str | None, request: ResourceVector, preemptible: bool = True
    ) -> Charge | None:
        """The uid holds exactly this. Returns the charge it replaced if that was another one."""
        return self.take(uid, Charge(leaf if leaf in self._chains else None, request, preemptible))

    def take(self, uid: str, fresh: Charge) -> Charge | None:
        """The same for a charge whose leaf is in the tree, or None."""
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
        demand, chain = self.demand(charge.request, charge.preemptible), self._chains[charge.leaf]
        add(chain, demand, sign)
        self._keep_after(chain, demand)
        if uid in self._leaving:
            self._leaves(charge, self._leaving[uid], sign)

    def try_out(self, charge: Charge, sign: int, seen: tuple[LedgerNode, ...]) -> None:
        """The sums hold the charge once more or once less, whoever it belongs to, for somebody who
        looks at these nodes only, and puts everything back before anybody else looks.
        """
        if charge.leaf is None:
            return
        demand, chain = self.demand(charge.request, charge.preemptible), self._chains[charge.leaf]
        # What one node lends is another's room.
        add(chain if self._lent else [node for node in chain if node in seen], demand, sign)
        self._keep_after(chain, demand)

    def _keep_after(self, chain: tuple[LedgerNode, ...], demand: Demand) -> None:
        # Most trees declare no lend limit, and pay nothing for it.
        if not self._lent:
            return
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
            add(self._chains[leaf], demand, sign)
            self._keep_after(self._chains[leaf], demand)

    def fits_without_pods(self, charge: Charge) -> bool:
        """Whether the charge would fit if no pod held anything that no unit stands for. KeyError:
        its leaf is not in the tree.
        """
        pods = dict(self._unmanaged)
        for leaf in pods:
            self.set_unmanaged(leaf, EMPTY)
        demand = self.demand(charge.request, charge.preemptible)
        found = self.blocker(self._chains[charge.leaf or ""], demand)
        for leaf, held in pods.items():
            self.set_unmanaged(leaf, held)
        return found is None

    def unmanaged(self, leaf: str) -> ResourceVector:
        """What pods that no unit stands for hold in the leaf."""
        return self._unmanaged.get(leaf, EMPTY)

    # --- promises -----------------------------------------------------------------------------

    def promise(self, uid: str, charge: Charge, victims: Iterable[str]) -> None:
        """So much is kept back for the uid as these who leave for it do not hold any more.
        KeyError: its leaf is not in the tree.
        """
        self.withdraw(uid)
        demand = self.demand(charge.request, charge.preemptible)
        made = _Promise(self._chains[charge.leaf or ""], demand)
        for victim in victims:
            self.leave(victim, uid)
            held = self._charges.get(victim)
            if held is not None and held.leaf is not None:
                amounts = flat(self.demand(held.request, held.preemptible))
                for node in self._chains[held.leaf]:
                    if node in made.leaving:
                        note(made.leaving[node], amounts, 1)
        self._promises[uid] = made
        made.keep(1)
        self._keep_after(made.chain, demand)

    def withdraw(self, uid: str) -> None:
        """Nothing is kept back for the uid any more. Those who leave for it still do."""
        made = self._promises.pop(uid, None)
        if made is not None:
            made.keep(-1)
            self._keep_after(made.chain, made.demand)

    def lacks(self, uid: str) -> Lacking | None:
        """The bound that has no room yet for what is promised to the uid, with how much has to be
        free of it besides what is kept back; None: nothing speaks against it, or a quota declares
        what it lends and only a trial can tell. KeyError: nothing is promised to the uid.
        """
        made = self._promises[uid]
        if self._lent:
            return None
        bounds = [bound for bound, _ in made.demand]
        # Whoever takes back lacks room above its own leaf.
        for node in reversed(made.chain):
            for bound, resource in node.over:
                if bound in bounds:
                    return Lacking(node, bound, resource, None)
            for (bound, resource), amount in made.amounts:
                free = node.free[bound].get(resource)
                if free is None or free >= amount:
                    continue
                need = min(amount, made.leaving[node].get((bound, resource), 0))
                if free < need:
                    return Lacking(node, bound, resource, need)
        return None

    def leave(self, uid: str, preemptor: str = "") -> None:
        """The uid was told to go, for the preemptor or for nobody."""
        self.stay(uid)
        self._leaving[uid] = preemptor
        charge = self._charges.get(uid)
        if charge is not None:
            self._leaves(charge, preemptor, 1)

    def stay(self, uid: str) -> None:
        """Nobody told the uid to go."""
        preemptor, charge = self._leaving.pop(uid, None), self._charges.get(uid)
        if preemptor is not None and charge is not None:
            self._leaves(charge, preemptor, -1)

    def _leaves(self, charge: Charge, preemptor: str, sign: int) -> None:
        if charge.leaf is None:
            return
        chain, made = self._chains[charge.leaf], self._promises.get(preemptor)
        amounts = flat(self.demand(charge.request, charge.preemptible))
        for node in chain:
            note(node.leaving, amounts, sign)
        if made is not None:
            made.follow(chain, amounts, sign)
            self._keep_after(made.chain, made.demand)

    # --- waiting requests, for status only -------------------------------------------------------

    def ask(self, leaf: str, request: ResourceVector, sign: int) -> None:
        """The request of one waiting unit counts at its leaf once more (1) or once less (-1)."""
        waiting = self._nodes[leaf].waiting
        for resource, amount in request.items:
            total = waiting.get(resource, 0) + sign * amount
            if total:
                waiting[resource] = total
            else:
                del waiting[resource]
