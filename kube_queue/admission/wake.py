"""Wake indices: which lanes sleep at which bound of which quota node, so that a release touches
only those it could help, best lane first.

A lane sleeps, for each dimension that one of its groups watches, at the node of its chain that has
the least of it left, with the smallest need as its threshold. Only lanes with a threshold within
what is free are ever returned, in the order of their ranks. A rank that got worse is noticed when
the entry comes up, one that got better replaces the entry at once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heapify, heappop, heappush
from typing import Final

from kube_queue.admission.lanes import Dimension, Lane, Rank
from kube_queue.admission.ledger import Demand, LedgerNode

Sleeper = Dimension | tuple[LedgerNode, Dimension]
"""What of a lane sleeps: groups that watch a dimension, or groups that are kept back."""

_TIDY_FROM: Final = 64


class Sleep:
    """One lane's entry in one watch; dead once ``live`` is false."""

    __slots__ = ("lane", "live", "rank", "threshold", "watch")

    def __init__(self, lane: Lane, watch: Watch, threshold: int) -> None:
        self.lane = lane
        self.watch = watch
        self.threshold = threshold
        self.rank = lane.rank
        self.live = True


class _Bucket:
    """Sleeping lanes with equal thresholds."""

    __slots__ = ("heap", "live")

    def __init__(self) -> None:
        self.heap: list[tuple[Rank, int, Sleep]] = []
        self.live = 0


class Watch:
    """The lanes that sleep at one bound of one node."""

    __slots__ = ("_buckets", "_free", "_pushed", "_resource", "_thresholds", "dimension", "node")

    def __init__(self, node: LedgerNode, dimension: Dimension) -> None:
        self.node = node
        self.dimension = dimension
        self._free, self._resource = node.free[dimension[0]], dimension[1]
        self._thresholds: list[int] = []
        self._buckets: dict[int, _Bucket] = {}
        self._pushed = 0

    @property
    def free(self) -> int:
        """What the node has left."""
        return self._free[self._resource]

    @property
    def has_room(self) -> bool:
        """Whether somebody who sleeps here could be helped."""
        thresholds = self._thresholds
        return bool(thresholds) and thresholds[0] <= self._free[self._resource]

    def add(self, lane: Lane, threshold: int) -> Sleep:
        """The lane sleeps here until ``threshold`` is free."""
        bucket = self._buckets.get(threshold)
        if bucket is None:
            bucket = self._buckets[threshold] = _Bucket()
            insort(self._thresholds, threshold)
        sleep = Sleep(lane, self, threshold)
        bucket.live += 1
        self._push(bucket, sleep)
        return sleep

    def end(self, sleep: Sleep) -> None:
        """The lane sleeps here no more."""
        if not sleep.live:
            return
        sleep.live = False
        bucket = self._buckets[sleep.threshold]
        bucket.live -= 1
        if not bucket.live:
            del self._buckets[sleep.threshold]
            del self._thresholds[bisect_left(self._thresholds, sleep.threshold)]

    def improve(self, sleep: Sleep) -> None:
        """The lane's better rank counts from now on."""
        sleep.rank = sleep.lane.rank
        self._push(self._buckets[sleep.threshold], sleep)

    def best(self) -> Sleep | None:
        """The sleeper of the best rank whose threshold is within what is free."""
        found: Sleep | None = None
        free = self._free[self._resource]
        for threshold in self._thresholds:
            if threshold > free:
                break
            bucket = self._buckets[threshold]
            rank, _, sleep = bucket.heap[0]
            if not sleep.live or rank is not sleep.rank or rank is not sleep.lane.rank:
                sleep = self._top(bucket)
            if found is None or sleep.rank < found.rank:
                found = sleep
        return found

    def _top(self, bucket: _Bucket) -> Sleep:
        while True:
            rank, _, sleep = bucket.heap[0]
            if not sleep.live or rank != sleep.rank:
                heappop(bucket.heap)
            elif sleep.lane.rank != rank:
                heappop(bucket.heap)
                sleep.rank = sleep.lane.rank
                self._push(bucket, sleep)
            else:
                return sleep

    def _push(self, bucket: _Bucket, sleep: Sleep) -> None:
        self._pushed += 1
        heappush(bucket.heap, (sleep.rank, self._pushed, sleep))
        if len(bucket.heap) > _TIDY_FROM and len(bucket.heap) > 4 * bucket.live:
            bucket.heap = [
                entry for entry in bucket.heap if entry[2].live and entry[0] == entry[2].rank
            ]
            heapify(bucket.heap)


class WakeIndex:
    """All watches, and those that a release may have given room."""

    def __init__(self) -> None:
        self._at: dict[LedgerNode, dict[Dimension, Watch]] = {}
        self._asleep: dict[Lane, dict[Sleeper, Sleep]] = {}
        self._below: dict[LedgerNode, dict[Lane, None]] = {}
        """Sleeping lanes by the nodes over them that keep something for them."""
        self.touched: dict[Watch, None] = {}

    def clear(self) -> None:
        """Nobody sleeps."""
        self._at.clear()
        self._asleep.clear()
        self._below.clear()
        self.touched.clear()

    def released(self, chain: tuple[LedgerNode, ...], demand: Demand) -> None:
        """Watches of these nodes in these dimensions that have room now are touched."""
        for node in chain:
            watches = self._at.get(node)
            if not watches:
                continue
            for bound, amounts in demand:
                for resource, _ in amounts:
                    watch = watches.get((bound, resource))
                    if watch is not None and watch.has_room:
                        self.touched[watch] = None
        for node in chain if self._below else ():
            # What such a node has for its own and others have not is part of their thresholds.
            for lane in tuple(self._below.get(node, ())):
                self.put_to_sleep(lane)

    def best(self) -> Sleep | None:
        """The sleeper of the best rank among all touched watches."""
        if not self.touched:
            return None
        found: Sleep | None = None
        for watch in tuple(self.touched):
            sleep = watch.best()
            if sleep is None:
                del self.touched[watch]
            elif found is None or sleep.rank < found.rank:
                found = sleep
        return found

    def put_to_sleep(self, lane: Lane) -> None:
        """The lane sleeps in each of its beds and nowhere else."""
        asleep = self._asleep.get(lane)
        if asleep is None:
            asleep = self._asleep[lane] = {}
        elif asleep:
            for place in tuple(asleep):
                if place not in lane.watch and place not in lane.kept:
                    _end(asleep, place)
        for place, (node, dimension, threshold) in lane.beds():
            watches = self._at.setdefault(node, {})
            watch = watches.get(dimension)
            if watch is None:
                watch = watches[dimension] = Watch(node, dimension)
            sleep = asleep.get(place)
            if sleep is None or sleep.watch is not watch or sleep.threshold != threshold:
                _end(asleep, place)
                asleep[place] = watch.add(lane, threshold)
            if threshold <= watch.free:
                self.touched[watch] = None
        for node in lane.chain if lane.lends else ():
            if node.floor:
                self._below.setdefault(node, {})[lane] = None
        if not asleep:
            self.wake(lane)

    def wake(self, lane: Lane) -> None:
        """The lane sleeps nowhere."""
        asleep = self._asleep.pop(lane, None)
        for sleep in asleep.values() if asleep else ():
            sleep.watch.end(sleep)
        for node in lane.chain if lane.lends else ():
            if node.floor:
                self._below.get(node, {}).pop(lane, None)

    def rerank(self, lane: Lane) -> bool:
        """The lane's rank is the present one. Returns whether it got better."""
        rank, before = lane.present_rank(), lane.rank
        if rank == before:
            return False
        better = rank < before
        lane.rank = rank
        if better:
            for sleep in self._asleep.get(lane, {}).values():
                sleep.watch.improve(sleep)
        return better


def _end(asleep: dict[Sleeper, Sleep], place: Sleeper) -> None:
    sleep = asleep.pop(place, None)
    if sleep is not None:
        sleep.watch.end(sleep)
