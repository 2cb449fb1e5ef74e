"""A random life of the cache beside the model.

Arrivals, edits, finishes, deletions, evictions, pods of no unit, other trees, queues that come and
go and change their policy, writes that land, conflict or get lost, watches that lag and skip,
restarts. After every step everything is held against what the model says by looking at it all.
"""

from __future__ import annotations

import sys
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy
from kube_queue.api.queues import Policy
from kube_queue.api.units import Unit, order_key
from kube_queue.cache import Cache
from tests.builders import a_queue, vector
from tests.cache.cluster import Write
from tests.cache.judged import JudgedMachine
from tests.cache.model import Model
from tests.cache.promises import Promise, Promises
from tests.cache.trees import POLICIES, QUEUES, TREES
from tests.examples import examples


class CacheMachine(JudgedMachine):
    """The cluster, the cache, the model."""

    policies: tuple[Policy, ...] = POLICIES
    reclaims: tuple[ReclaimPolicy, ...] = tuple(ReclaimPolicy)
    preempts: tuple[PreemptionPolicy, ...] = tuple(PreemptionPolicy)
    crowds: tuple[tuple[str, ...], ...] = ((), ("abcx",), ("bc", "bc"))
    """Namespaces of the units that are there at first, by cycle."""

    def __init__(self) -> None:
        super().__init__()
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
        self.timeless = False
        self.judged_cycle(limit)
        if settles:
            self.everything_settles()

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


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=examples(100), stateful_step_count=40)
TestBorrowers = BorrowersMachine.TestCase
TestBorrowers.settings = settings(max_examples=examples(100), stateful_step_count=40)
