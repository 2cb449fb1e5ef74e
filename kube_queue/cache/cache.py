"""The cache: what is known, what was decided, and one cycle that joins them.

The life of one uid here::

                 cycle admits it                      seen with a phase that holds quota
    waiting ───────────────────────▶ assumed ───────────────────────────────▶ held
       ▲  ▲                            │ │ │                                    │
       │  └── forget: the write failed ┘ │ └── seen finished ──▶ done ◀─────────┤ seen finished
       │       (waits out a backoff)     │                                      │
       ├── confirm: the write was older ─┤                                      │
       │   than a state already seen     │                                      │
       ├── hold_back: the nodes are full ┘                                      │
       │       (no turn until let_try)                                          │
       └──────────────────────────────── seen Enqueued again ───────────────────┘

    gone, from anywhere: nothing of it is left, what it held is free.

**Assumptions.** A decision is written with the resourceVersion it was made at as a precondition.
Until the write's outcome is known the quota stays charged and the unit stays out of the queues,
whatever waiting state is seen meanwhile: the same state again (a relist), or a newer one (an edit
of its priority bumped the version, so the write will be refused, and ``forget`` follows). Dropping
the assumption at the newer state would admit a second time while the first write may still land.
It ends by ``forget`` (the newest state seen is placed, so an edit is not lost), by a seen phase
that says otherwise, by ``confirm`` together with a state at least as new as the write, or with the
unit. A ``forget`` that comes after any of these does nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from kube_queue.admission.cycle import cycle
from kube_queue.admission.decisions import Admit, Decision
from kube_queue.admission.explain import Explanation
from kube_queue.admission.holds import nodes_full
from kube_queue.admission.ledger import Charge
from kube_queue.admission.place import Places, TreePlaces
from kube_queue.admission.policies import backoff
from kube_queue.admission.running import Held
from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA, Phase
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy
from kube_queue.api.queues import Policy, Queue
from kube_queue.api.quota import QuotaTree
from kube_queue.api.reasons import Reason
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.units import Unit, order_key
from kube_queue.cache.answers import Answers
from kube_queue.cache.known import Assumption, Known

TRIED: Final = frozenset(
    {Reason.ENQUEUED, Reason.INSUFFICIENT_QUOTA, Reason.INSUFFICIENT_MIN, Reason.MAX_JOBS_REACHED}
)
"""Reasons of a unit that only room keeps waiting, if anything."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What would become of a unit."""

    explained: Explanation
    runs_now: bool
    evicts: tuple[Unit, ...]
    """Units that would be evicted for it; empty where it runs now or nobody helps."""


class Cache(Answers):
    """Everything the queue controller remembers; belongs to one event loop."""

    def __init__(
        self,
        *,
        default_policy: Policy = Policy.ROUND,
        oversell_rate: float = 1.0,
        reclaim: ReclaimPolicy = ReclaimPolicy.ANY,
        preemption: PreemptionPolicy = PreemptionPolicy.NEVER,
    ) -> None:
        super().__init__(default_policy, reclaim, preemption)
        self._rate = oversell_rate
        self._tree: QuotaTree | None = None
        self._unmanaged: dict[tuple[str, str], ResourceVector] = {}

    # --- what was seen --------------------------------------------------------------------------

    def tree_seen(self, tree: QuotaTree | None, places: Places | None = None) -> None:
        """These quotas are in effect; None: there are none. Every unit is where it belongs.

        ``places`` says where that is and what is charged there; without it the tree does.
        """
        same = tree is not None and self._tree is not None and _same_quotas(tree, self._tree)
        if same and places is None:
            self._tree = tree
            return
        self._tree = tree
        self._places = places if places is not None else TreePlaces(tree)
        self.ledger.set_tree(tree, self._rate, self._home)
        for (quota, namespace), held in self._unmanaged.items():
            self._charge_unmanaged(quota, namespace, held)
        self.pending.rebuild(self._places.place)
        for known in self._known.values():
            self._hold(known)
            self._count(known)
        self.core.rebuild()

    def tree_grown(self, tree: QuotaTree, leaf: str) -> None:
        """The quotas are those in effect and one leaf more, to which nothing known belongs."""
        self._tree = tree
        self.ledger.add_leaf(tree.nodes[leaf])

    def unmanaged_seen(self, quota: str, namespace: str, held: ResourceVector) -> None:
        """Live pods that no unit stands for hold this much in the leaf that label (or, where it
        is empty, namespace) leads to.
        """
        former = self._unmanaged.pop((quota, namespace), EMPTY)
        if held:
            self._unmanaged[quota, namespace] = held
        change = held - former
        leaf = self._charge_unmanaged(quota, namespace, change)
        if leaf is None:
            return
        self.core.moved(leaf, change)
        self.pending.reshared(leaf)
        if former.highest(held) is not held:
            self.pending.released(Charge(leaf, former, True))

    def queue_seen(self, queue: Queue) -> None:
        """The Queue is as it says; units that waited for it are in it."""
        self.pending.queue_seen(queue)
        self.core.promises.restore_all()

    def queue_gone(self, namespace: str, name: str) -> None:
        """There is no such Queue; its units wait for it."""
        self.pending.queue_gone(namespace, name)

    def unit_seen(self, unit: Unit) -> None:
        """The unit is as it says, or as was decided about it and not refuted since."""
        known = self._known.get(unit.uid)
        if known is None:
            known = self._known[unit.uid] = Known(unit)
        before, known.unit = known.unit, unit
        if unit.phase is Phase.SUCCEED and before.started and unit.ended:
            self._ran(unit, (unit.ended - before.started) / 1_000_000)
        assumed = known.assumed
        if assumed is not None:
            waits = unit.phase not in HOLDS_QUOTA and unit.phase not in FINISHED
            if waits and not _as_new_as(unit.resource_version, assumed.written):
                return
            known.assumed = None
            if not waits:
                known.failures = 0
        self._set(known)

    def unit_gone(self, uid: str) -> None:
        """Nothing of the unit is left."""
        if self._known.pop(uid, None) is None:
            return
        self.pending.remove(uid)
        self._release(uid)
        self.core.promises.end(uid)
        self.core.promises.forget(uid)
        self._counts.set(uid, "", None)

    # --- decisions ------------------------------------------------------------------------------

    def cycle(self, now: float, limit: int = 0) -> list[Decision]:
        """What is to be done now, every Admit assumed. ``now``: seconds since the epoch."""
        decisions = cycle(self.core, now, limit)
        for decision in decisions:
            if isinstance(decision, Admit):
                known = self._known[decision.uid]
                known.assumed = Assumption(decision.resource_version, decision.others_left)
                self._hold(known, now)
                self._counts.set(decision.uid, decision.queue, Phase.DEQUEUED)
        return decisions

    def takes_over(self) -> None:
        """What is known is what another process left: whom it had others evicted for, and did not
        admit once they were gone, is tried first.
        """
        left = [
            known.unit
            for known in self._known.values()
            if known.unit.left_for and self.pending.waiter(known.unit.uid) is not None
        ]
        owed: dict[str, None] = {}
        for unit in sorted(left, key=lambda unit: (unit.left_at, *order_key(unit))):
            preemptor = self.unit(unit.left_for)
            # Times on the wire are whole seconds: granted in the same one, it was for this.
            if preemptor is not None and preemptor.granted < unit.left_at:
                owed[preemptor.uid] = None
        self.core.promises.owe(owed)

    def confirm(self, uid: str, resource_version: str) -> None:
        """The admission was written and made this version. The watch will show it, or has shown
        a state after it: then that one counts.
        """
        known = self._known.get(uid)
        if known is None or known.assumed is None:
            return
        known.failures = 0
        seen = known.unit.resource_version
        if seen != known.assumed.version and _as_new_as(seen, resource_version):
            known.assumed = None
            self._set(known)
        else:
            known.assumed.written = resource_version

    def forget(self, uid: str, now: float) -> None:
        """The admission was not written: its quota is free and the unit waits as last seen, not
        tried again for 1, 2, 4, 8, 16, 20 s after failures in a row. What others left for it is
        kept for it until it is tried the first time. Without an assumption about the uid nothing
        happens.
        """
        known = self._known.get(uid)
        if known is None or known.assumed is None:
            return
        others_left, charge = known.assumed.others_left, self.ledger.held(uid)
        known.assumed = None
        known.failures += 1
        self._set(known)
        if self.pending.waiter(uid) is None:
            return
        until = now + backoff(known.failures)
        self.pending.cool(uid, until)
        if others_left and known.failures == 1 and charge is not None:
            self.core.promises.keep_on(uid, charge, until)

    def hold_back(self, uid: str, problem: str) -> None:
        """The nodes have no room for the pods of an assumed unit, for this reason: its quota is
        free, and it has no turn until ``let_try``. Under Block it stays the head meanwhile.
        Without an assumption about the uid nothing happens.
        """
        known = self._known.get(uid)
        if known is None or known.assumed is None:
            return
        known.assumed = None
        known.failures = 0
        self._set(known)
        if self.pending.waiter(uid) is not None:
            self.pending.hold(uid, nodes_full(problem))

    def let_try(self, uid: str) -> None:
        """A unit that was held back has its turns again; it may be gone, or held by now."""
        if uid not in self.core.promises:
            self.pending.unhold(uid)

    def eviction_failed(self, uid: str) -> None:
        """The unit could not be told to go: it is not going, and whoever it was to go for waits
        like anybody again. Without such a decision, or once it was seen, nothing happens.
        """
        self.core.promises.failed(uid)

    def evicting(self, uid: str) -> bool:
        """Whether the unit's eviction was decided, was not seen yet, and is still of use."""
        return self.core.promises.evicting(uid)

    def trial(self, unit: Unit, now: float) -> Trial:
        """What would become of this unit if it came to wait now; it does not, and nothing changes.

        Its uid must be nobody's. ``now``: seconds since the epoch.
        """
        known = self._known[unit.uid] = Known(unit)
        try:
            self.pending.put(unit, self._places.place(unit))
            explained = self.explain(unit.uid, now)
            waiter = self.pending.waiter(unit.uid)
            assert explained is not None
            assert waiter is not None
            may = waiter.has_turns and explained.head is None and explained.reason in TRIED
            evicts: tuple[Held, ...] = ()
            if may and explained.shortages and waiter.place.leaf is not None:
                request = self._asked(known)
                evicts = self.core.reclaim.victims(unit, waiter.place.leaf, request)
            if may and explained.shortages:
                # Nobody has tried it, so the verdict is ours to give.
                short = explained.shortages[0]
                explained = replace(
                    explained,
                    reason=short.reason,
                    message=short.message,
                    waits_for=short.waits_for,
                )
            return Trial(
                explained, may and not explained.shortages, tuple(held.unit for held in evicts)
            )
        finally:
            self.pending.remove(unit.uid)
            del self._known[unit.uid]

    def next_wake(self) -> float | None:
        """When a backoff ends, in seconds since the epoch; None: only an event changes anything."""
        return self.pending.next_wake()

    def has_work(self) -> bool:
        """Whether a cycle might decide something now."""
        return self.core.has_work

    # --- inside ---------------------------------------------------------------------------------

    def _set(self, known: Known) -> None:
        """What is known without an assumption is what is charged and what waits."""
        if known.unit.phase in HOLDS_QUOTA:
            self._holds(known.unit)
            self._hold(known)
            self.core.promises.holds(known.unit)
        else:
            self._release(known.unit.uid)
            if known.unit.phase in FINISHED:
                self.pending.remove(known.unit.uid)
                self.core.promises.end(known.unit.uid)
                self.core.promises.forget(known.unit.uid)
            else:
                self._waits(known.unit)
        self._count(known)

    def _ran(self, unit: Unit, seconds: float) -> None:
        """Jobs like the unit's are expected to run as long, those that run or wait already too."""
        if self.run_times.ended(unit, seconds):
            self.pending.learned(unit)

    def _holds(self, unit: Unit) -> None:
        self.pending.remove(unit.uid)
        self.core.promises.end(unit.uid)
        leaf = self._places.leaf(unit)
        before = self.ledger.held(unit.uid)
        held = self._places.held(unit)
        former = self.ledger.charge(unit.uid, leaf, held, unit.preemptible)
        if former is not None:
            self.pending.released(former)
        if leaf is not None and self.ledger.held(unit.uid) is not before:
            self.pending.reshared(leaf)

    def _waits(self, unit: Unit) -> None:
        self.pending.put(unit, self._places.place(unit))
        self.core.promises.waits(unit.uid)
        waiter = self.pending.waiter(unit.uid)
        if waiter is not None and waiter.group is not None:
            self.core.again.joined(waiter.group, unit.priority)

    def _release(self, uid: str) -> None:
        self.running.remove(uid)
        charge = self.ledger.release(uid)
        self.core.promises.left(uid)
        if charge is not None:
            self.pending.released(charge)

    def _hold(self, known: Known, decided: float = 0.0) -> None:
        """What the ledger is charged for the unit is what it is running with."""
        unit = known.unit
        charge = self.ledger.held(unit.uid)
        if charge is None:
            self.running.remove(unit.uid)
            return
        since = unit.allocated / 1_000_000 or decided
        if not since:
            before = self.running.get(unit.uid)
            since = before.since if before is not None else unit.started / 1_000_000
        self.running.put(Held(unit, charge.leaf, charge.request, since or unit.submitted / 1e6))

    def _home(self, uid: str, former: Charge) -> Charge:
        unit = self._known[uid].unit
        assumed = self._known[uid].assumed is not None
        request = self._places.request(unit) if assumed else self._places.held(unit)
        return Charge(self._places.leaf(unit), request, former.preemptible)

    def _charge_unmanaged(self, quota: str, namespace: str, more: ResourceVector) -> str | None:
        """The leaf that these pods count in, and is charged so much more for them."""
        node = self._tree.leaf_for(quota, namespace) if self._tree is not None else None
        if node is None:
            return None
        self.ledger.set_unmanaged(node.path, self.ledger.unmanaged(node.path) + more)
        return node.path

    def _count(self, known: Known) -> None:
        unit = known.unit
        phase = Phase.DEQUEUED if known.assumed is not None else unit.phase
        queue = self._places.queue(unit, self._places.leaf(unit)) if phase in HOLDS_QUOTA else ""
        self._counts.set(unit.uid, queue, phase)


def _same_quotas(one: QuotaTree, other: QuotaTree) -> bool:
    return (one.nodes, one.max_preemptible_jobs) == (other.nodes, other.max_preemptible_jobs)


def _as_new_as(seen: str, written: str) -> bool:
    """Whether a state seen at one version is at least as new as the one written at the other."""
    if not written:
        return False
    if seen.isdecimal() and written.isdecimal():
        return int(seen) >= int(written)
    return seen == written
