"""A random life of the cache beside the model.

Arrivals, edits, finishes, deletions, other trees, queues that come and go, writes that land,
conflict or get lost, watches that lag and skip, restarts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from kube_queue.admission import Admit
from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA, Phase
from kube_queue.api.queues import Policy
from kube_queue.api.resources import EMPTY
from kube_queue.api.units import Unit, order_key
from kube_queue.cache import Cache
from tests.builders import START, a_queue, a_quota, a_tree, a_unit, vector
from tests.cache.model import Held, Model

TREES = (
    a_tree(
        a_quota("root")
        .max(cpu="8", jobs="6")
        .over(
            a_quota("p")
            .max(cpu="5", memory="6")
            .over(
                a_quota("a").min(cpu="2").max(cpu="4").serving("a"),
                a_quota("b").min(cpu="1", memory="1").max(cpu="5", memory="5").serving("b"),
            ),
            a_quota("c").max(cpu="6").min(cpu="3", jobs="2").serving("c"),
        )
    ),
    a_tree(
        a_quota("root")
        .max(cpu="4")
        .over(
            a_quota("p").over(a_quota("a").max(cpu="2").serving("a")),
            a_quota("c").max(cpu="3", memory="3").serving("c", "b"),
        )
    ),
    a_tree(
        a_quota("root")
        .max(cpu="12", memory="9")
        .min(cpu="6", memory="4")
        .over(
            a_quota("a").max(cpu="9").min(cpu="4").serving("a"),
            a_quota("b").max(memory="7").min(cpu="2", memory="4").serving("b"),
        )
    ),
    None,
)
QUEUES = ("root-p-a", "root-p-b", "root-c", "root-a", "root-b", "shared")
POLICIES = (Policy.ROUND, Policy.PRIORITY, Policy.BLOCK)


@dataclass
class Write:
    """An admission on its way: not landed yet, landed (made ``version``) or refused."""

    uid: str
    precondition: str
    version: str = ""
    refused: bool = False
    orphan: bool = False
    """Sent by a process that is gone: nobody waits for its outcome."""


class CacheMachine(RuleBasedStateMachine):
    """The API objects, a watch that lags, writes in flight, the cache, the model."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, Unit] = {}
        self.watch: deque[tuple[str, Unit | None]] = deque()
        self.writes: list[Write] = []
        self.now = START
        self.version = 10
        self.names = 0
        self.cooling: dict[str, float] = {}
        self.cache = Cache()
        self.model = Model(Policy.ROUND, Fraction(1))

    @initialize(
        policy=st.sampled_from(POLICIES),
        rate=st.sampled_from([1.0, 1.25, 0.7]),
        queues=st.booleans(),
    )
    def start(self, policy: Policy, rate: float, queues: bool) -> None:
        self.rate = rate
        self.cache = Cache(default_policy=policy, oversell_rate=rate)
        self.model = Model(policy, Fraction(str(rate)))
        self.sees_tree(0)
        for name in QUEUES if queues else ():
            self.sees_queue(name, None, 0)

    # --- the world ---

    def _write(self, unit: Unit, **changes: object) -> Unit:
        self.version += 1
        fresh = replace(unit, resource_version=str(self.version), **changes)  # type: ignore[arg-type]
        self.objects[unit.uid] = fresh
        self.watch.append((unit.uid, fresh))
        return fresh

    @rule(
        namespace=st.sampled_from("abcx"),
        cpu=st.integers(0, 4),
        memory=st.integers(0, 4),
        priority=st.integers(0, 2),
        queue=st.sampled_from(["", "", "shared", "root-c"]),
        preemptible=st.sampled_from([True, True, False]),
        requeue=st.sampled_from([0, 0, 0, 5]),
        many=st.integers(1, 3),
    )
    def units_arrive(
        self,
        namespace: str,
        cpu: int,
        memory: int,
        priority: int,
        queue: str,
        preemptible: bool,
        requeue: int,
        many: int,
    ) -> None:
        for _ in range(many):
            self.names += 1
            unit = replace(
                a_unit(f"u{self.names}").unit,
                namespace=namespace,
                request=vector(cpu=cpu, memory=memory),
                priority=priority,
                queue=queue,
                preemptible=preemptible,
                submitted=int(self.now * 1e6) - self.names % 2,
                requeue_at=int((self.now + requeue) * 1e6) if requeue else 0,
            )
            self._write(unit)

    def _pick(self, data: st.DataObject, *phases: Phase) -> Unit | None:
        found = [unit for unit in self.objects.values() if not phases or unit.phase in phases]
        return data.draw(st.sampled_from(found)) if found else None

    @rule(data=st.data(), priority=st.integers(0, 2))
    def a_priority_is_edited(self, data: st.DataObject, priority: int) -> None:
        if unit := self._pick(data, Phase.ENQUEUED):
            self._write(unit, priority=priority)

    @rule(data=st.data(), cpu=st.integers(0, 4))
    def a_request_is_edited(self, data: st.DataObject, cpu: int) -> None:
        if unit := self._pick(data, Phase.ENQUEUED):
            self._write(unit, request=vector(cpu=cpu))

    @rule(data=st.data())
    def a_unit_is_switched_off_or_on(self, data: st.DataObject) -> None:
        if unit := self._pick(data, Phase.ENQUEUED):
            self._write(unit, active=not unit.active)

    @rule(data=st.data())
    def a_reason_is_written(self, data: st.DataObject) -> None:
        if unit := self._pick(data, Phase.ENQUEUED):
            self._write(unit, message="waits")

    @rule(data=st.data())
    def a_job_is_released_by_hand(self, data: st.DataObject) -> None:
        if unit := self._pick(data, Phase.ENQUEUED):
            self._write(unit, phase=Phase.DEQUEUED, held=unit.request)

    @rule(data=st.data(), cpu=st.integers(0, 4))
    def a_running_job_changes_its_size(self, data: st.DataObject, cpu: int) -> None:
        if unit := self._pick(data, Phase.RUNNING):
            self._write(unit, held=vector(cpu=cpu))

    @rule(data=st.data(), phase=st.sampled_from([Phase.RUNNING, Phase.SUCCEED, Phase.ENQUEUED]))
    def an_admitted_job_goes_on(self, data: st.DataObject, phase: Phase) -> None:
        if unit := self._pick(data, Phase.DEQUEUED, Phase.RUNNING):
            held = unit.held if phase is Phase.RUNNING else EMPTY
            self._write(unit, phase=phase, held=held)

    @rule(data=st.data())
    def a_unit_is_deleted(self, data: st.DataObject) -> None:
        if unit := self._pick(data):
            del self.objects[unit.uid]
            self.watch.append((unit.uid, None))

    # --- what the cache is told ---

    @rule(which=st.integers(0, len(TREES) - 1))
    def sees_tree(self, which: int) -> None:
        self.model.tree = TREES[which]
        self.cache.tree_seen(TREES[which])

    @rule(
        name=st.sampled_from(QUEUES),
        policy=st.sampled_from([None, *POLICIES]),
        priority=st.integers(0, 1),
    )
    def sees_queue(self, name: str, policy: Policy | None, priority: int) -> None:
        queue = a_queue(name, policy, priority=priority)
        self.model.queues[name] = queue
        self.cache.queue_seen(queue)

    @rule(name=st.sampled_from(QUEUES))
    def a_queue_is_deleted(self, name: str) -> None:
        self.model.queues.pop(name, None)
        self.cache.queue_gone("kube-queue", name)

    def _told(self, uid: str, unit: Unit | None) -> None:
        if unit is None:
            self.model.units.pop(uid, None)
            self.model.decided.pop(uid, None)
            self.cache.unit_gone(uid)
            return
        self.model.units[uid] = unit
        if unit.phase in HOLDS_QUOTA | FINISHED:
            self.model.decided.pop(uid, None)
        self.cache.unit_seen(unit)
        self.cache.unit_seen(unit)
        if not self.cache.assumed(uid):
            self.model.decided.pop(uid, None)

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

    @rule(seconds=st.sampled_from([0.5, 3.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # --- writes ---

    @precondition(lambda self: self.writes)
    @rule(data=st.data(), lost=st.sampled_from([False, False, False, True]))
    def a_write_arrives(self, data: st.DataObject, lost: bool) -> None:
        open_ones = [write for write in self.writes if not write.version and not write.refused]
        if not open_ones:
            return
        write = data.draw(st.sampled_from(open_ones))
        unit = self.objects.get(write.uid)
        if lost or unit is None or unit.resource_version != write.precondition:
            write.refused = True
        else:
            assert unit.phase is Phase.ENQUEUED, "admitted twice"
            landed = self._write(unit, phase=Phase.DEQUEUED, held=unit.request)
            write.version = landed.resource_version

    @precondition(lambda self: self.writes)
    @rule()
    def outcomes_are_heard(self) -> None:
        for write in [write for write in self.writes if write.version or write.refused]:
            self.writes.remove(write)
            if write.orphan:
                continue
            assumed = self.cache.assumed(write.uid)
            if write.refused:
                self.cache.forget(write.uid, self.now)
                if assumed:
                    self.cooling[write.uid] = self.now + 20
            else:
                self.cache.confirm(write.uid, write.version)
            if not self.cache.assumed(write.uid):
                self.model.decided.pop(write.uid, None)

    @rule()
    def the_controller_restarts(self) -> None:
        for write in self.writes:
            write.orphan = True
        self.cooling.clear()
        self.watch.clear()
        self.cache = Cache(default_policy=self.model.default, oversell_rate=self.rate)
        self.model.units = dict(self.objects)
        self.model.decided.clear()
        for unit in self.objects.values():
            self.cache.unit_seen(unit)
        for queue in self.model.queues.values():
            self.cache.queue_seen(queue)
        self.cache.tree_seen(self.model.tree)

    # --- decisions ---

    def _cooling(self) -> set[str]:
        return {uid for uid, until in self.cooling.items() if until > self.now}

    @rule(limit=st.sampled_from([0, 0, 0, 1]))
    def a_cycle_runs(self, limit: int) -> None:
        for decision in self.cache.cycle(self.now, limit):
            if isinstance(decision, Admit):
                self._check_admission(decision)
        if not limit:
            self._check_nobody_left()

    def _check_admission(self, decision: Admit) -> None:
        uid = decision.uid
        unit = self.model.units[uid]
        assert uid not in self.model.decided, "admitted twice"
        assert unit in self.model.waiting(self.now), "admitted something that may not be tried"
        assert self.model.fits(unit, self.model.holders().values()), "above a bound"
        assert (decision.leaf, decision.request) == (self.model.leaf(unit), unit.request)
        queue, leaf = self.model.queue_of(unit), self.model.leaf(unit)
        if self.model.policy(queue) is Policy.BLOCK:
            lane = [
                other
                for other in self.model.waiting(self.now)
                if (self.model.queue_of(other), self.model.leaf(other)) == (queue, leaf)
            ]
            assert lane[0] is unit, "the head was overtaken"
        if self.model.policy(queue) is Policy.PRIORITY:
            for other in self.model.candidates(self.now, set(self.cooling)):
                if self.model.queue_of(other) == queue:
                    assert order_key(unit) <= order_key(other), "a higher unit fits"
        self.model.decided[uid] = Held(leaf, unit.request, unit.preemptible)
        self.writes.append(Write(uid, decision.resource_version))

    def _check_nobody_left(self) -> None:
        for unit in self.model.candidates(self.now, self._cooling()):
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
        held = list(self.model.holders().values())
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
            if write.orphan or not write.version or known is None:
                continue
            if int(known.resource_version) < int(write.version):
                assert self.cache.ledger.held(write.uid) is not None

    def teardown(self) -> None:
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
            self.a_cycle_runs(0)


TestCache = CacheMachine.TestCase
TestCache.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
