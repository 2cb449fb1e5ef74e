"""Units that wait for a node: whose turn it is, and what wakes those that found none.

::

    put ──▶ ready ──pop──▶ being decided ──placed──▶ gone
              ▲                │ sleep: no room
              │                ▼
              └── wake ◀── asleep, not before its backoff is over

Units that are alike, replicas above all, sleep in one bed. An event wakes the first of them only;
the next one follows if that one was placed. So an event costs what beds there are, not units.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Final

from kube_queue.placement.units import UnitKey

FIRST_BACKOFF: Final = 1.0
LAST_BACKOFF: Final = 10.0

Order = tuple[bool, int, float, UnitKey]


class Event(IntFlag):
    """What may let a unit in that was refused."""

    POD_GONE = 1
    """A pod left a node, or takes less of it."""
    POD_CAME = 2
    """A pod stands on a node, or has other labels: somebody may want to be near it."""
    NODE = 4
    """A node is new or another."""
    QUOTA = 8
    """A quota tree, or what is used of it, is another."""
    GROUP = 16
    """A PodGroup or another object the unit names is another."""
    STORAGE = 32
    """A volume, a claim, a storage class or what a node can attach is another."""


NOTHING: Final = Event(0)
NO_POD_HELPS: Final = Event.NODE | Event.QUOTA | Event.GROUP | Event.STORAGE
ROOM: Final = NO_POD_HELPS | Event.POD_GONE
"""Of help to whoever found no room."""


@dataclass(slots=True)
class Bed:
    """Units that are alike, asleep."""

    units: dict[UnitKey, None] = field(default_factory=dict)
    wakes_on: Event = NOTHING
    not_before: float = 0.0
    awake: UnitKey | None = None
    """The one of them that was woken and has not been decided about."""


@dataclass(slots=True)
class _Waiter:
    order: Order
    alike: Hashable
    failures: int = 0
    asleep: bool = False
    popped: bool = False


class Waiting:
    """Every unit that waits. Times are seconds since the epoch."""

    def __init__(self) -> None:
        self._waiters: dict[UnitKey, _Waiter] = {}
        self._heap: list[tuple[Order, UnitKey]] = []
        self._beds: dict[Hashable, Bed] = {}
        self._near: dict[Hashable, Bed] = {}
        """Those beds of which a pod that comes wakes somebody: few, and pods come all the time."""
        self._due: list[tuple[float, int, Hashable]] = []
        """Beds that were woken before their backoff was over."""
        self._serial = 0

    def __len__(self) -> int:
        return len(self._waiters)

    def __contains__(self, key: UnitKey) -> bool:
        return key in self._waiters

    def put(
        self, key: UnitKey, priority: int, alike: Hashable, now: float, *, first: bool = False
    ) -> None:
        """The unit waits for its turn, awake, whatever it did before. ``first``: before all."""
        former = self._waiters.get(key)
        since = former.order[2] if former is not None else now
        failures = former.failures if former is not None else 0
        if former is not None:
            self._leave_bed(key, former)
        order = (not first, -priority, since, key)
        self._waiters[key] = _Waiter(order, alike, failures)
        heapq.heappush(self._heap, (order, key))

    def remove(self, key: UnitKey) -> None:
        """The unit does not wait."""
        waiter = self._waiters.pop(key, None)
        if waiter is not None:
            self._leave_bed(key, waiter)
            self._next_of(waiter.alike, key)

    def pop(self, now: float) -> UnitKey | None:
        """The unit whose turn it is; it is decided about, and then removed or put to sleep."""
        self._wake_due(now)
        while self._heap:
            order, key = heapq.heappop(self._heap)
            waiter = self._waiters.get(key)
            # What was put again, or fell asleep, has a later entry or none.
            if waiter is None or waiter.asleep or waiter.popped or waiter.order != order:
                continue
            waiter.popped = True
            return key
        return None

    def sleep(self, key: UnitKey, wakes_on: Event, now: float, *, again: bool = False) -> None:
        """The unit found no place; it sleeps until one of these events, or only for a while
        (``again``), and until its backoff is over.
        """
        waiter = self._waiters.get(key)
        if waiter is None:
            return
        waiter.failures += 1
        waiter.popped = False
        waiter.asleep = True
        waiter.order = (*waiter.order[:2], now, key)
        bed = self._beds.get(waiter.alike)
        if bed is None:
            bed = self._beds[waiter.alike] = Bed()
        bed.units[key] = None
        bed.wakes_on |= wakes_on
        if bed.wakes_on & Event.POD_CAME:
            self._near[waiter.alike] = bed
        bed.not_before = max(bed.not_before, now + _backoff(waiter.failures))
        if bed.awake == key:
            bed.awake = None
        if again and bed.awake is None:
            self._call(waiter.alike, bed)

    def wake(self, event: Event, now: float) -> None:
        """Whoever waits for the event has a turn."""
        beds = self._near if event == Event.POD_CAME else self._beds
        for alike, bed in beds.items():
            if bed.wakes_on & event and bed.awake is None and bed.units:
                if bed.not_before > now:
                    self._call(alike, bed)
                else:
                    self._rouse(bed)

    def next_wake(self, now: float) -> float | None:
        """When ``pop`` may give a unit: at once (``now``), later, or only after an event (None)."""
        if any(self._is_ready(entry) for entry in self._heap[:1]) or len(self._heap) > 1:
            return now
        return self._due[0][0] if self._due else None

    def asleep(self) -> Iterator[UnitKey]:
        """Every unit that found no place."""
        for bed in self._beds.values():
            yield from bed.units

    # --- inside ---------------------------------------------------------------------------------

    def _is_ready(self, entry: tuple[Order, UnitKey]) -> bool:
        waiter = self._waiters.get(entry[1])
        return waiter is not None and not waiter.asleep and not waiter.popped

    def _call(self, alike: Hashable, bed: Bed) -> None:
        """The first of the bed is woken when the backoff is over."""
        self._serial += 1
        heapq.heappush(self._due, (bed.not_before, self._serial, alike))
        # Once is enough until it is looked at again.
        bed.awake = next(iter(bed.units))

    def _wake_due(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, _, alike = heapq.heappop(self._due)
            bed = self._beds.get(alike)
            if bed is not None:
                self._rouse(bed)

    def _rouse(self, bed: Bed) -> None:
        """The first of the bed is awake."""
        bed.awake = None
        if not bed.units:
            return
        # Whoever lay down first failed longest ago.
        key = next(iter(bed.units))
        waiter = self._waiters[key]
        bed.awake = key
        del bed.units[key]
        waiter.asleep = False
        heapq.heappush(self._heap, (waiter.order, key))

    def _next_of(self, alike: Hashable, key: UnitKey) -> None:
        """The unit that was awake for its bed left: the next one tries."""
        bed = self._beds.get(alike)
        if bed is None:
            return
        if bed.awake == key:
            if bed.units:
                self._rouse(bed)
            else:
                bed.awake = None
        if not bed.units and bed.awake is None:
            del self._beds[alike]
            self._near.pop(alike, None)

    def _leave_bed(self, key: UnitKey, waiter: _Waiter) -> None:
        bed = self._beds.get(waiter.alike)
        if bed is not None:
            bed.units.pop(key, None)


def _backoff(failures: int) -> float:
    return float(min(FIRST_BACKOFF * 2 ** min(failures - 1, 8), LAST_BACKOFF))
