"""Every unit that holds quota, by leaf, and in which order a leaf would give units up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from kube_queue.admission.order import Key, SortedKeys
from kube_queue.api.lifecycle import HOLDS_QUOTA
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import Unit

Wanted = tuple[tuple[str, int], ...]
"""(resource, amount) pairs."""


class Held(NamedTuple):
    """What one unit holds."""

    unit: Unit
    """As last seen: while its admission is only assumed its phase says that it waits."""
    leaf: str | None
    """Path of the leaf it is charged to; None while no leaf of the tree takes it."""
    request: ResourceVector
    """What the leaf is charged for it."""
    since: float
    """When quota was granted, in seconds since the epoch; for an admission that was not seen yet
    the moment it was decided."""


def may_leave(unit: Unit) -> bool:
    """Whether an eviction is possible: it is seen to hold quota and nothing tells it to go yet."""
    return (
        unit.preemptible
        and unit.evictable
        and unit.active
        and not unit.evicted
        and unit.phase in HOLDS_QUOTA
    )


@lru_cache(maxsize=65_536)
def asked(request: ResourceVector) -> Wanted:
    """What a unit of this request takes, its place among the jobs included."""
    return (*((name, amount) for name, amount in request.items if name != MAX_JOBS), (MAX_JOBS, 1))


class Running:
    """All holders of quota; those that are admitted and not seen to be yet are among them."""

    def __init__(self) -> None:
        self.moved: Callable[[str, ResourceVector], None] = lambda leaf, request: None
        """Told the path of every leaf whose holders change, and what the holder takes."""
        self._held: dict[str, Held] = {}
        self._leaves: dict[str | None, _Leaf] = {}
        self._leaving: set[str] = set()
        self._listeners: list[Callable[[str, Held | None], None]] = []

    def tell(self, listener: Callable[[str, Held | None], None]) -> None:
        """The listener hears of every change: a uid and what it holds now, None for nothing."""
        self._listeners.append(listener)

    def is_leaving(self, uid: str) -> bool:
        """Whether the unit's eviction was decided and may not be seen yet."""
        return uid in self._leaving

    def put(self, held: Held) -> None:
        """The unit holds exactly this."""
        uid = held.unit.uid
        if uid in self._held:
            self._out(uid)
        self._held[uid] = held
        leaf = self._leaves.get(held.leaf)
        if leaf is None:
            leaf = self._leaves[held.leaf] = _Leaf()
        leaf.uids[uid] = None
        if leaf.stock is not None and self._is_victim(held):
            leaf.stock.add(held)
        if held.leaf is not None:
            self.moved(held.leaf, held.request)
        for listener in self._listeners:
            listener(uid, held)

    def remove(self, uid: str) -> None:
        """The unit holds nothing."""
        if uid not in self._held:
            return
        self._out(uid)
        self._leaving.discard(uid)
        for listener in self._listeners:
            listener(uid, None)

    def get(self, uid: str) -> Held | None:
        """What the unit holds, None if nothing."""
        return self._held.get(uid)

    def leaving(self, uid: str, is_leaving: bool) -> None:
        """An eviction of the unit was decided, or it came to nothing."""
        held = self._held.get(uid)
        if held is None or (uid in self._leaving) == is_leaving:
            return
        self._out(uid)
        if is_leaving:
            self._leaving.add(uid)
        else:
            self._leaving.remove(uid)
        self.put(held)

    def in_leaf(self, leaf: str | None, most: int | None = None) -> Iterable[Held]:
        """Who holds quota of this leaf, in the order it was granted: all, or so many at most."""
        known = self._leaves.get(leaf)
        if known is None:
            return ()
        return [self._held[uid] for uid in islice(known.uids, most)]

    def count_in(self, leaf: str | None) -> int:
        """How many hold quota of this leaf."""
        known = self._leaves.get(leaf)
        return len(known.uids) if known is not None else 0

    def victims(self, leaf: str) -> Iterator[Held]:
        """Who of this leaf could be evicted now: lowest priority first, then newest."""
        known = self._leaves.get(leaf)
        return (self._held[uid] for uid in self._stock(known).uids()) if known else iter(())

    def evictable(self, leaf: str, resource: str) -> Mapping[int, int]:
        """By priority how much of a resource those hold who could be evicted; max-jobs: how many
        they are.
        """
        known = self._leaves.get(leaf)
        return self._stock(known).sums.get(resource, {}) if known is not None else {}

    def _stock(self, leaf: _Leaf) -> _Stock:
        # Most leaves are never asked who could leave, and pay nothing for it.
        stock = leaf.stock
        if stock is None:
            stock = leaf.stock = _Stock()
            for held in map(self._held.__getitem__, leaf.uids):
                if self._is_victim(held):
                    stock.add(held)
        return stock

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    def __len__(self) -> int:
        return len(self._held)

    def _is_victim(self, held: Held) -> bool:
        return may_leave(held.unit) and held.unit.uid not in self._leaving

    def _out(self, uid: str) -> None:
        held = self._held.pop(uid)
        leaf = self._leaves[held.leaf]
        del leaf.uids[uid]
        if leaf.stock is not None:
            leaf.stock.discard(held)
        if not leaf.uids:
            del self._leaves[held.leaf]
        if held.leaf is not None:
            self.moved(held.leaf, held.request)


class _Leaf:
    """The holders of one leaf."""

    __slots__ = ("stock", "uids")

    def __init__(self) -> None:
        self.uids: dict[str, None] = {}
        self.stock: _Stock | None = None
        """Those that could be evicted; None until somebody asks."""


class _Stock:
    """Who of one leaf could be evicted, in order, and what they hold together."""

    __slots__ = ("_keys", "_order", "sums")

    def __init__(self) -> None:
        self._keys: dict[str, Key] = {}
        self._order = SortedKeys()
        self.sums: dict[str, dict[int, int]] = {}
        """By resource and priority."""

    def add(self, held: Held) -> None:
        """The unit could be evicted."""
        key = self._keys[held.unit.uid] = _key(held)
        self._order.add(key)
        self._count(held, 1)

    def discard(self, held: Held) -> None:
        """The unit cannot be evicted, if it could."""
        key = self._keys.pop(held.unit.uid, None)
        if key is not None:
            self._order.remove(key)
            self._count(held, -1)

    def uids(self) -> Iterator[str]:
        """Lowest priority first, then newest."""
        return (key[-1] for key in self._order)

    def _count(self, held: Held, sign: int) -> None:
        priority = held.unit.priority
        for resource, amount in asked(held.request):
            sums = self.sums.get(resource)
            if sums is None:
                sums = self.sums[resource] = {}
            total = sums.get(priority, 0) + sign * amount
            if total:
                sums[priority] = total
            else:
                del sums[priority]


def _key(held: Held) -> Key:
    # Among units of one second the later submission is the newer one.
    unit = held.unit
    newness = (int(held.since) << 64) + unit.submitted
    return unit.priority, -newness, unit.namespace, unit.name, unit.uid
