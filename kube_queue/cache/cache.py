"""The cache: what is known, what was decided, and one cycle that joins them.

The life of one uid here::

                 cycle admits it                      seen with a phase that holds quota
    waiting ───────────────────────▶ assumed ───────────────────────────────▶ held
       ▲  ▲                            │ │ │                                    │
       │  └── forget: the write failed ┘ │ └── seen finished ──▶ done ◀─────────┤ seen finished
       │       (waits out a backoff)     │                                      │
       ├── confirm: the write was older ─┘                                      │
       │   than a state already seen                                            │
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

from collections.abc import Iterable, Iterator, Mapping

from kube_queue.admission.cycle import cycle
from kube_queue.admission.decisions import Admit, Decision
from kube_queue.admission.explain import Explanation, Waiting, levels, why
from kube_queue.admission.ledger import Charge, NodeUsage, QuotaLedger
from kube_queue.admission.pending import PendingQueues
from kube_queue.admission.place import Places
from kube_queue.admission.policies import backoff
from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA, Phase
from kube_queue.api.names import QUEUE_NAMESPACE
from kube_queue.api.queues import Policy, Queue
from kube_queue.api.quota import QuotaTree
from kube_queue.api.reasons import Reason
from kube_queue.api.units import Unit
from kube_queue.cache.status import HeldCounts, QueueItem, QueueStatus

_ITEMS_IN_STATUS = 100


class Known:
    """One unit as last seen, and the decision about it that is still to be seen."""

    __slots__ = ("assumed", "failures", "unit")

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.assumed: Assumption | None = None
        self.failures = 0
        """Writes of its admission that failed in a row."""


class Assumption:
    """An admission that was decided at ``version`` and not seen yet."""

    __slots__ = ("version", "written")

    def __init__(self, version: str) -> None:
        self.version = version
        self.written = ""
        """The resourceVersion of the state that was written, once the write succeeded."""


class Cache:
    """Everything the queue controller remembers; belongs to one event loop."""

    def __init__(
        self, *, default_policy: Policy = Policy.ROUND, oversell_rate: float = 1.0
    ) -> None:
        self.ledger = QuotaLedger()
        self.pending = PendingQueues(self.ledger, default_policy)
        self._rate = oversell_rate
        self._tree: QuotaTree | None = None
        self._places = Places(None)
        self._known: dict[str, Known] = {}
        self._counts = HeldCounts()

    # --- what was seen --------------------------------------------------------------------------

    def tree_seen(self, tree: QuotaTree | None) -> None:
        """This tree is in effect; None: there is none. Every unit is where it belongs in it."""
        if tree is not None and self._tree is not None and _same_quotas(tree, self._tree):
            self._tree = tree
            return
        self._tree = tree
        self._places = Places(tree)
        self.ledger.set_tree(tree, self._rate, self._home)
        self.pending.rebuild(self._places.place)
        for known in self._known.values():
            self._count(known)

    def queue_seen(self, queue: Queue) -> None:
        """The Queue is as it says; units that waited for it are in it."""
        self.pending.queue_seen(queue)

    def queue_gone(self, namespace: str, name: str) -> None:
        """There is no such Queue; its units wait for it."""
        self.pending.queue_gone(namespace, name)

    def unit_seen(self, unit: Unit) -> None:
        """The unit is as it says, or as was decided about it and not refuted since."""
        known = self._known.get(unit.uid)
        if known is None:
            known = self._known[unit.uid] = Known(unit)
        known.unit = unit
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
        self._mark(self._counts.set(uid, "", None))

    # --- decisions ------------------------------------------------------------------------------

    def cycle(self, now: float, limit: int = 0) -> list[Decision]:
        """What is to be done now, every Admit assumed. ``now``: seconds since the epoch."""
        decisions = cycle(self.ledger, self.pending, now, limit)
        for decision in decisions:
            if isinstance(decision, Admit):
                known = self._known[decision.uid]
                known.assumed = Assumption(decision.resource_version)
                self._mark(self._counts.set(decision.uid, decision.queue, Phase.DEQUEUED))
        return decisions

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
        tried again for 1, 2, 4, 8, 16, 20 s after failures in a row. Without an assumption about
        the uid nothing happens.
        """
        known = self._known.get(uid)
        if known is None or known.assumed is None:
            return
        known.assumed = None
        known.failures += 1
        self._set(known)
        if self.pending.waiter(uid) is not None:
            self.pending.cool(uid, now + backoff(known.failures))

    def next_wake(self) -> float | None:
        """When a backoff ends, in seconds since the epoch; None: only an event changes anything."""
        return self.pending.next_wake()

    def has_work(self) -> bool:
        """Whether a cycle might decide something now."""
        return self.pending.has_work

    # --- questions ------------------------------------------------------------------------------

    def unit(self, uid: str) -> Unit | None:
        """The unit as last seen."""
        known = self._known.get(uid)
        return known.unit if known is not None else None

    def assumed(self, uid: str) -> bool:
        """Whether the unit is admitted and that was not seen yet."""
        known = self._known.get(uid)
        return known is not None and known.assumed is not None

    def units(self) -> Iterable[Unit]:
        """Every unit as last seen."""
        return (known.unit for known in self._known.values())

    def why(self, uid: str) -> Waiting | None:
        """Why the unit waits; None if it does not."""
        waiter = self.pending.waiter(uid)
        if waiter is None:
            return None
        reason, message, _ = why(self.pending, waiter)
        return Waiting(uid, reason, message, waiter.unit.submitted / 1_000_000)

    def waiting(self) -> Iterator[Waiting]:
        """Every waiting unit and why, one at a time, as of the first step; costs all of them."""
        for uid in [waiter.unit.uid for waiter in self.pending.waiters()]:
            answer = self.why(uid)
            if answer is not None:
                yield answer

    def explain(self, uid: str, now: float) -> Explanation | None:
        """Everything that decides about the unit; None if it is not known."""
        known = self._known.get(uid)
        if known is None:
            return None
        unit, waiter = known.unit, self.pending.waiter(uid)
        leaf = self._places.leaf(unit)
        queue = self._places.queue(unit, leaf)
        state = self.pending.queue(queue)
        shortages = (
            self.ledger.shortages(leaf, unit.request, unit.preemptible)
            if waiter is not None and leaf is not None
            else ()
        )
        reason, message, waits_for = self._told(known)
        return Explanation(
            uid=uid,
            namespace=unit.namespace,
            name=unit.name,
            phase=Phase.DEQUEUED if known.assumed is not None else unit.phase,
            queue=queue,
            policy=state.policy if state is not None else None,
            notice=self.pending.notice(state) if state is not None else "",
            position=self.pending.position(waiter) if waiter is not None else 0,
            quota=leaf or "",
            levels=levels(self.ledger, leaf, unit.request) if leaf is not None else (),
            shortages=shortages,
            reason=reason,
            message=message,
            waits_for=waits_for,
        )

    def quota_status(self, paths: Iterable[str] | None = None) -> Mapping[str, NodeUsage]:
        """The sums of these nodes, without an argument of all; unknown paths are left out."""
        known = self.ledger.paths()
        wanted = known if paths is None else [path for path in paths if path in self.ledger]
        return {path: self.ledger.usage(path) for path in wanted}

    def changed_nodes(self) -> tuple[str, ...]:
        """Paths of nodes whose sums changed since the last call; the next call starts anew."""
        changed = tuple(self.ledger.changed)
        self.ledger.changed.clear()
        return changed

    def queue_status(self, key: str) -> QueueStatus | None:
        """Counts, head and first 100 of the Queue ``namespace/name``; None: there is none."""
        namespace, _, name = key.rpartition("/")
        state = self.pending.queue(name) if namespace in ("", QUEUE_NAMESPACE) else None
        if state is None:
            return None
        leading = state.order.leading(_ITEMS_IN_STATUS)
        items = []
        for position, entry in enumerate(leading, 1):
            unit = self._known[entry[3]].unit
            items.append(QueueItem(position, unit.namespace, unit.name, unit.uid, unit.priority))
        return QueueStatus(
            name=name,
            policy=state.policy,
            notice=self.pending.notice(state),
            pending=len(state.order),
            reserved=self._counts.reserved(name),
            admitted=self._counts.admitted(name),
            head=leading[0][2] if leading else "",
            items=tuple(items),
        )

    def queue_keys(self) -> tuple[str, ...]:
        """``namespace/name`` of every Queue."""
        return tuple(state.queue.key for state in self.pending.queues())

    def changed_queues(self) -> tuple[str, ...]:
        """Keys of Queues whose status changed since the last call; the next call starts anew."""
        changed = tuple(
            state.queue.key
            for name in self.pending.changed
            if (state := self.pending.queue(name)) is not None
        )
        self.pending.changed.clear()
        return changed

    # --- inside ---------------------------------------------------------------------------------

    def _set(self, known: Known) -> None:
        """What is known without an assumption is what is charged and what waits."""
        unit = known.unit
        if unit.phase in HOLDS_QUOTA:
            self.pending.remove(unit.uid)
            leaf = self._places.leaf(unit)
            before = self.ledger.held(unit.uid)
            former = self.ledger.charge(unit.uid, leaf, unit.held, unit.preemptible)
            if former is not None:
                self.pending.released(former)
            if leaf is not None and self.ledger.held(unit.uid) is not before:
                self.pending.reshared(leaf)
        else:
            self._release(unit.uid)
            if unit.phase in FINISHED:
                self.pending.remove(unit.uid)
            else:
                self.pending.put(unit, self._places.place(unit))
        self._count(known)

    def _release(self, uid: str) -> None:
        charge = self.ledger.release(uid)
        if charge is not None:
            self.pending.released(charge)

    def _home(self, uid: str, charge: Charge) -> str | None:
        return self._places.leaf(self._known[uid].unit)

    def _count(self, known: Known) -> None:
        unit = known.unit
        phase = Phase.DEQUEUED if known.assumed is not None else unit.phase
        queue = self._places.queue(unit, self._places.leaf(unit)) if phase in HOLDS_QUOTA else ""
        self._mark(self._counts.set(unit.uid, queue, phase))

    def _mark(self, queues: tuple[str, ...]) -> None:
        for queue in queues:
            self.pending.changed[queue] = None

    def _told(self, known: Known) -> tuple[Reason, str, str]:
        waiter = self.pending.waiter(known.unit.uid)
        if waiter is not None:
            return why(self.pending, waiter)
        if known.assumed is not None:
            return Reason.ADMITTED, "admitted; its job is being released", ""
        unit = known.unit
        if unit.phase is Phase.SUCCEED:
            return Reason.JOB_SUCCEEDED, unit.message or "the job ended well", ""
        if unit.phase is Phase.FAILED:
            return Reason.JOB_FAILED, unit.message or "the job ended badly", ""
        reason = Reason.QUOTA_RESERVED if unit.phase is Phase.RESERVED else Reason.ADMITTED
        return reason, unit.message or "holds quota", ""


def _same_quotas(one: QuotaTree, other: QuotaTree) -> bool:
    return (one.nodes, one.max_preemptible_jobs) == (other.nodes, other.max_preemptible_jobs)


def _as_new_as(seen: str, written: str) -> bool:
    """Whether a state seen at one version is at least as new as the one written at the other."""
    if not written:
        return False
    if seen.isdecimal() and written.isdecimal():
        return int(seen) >= int(written)
    return seen == written
