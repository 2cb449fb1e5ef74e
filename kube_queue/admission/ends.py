"""When what runs gives its quota back, as far as that is known.

Kept for the nodes somebody asked about, in order of the ends, and only from then on: as long as
nobody asks, nothing is done. A unit ends when it started (until that is seen: when quota was
granted) plus the most that ``RunTimes`` knows for it by now. Units without a known
run time, those whose checks still run and those that are evicted for others have no end here, and
an end that is past means nothing: who runs longer than expected gives back when he does.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from kube_queue.admission.ledger import LedgerNode, QuotaLedger
from kube_queue.admission.order import SortedKeys
from kube_queue.admission.running import Held, Running
from kube_queue.admission.runtimes import Alike, Length, RunTimes, Unlearned
from kube_queue.api.lifecycle import HOLDS_QUOTA, Phase
from kube_queue.api.units import Unit

_MICRO = 1_000_000


class _End(NamedTuple):
    """One unit's end and what its nodes get back then."""

    at: int
    """Microseconds since the epoch."""
    paths: tuple[str, ...]
    """From its leaf to the root."""
    amounts: dict[tuple[int, str], int]


class Ends:
    """The ends of running units below every node that was asked about."""

    def __init__(self, ledger: QuotaLedger, running: Running, run_times: RunTimes) -> None:
        self.now = 0.0
        """Seconds since the epoch."""
        self._ledger = ledger
        self._running = running
        self._run_times = run_times
        self._ends: dict[str, _End] = {}
        self._below: dict[str, SortedKeys] = {}
        self._decided: dict[str, Held] = {}
        self._unlearned = Unlearned()
        running.tell(self._heard)

    @property
    def nodes(self) -> tuple[str, ...]:
        """The paths of the nodes that somebody asked about."""
        return tuple(self._below)

    def clear(self) -> None:
        """Nothing is kept; for a ledger that has another tree now."""
        self._ends.clear()
        self._below.clear()
        self._decided.clear()
        self._unlearned.clear()

    def length(self, unit: Unit) -> Length:
        """What is known of the most the unit's job runs."""
        return self._run_times.length(unit)

    def most_of(self, length: Length) -> float | None:
        """How long that is by now, in whole seconds; None: not known."""
        return self._run_times.most(length)

    def learned(self, alike: Alike) -> None:
        """Jobs that are so alike end by what is known of them now."""
        for uid in self._unlearned.like(alike):
            held = self._decided.get(uid) or self._running.get(uid)
            self._remove(uid)
            if held is not None:
                self._put(held)

    def most(self, unit: Unit) -> float | None:
        """How long the unit's job runs at most, in whole seconds; None: not known."""
        expected = self._run_times.expected(unit)
        return float(ceil(expected.most)) if expected is not None else None

    def decided(self, held: Held) -> None:
        """The unit was admitted in the cycle under way and is not among the running ones yet."""
        self._decided[held.unit.uid] = held
        if self._below:
            self._remove(held.unit.uid)
            self._put(held)

    def tell(self, now: float) -> None:
        """It is ``now``, and whoever was admitted before is among the running units."""
        self.now = now
        self._decided.clear()

    def _heard(self, uid: str, held: Held | None) -> None:
        self._decided.pop(uid, None)
        if not self._below:
            return
        self._remove(uid)
        if held is not None:
            self._put(held)

    def _put(self, held: Held) -> None:
        if not self._below:
            return
        self._unlearned.add(held.unit)
        end = self._end_of(held)
        if end is None:
            return
        self._ends[held.unit.uid] = end
        for path in end.paths:
            if path in self._below:
                self._below[path].add((end.at, 0, "", "", held.unit.uid))

    def _remove(self, uid: str) -> None:
        self._unlearned.discard(uid)
        end = self._ends.pop(uid, None)
        if end is None:
            return
        for path in end.paths:
            if path in self._below:
                self._below[path].remove((end.at, 0, "", "", uid))

    def back(self, node: LedgerNode, bound: int, resource: str) -> Iterator[tuple[int, int]]:
        """(when, how much) comes back to the node from now on, soonest first; microseconds."""
        below = self._below.get(node.path)
        if below is None:
            below = self._collect(node)
        for key in below.starting_at((int(self.now * _MICRO), 0, "", "", "")):
            amount = self._ends[key[-1]].amounts.get((bound, resource), 0)
            if amount:
                yield key[0], amount

    def _collect(self, node: LedgerNode) -> SortedKeys:
        below = self._below[node.path] = SortedKeys()
        held = {
            one.unit.uid: one for leaf in self._leaves(node) for one in self._running.in_leaf(leaf)
        }
        for uid, one in {**held, **self._decided}.items():
            self._unlearned.add(one.unit)
            end = self._ends.get(uid) or self._end_of(one)
            if end is not None and node.path in end.paths:
                self._ends[uid] = end
                below.add((end.at, 0, "", "", uid))
        return below

    def _leaves(self, node: LedgerNode) -> Iterator[str]:
        below = [node.path]
        while below:
            path = below.pop()
            children = self._ledger.chain(path)[0].quota.children
            below += children
            if not children:
                yield path

    def _end_of(self, held: Held) -> _End | None:
        unit = held.unit
        evicted = unit.phase in HOLDS_QUOTA and unit.evicted
        if held.leaf is None or evicted or self._running.is_leaving(unit.uid):
            return None
        most = self.most(unit)
        if most is None or unit.phase is Phase.RESERVED:
            return None
        started = unit.started or int(held.since * _MICRO)
        demand = self._ledger.demand(held.request, unit.preemptible)
        amounts = {(bound, name): amount for bound, asked in demand for name, amount in asked}
        paths = tuple(node.path for node in self._ledger.chain(held.leaf))
        return _End(started + int(most * _MICRO), paths, amounts)
