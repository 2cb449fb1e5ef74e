"""A queue played from start to end: jobs of known length, one event after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from hypothesis import strategies as st

from kube_queue.admission import Admit
from kube_queue.api.lifecycle import Phase
from kube_queue.api.queues import Policy
from kube_queue.api.quota import QuotaTree, queue_name
from kube_queue.api.resources import EMPTY
from kube_queue.api.units import Unit, order_key
from kube_queue.cache import Cache
from tests.builders import START, a_queue, a_unit
from tests.cache.model import Held, Model, Run, earliest_start


@dataclass(frozen=True)
class Job:
    """A unit with when it comes and how long it runs; ``declared``: everybody knows how long."""

    unit: Unit
    comes: float
    runs: float
    declared: bool = True


@st.composite
def jobs(draw: st.DrawFn, most: int = 8, undeclared: bool = False) -> list[Job]:
    """Jobs of one or two resources, in small numbers so that much depends on each."""
    found = []
    for number in range(draw(st.integers(1, most))):
        seconds = draw(st.integers(1, 9))
        declared = not (undeclared and draw(st.booleans()))
        comes = draw(st.sampled_from([0, 0, 0, 1, 2, 5]))
        builder = a_unit(f"j{number}").asking(
            cpu=draw(st.integers(0, 4)), memory=draw(st.sampled_from([0, 0, 1, 2, 4]))
        )
        builder = builder.with_priority(draw(st.sampled_from([0, 0, 0, 1]))).submitted_at(number)
        unit = replace(builder.unit, expected_seconds=seconds if declared else 0)
        found.append(Job(unit, comes, float(seconds), declared))
    return found


@dataclass
class Schedule:
    """What happened."""

    started: dict[str, float] = field(default_factory=dict)
    reserved: dict[str, float] = field(default_factory=dict)
    """By uid: the earliest start when the unit became the head for the last time, where all that
    ran had a known end."""
    passed: list[tuple[str, str]] = field(default_factory=list)
    """(who started, the head that went on waiting)."""


class Player:
    """Plays jobs through a cache; every admission is written, seen and runs at once."""

    def __init__(self, tree: QuotaTree, policy: Policy, played: Sequence[Job]) -> None:
        self.cache = Cache(default_policy=policy)
        self.model = Model(policy, Fraction(1))
        self.model.tree = tree
        self.cache.tree_seen(tree)
        for leaf in tree.leaves():
            queue = a_queue(queue_name(leaf.path))
            self.model.queues[queue.name] = queue
            self.cache.queue_seen(queue)
        self.jobs = {job.unit.uid: job for job in played}
        self.schedule = Schedule()
        self.ends: dict[str, float] = {}
        self.head = ""

    def play(self) -> Schedule:
        moments = {START + job.comes for job in self.jobs.values()}
        while moments:
            now = min(moments)
            moments.discard(now)
            self._events(now)
            self._decides(now)
            moments |= {end for end in self.ends.values() if end > now}
            wake = self.cache.next_wake()
            assert wake is None or wake > now, "it would be woken without end"
            if wake is not None and self.ends:
                moments.add(wake)
        return self.schedule

    def _events(self, now: float) -> None:
        for uid, end in sorted(self.ends.items()):
            if end <= now:
                del self.ends[uid]
                self._sees(self.model.units[uid], phase=Phase.SUCCEED, held=EMPTY)
        for job in self.jobs.values():
            if START + job.comes <= now and job.unit.uid not in self.model.units:
                self._sees(job.unit)

    def _decides(self, now: float) -> None:
        self._note_head(now)
        while decisions := [one for one in self.cache.cycle(now, 1) if isinstance(one, Admit)]:
            for decision in decisions:
                unit = self.model.units[decision.uid]
                assert self.model.fits(unit, self.model.charged())
                head = self._first(now)
                if head is not None and head.uid != unit.uid:
                    self.schedule.passed.append((unit.uid, head.uid))
                self.schedule.started[unit.uid] = now
                self.ends[unit.uid] = now + self.jobs[unit.uid].runs
                micros = int(now * 1e6)
                self._sees(
                    unit,
                    phase=Phase.RUNNING,
                    held=unit.request,
                    allocated=micros,
                    started=micros,
                )
            self._note_head(now)

    def _first(self, now: float) -> Unit | None:
        waiting = self.model.waiting(now)
        return min(waiting, key=order_key) if waiting else None

    def _note_head(self, now: float) -> None:
        head = self._first(now)
        if head is None or head.uid == self.head:
            return
        if self.head not in self.schedule.started:
            # Somebody came who goes before it: that moment is not kept for it any more.
            self.schedule.reserved.pop(self.head, None)
        self.head = head.uid
        runs = [Run(self._held(uid), self._known_end(uid)) for uid in self.ends]
        start = earliest_start(self.model, head, runs, now)
        if start is not None:
            self.schedule.reserved[head.uid] = start

    def _known_end(self, uid: str) -> float | None:
        return self.ends[uid] if self.jobs[uid].declared else None

    def _held(self, uid: str) -> Held:
        unit = self.model.units[uid]
        return Held(self.model.leaf(unit), unit.held, unit.preemptible)

    def _sees(self, unit: Unit, **changes: object) -> None:
        version = str(int(unit.resource_version) + 1)
        fresh = replace(unit, resource_version=version, **changes)  # type: ignore[arg-type]
        self.model.units[unit.uid] = fresh
        self.cache.unit_seen(fresh)
