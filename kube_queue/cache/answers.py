"""The questions the cache answers: out of what it remembers, at once, changing nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from kube_queue.admission.core import Core
from kube_queue.admission.decisions import Shortage
from kube_queue.admission.ends import Ends
from kube_queue.admission.estimate import Facts, estimate
from kube_queue.admission.explain import (
    Explanation,
    Head,
    Summary,
    Waiting,
    head,
    levels,
    next_try,
    shortest,
    why,
)
from kube_queue.admission.holders import Holders, holders
from kube_queue.admission.lanes import Waiter
from kube_queue.admission.ledger import NodeUsage, QuotaLedger
from kube_queue.admission.pending import PendingQueues
from kube_queue.admission.place import Places, TreePlaces
from kube_queue.admission.reclaim import Reclaim
from kube_queue.admission.running import Running
from kube_queue.admission.runtimes import RunTimes
from kube_queue.api.lifecycle import HOLDS_QUOTA, Phase
from kube_queue.api.names import QUEUE_NAMESPACE
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy
from kube_queue.api.queues import Policy
from kube_queue.api.reasons import Reason
from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import Unit
from kube_queue.cache.known import Known
from kube_queue.cache.status import HeldCounts, QueueItem, QueueStatus

PODS_GONE: Final = "waits until the pods of its job are gone"
"""What an evicted unit that still holds quota waits for."""
_ITEMS_IN_STATUS: Final = 100


class Answers:
    """What is remembered, for reading; ``Cache`` is what changes it."""

    def __init__(
        self, default_policy: Policy, reclaim: ReclaimPolicy, preemption: PreemptionPolicy
    ) -> None:
        self.ledger = QuotaLedger()
        self._places: Places = TreePlaces(None)
        self._known: dict[str, Known] = {}
        self._counts = HeldCounts()
        self.running = Running()
        """Who holds quota, assumed admissions included."""
        self.run_times = RunTimes()
        ends = Ends(self.ledger, self.running, self.run_times)
        self.pending = PendingQueues(self.ledger, default_policy, ends)
        self.core = Core(
            self.ledger,
            self.pending,
            self.running,
            Reclaim(self.ledger, self.running, reclaim, preemption),
        )

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

    def summary(self, uid: str) -> Summary | None:
        """The unit in one line, in the numbers of this moment; None if it is not known."""
        known = self._known.get(uid)
        if known is None:
            return None
        leaf = self._places.leaf(known.unit)
        waiter = self.pending.waiter(uid)
        reason, message, _ = self._told(known)
        return Summary(
            uid=uid,
            namespace=known.unit.namespace,
            name=known.unit.name,
            phase=Phase.DEQUEUED if known.assumed is not None else known.unit.phase,
            queue=self._places.queue(known.unit, leaf),
            quota=leaf or "",
            position=self.pending.position(waiter) if waiter is not None else 0,
            reason=reason,
            message=message,
        )

    def explain(self, uid: str, now: float) -> Explanation | None:
        """Everything that decides about the unit; None if it is not known.

        ``now``: seconds since the epoch. Costs a look at thousands of units that hold or wait for
        the same quota, so it is for one unit at a time; for many there is ``summary``.
        """
        summary, known = self.summary(uid), self._known.get(uid)
        if summary is None or known is None:
            return None
        unit, waiter = known.unit, self.pending.waiter(uid)
        state = self.pending.queue(summary.queue)
        policy = state.policy if state is not None else None
        first = head(self.pending, waiter) if waiter is not None else None
        return Explanation(
            **{name: getattr(summary, name) for name in Summary.__slots__},
            policy=policy,
            notice=self.pending.notice(state) if state is not None else "",
            levels=(
                levels(self.ledger, summary.quota, self._asked(known), unit.preemptible)
                if summary.quota
                else ()
            ),
            shortages=self._shortages(waiter) if waiter is not None else (),
            waits_for=self._told(known)[2],
            next_try=(
                next_try(
                    self.ledger,
                    waiter,
                    first,
                    policy or Policy.ROUND,
                    takes_back=self.core.reclaim.reclaim is not ReclaimPolicy.NEVER,
                )
                if waiter is not None
                else ""
            ),
            head=Head(first.unit, *why(self.pending, first)) if first is not None else None,
            holders=self._holders(first or waiter),
            leaving=self._leaving_for(uid) if waiter is not None else (),
            estimate=estimate(self._facts(now), waiter) if waiter is not None else None,
        )

    def quota_status(self, paths: Iterable[str] | None = None) -> Mapping[str, NodeUsage]:
        """The sums of these nodes, without an argument of all; unknown paths are left out."""
        known = self.ledger.paths()
        wanted = known if paths is None else [path for path in paths if path in self.ledger]
        return {path: self.ledger.usage(path) for path in wanted}

    def queue_status(self, key: str) -> QueueStatus | None:
        """Counts, head and first 100 of the Queue ``namespace/name``; None: there is none."""
        namespace, _, name = key.rpartition("/")
        state = self.pending.queue(name) if namespace in ("", QUEUE_NAMESPACE) else None
        if state is None:
            return None
        leading = state.order.leading(_ITEMS_IN_STATUS)
        items = []
        for position, entry in enumerate(leading, 1):
            unit = self._known[entry[-1]].unit
            items.append(QueueItem(position, unit.namespace, unit.name, unit.uid, unit.priority))
        return QueueStatus(
            name=name,
            policy=state.policy,
            notice=self.pending.notice(state),
            pending=len(state.order),
            reserved=self._counts.reserved(name),
            admitted=self._counts.admitted(name),
            head=f"{leading[0][2]}/{leading[0][3]}" if leading else "",
            items=tuple(items),
        )

    def _asked(self, known: Known) -> ResourceVector:
        """What the unit asks of the ledger, or is charged."""
        holds = known.assumed is None and known.unit.phase in HOLDS_QUOTA
        return (self._places.held if holds else self._places.request)(known.unit)

    def _shortages(self, waiter: Waiter) -> tuple[Shortage, ...]:
        leaf = waiter.place.leaf
        if leaf is None:
            return ()
        return self.ledger.shortages(leaf, waiter.place.request, waiter.unit.preemptible)

    def _holders(self, waiter: Waiter | None) -> Holders | None:
        shortage = shortest(self.ledger, waiter) if waiter is not None else None
        return holders(self.ledger, self.running, shortage) if shortage is not None else None

    def _leaving_for(self, uid: str) -> tuple[Unit, ...]:
        """Units on their way out for this one, the first told first."""
        victims = map(self.running.get, self.core.promises.leaving_for(uid))
        return tuple(held.unit for held in victims if held is not None)

    def _facts(self, now: float) -> Facts:
        return Facts(self.ledger, self.pending, self.running, self.run_times, now)

    def _of_now(self, waiter: Waiter, told: tuple[Reason, str, str]) -> tuple[str, str, str]:
        """A verdict in the numbers of this moment; a sleeping unit keeps those of its last try."""
        if waiter.hold is None:
            for shortage in self._shortages(waiter):
                if shortage.reason is told[0]:
                    return shortage.reason, shortage.message, shortage.waits_for
        return told

    def _told(self, known: Known) -> tuple[str, str, str]:
        waiter = self.pending.waiter(known.unit.uid)
        if waiter is not None:
            return self._of_now(waiter, why(self.pending, waiter))
        if known.assumed is not None:
            return Reason.ADMITTED, "admitted; its job is being released", ""
        unit = known.unit
        reason, message = _WITHOUT_WORDS[unit.phase]
        leaves = unit.evicted and unit.phase in HOLDS_QUOTA
        return unit.reason or reason, unit.message or message, PODS_GONE if leaves else ""


_WITHOUT_WORDS: Final = {
    Phase.RESERVED: (Reason.QUOTA_RESERVED, "holds quota while its admission checks run"),
    Phase.SUCCEED: (Reason.JOB_SUCCEEDED, "the job ended well"),
    Phase.FAILED: (Reason.JOB_FAILED, "the job ended badly"),
    **dict.fromkeys((Phase.DEQUEUED, Phase.RUNNING), (Reason.ADMITTED, "holds quota")),
    **dict.fromkeys((Phase.ENQUEUED, Phase.TIMEOUT_BACKOFF), (Reason.ENQUEUED, "")),
}
"""What is said of a unit that does not wait and whose status says nothing."""
