"""What every decision of a cycle has to be, by what the model says."""

from __future__ import annotations

from itertools import groupby
from math import ceil

from kube_queue.admission import Admit, Decision
from kube_queue.admission.decisions import Evict, Requeue
from kube_queue.api.lifecycle import HOLDS_QUOTA, Phase
from kube_queue.api.queues import Policy
from kube_queue.api.reasons import Reason
from kube_queue.api.units import Unit, order_key
from kube_queue.cache import Cache
from tests.cache.cluster import ClusterMachine, Write
from tests.cache.model import Held, Model, Run, earliest_start
from tests.cache.promises import Promise, Promises


class JudgedMachine(ClusterMachine):
    """The cluster, a cache, and the model that judges what the cache decides."""

    cache: Cache
    model: Model
    promises: Promises
    switches: tuple[str, str]

    def __init__(self) -> None:
        super().__init__()
        self.cooling: dict[str, float] = {}
        self.debts: list[str] = []
        """uids of units for which others left before a restart, to be tried first."""

    def judged_cycle(self, limit: int) -> None:
        """The cache decides, and every decision is as it should be."""
        self._note_promised()
        decisions = self.cache.cycle(self.now, limit)
        self._note_what_is_kept_on(decisions)
        for preemptor, several in groupby(decisions, key=_preemptor):
            if preemptor:
                self._check_debts()
                self._check_evictions(preemptor, [one for one in several if isinstance(one, Evict)])
                continue
            for decision in several:
                if isinstance(decision, Admit):
                    self._check_admission(decision)
        self._mark_promised()
        if not limit or len([one for one in decisions if not isinstance(one, Requeue)]) < limit:
            self._check_debts()
        if not limit:
            self._check_nobody_left()

    def _note_what_is_kept_on(self, decisions: list[Decision]) -> None:
        # Until the last pods of those who left before a restart are gone.
        made = {_preemptor(decision) for decision in decisions}
        for uid in self.cache.core.promises:
            if uid not in self.promises.open and uid not in made:
                self.promises.open[uid] = Promise(uid, disturbed=True)

    def _mark_promised(self) -> None:
        for uid in tuple(self.promises.open):
            if not self._is_promised(uid):
                assert self.promises.open[uid].disturbed, f"the promise to {uid} was dropped"
                del self.promises.open[uid]
        self.model.promised = set(self.promises.open)

    def _note_promised(self) -> None:
        # Of a promise that was disturbed nobody knows whether it stands.
        self.model.promised = {promise.preemptor for promise in self.promises.owed()}

    def _is_promised(self, uid: str) -> bool:
        return uid in self.cache.core.promises

    def _check_admission(self, decision: Admit) -> None:
        uid = decision.uid
        unit = self.model.units[uid]
        assert uid not in self.model.decided, "admitted twice"
        assert unit in self.model.waiting(self.now), "admitted something that may not be tried"
        assert self.model.fits(unit, self.model.charged()), "above a bound"
        assert (decision.leaf, decision.request) == (self.model.leaf(unit), unit.request)
        if uid not in self.promises.open and not self._check_debts(uid):
            self._check_turn(unit)
        before = self.promises.worlds()
        self.promises.open.pop(uid, None)
        self._note_promised()
        self.model.decided[uid] = Held(decision.leaf, unit.request, unit.preemptible)
        self.writes.append(Write(uid, decision.resource_version))
        self._check_nothing_stolen(uid, before)

    def _check_turn(self, unit: Unit) -> None:
        queue, leaf = self.model.lane_of(unit)
        lane = self.model.lanes(self.now)[queue, leaf]
        policy = self.model.policy(queue)
        if not self.model.may_be_tried(unit, lane):
            assert policy is Policy.BACKFILL, f"overtook {lane[0].uid} under {policy}"
            self._check_head_not_delayed(unit, lane[0])
            return
        eager = self._fitting()
        if policy is Policy.PRIORITY:
            for other in eager:
                if self.model.queue_of(other) == queue:
                    assert order_key(unit) <= order_key(other), "a higher unit fits"
        for rival in {self.model.queue_of(other) for other in eager} - {queue}:
            # Its head may be one that does not fit: it has the turn all the same.
            heads = [one for one in self.model.turns(self.now) if self.model.queue_of(one) == rival]
            last = max(self.model.rank(one) for one in heads)
            assert self.model.rank(unit) <= last, f"{rival} goes first"

    def _fitting(self) -> list[Unit]:
        """What has a turn and fits, even beside everything that may be set aside."""
        kept, held = self.promises.kept(), self.model.charged()
        return [
            unit
            for unit in self.model.turns(self.now)
            if unit.uid not in self.cooling
            and unit.uid not in self.promises.open
            and self.model.fits(unit, held, kept)
            and self._reason(unit.uid) is not Reason.BACKOFF
        ]

    def _reason(self, uid: str) -> Reason | None:
        waiting = self.cache.why(uid)
        return waiting.reason if waiting is not None else None

    def _check_head_not_delayed(self, unit: Unit, head: Unit) -> None:
        runs = [
            Run(held, self._ends(self.model.units[uid], uid))
            for uid, held in self.model.holders().items()
        ]
        known = self.cache.run_times.expected(unit)
        until = self.now + known.most if known is not None else None
        mine = Run(Held(self.model.leaf(unit), unit.request, unit.preemptible), until)
        before = earliest_start(self.model, head, runs, self.now)
        after = earliest_start(self.model, head, [*runs, mine], self.now)
        assert before is None or (after is not None and after <= before), "the head is delayed"

    def _ends(self, unit: Unit, uid: str) -> float | None:
        """When the unit ends by what is known; None: the head's start does not count on that."""
        known, held = self.cache.run_times.expected(unit), self.cache.running.get(uid)
        leaves = (unit.evicted and unit.phase in HOLDS_QUOTA) or self.cache.running.is_leaving(uid)
        if known is None or held is None or leaves or unit.phase is Phase.RESERVED:
            return None
        end = (unit.started / 1e6 or held.since) + ceil(known.most)
        # Who has run longer than expected may end at any time, or never.
        return end if end >= self.now else None

    def _check_nothing_stolen(
        self, by: str, before: dict[tuple[str, frozenset[str]], bool]
    ) -> None:
        after = self.promises.worlds()
        for world, kept in before.items():
            if kept and world in after:
                assert after[world], f"{by} took what is promised to {world[0]}"

    def _check_evictions(self, preemptor: str, decisions: list[Evict]) -> None:
        unit = self.model.units[preemptor]
        lane = self.model.lanes(self.now).get(self.model.lane_of(unit), [])
        assert unit in lane, "evicts for what may not be tried"
        assert self.model.may_be_tried(unit, lane), "evicts for what has no turn"
        assert not self.model.fits(unit, self.model.charged(), self.promises.kept(preemptor))
        before = self.promises.worlds()
        owed = [promise.preemptor for promise in self.promises.owed()]
        assert preemptor not in owed, "evicts again while its victims leave"
        promise = self.promises.open[preemptor] = Promise(preemptor)
        victims = [decision.uid for decision in decisions]
        for uid in victims:
            assert (uid, preemptor) not in self.promises.history, "ping-pong"
            others = [one for one in self.promises.open.values() if uid in one.leaving]
            assert not others, "evicted for two"
            assert not self.model.units[uid].evicted, "evicted what leaves"
            promise.leaving.add(uid)
            self.promises.history.add((uid, preemptor))
            self.writes.append(Write(uid, "", preemptor))
        self.promises.judge(unit, victims, self.switches)
        after = self.promises.worlds()
        assert after[preemptor, frozenset()], "evicts and could not admit"
        for (uid, done), kept in after.items():
            if before.get((uid, done - {preemptor}), uid == preemptor):
                assert kept or not all(before.get((one, done - {one}), True) for one in done)

    def _check_nobody_left(self) -> None:
        kept, held = self.promises.kept(), self.model.charged()
        for promise in self.promises.owed():
            waits = promise.leaving or promise.preemptor in self._cooling()
            assert waits, f"all victims left and {promise.preemptor} is not admitted"
        for promise in self.promises.open.values():
            unit = self.model.units[promise.preemptor]
            may = unit in self.model.waiting(self.now) and unit.uid not in self._cooling()
            others = self.promises.kept(but=unit.uid)
            assert not (may and self.model.fits(unit, held, others)), f"{unit.uid} has room already"
        for unit in self.model.turns(self.now):
            if unit.uid in self._cooling() or not self.model.fits(unit, held, kept):
                continue
            waiting = self.cache.why(unit.uid)
            assert waiting is not None, f"{unit.uid} is lost"
            # Only Round may keep a fitting unit back, for the rest of its backoff.
            backs_off = self.model.policy(self.model.queue_of(unit)) is Policy.ROUND
            wake = self.cache.next_wake()
            assert backs_off, f"{unit.uid} fits and was left"
            assert waiting.reason == "Backoff", f"{unit.uid} fits and was left: {waiting}"
            assert wake is not None
            assert self.now < wake <= self.now + 20

    def _check_debts(self, admitted: str = "") -> bool:
        """Whoever is owed goes before anybody to whom nothing is. Whether this one was owed."""
        while self.debts:
            uid = self.debts.pop(0)
            if uid == admitted:
                return True
            unit = self.model.units.get(uid)
            if unit is None or uid in self.promises.open or uid in self.cooling:
                continue
            may = unit in self.model.waiting(self.now)
            kept = self.promises.kept()
            assert not (may and self.model.fits(unit, self.model.charged(), kept)), f"{uid} is owed"
        return False

    def _cooling(self) -> set[str]:
        return {uid for uid, until in self.cooling.items() if until > self.now}


def _preemptor(decision: Decision) -> str:
    return decision.preemptor if isinstance(decision, Evict) else ""
