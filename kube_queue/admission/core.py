"""The parts a cycle works with, joined."""

from __future__ import annotations

from kube_queue.admission.again import Again
from kube_queue.admission.early import Early
from kube_queue.admission.ledger import QuotaLedger
from kube_queue.admission.pending import PendingQueues
from kube_queue.admission.promises import Promises
from kube_queue.admission.reclaim import Reclaim
from kube_queue.admission.running import Running
from kube_queue.api.resources import ResourceVector


class Core:
    """What holds quota, what waits for it, and what was promised."""

    def __init__(
        self, ledger: QuotaLedger, pending: PendingQueues, running: Running, reclaim: Reclaim
    ) -> None:
        self.ledger = ledger
        self.pending = pending
        self.running = running
        self.reclaim = reclaim
        self.again = Again(ledger, reclaim)
        self._early = Early(ledger)
        self.promises = Promises(ledger, pending, running, self._early, self.moved)
        running.moved = self.moved

    def moved(self, leaf: str, request: ResourceVector) -> None:
        """What a leaf uses, was promised, or could give up of these resources may have changed."""
        self.reclaim.borrowers.moved(leaf, request)
        self.again.moved(leaf, request)
        self._early.stirred = True

    def rebuild(self) -> None:
        """The tree is another one, and everybody is where he belongs in it."""
        self.reclaim.borrowers.clear()
        self.again.clear()
        self.promises.rebuild()

    @property
    def has_work(self) -> bool:
        """Whether a cycle could decide something or has to learn the time."""
        return self.pending.has_work or self.promises.waiting or self.again.waiting
