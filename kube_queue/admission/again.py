"""When a unit that found no victims looks for them again.

A group of units whose search failed waits at one *bar*: the first thing that made success
impossible. It is looked at again when something moved that may have lifted the bar:

======== ========================================== ==========================================
bar      lifted when                                moved by
======== ========================================== ==========================================
headroom the leaf has so much left up to its min    the leaf's usage, promises and candidates
room     so much is free or could be taken back     any leaf below the node that had no room
any      anything could be the reason               any leaf below the node that had no room
======== ========================================== ==========================================

What is given back wakes sleeping lanes besides, without this.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kube_queue.admission.lanes import Group
from kube_queue.admission.ledger import LedgerNode, QuotaLedger
from kube_queue.admission.needs import NeedIndex
from kube_queue.admission.outlook import short
from kube_queue.admission.quota_node import MAX, MIN
from kube_queue.admission.reclaim import Reclaim, asked, is_counted
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy

_ANY: Final = ""
_TIDY_FROM: Final = 1024


class _Bar(NamedTuple):
    """Where one group waits."""

    path: str
    sort: str
    resource: str
    need: int


class Again:
    """The groups that wait at bars, and which bars to look at."""

    def __init__(self, ledger: QuotaLedger, reclaim: Reclaim) -> None:
        self._ledger = ledger
        self._reclaim = reclaim
        self._bars: dict[str, dict[tuple[str, str], NeedIndex[Group]]] = {}
        self._waits: dict[Group, tuple[_Bar, ...]] = {}
        self._priority: dict[Group, int] = {}
        self._moved: dict[str, None] = {}
        self._called: dict[Group, None] = {}
        self._tidy_at = _TIDY_FROM

    def clear(self) -> None:
        """Nobody waits: everybody is looked at anyway."""
        for index in (self._bars, self._waits, self._priority, self._moved, self._called):
            index.clear()

    @property
    def waiting(self) -> bool:
        """Whether somebody may have to be looked at."""
        return bool(self._called) or bool(self._moved)

    def moved(self, leaf: str) -> None:
        """What the leaf uses, was promised or could give up may have changed."""
        if self._waits:
            self._moved[leaf] = None

    def joined(self, group: Group, priority: int) -> None:
        """A unit of this priority is in the group: it may have victims that others had not."""
        failed = self._priority.get(group)
        if failed is not None and failed < priority and self.depends_on_priority:
            self._called[group] = None

    def failed(self, group: Group, priority: int) -> None:
        """A unit of the group and priority found no victims."""
        self._drop(group)
        self._tidy()
        self._priority[group] = priority
        bars = self._waits[group] = tuple(self._lacking(group))
        for bar in bars:
            sorts = self._bars.setdefault(bar.path, {})
            index = sorts.get((bar.sort, bar.resource))
            if index is None:
                index = sorts[bar.sort, bar.resource] = NeedIndex()
            index.add(group, bar.need)

    def ready(self) -> list[Group]:
        """The groups to look at again; they wait no more."""
        found = self._called
        self._called = {}
        moved, self._moved = self._moved, {}
        nodes: dict[LedgerNode, None] = {}
        for leaf in moved:
            nodes.update(dict.fromkeys(self._ledger.chain(leaf)))
        for node in nodes:
            for (sort, resource), index in self._bars.get(node.path, {}).items():
                found.update(dict.fromkeys(index.fitting(self._lifted(node, sort, resource))))
        for group in found:
            self._drop(group)
        return [group for group in found if group.units and group.watched is not None]

    @property
    def depends_on_priority(self) -> bool:
        """Whether a unit of higher priority may have victims that others have not."""
        reclaim = self._reclaim
        lower = reclaim.reclaim is ReclaimPolicy.LOWER_PRIORITY
        return lower or reclaim.preemption is PreemptionPolicy.LOWER_PRIORITY

    # --- inside ---------------------------------------------------------------------------------

    def _lacking(self, group: Group) -> list[_Bar]:
        chain, wanted = group.lane.chain, asked(group.request)
        if self._reclaim.preemption is not PreemptionPolicy.NEVER:
            # Its own leaf may give way as well; no single number says when.
            return [_Bar(node.path, _ANY, "", 0) for node in chain]
        for name, amount in wanted:
            if is_counted(chain, name) and amount > self._lifted(chain[0], "headroom", name):
                return [_Bar(chain[0].path, "headroom", name, amount)]
        lacking = short(chain, group.demand)
        for one in lacking:
            need = dict(wanted).get(one.resource, 0)
            if one.bound == MAX and need > self._lifted(one.node, "room", one.resource):
                return [_Bar(one.node.path, "room", one.resource, need)]
        return [_Bar(path, _ANY, "", 0) for path in dict.fromkeys(one.node.path for one in lacking)]

    def _lifted(self, node: LedgerNode, sort: str, resource: str) -> int:
        if sort == "headroom":
            return node.limits[MIN].get(resource, 0) - node.taken(resource)
        if sort == "room":
            # As if everybody had what one of them keeps from others: too early is no harm.
            free = node.free[MAX][resource] + node.unlent.get(resource, 0)
            return free + self._reclaim.borrowers.evictable(node, resource)
        return 0

    def _drop(self, group: Group) -> None:
        self._priority.pop(group, None)
        for bar in self._waits.pop(group, ()):
            sorts = self._bars[bar.path]
            index = sorts[bar.sort, bar.resource]
            index.discard(group, bar.need)
            if not index:
                del sorts[bar.sort, bar.resource]
                if not sorts:
                    del self._bars[bar.path]

    def _tidy(self) -> None:
        # Groups come to an end without a word to us.
        if len(self._waits) < self._tidy_at:
            return
        for group in [group for group in self._waits if not group.units]:
            self._drop(group)
        self._tidy_at = max(_TIDY_FROM, 2 * len(self._waits))
