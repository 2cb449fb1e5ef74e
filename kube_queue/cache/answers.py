"""The questions the cache answers: out of what it remembers, at once, changing nothing.

The one exception: ``changed_nodes`` and ``changed_queues`` start anew with every call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from kube_queue.admission.ends import Ends
from kube_queue.admission.explain import Explanation, Waiting, levels, why
from kube_queue.admission.ledger import NodeUsage, QuotaLedger
from kube_queue.admission.pending import PendingQueues
from kube_queue.admission.place import Places, TreePlaces
from kube_queue.admission.running import Running
from kube_queue.admission.runtimes import RunTimes
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import QUEUE_NAMESPACE
from kube_queue.api.queues import Policy
from kube_queue.api.reasons import Reason
from kube_queue.api.units import Unit
from kube_queue.cache.known import Known
from kube_queue.cache.status import HeldCounts, QueueItem, QueueStatus

_ITEMS_IN_STATUS = 100


class Answers:
    """What is remembered, for reading; ``Cache`` is what changes it."""

    def __init__(self, default_policy: Policy) -> None:
        self.ledger = QuotaLedger()
        self._places: Places = TreePlaces(None)
        self._known: dict[str, Known] = {}
        self._counts = HeldCounts()
        self.running = Running()
        """Who holds quota, assumed admissions included."""
        self.run_times = RunTimes()
        ends = Ends(self.ledger, self.running, self.run_times)
        self.pending = PendingQueues(self.ledger, default_policy, ends)

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
