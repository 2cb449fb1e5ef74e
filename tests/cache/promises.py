"""What evictions promise: the preemptor gets in once its victims are gone, whatever else starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, permutations

from kube_queue.api.names import MAX_JOBS
from kube_queue.api.units import Unit
from tests.cache.model import Amounts, Held, Model, asked_by, plus

World = tuple[str, frozenset[str]]
"""(a preemptor, other preemptors that got in before it)."""


@dataclass
class Promise:
    """Evictions for one preemptor."""

    preemptor: str
    leaving: set[str] = field(default_factory=set)
    """Victims that still hold quota."""
    disturbed: bool = False
    """Whether something else than decisions took room meanwhile: then nothing is owed."""


class Promises:
    """All promises that are open, beside the model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.open: dict[str, Promise] = {}
        self.history: set[tuple[str, str]] = set()
        """(victim, preemptor) of every eviction so far."""

    def owed(self) -> list[Promise]:
        return [promise for promise in self.open.values() if not promise.disturbed]

    def disturb(self) -> None:
        for promise in self.open.values():
            promise.disturbed = True

    def left(self, victim: str) -> None:
        for promise in self.open.values():
            promise.leaving.discard(victim)

    # --- what is set aside ----------------------------------------------------------------------

    def kept(self, but: str = "") -> dict[str, Amounts]:
        """By node, what is set aside at most: each promise alone, less what still leaves for it."""
        aside: dict[str, Amounts] = {}
        holders = self.model.holders()
        for promise in self.open.values():
            unit = self.model.units.get(promise.preemptor)
            leaf = self.model.leaf(unit) if unit is not None else None
            if unit is None or leaf is None or promise.preemptor == but:
                continue
            leaving = [holders[uid] for uid in promise.leaving if uid in holders]
            for path in self.model.chain(leaf):
                rest = plus(asked_by(unit), self.model.used(path, leaving), -1)
                more = {name: max(0, amount) for name, amount in rest.items()}
                aside[path] = plus(aside.get(path, {}), more)
                if not unit.preemptible:
                    low = f"{path}#min"
                    aside[low] = plus(aside.get(low, {}), asked_by(unit))
            if unit.preemptible and not leaving:
                aside["#preemptible"] = plus(aside.get("#preemptible", {}), {MAX_JOBS: 1})
        return aside

    def worlds(self) -> dict[World, bool]:
        """For every promise and every set of others kept before it: whether it can be kept."""
        found: dict[World, bool] = {}
        owed = {promise.preemptor: promise for promise in self.owed()}
        for uid, promise in owed.items():
            others = sorted(owed.keys() - {uid})
            for size in range(len(others) + 1):
                for done in combinations(others, size):
                    before = [owed[one] for one in done]
                    held = self._after(before, promise)
                    found[uid, frozenset(done)] = self.model.fits(self.model.units[uid], held)
        return found

    def _after(self, done: list[Promise], promise: Promise) -> list[Held]:
        gone = set(promise.leaving).union(*(one.leaving for one in done))
        entered = [self._as_held(self.model.units[one.preemptor]) for one in done]
        return self.model.charged(gone) + entered

    def _as_held(self, unit: Unit) -> Held:
        return Held(self.model.leaf(unit), unit.request, unit.preemptible)

    # --- judging one plan -----------------------------------------------------------------------

    def judge(self, unit: Unit, victims: list[str], rules: tuple[str, str]) -> None:
        """``victims`` are to leave for the unit; it is in ``open`` already, with them."""
        home = self.model.leaf(unit)
        held = self.model.holders()
        for uid in victims:
            self._judge_victim(unit, self.model.units[uid], home, rules)
        everyone = self.open[unit.uid].leaving
        # Also what the unit does not ask for keeps it out, if others use more of it than they may.
        short = self.model.shortages(unit, self.model.charged(), self.kept(but=unit.uid))
        scarce = {name for _, name in short}
        for uid in victims:
            needed = not self._enough(unit, everyone - {uid}, scarce)
            assert needed, f"{uid} was evicted for nothing"
        foreign = [uid for uid in victims if held[uid].leaf != home]
        if foreign:
            assert home is not None
            own = [uid for uid in everyone if held[uid].leaf == home]
            assert self._within_min(unit, home, own, scarce), "reclaims beyond its min"
        for leaf in {held[uid].leaf for uid in foreign}:
            assert leaf is not None
            leaving = [uid for uid in everyone if held[uid].leaf == leaf]
            assert self._above_min_at_each(scarce, leaf, leaving), f"{leaf} gave below its min"
        for uid in victims:
            better = self._better(unit, uid, rules)
            assert not better, f"{better} goes before {uid}"

    def _enough(self, unit: Unit, victims: set[str], scarce: set[str]) -> bool:
        """Whether so few would do, and could be taken: others' only if it is within min then."""
        home, held = self.model.leaf(unit), self.model.holders()
        assert home is not None
        own = [uid for uid in victims if held[uid].leaf == home]
        if len(own) < len(victims) and not self._within_min(unit, home, own, scarce):
            return False
        return self.model.fits(unit, self.model.charged(victims), self.kept(but=unit.uid))

    def _judge_victim(
        self, unit: Unit, victim: Unit, home: str | None, rules: tuple[str, str]
    ) -> None:
        reclaim, preemption = rules
        assert victim.preemptible, "a unit that is not preemptible was evicted"
        assert victim.evictable, "a job that cannot be stopped was evicted"
        assert victim.uid not in self.model.decided, "evicted before its admission was seen"
        if self.model.leaf(victim) == home:
            assert preemption == "LowerPriority", "preemption is off"
            assert victim.priority < unit.priority
        else:
            assert reclaim != "Never", "reclaim is off"
            assert reclaim == "Any" or victim.priority < unit.priority

    def _within_min(self, unit: Unit, leaf: str, own: list[str], scarce: set[str]) -> bool:
        low = self.model.scaled(self.model.guarantee(leaf))
        after = plus(self.model.used(leaf, self.model.charged(own)), asked_by(unit))
        bounded = {name for path in self.model.chain(leaf) for name in self.model.node(path).max}
        counted = {*low, *(bounded - {MAX_JOBS})}
        concerned = scarce | {name for name, amount in asked_by(unit).items() if amount}
        return all(after.get(name, 0) <= low.get(name, 0) for name in concerned & counted)

    def _above_min(self, scarce: set[str], leaf: str, gone: set[str]) -> bool:
        low = self.model.scaled(self.model.guarantee(leaf))
        used = self.model.used(leaf, self.model.charged(gone))
        return any(
            used.get(name, 0) > low.get(name, 0)
            for name in scarce
            if name != MAX_JOBS or name in low
        )

    def _above_min_at_each(self, scarce: set[str], leaf: str, victims: list[str]) -> bool:
        """Whether there is an order in which the leaf is above its min, in something scarce, before
        each of them.
        """
        return any(
            all(self._above_min(scarce, leaf, set(order[:at])) for at in range(len(order)))
            for order in permutations(victims)
        )

    def _better(self, unit: Unit, victim: str, rules: tuple[str, str]) -> str:
        """One of the same leaf that should have gone instead: it is lower or newer, and does."""
        everyone = self.open[unit.uid].leaving
        held, chosen = self.model.holders(), self.model.units[victim]
        for uid in self._candidates(unit, held[victim].leaf, rules):
            other = self.model.units[uid]
            lower = other.priority < chosen.priority
            same = other.held == chosen.held
            newer = other.priority == chosen.priority and _second(other) > _second(chosen)
            if uid in everyone or not same or not (lower or newer):
                continue
            return uid
        return ""

    def _candidates(self, unit: Unit, leaf: str | None, rules: tuple[str, str]) -> Iterator[str]:
        leaving = set().union(*(promise.leaving for promise in self.open.values()))
        for uid, held in self.model.holders().items():
            other = self.model.units[uid]
            if held.leaf != leaf or uid in self.model.decided or uid in leaving:
                continue
            if not other.preemptible or not other.evictable or other.evicted:
                continue
            if (uid, unit.uid) in self.history:
                continue
            needs_lower = leaf == self.model.leaf(unit) or rules[0] == "LowerPriority"
            if not needs_lower or other.priority < unit.priority:
                yield uid


def _second(unit: Unit) -> int:
    return unit.allocated // 1_000_000
