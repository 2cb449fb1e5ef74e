"""Whom to evict for a unit: a guarantee is taken back, or a higher priority goes first.

A unit that does not fit looks at two sorts of victims:

* **Other leaves that borrowed** (reclaim policy ``Any`` or ``LowerPriority``), if its own leaf
  stays within min with it and an ancestor's max has no room. Borrowed is what a leaf uses above its
  min of the resource that is short. The leaf that borrowed most gives first; in it the lowest
  priority, of equals one that leaves the leaf at or above its min, then the newest. A leaf gives
  only while it uses more than its min before each pick; the last pick may be larger than that.
* **Its own leaf** (preemption policy ``LowerPriority``): units of lower priority, the lowest first,
  then the newest. They go first where the leaf is within min only without them, and last otherwise.

A leaf is within min if it is so in everything the unit asks for, and in what keeps the unit out
though it does not ask for it (others are above that bound). What min does not list is guaranteed
to nobody; jobs, and resources that no max on the way to the root bounds, count only where min lists
them. A unit that is not preemptible needs room in the min left to its kind besides.

All or nothing: without room for the unit in the end nobody is evicted. Who turned out unnecessary
is left alone, the last picked first. While enough leaves already, nobody else is evicted. Never
picked: who cannot be evicted or leaves already (see ``running``), and who was evicted for this unit
before.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from heapq import heappop, heappush
from typing import Final

from kube_queue.admission.borrowers import Borrowers
from kube_queue.admission.ledger import Demand, LedgerNode, QuotaLedger
from kube_queue.admission.outlook import Outlook, Short, enough_leaves, short
from kube_queue.admission.quota_node import MAX, MIN
from kube_queue.admission.running import Held, Running, Wanted, asked
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy
from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import Unit

EQUALS_COMPARED: Final = 64
"""Of so many units of one priority the newest that leaves its leaf at or above min is found."""


class Reclaim:
    """Finds victims; evicts nobody and changes nothing."""

    def __init__(
        self,
        ledger: QuotaLedger,
        running: Running,
        reclaim: ReclaimPolicy = ReclaimPolicy.ANY,
        preemption: PreemptionPolicy = PreemptionPolicy.NEVER,
    ) -> None:
        self.ledger = ledger
        self.running = running
        self.borrowers = Borrowers(ledger, running, reclaim)
        self.reclaim = reclaim
        self.preemption = preemption

    def victims(
        self, unit: Unit, leaf: str, request: ResourceVector, spared: Container[str] = ()
    ) -> tuple[Held, ...]:
        """Who has to go so that the unit can be admitted in the end, in the order of the picks;
        empty: nobody can help, or nobody has to because enough leaves anyway.
        """
        own = self.preempts(unit, leaf)
        if not own and not self.may_take_back(leaf, request):
            return ()
        chain = self.ledger.chain(leaf)
        if enough_leaves(chain, self.ledger.demand(request, unit.preemptible)):
            return ()
        with Outlook(self.ledger, chain) as after:
            return _Search(self, after, unit, leaf, request, spared).run(own)

    @property
    def evicts(self) -> bool:
        """Whether anybody may ever be evicted for anybody."""
        return (
            self.reclaim is not ReclaimPolicy.NEVER or self.preemption is not PreemptionPolicy.NEVER
        )

    def preempts(self, unit: Unit, leaf: str) -> bool:
        """Whether units of its own leaf may be evicted for the unit."""
        if self.preemption is PreemptionPolicy.NEVER:
            return False
        lowest = next(self.running.victims(leaf), None)
        return lowest is not None and lowest.unit.priority < unit.priority

    def may_take_back(self, leaf: str, request: ResourceVector) -> bool:
        """Whether so much more keeps the leaf within its min with everybody in it."""
        if self.reclaim is ReclaimPolicy.NEVER:
            return False
        return not over_min(self.ledger.chain(leaf), asked(request))


class _Search:
    """The search for one unit's victims."""

    def __init__(
        self,
        reclaim: Reclaim,
        after: Outlook,
        unit: Unit,
        leaf: str,
        request: ResourceVector,
        spared: Container[str],
    ) -> None:
        self._reclaim = reclaim
        self._after = after
        self._unit = unit
        self._spared = spared
        self._chain = reclaim.ledger.chain(leaf)
        self._demand: Demand = reclaim.ledger.demand(request, unit.preemptible)
        self._asked = asked(request)
        self._taken: dict[tuple[str, str], int] = {}
        self._stocks: dict[str, _Stock] = {}
        self._lenders: dict[tuple[str, str], _Lenders] = {}
        self._picks: list[Held] = []
        self._short = short(self._chain, self._demand)
        wanted = dict(self._asked)
        self._lacked = [(one, wanted.get(one.resource, 0)) for one in self._short]
        others = {one.resource: 0 for one in self._short if one.bound == MAX}
        self._guarded: Wanted = tuple({**others, **wanted}.items())
        for one in self._short:
            # Counted before anybody is tried out as gone.
            reclaim.borrowers.under(one.node, one.resource)

    def run(self, own: bool) -> tuple[Held, ...]:
        if not self._short or any(one.bound == MIN for one in self._short):
            return ()
        while own and self._short and not self._within_min():
            if not self._take(self._of_own_leaf(set(over_min(self._chain, self._guarded)))):
                break
        reclaims = self._reclaim.reclaim is not ReclaimPolicy.NEVER and self._within_min()
        while reclaims and self._short and self._take(self._of_others()):
            pass
        while own and self._short and self._take(self._of_own_leaf(set())):
            pass
        if self._short:
            return ()
        self._give_back()
        return tuple(self._picks)

    # --- picks --------------------------------------------------------------------------------

    def _take(self, held: Held | None) -> bool:
        if held is None:
            return False
        self._after.take(held)
        self._picks.append(held)
        for name, amount in asked(held.request):
            key = held.leaf or "", name
            self._taken[key] = self._taken.get(key, 0) + amount
        self._short = short(self._chain, self._demand)
        return True

    def _of_own_leaf(self, besides: set[str]) -> Held | None:
        wanted = {one.resource for one in self._short} | besides
        return self._stock(self.own_leaf, own=True).first(wanted)

    def _of_others(self) -> Held | None:
        # The leaf's own max is no matter of what others borrowed.
        if any(one.node is self._chain[0] and one.bound == MAX for one in self._short):
            return None
        scarce = next((one for one in self._short if one.bound == MAX), None)
        if scarce is None or not self._is_guaranteed(scarce.resource):
            return None
        return self._lender(scarce).pick()

    def _is_guaranteed(self, resource: str) -> bool:
        return resource != MAX_JOBS or resource in self._chain[0].quota.min

    def _lender(self, short: Short) -> _Lenders:
        key = short.node.path, short.resource
        if key not in self._lenders:
            under = self._reclaim.borrowers.under(short.node, short.resource)
            self._lenders[key] = _Lenders(self, short.resource, under)
        return self._lenders[key]

    def stock(self, leaf: str) -> _Stock:
        return self._stock(leaf, own=False)

    def _stock(self, leaf: str, *, own: bool) -> _Stock:
        stock = self._stocks.get(leaf)
        if stock is None:
            lower_only = own or self._reclaim.reclaim is ReclaimPolicy.LOWER_PRIORITY
            stock = self._stocks[leaf] = _Stock(self._candidates(leaf, lower_only=lower_only))
        return stock

    def _candidates(self, leaf: str, *, lower_only: bool) -> Iterator[Held]:
        for held in self._reclaim.running.victims(leaf):
            if lower_only and held.unit.priority >= self._unit.priority:
                return
            # Who was evicted for this unit by an earlier controller says so himself.
            told = held.unit.preemptor == self._unit.uid
            if not told and held.unit.uid not in self._spared:
                yield held

    def taken(self, leaf: str, resource: str) -> int:
        """What the picks so far take out of a leaf."""
        return self._taken.get((leaf, resource), 0)

    @property
    def own_leaf(self) -> str:
        return self._chain[0].path

    # --- rules --------------------------------------------------------------------------------

    def _within_min(self) -> bool:
        return not over_min(self._chain, self._guarded)

    def _give_back(self) -> None:
        for held in tuple(reversed(self._picks)):
            if self._is_needed(held):
                continue
            self._after.put_back(held)
            takes_from_others = any(
                one is not held and one.leaf != self.own_leaf for one in self._picks
            )
            if short(self._chain, self._demand) or (takes_from_others and not self._within_min()):
                self._after.take(held)
            else:
                self._picks.remove(held)

    def _is_needed(self, held: Held) -> bool:
        """Whether it is plain that the unit does not fit without this one's room."""
        chain = self._reclaim.ledger.chain(held.leaf or "")
        return any(
            one.node in chain
            and not one.node.unlent
            and one.node.free[one.bound][one.resource] - _amount(held, one.resource) < needed
            for one, needed in self._lacked
            if one.bound == MAX
        )


class _Lenders:
    """The leaves that borrowed one scarce resource, as the picks of one search leave them."""

    def __init__(self, search: _Search, resource: str, leaves: Iterator[tuple[str, int]]) -> None:
        self._search = search
        self._resource = resource
        self._untouched = leaves
        self._next = next(leaves, None)
        self._borrowed: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def pick(self) -> Held | None:
        """A victim of the leaf that borrowed most and has one."""
        while True:
            # Both are in the order (most borrowed, leaf), and most leaves are never touched.
            while self._next and (
                not self._heap or (-self._next[1], self._next[0]) < self._heap[0]
            ):
                self._touch(*self._next)
            if not self._heap:
                return None
            borrowed, leaf = heappop(self._heap)
            left = self._borrowed[leaf] - self._search.taken(leaf, self._resource)
            if left <= 0:
                continue
            if left == -borrowed:
                held = self._search.stock(leaf).smallest_harm(self._resource, left)
                if held is None:
                    continue
                heappush(self._heap, (-left, leaf))
                return held
            heappush(self._heap, (-left, leaf))

    def _touch(self, leaf: str, borrowed: int) -> None:
        self._next = next(self._untouched, None)
        if leaf != self._search.own_leaf:
            self._borrowed[leaf] = borrowed
            heappush(self._heap, (-borrowed, leaf))


class _Stock:
    """The candidates of one leaf that were not picked yet, in their order."""

    def __init__(self, candidates: Iterator[Held]) -> None:
        self._more = candidates
        self._seen: list[Held] = []

    def first(self, wanted: set[str]) -> Held | None:
        """The first one that holds something wanted; it is in the stock no more."""
        for place, held in self._listed():
            if any(_amount(held, name) for name in wanted):
                return self._seen.pop(place)
        return None

    def smallest_harm(self, resource: str, borrowed: int) -> Held | None:
        """The first one that holds the resource; of its equals in priority one that holds no more
        than what was borrowed, if there is one. It is in the stock no more.
        """
        found: int | None = None
        compared = 0
        for place, held in self._listed():
            amount = _amount(held, resource)
            if not amount:
                continue
            if found is None:
                found = place
            elif held.unit.priority != self._seen[found].unit.priority:
                break
            compared += 1
            if amount <= borrowed:
                return self._seen.pop(place)
            if compared == EQUALS_COMPARED:
                break
        return self._seen.pop(found) if found is not None else None

    def _listed(self) -> Iterator[tuple[int, Held]]:
        place = 0
        while True:
            if place == len(self._seen):
                held = next(self._more, None)
                if held is None:
                    return
                self._seen.append(held)
            yield place, self._seen[place]
            place += 1


def over_min(chain: tuple[LedgerNode, ...], wanted: Wanted) -> dict[str, int]:
    """By how much so much more takes the leaf above its min, for the resources where it does."""
    leaf, over = chain[0], {}
    guaranteed = leaf.limits[MIN]
    for name, amount in wanted:
        missing = amount + leaf.used(MAX, name) - guaranteed.get(name, 0)
        if leaf.promised:
            missing += leaf.promised.get((MAX, name), 0)
        if missing > 0 and is_counted(chain, name):
            over[name] = missing
    return over


def headroom(leaf: LedgerNode, resource: str) -> int:
    """What is left of the leaf's min with everything that was promised in it."""
    return leaf.limits[MIN].get(resource, 0) - leaf.taken(resource)


def is_counted(chain: tuple[LedgerNode, ...], resource: str) -> bool:
    """Whether the leaf has to be within its min in this resource."""
    if resource in chain[0].quota.min:
        return True
    return resource != MAX_JOBS and any(resource in node.quota.max for node in chain)


def _amount(held: Held, resource: str) -> int:
    return 1 if resource == MAX_JOBS else held.request[resource]
