"""One quota node: its bounds, what counts against them, and what is kept back from them.

Per bound and resource::

    free = limit - used - unlent - reserved

Free is what every decision asks for, so free is what is counted, and what is used follows from it.
Where nothing bounds a resource there is no free, and what is used of it is in ``unbounded``.

* **unlent** (bound MAX only) is what children keep to themselves: of a child that declares a lend
  limit at least ``min - lend limit`` counts here, even while it uses less. What a child keeps is
  there for the units below it: ``slack`` is added to the room above, see ``rooms``.
* **reserved** is what units were promised and is not held any more by those who leave for them.
  Each promise counts for itself: while its victims hold more than it needs nothing is reserved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from kube_queue.admission.decisions import Bound, Shortage
from kube_queue.api.quota import QuotaNode

Demand = tuple[tuple[int, tuple[tuple[str, int], ...]], ...]
"""By bound, the (resource, amount) pairs a unit is held against on every node of its chain."""
Room = tuple[int, str]
"""(bound, resource)."""
Amounts = list[tuple[Room, int]]
"""How much of which rooms."""

MAX: Final = int(Bound.MAX)
MIN: Final = int(Bound.MIN)
PREEMPTIBLE_JOBS: Final = int(Bound.PREEMPTIBLE_JOBS)
_BOUNDS: Final = tuple(Bound)


class LedgerNode:
    """The mutable sums of one quota node."""

    __slots__ = (
        "_share_needs_used",
        "_share_of",
        "floor",
        "free",
        "keeps",
        "known_share",
        "leaving",
        "limits",
        "over",
        "owed",
        "path",
        "promised",
        "quota",
        "reserved",
        "slack",
        "slack_if_idle",
        "unbounded",
        "unlent",
        "unlent_if_idle",
        "waiting",
    )

    def __init__(
        self, quota: QuotaNode, limits: tuple[dict[str, int], ...], floor: dict[str, int]
    ) -> None:
        self.path = quota.path
        self.quota = quota
        self.limits = limits
        self.unbounded: tuple[dict[str, int], ...] = ({}, {}, {})
        """What is used, by bound, where there is no limit."""
        self.free: tuple[dict[str, int], ...] = tuple(dict(limit) for limit in limits)
        self.over: dict[Room, None] = {}
        """The bounds that more is used of than they allow."""
        self.waiting: dict[str, int] = {}
        self.promised: dict[Room, int] = {}
        """What units are to get once their victims have left."""
        self.leaving: dict[Room, int] = {}
        """What those hold who were told to go, for a promise or for nobody."""
        self.reserved: dict[Room, int] = {}
        self.owed: dict[str, int] = {}
        """What its parent has reserved (bound MAX) for units below this node."""
        self.floor = floor
        """What it counts for in its parent at least; empty without a lend limit."""
        self.slack: dict[str, int] = {}
        """The part of ``floor`` that nobody uses and nobody was promised."""
        self.unlent: dict[str, int] = {}
        """What its children keep to themselves and do not use."""
        self.slack_if_idle: dict[str, int] = {}
        self.unlent_if_idle: dict[str, int] = {}
        """The same two if nobody used anything."""
        self.keeps: dict[str, int] = {}
        """What it counts for in its parent besides ``used``."""
        whole = {name: quota.min.get(name) or quota.max.get(name, 0) for name in quota.max}
        whole.update((name, amount) for name, amount in quota.min.items() if amount)
        self._share_of = tuple((name, amount) for name, amount in whole.items() if amount > 0)
        self._share_needs_used = any(name not in limits[MAX] for name, _ in self._share_of)
        self.known_share: float | None = 0.0
        """The answer of ``share``, None where something changed since."""

    # --- sums ---------------------------------------------------------------------------------

    def mark(self, bound: int, resource: str) -> None:
        """Whether more is used of the bound than it allows is written down."""
        if (
            self.used(bound, resource) > self.limits[bound][resource]
            and not self.quota.each_bound_alone
        ):
            self.over[bound, resource] = None
        else:
            self.over.pop((bound, resource), None)

    def reserve(self, amounts: Amounts, sign: int, below: LedgerNode | None) -> None:
        """So much more (sign 1) or less (-1) is kept back for promises to units in the subtree of
        the child ``below``; None where this is their leaf.
        """
        reserved = self.reserved
        for room, amount in amounts:
            bound, resource = room
            change = amount * sign
            total = reserved.get(room, 0) + change
            if total:
                reserved[room] = total
            else:
                del reserved[room]
            free = self.free[bound]
            if resource in free:
                free[resource] -= change
            if below is not None and below.floor and bound == MAX:
                below.owed[resource] = below.owed.get(resource, 0) + change

    def keep_to_itself(self, parent: LedgerNode | None, resources: Iterable[str]) -> None:
        """What the node keeps from others follows what is used now, here and in its parent."""
        for resource in resources:
            unlent = self.unlent.get(resource, 0)
            floor = self.floor.get(resource, 0)
            owed = self.owed.get(resource, 0)
            slack = max(0, floor - self.used(MAX, resource) - unlent - owed)
            if floor:
                self.slack[resource] = slack
            change = unlent + slack - self.keeps.get(resource, 0)
            if not change or parent is None:
                continue
            self.keeps[resource] = unlent + slack
            parent.unlent[resource] = parent.unlent.get(resource, 0) + change
            if resource in parent.free[MAX]:
                parent.free[MAX][resource] -= change

    # --- answers ------------------------------------------------------------------------------

    def used(self, bound: int, resource: str) -> int:
        """What counts against the bound now."""
        free = self.free[bound]
        if resource not in free:
            return self.unbounded[bound].get(resource, 0)
        used = self.limits[bound][resource] - free[resource]
        if self.reserved:
            used -= self.reserved.get((bound, resource), 0)
        if self.unlent and bound == MAX:
            used -= self.unlent.get(resource, 0)
        return used

    def share(self) -> float:
        """The dominant share: the largest used/min over all resources, used/max without a min."""
        share = self.known_share
        if share is None:
            if self._share_needs_used or self.reserved or self.unlent:
                parts = [self.used(MAX, name) / whole for name, whole in self._share_of]
            else:
                # The same, spelled out: every decision asks the leaf it changes.
                limits, free = self.limits[MAX], self.free[MAX]
                parts = [(limits[name] - free[name]) / whole for name, whole in self._share_of]
            share = self.known_share = max(parts, default=0.0)
        return share

    def soon(self, bound: int, resource: str) -> int:
        """What is free once everybody who was told to go has gone and every promise is kept; less
        than zero where more was promised than there will be. KeyError: nothing bounds it.
        """
        free, room = self.free[bound][resource], (bound, resource)
        if self.reserved:
            free += self.reserved.get(room, 0)
        if self.leaving:
            free += self.leaving.get(room, 0)
        if self.promised:
            free -= self.promised.get(room, 0)
        return free

    def taken(self, resource: str) -> int:
        """What is used or promised."""
        return self.used(MAX, resource) + self.promised.get((MAX, resource), 0)

    def staying(self, resource: str) -> int:
        """What is used by those who were not told to go."""
        return self.used(MAX, resource) - self.leaving.get((MAX, resource), 0)

    def shortage(self, bound: int, resource: str, amount: int, credit: int = 0) -> Shortage:
        """The numbers of one bound, against a request of ``amount`` that may use ``credit`` of what
        children keep from others.
        """
        unlent = self.unlent.get(resource, 0) - credit if bound == MAX else 0
        return Shortage(
            path=self.path,
            bound=_BOUNDS[bound],
            resource=resource,
            requested=amount,
            used=self.used(bound, resource),
            limit=self.limits[bound][resource],
            kept=unlent + self.reserved.get((bound, resource), 0),
        )

    def shortage_if_idle(self, bound: int, resource: str, amount: int, unlent: int) -> Shortage:
        """The same if nobody used anything; ``unlent``: what others keep even then."""
        limit = self.limits[bound][resource]
        return Shortage(self.path, _BOUNDS[bound], resource, amount, 0, limit, unlent, never=True)


def add(nodes: Iterable[LedgerNode], demand: Demand, sign: int) -> None:
    """The demand counts on each of these nodes once more (sign 1) or once less (-1)."""
    # The innermost loops of every decision are this one and ``fits``: nothing is called in them.
    for node in nodes:
        node.known_share = None
        over = node.over
        for bound, amounts in demand:
            free = node.free[bound]
            for resource, amount in amounts:
                if resource in free:
                    left = free[resource] = free[resource] - amount * sign
                    if left < 0 or over:
                        node.mark(bound, resource)
                else:
                    unbounded = node.unbounded[bound]
                    unbounded[resource] = unbounded.get(resource, 0) + amount * sign


def fits(chain: tuple[LedgerNode, ...], demand: Demand) -> bool:
    """Whether every bound of these nodes has room for the demand and none is exceeded."""
    # Most lack room where many share it.
    for node in chain[::-1]:
        if node.over:
            return False
        for bound, amounts in demand:
            free = node.free[bound]
            for resource, amount in amounts:
                if resource in free and free[resource] < amount:
                    return False
    return True


def note(sums: dict[Room, int], amounts: Amounts, sign: int) -> None:
    """The amounts are among these sums (promised or leaving) once more or once less."""
    for room, amount in amounts:
        total = sums.get(room, 0) + sign * amount
        if total:
            sums[room] = total
        else:
            sums.pop(room, None)


def rooms(
    chain: tuple[LedgerNode, ...], demand: Demand
) -> list[tuple[LedgerNode, int, str, int, int]]:
    """(node, bound, resource, amount, free) for every bound the demand is held against, from the
    leaf up; what nodes on the way keep to themselves is free for whoever is below them.
    """
    found = []
    credit: Mapping[str, int] = {}
    for node in chain:
        for bound, amounts in demand:
            free = node.free[bound]
            for resource, amount in amounts:
                if resource in free:
                    left = free[resource]
                    if credit and bound == MAX:
                        left += credit.get(resource, 0)
                    found.append((node, bound, resource, amount, left))
        if node.slack:
            credit = {
                name: credit.get(name, 0) + node.slack.get(name, 0)
                for name in (*credit, *node.slack)
            }
    return found


def flat(demand: Demand) -> Amounts:
    """The amounts of a demand, room by room."""
    return [((bound, name), amount) for bound, amounts in demand for name, amount in amounts]


def dimensions(demand: Demand) -> set[Room]:
    """The (bound, resource) pairs of a demand."""
    return {(bound, resource) for bound, amounts in demand for resource, _ in amounts}
