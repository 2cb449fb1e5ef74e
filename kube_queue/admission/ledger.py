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

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from kube_queue.admission.bounds import Blocked, NodeUsage, QuotaBounds
from kube_queue.admission.quota_node import MAX, Demand, LedgerNode, dimensions, flat
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


class _Promise(NamedTuple):
    """What is kept back for one unit."""

    chain: tuple[LedgerNode, ...]
    demand: Demand
    leaving: dict[tuple[str, int, str], int]
    """By (path, bound, resource) what its victims still hold."""

    def steps(self) -> Iterator[tuple[LedgerNode | None, LedgerNode]]:
        """(child on the way to the leaf, node) from the leaf up."""
        return zip((None, *self.chain), self.chain, strict=False)

    def follow(self, below: LedgerNode | None, node: LedgerNode, demand: Demand, sign: int) -> None:
        """Its victims hold so much more or less of the node."""
        wanted = {(bound, resource): amount for bound, resource, amount in flat(self.demand)}
        for bound, resource, held in flat(demand):
            if (bound, resource) not in wanted:
                continue
            amount, key = wanted[bound, resource], (node.path, bound, resource)
            before = self.leaving.get(key, 0)
            after = self.leaving[key] = before + sign * held
            change = max(0, amount - after) - max(0, amount - before)
            node.reserve((bound, resource), change, below)


class QuotaLedger(QuotaBounds):
    """All charges and the sums they make. Not safe for use by two threads."""

    def __init__(self) -> None:
        super().__init__()
        self._charges: dict[str, Charge] = {}
        self._unmanaged: dict[str, ResourceVector] = {}
        self._promises: dict[str, _Promise] = {}
        self._leaving: dict[str, str] = {}
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
            self._leaves(charge, self._leaving[uid], sign)

    def count(self, charge: Charge, sign: int) -> None:
        """The sums hold the charge once more or once less, whoever it belongs to: whoever tries
        out what would be without it puts it back before anybody else looks.
        """
        if charge.leaf is None:
            return
        demand, chain = self.demand(charge.request, charge.preemptible), self._chains[charge.leaf]
        for node in chain:
            node.add(demand, sign)
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
            for node in self._chains[leaf]:
                node.add(demand, sign)
                self.changed[node.path] = None
            self._keep_after(self._chains[leaf], demand)

    def unmanaged(self, leaf: str) -> ResourceVector:
        """What pods that no unit stands for hold in the leaf."""
        return self._unmanaged.get(leaf, EMPTY)

    # --- promises -----------------------------------------------------------------------------

    def promise(self, uid: str, charge: Charge, victims: Iterable[str]) -> None:
        """So much is kept back for the uid as these who leave for it do not hold any more.
        KeyError: its leaf is not in the tree.
        """
        self.withdraw(uid)
        victims = tuple(victims)
        for victim in victims:
            self.stay(victim)
        demand = self.demand(charge.request, charge.preemptible)
        made = self._promises[uid] = _Promise(self._chains[charge.leaf or ""], demand, {})
        for below, node in made.steps():
            node.note(node.promised, demand, 1)
            for bound, resource, amount in flat(demand):
                node.reserve((bound, resource), amount, below)
        self._keep_after(made.chain, demand)
        for victim in victims:
            self.leave(victim, uid)

    def withdraw(self, uid: str) -> None:
        """Nothing is kept back for the uid any more. Those who leave for it still do."""
        made = self._promises.pop(uid, None)
        if made is None:
            return
        for below, node in made.steps():
            node.note(node.promised, made.demand, -1)
            for bound, resource, amount in flat(made.demand):
                held = made.leaving.get((node.path, bound, resource), 0)
                node.reserve((bound, resource), -max(0, amount - held), below)
        self._keep_after(made.chain, made.demand)

    def lacks(self, uid: str) -> Lacking | None:
        """The bound that has no room yet for what is promised to the uid, with how much has to be
        free of it besides what is kept back; None: nothing speaks against it, or a quota declares
        what it lends and only a trial can tell. KeyError: nothing is promised to the uid.
        """
        made = self._promises[uid]
        if self._lent:
            return None
        bounds = {bound for bound, _ in made.demand}
        # Whoever takes back lacks room above its own leaf.
        for node in reversed(made.chain):
            for bound, resource in node.over:
                if bound in bounds:
                    return Lacking(node, bound, resource, None)
            for bound, resource, amount in flat(made.demand):
                need = min(amount, made.leaving.get((node.path, bound, resource), 0))
                if resource in node.free[bound] and node.free[bound][resource] < need:
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
        demand = self.demand(charge.request, charge.preemptible)
        made = self._promises.get(preemptor)
        chain = self._chains[charge.leaf]
        for node in chain:
            node.note(node.leaving, demand, sign)
        if made is not None:
            for below, node in made.steps():
                if node in chain:
                    made.follow(below, node, demand, sign)
            self._keep_after(made.chain, made.demand)

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
