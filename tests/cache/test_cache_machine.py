"""A random life of the cache beside the model.

Arrivals, edits, finishes, deletions, evictions, pods of no unit, other trees, queues that come and
go and change their policy, writes that land, conflict or get lost, watches that lag and skip,
restarts. After every step everything is held against what the model says by looking at it all.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from itertools import groupby
from math import ceil

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from kube_queue.admission import Admit, Decision
from kube_queue.admission.decisions import Evict, Requeue
from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA, Phase
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy
from kube_queue.api.queues import Policy
from kube_queue.api.reasons import Reason
from kube_queue.api.units import Unit, order_key
from kube_queue.cache import Cache
from tests.builders import a_queue, vector
from tests.cache.cluster import ClusterMachine, Write
from tests.cache.model import Held, Model, Run, earliest_start
from tests.cache.promises import Promise, Promises
from tests.cache.trees import POLICIES, QUEUES, TREES
from tests.examples import examples


class CacheMachine(ClusterMachine):
    """The cluster, the cache, the model."""

    policies: tuple[Policy, ...] = POLICIES
    reclaims: tuple[ReclaimPolicy, ...] = tuple(ReclaimPolicy)
    preempts: tuple[PreemptionPolicy, ...] = tuple(PreemptionPolicy)
    crowds: tuple[tuple[str, ...], ...] = ((), ("abcx",), ("bc", "bc"))
    """Namespaces of the units that are there at first, by cycle."""

    def __init__(self) -> None:
        super().__init__()
        self.cooling: dict[str, float] = {}
        self.debts: list[str] = []
        """uids of units for which others left before a restart, to be tried first."""
        self.rate = 1.0
        self.timeless = False
        """Whether the cache has not been told the time yet."""
        self._fresh(Policy.ROUND, ("Any", "Never"))

    def _fresh(self, policy: Policy, rules: tuple[str, str]) -> None:
        self.switches = rules
        self.cache = self._cache(policy)
        self.model = Model(policy, Fraction(str(self.rate)))
        self.promises = Promises(self.model)

    def _cache(self, policy: Policy) -> Cache:
        return Cache(
            default_policy=policy,
            oversell_rate=self.rate,
            reclaim=ReclaimPolicy(self.switches[0]),
            preemption=PreemptionPolicy(self.switches[1]),
        )

    @initialize(
        data=st.data(),
        rate=st.sampled_from([1.0, 1.0, 1.25, 0.7]),
        queues=st.sampled_from([True, True, True, False]),
    )
    def start(self, data: st.DataObject, rate: float, queues: bool) -> None:
        self.rate = rate
        rules = (
            data.draw(st.sampled_from(self.reclaims)),
            data.draw(st.sampled_from(self.preempts)),
        )
        self._fresh(data.draw(st.sampled_from(self.policies)), rules)
        self.sees_tree(data.draw(st.sampled_from([0, 3, 3, 4])))
        for name in QUEUES if queues else ():
            self.sees_queue(name, None, 0)
        for namespaces in data.draw(st.sampled_from(self.crowds)):
            self.units_arrive(data, 4, True, namespaces)
            self.a_cycle_runs(0, True)

    # --- what the cache is told ---

    @precondition(lambda self: self.wild)
    @rule(which=st.sampled_from([*range(len(TREES)), 3, 3, 4]))
    def sees_tree(self, which: int) -> None:
        if TREES[which] is not self.model.tree:
            self.model.replace_tree(TREES[which])
        self.cache.tree_seen(TREES[which])
        self.promises.disturb()

    @rule(data=st.data(), name=st.sampled_from(QUEUES), priority=st.sampled_from([0, 0, 0, 1]))
    def a_queue_changes(self, data: st.DataObject, name: str, priority: int) -> None:
        self.sees_queue(name, data.draw(st.sampled_from([None, *self.policies])), priority)

    def sees_queue(self, name: str, policy: Policy | None, priority: int) -> None:
        queue = a_queue(name, policy, priority=priority)
        self.model.queues[name] = queue
        self.cache.queue_seen(queue)

    @precondition(lambda self: self.wild)
    @rule(name=st.sampled_from(QUEUES))
    def a_queue_is_deleted(self, name: str) -> None:
        self.model.queues.pop(name, None)
        self.cache.queue_gone("kube-queue", name)
        self.promises.disturb()

    @precondition(lambda self: self.wild)
    @rule(
        quota=st.sampled_from(["", "", "a", "nobody"]),
        namespace=st.sampled_from("abc"),
        cpu=st.sampled_from([0, 0, 1, 3]),
    )
    def pods_of_no_unit_come_and_go(self, quota: str, namespace: str, cpu: int) -> None:
        held = vector(cpu=cpu)
        self.model.unmanaged[quota, namespace] = held
        self.cache.unmanaged_seen(quota, namespace, held)
        self.promises.disturb()

    def _told(self, uid: str, unit: Unit | None) -> None:
        before, former = self._sums(), self.model.units.get(uid)
        if unit is None:
            self.model.units.pop(uid, None)
            self.model.decided.pop(uid, None)
            self.cache.unit_gone(uid)
        else:
            self.model.units[uid] = unit
            if unit.phase in HOLDS_QUOTA | FINISHED:
                self.model.decided.pop(uid, None)
            self.cache.unit_seen(unit)
            self.cache.unit_seen(unit)
            if not self.cache.assumed(uid):
                self.model.decided.pop(uid, None)
        self._settle_promises(uid, former, unit)
        after = self._sums()
        if any(after[one] > before.get(one, 0) for one in after):
            self.promises.disturb()

    def _sums(self) -> dict[tuple[str, str], int]:
        if self.model.tree is None or not self.promises.open:
            return {}
        held = self.model.charged()
        return {
            (path, name): amount
            for path in self.model.tree.nodes
            for name, amount in self.model.used(path, held).items()
        }

    def _settle_promises(self, uid: str, former: Unit | None, unit: Unit | None) -> None:
        mine = self.promises.open.get(uid)
        if mine is not None and (unit is None or not self.model.waits(unit) or not unit.active):
            del self.promises.open[uid]
        elif mine is not None and former is not None and unit is not None:
            wants = [(one.request, one.quota, one.preemptible, one.queue) for one in (former, unit)]
            if wants[0] != wants[1] or unit.requeue_at != former.requeue_at:
                mine.disturbed = True
        if unit is None or unit.phase not in HOLDS_QUOTA:
            self.promises.left(uid)
        elif any(uid in one.leaving for one in self.promises.open.values()) and not unit.evicted:
            known = former is not None and former.evicted
            if known:
                # It left and was admitted again between two sightings.
                self.promises.left(uid)
                self.promises.disturb()

    @rule(count=st.integers(1, 8))
    def the_watch_delivers(self, count: int) -> None:
        for _ in range(min(count, len(self.watch))):
            self._told(*self.watch.popleft())

    @rule()
    def the_watch_lists_anew(self) -> None:
        self.watch.clear()
        for uid in set(self.model.units) - set(self.objects):
            self._told(uid, None)
        for uid, unit in sorted(self.objects.items()):
            self._told(uid, unit)

    @rule()
    def outcomes_are_heard(self) -> None:
        for write in [write for write in self.writes if not write.open]:
            self.writes.remove(write)
            if write.orphan:
                continue
            if write.preemptor is not None:
                self._eviction_heard(write)
                continue
            assumed = self.cache.assumed(write.uid)
            if write.refused:
                self.cache.forget(write.uid, self.now)
                if assumed:
                    self.cooling[write.uid] = self.now + 20
                if write.uid in self.cache.core.promises:
                    # What others left for it is kept while it waits out its backoff.
                    self.promises.open[write.uid] = Promise(write.uid)
            else:
                self.cache.confirm(write.uid, write.version)
            if not self.cache.assumed(write.uid):
                self.model.decided.pop(write.uid, None)

    def _eviction_heard(self, write: Write) -> None:
        if not write.refused:
            return
        self.cache.eviction_failed(write.uid)
        promise = self.promises.open.get(write.preemptor or "")
        if promise is not None and write.uid in promise.leaving:
            promise.leaving.discard(write.uid)
            promise.disturbed = True
        self.promises.history.discard((write.uid, write.preemptor or ""))

    @rule(backwards=st.booleans(), tree_first=st.booleans())
    def the_controller_restarts(self, backwards: bool = False, tree_first: bool = False) -> None:
        for write in self.writes:
            write.orphan = True
        self.cooling.clear()
        self.watch.clear()
        self.cache = self._cache(self.model.default)
        self.model.units = dict(self.objects)
        self.model.decided.clear()
        for queue in self.model.queues.values() if tree_first else ():
            self.cache.queue_seen(queue)
        if tree_first:
            self.cache.tree_seen(self.model.tree)
        units = list(self.objects.values())
        for unit in reversed(units) if backwards else units:
            self.cache.unit_seen(unit)
        for queue in self.model.queues.values():
            self.cache.queue_seen(queue)
        for (quota, namespace), held in self.model.unmanaged.items():
            self.cache.unmanaged_seen(quota, namespace, held)
        self.cache.tree_seen(self.model.tree)
        self.cache.takes_over()
        self.timeless = True
        self._promises_as_written()
        self._debts_as_written()

    def _debts_as_written(self) -> None:
        left = sorted(
            (unit.left_at, *order_key(unit), unit.left_for)
            for unit in self.objects.values()
            if unit.left_for and self.model.waits(unit)
        )
        known = [(at, self.objects[uid]) for at, *_, uid in left if uid in self.objects]
        self.debts = list(dict.fromkeys(unit.uid for at, unit in known if unit.granted < at))

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

    def _promises_as_written(self) -> None:
        before, self.promises.open = self.promises.open, {}
        self.promises.history.clear()
        for unit in self.objects.values():
            wants = self.objects.get(unit.preemptor)
            if not unit.evicted or unit.phase not in HOLDS_QUOTA or wants is None:
                continue
            self.promises.history.add((unit.uid, wants.uid))
            if not self.model.waits(wants) or not wants.active:
                continue
            promise = self.promises.open.setdefault(wants.uid, Promise(wants.uid))
            promise.leaving.add(unit.uid)
        for uid, promise in self.promises.open.items():
            known = before.get(uid)
            whole = known is not None and known.leaving == promise.leaving
            promise.disturbed = known is None or known.disturbed or not whole

    # --- decisions ---

    def _cooling(self) -> set[str]:
        return {uid for uid, until in self.cooling.items() if until > self.now}

    @rule()
    def everything_settles(self) -> None:
        """Every write arrives, is heard of and is seen."""
        for write in self.writes:
            if write.open:
                self.arrives(write)
        self.outcomes_are_heard()
        self.tell(True)

    def tell(self, now: bool) -> None:
        if now:
            self.the_watch_delivers(len(self.watch))

    @rule(limit=st.sampled_from([0, 0, 0, 1]), settles=st.sampled_from([True, True, False]))
    def a_cycle_runs(self, limit: int, settles: bool) -> None:
        self._note_promised()
        self.timeless = False
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
        if settles:
            self.everything_settles()

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

    # --- always ---

    @invariant()
    def sums_are_exact_on_every_node(self) -> None:
        if self.model.tree is None:
            return
        held = self.model.charged()
        for path in self.model.tree.nodes:
            usage = self.cache.ledger.usage(path)
            assert usage.used == self.model.used(path, held)
            assert usage.used_guaranteed == self.model.used(path, held, guaranteed=True)

    @invariant()
    def every_unit_waits_or_holds_or_is_done(self) -> None:
        for uid, unit in self.model.units.items():
            waits = self.cache.why(uid) is not None
            holds = self.cache.ledger.held(uid) is not None
            assert (waits, holds) == (
                unit.phase not in HOLDS_QUOTA | FINISHED and uid not in self.model.decided,
                unit.phase in HOLDS_QUOTA or uid in self.model.decided,
            )

    @invariant()
    def what_was_written_stays_charged_until_it_is_seen(self) -> None:
        for write in self.writes:
            known = self.model.units.get(write.uid)
            if write.orphan or not write.version or known is None or write.preemptor is not None:
                continue
            if int(known.resource_version) < int(write.version):
                assert self.cache.ledger.held(write.uid) is not None

    @invariant()
    def promises_hold_until_their_victims_are_gone(self) -> None:
        for promise in self.promises.owed():
            # Before it knows the time, the cache cannot tell whether a unit's has come.
            timed = self.timeless and self.model.units[promise.preemptor].requeue_at
            assert timed or self._is_promised(promise.preemptor)

    def teardown(self) -> None:
        if sys.exc_info()[0] is not None:
            # A step has failed, and half a step may leave anything: only that failure counts.
            return
        for write in self.writes:
            write.refused = write.refused or not write.version
        self.the_watch_lists_anew()
        self.outcomes_are_heard()
        for uid in self.objects:
            assert not self.cache.assumed(uid), "an assumption outlived its write"
        if self.model.tree is not None:
            before = self.cache.quota_status()
            self.the_controller_restarts()
            assert self.cache.quota_status() == before
            self.a_cycle_runs(0, False)


class BorrowersMachine(CacheMachine):
    """Leaves that borrow from each other, and nothing that takes room without a decision."""

    wild = False
    crowds = (("bc", "bc"), ("ab", "bc"), ("b", "b"), ("bbbca", "abc"))


def _preemptor(decision: Decision) -> str:
    return decision.preemptor if isinstance(decision, Evict) else ""


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=examples(100), stateful_step_count=40)
TestBorrowers = BorrowersMachine.TestCase
TestBorrowers.settings = settings(max_examples=examples(100), stateful_step_count=40)
