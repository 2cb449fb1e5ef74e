"""Who could be made to leave, by node, by quota and by priority; and who has to leave with whom.

What could become free of a row is one column per resource, kept up to date for every question that
was asked lately: all pods of one quota (or of none) below one priority, or all pods of any quota.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator
from typing import Final, NamedTuple, TypeVar

from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod
from kube_queue.api.resources import ResourceVector
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import Columns
from kube_queue.placement.departures import Departures
from kube_queue.placement.gangs import Gangs, key_of
from kube_queue.placement.quota import Capacity
from kube_queue.placement.units import UnitKey

_ASKED_LATELY: Final = 64
ANY_PRIORITY: Final = 2**32
ANY_QUOTA: Final = "*"
"""Stands for every leaf together; no path is called so, because paths begin with a name."""

Rank = tuple[int, bool, int, str, str, str]
K = TypeVar("K", bound=Hashable)


class Pick(NamedTuple):
    """Who leaves together."""

    pods: tuple[Pod, ...]
    unit: str = ""
    """uid of the QueueUnit whose pods these all are, if its controller has to evict it."""


class _Record(NamedTuple):
    row: int
    leaf: str
    priority: int
    amounts: ResourceVector
    going: bool
    evictable: bool
    grouped: bool
    """Others may have to leave with it."""


class Standing(NamedTuple):
    """The pods of a row, as one who makes room there sees them."""

    lower: list[Pod]
    """Those that could be made to leave, first the one that goes first."""
    going: list[Pod]
    """Those on their way out."""
    grouped: bool
    """Whether with one of the first others may have to leave."""


def rank(pod: Pod) -> Rank:
    """Sorts victims: lower priority, not ready before ready, newest first."""
    return pod.priority, pod.ready, -pod.created, pod.namespace, pod.name, pod.uid


class Victims:
    """Every pod that stands on a node. ``Cluster.shared(Victims)`` is the one of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.groups = 0
        """Grows when a gang or a unit has other pods, or another minimum."""
        self._cluster = cluster
        self._capacity = cluster.shared(Capacity)
        self._departures = cluster.shared(Departures)
        self._records: dict[str, _Record] = {}
        self._gangs: dict[UnitKey, dict[str, Pod]] = {}
        self._units: dict[str, dict[str, Pod]] = {}
        self._ranked: dict[str, list[Rank]] = {}
        """Evictable pods of the leaves that were asked about, in order."""
        self._free: dict[tuple[str, int], Columns] = {}
        self._going = Columns()
        self._largest: dict[tuple[int, str], list[int]] = {}
        """By row and resource, for those that were asked about: what pods that are charged to a
        quota and could be made to leave take, the largest first."""
        self._asked: dict[int, list[str]] = {}
        """The resources of these, by row."""
        self._seen = self._capacity.moved
        cluster.follow(self)

    # --- tracker --------------------------------------------------------------------------------

    def pod_added(self, pod: Pod, row: int) -> None:
        home = self._capacity.home(pod)
        going = self._departures.is_going(pod)
        evictable = not going and (home.preemptible or not home.leaf)
        amounts = pod.charged or pod.spec.request
        grouped = pod.gang is not None or bool(home.unit)
        record = _Record(row, home.leaf, pod.priority, amounts, going, evictable, grouped)
        self._records[pod.uid] = record
        self._count(pod, record, 1)
        self.groups += grouped
        if pod.gang is not None:
            self._gangs.setdefault(key_of(pod), {})[pod.uid] = pod
        if home.unit:
            self._units.setdefault(home.unit, {})[pod.uid] = pod
        if evictable and home.leaf in self._ranked:
            insort(self._ranked[home.leaf], rank(pod))

    def pod_removed(self, pod: Pod, row: int) -> None:
        record = self._records.pop(pod.uid, None)
        if record is None:
            return
        self._count(pod, record, -1)
        unit = self._capacity.home(pod).unit
        self.groups += pod.gang is not None or bool(unit)
        if pod.gang is not None:
            _drop(self._gangs, key_of(pod), pod.uid)
        if unit:
            _drop(self._units, unit, pod.uid)
        ranked = self._ranked.get(record.leaf)
        if record.evictable and ranked is not None:
            place = bisect_left(ranked, rank(pod))
            if place < len(ranked) and ranked[place][-1] == pod.uid:
                del ranked[place]

    def node_changed(self, row: int, old: Node | None, new: Node | None) -> None:
        for columns in (self._going, *self._free.values()):
            _grow(columns, row + 1)

    def _count(self, pod: Pod, record: _Record, sign: int) -> None:
        for name in self._asked.pop(record.row, ()):
            del self._largest[record.row, name]
        if record.going:
            self._going.add(record.row, record.amounts, sign)
        if record.evictable:
            for (leaf, below), columns in self._free.items():
                if record.priority < below and _is_of(record.leaf, leaf):
                    columns.add(record.row, record.amounts, sign)

    def _refresh(self) -> None:
        """Everything is counted anew where pods are charged elsewhere than they were."""
        if self._seen == self._capacity.moved:
            return
        self._seen = self._capacity.moved
        for index in (self._records, self._gangs, self._units, self._ranked, self._free):
            index.clear()
        self._largest.clear()
        self._asked.clear()
        self._going = Columns()
        _grow(self._going, self._cluster.columns.rows)
        for row, pods in enumerate(self._cluster.pods):
            if self._cluster.nodes[row] is not None:
                for pod in pods.values():
                    self.pod_added(pod, row)

    # --- questions ------------------------------------------------------------------------------

    def going(self) -> Columns:
        """What those who are on their way out still take of each row."""
        self._refresh()
        return self._going

    def free(self, leaf: str, below: int = ANY_PRIORITY) -> Columns:
        """What pods of the leaf (empty: of no quota) below the priority take of each row."""
        self._refresh()
        key = leaf, below
        columns = self._free.pop(key, None)
        if columns is None:
            if len(self._free) >= _ASKED_LATELY:
                del self._free[next(iter(self._free))]
            columns = Columns()
            _grow(columns, self._cluster.columns.rows)
            for record in self._records.values():
                if record.evictable and record.priority < below and _is_of(record.leaf, leaf):
                    columns.add(record.row, record.amounts)
        self._free[key] = columns
        return columns

    def ranked(self, leaf: str) -> Iterator[Pod]:
        """Every pod of the leaf that could be made to leave, first the one that goes first."""
        self._refresh()
        found = self._ranked.get(leaf)
        if found is None:
            found = self._ranked[leaf] = sorted(
                rank(placed.pod)
                for uid, record in self._records.items()
                if record.evictable
                and record.leaf == leaf
                and (placed := self._cluster.placed(uid)) is not None
            )
        for entry in found:
            placed = self._cluster.placed(entry[-1])
            if placed is not None:
                yield placed.pod

    def on_row(self, row: int) -> tuple[list[Pod], list[Pod]]:
        """The row's pods that could be made to leave, and those on their way out."""
        self._refresh()
        evictable, going = [], []
        for uid, pod in self._cluster.pods[row].items():
            record = self._records[uid]
            if record.going:
                going.append(pod)
            elif record.evictable:
                evictable.append(pod)
        return evictable, going

    def standing(self, row: int, leaf: str, below: int) -> Standing:
        """Who stands on the row, for whoever may make pods of the leaf (empty: of no quota) below
        the priority leave.
        """
        self._refresh()
        records = self._records
        lower: list[Pod] = []
        going: list[Pod] = []
        grouped = False
        for uid, pod in self._cluster.pods[row].items():
            record = records[uid]
            if record.going:
                going.append(pod)
            elif record.evictable and record.priority < below and record.leaf == leaf:
                lower.append(pod)
                grouped |= record.grouped
        lower.sort(key=rank)
        return Standing(lower, going, grouped)

    def fewest(self, row: int, name: str, amount: int) -> int | None:
        """How many of the row's pods that are charged to a quota have to leave at least for so much
        of the resource, one or more, to become free; None: all of them are not enough.
        """
        self._refresh()
        found = self._largest.get((row, name))
        if found is None:
            records = (self._records[uid] for uid in self._cluster.pods[row])
            amounts = (each.amounts[name] for each in records if each.evictable and each.leaf)
            found = self._largest[row, name] = sorted(amounts, reverse=True)
            self._asked.setdefault(row, []).append(name)
        for count, each in enumerate(found, start=1):
            amount -= each
            if amount <= 0:
                return count
        return None

    def any_grouped(self, row: int) -> bool:
        """Whether with a pod of the row that could be made to leave others may have to."""
        self._refresh()
        found = (self._records[uid] for uid in self._cluster.pods[row])
        return any(record.grouped and record.evictable for record in found)

    def leaf(self, pod: Pod) -> str:
        """The leaf the pod is charged to; empty: no quota."""
        record = self._records.get(pod.uid)
        return record.leaf if record is not None else self._capacity.home(pod).leaf

    def pick(self, pod: Pod, gangs: Gangs) -> Pick:
        """Who leaves if the pod does: its whole unit where its controller evicts units, its whole
        gang where too few of it would be left, or the pod alone.
        """
        self._refresh()
        unit = self._capacity.home(pod).unit
        if unit and self._capacity.queue_lives:
            pods = self._units.get(unit, {pod.uid: pod})
            return Pick(self._staying(pods), unit)
        if pod.gang is not None and self.spare(pod, gangs) < 1:
            return Pick(self.gang_of(pod))
        return Pick((pod,))

    def gang_of(self, pod: Pod) -> tuple[Pod, ...]:
        """The members of the pod's gang that stand on a node and stay there."""
        return self._staying(self._gangs.get(key_of(pod), {}))

    def spare(self, pod: Pod, gangs: Gangs) -> int:
        """How many members more than its minimum the pod's gang has there."""
        gang = gangs.gang(key_of(pod))
        least = gangs.least(gang) if gang is not None else pod.gang.min if pod.gang else 0
        return max(0, len(self.gang_of(pod)) - least)

    def evictable(self, pod: Pod) -> bool:
        """Whether the pod could be made to leave at all."""
        record = self._records.get(pod.uid)
        if record is None or not record.evictable:
            return False
        if not self._capacity.homes.units:
            return True
        unit = self._capacity.homes.units.get(self._capacity.home(pod).unit)
        return unit is None or unit.evictable or not self._capacity.queue_lives

    def _staying(self, pods: dict[str, Pod]) -> tuple[Pod, ...]:
        staying = [pod for uid, pod in pods.items() if not self._records[uid].going]
        return tuple(sorted(staying, key=rank))


def _is_of(leaf: str, asked: str) -> bool:
    return leaf == asked or (asked == ANY_QUOTA and bool(leaf))


def _grow(columns: Columns, rows: int) -> None:
    while columns.rows < rows:
        columns.add_row()


def _drop(index: dict[K, dict[str, Pod]], key: K, uid: str) -> None:
    found = index.get(key)
    if found is not None:
        found.pop(uid, None)
        if not found:
            del index[key]
