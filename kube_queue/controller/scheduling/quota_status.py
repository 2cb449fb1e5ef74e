"""Status of the quota tree where no queue controller writes it.

::

    whatever is charged ──▶ Capacity.version ──look──▶ StatusWriter ──▶ patch(uid, version)
    the queue controller's Lease ──▶ ours, or not

There is one writer at a time. A queue controller that comes back is seen by its Lease, and from
then on nothing is written here. What was on its way by then bears the version it was made from, so
it changes nothing that the controller has written since; and what it changed before that, the
controller sees and writes anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kube_queue.api.names import MAX_JOBS
from kube_queue.api.types import ELASTIC_QUOTA_TREES
from kube_queue.config.settings import QuotaStatusOwner
from kube_queue.controller.records import TreeRecord
from kube_queue.controller.scheduling.quotas import QuotaFeed
from kube_queue.controller.status import Key, StatusWriter, Wanted
from kube_queue.controller.tree_status import Shown, tree_wanted
from kube_queue.kube.writes import WriteScheduler
from kube_queue.placement.quota import Capacity

SHOWN: Final = Shown(where_listed=frozenset({"pods"}), nowhere=frozenset({MAX_JOBS}))
"""Every pod asks for one of "pods"; jobs are counted by the queue controller alone."""
LEAST_PAUSE: Final = 1.0
"""Seconds between two looks at all sums: with a thousand quotas one takes some 50 ms, in which
nothing is placed."""


class QuotaStatus:
    """Keeps the status of quota trees true while it is ours to write; at most `rate` writes a
    second, and one every LEAST_PAUSE.
    """

    def __init__(
        self,
        quotas: QuotaFeed,
        capacity: Capacity,
        owner: QuotaStatusOwner,
        clock: Callable[[], float],
        *,
        rate: float,
    ) -> None:
        self._quotas = quotas
        self._capacity = capacity
        self._owner = owner
        self._clock = clock
        self._writer = StatusWriter(self, rate=min(rate, 1 / LEAST_PAUSE))
        self._told = -1
        """The version of what is charged that is written, or on its way."""
        quotas.trees.follow(self._tree_changed)

    @property
    def ours(self) -> bool:
        """Whether the status is to be written here now."""
        if self._owner is QuotaStatusOwner.AUTO:
            return self._quotas.lease.gone
        return self._owner is QuotaStatusOwner.SCHEDULER

    def look(self) -> None:
        """What is charged, or whose the status is, may be another; costs next to nothing."""
        if not self.ours:
            if self._told >= 0:
                self._told = -1
                for record in self._quotas.trees.values():
                    # Somebody else writes it: what stands is what is seen.
                    self._writer.gone(_key(record))
        elif self._told != self._capacity.version:
            self._told = self._capacity.version
            for record in self._quotas.trees.values():
                self._writer.touched(_key(record))

    async def run(self, writes: WriteScheduler) -> None:
        """Write until cancelled."""
        await self._writer.run(writes)

    def wanted(self, key: Key, *, hurried: bool) -> Wanted | None:
        """See status.Source."""
        record = self._quotas.trees.get(*key[1:])
        if record is None or not self.ours:
            return None
        return tree_wanted(
            record,
            self._quotas.keeper,
            self._capacity.usage,
            self._clock(),
            shown=SHOWN,
            version=record.resource_version,
        )

    def _tree_changed(self, old: TreeRecord | None, new: TreeRecord | None) -> None:
        if new is None:
            if old is not None:
                self._writer.gone(_key(old))
        elif self.ours and (old is None or old.spec != new.spec):
            # Of several trees another may be the one that counts.
            for record in self._quotas.trees.values():
                self._writer.touched(_key(record))


def _key(record: TreeRecord) -> Key:
    return ELASTIC_QUOTA_TREES.plural, record.namespace, record.name
