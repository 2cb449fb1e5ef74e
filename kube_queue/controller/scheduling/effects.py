"""Carries decisions out: bindings, evictions, and words for those who wait."""

from __future__ import annotations

from kube_queue.controller.scheduling.binder import Binder
from kube_queue.controller.scheduling.evictor import Evictor
from kube_queue.controller.scheduling.means import Means
from kube_queue.controller.scheduling.quota_status import QuotaStatus
from kube_queue.controller.scheduling.telling import Teller
from kube_queue.placement.decisions import Bind, Decision, Preempt, Wait


class Effects:
    """Applies decisions while one process leads. `most_open` bindings are under way at a time."""

    def __init__(
        self,
        means: Means,
        binder: Binder,
        evictor: Evictor,
        teller: Teller,
        quota_status: QuotaStatus,
        *,
        most_open: int,
    ) -> None:
        self._means = means
        self._binder = binder
        self._evictor = evictor
        self._teller = teller
        self._quota_status = quota_status
        self._most_open = most_open

    @property
    def room(self) -> int:
        """How many more bindings may be decided now; a gang is not cut for it.

        Deciding ahead of the wire gains nothing: what is decided later is decided on more news.
        """
        return max(0, self._most_open - self._binder.open)

    def apply(self, decision: Decision) -> None:
        """The decision is on its way."""
        meters = self._means.meters
        match decision:
            case Bind():
                meters.scheduled("scheduled", len(decision.placements))
                self._binder.apply(decision)
            case Wait():
                meters.scheduled("unschedulable", len(decision.why))
                self._teller.waits(decision.unit, decision.why, decision.note)
            case Preempt():
                meters.scheduled("preempting", len(decision.why))
                whole_jobs = bool(decision.preemption.units)
                self._teller.waits(decision.unit, decision.why, at_once=whole_jobs)
                self._evictor.apply(decision)

    def settle(self) -> None:
        """What went with the decisions just applied, and with news, is told as well."""
        for pod in self._means.cache.unnominated():
            self._teller.unnominated(pod)
        self._quota_status.look()

    def stop(self) -> None:
        """Nothing more is begun from here."""
        self._binder.stop()
        self._evictor.stop()
