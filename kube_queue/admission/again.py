"""When a unit that found no victims looks for them again.

A group of units whose search failed waits at *bars*, of which one at least has to be lifted before
a search can succeed:

======== ==================================================================== ==================
bar      lifted when                                                          moved by
======== ==================================================================== ==================
headroom the leaf has so much left up to its min                              its own leaf
own      units of lower priority of its own leaf hold so much                 its own leaf
soon     less than it asks for will be free once all who leave have gone      any leaf below
free     so much is free                                                      any leaf below
room     so much is free or held by those whom other leaves could give up     any leaf below
any      anything could be the reason                                         any leaf below
======== ==================================================================== ==================

A sum of two of them that is not enough waits at both, and each has to make up for half of what is
missing: until one of them does, the sum is still not enough.

Bars of many groups may be lifted at once, for what one of them can take. So they have their turns
one after the other, and whose bars are down again by then is not looked at.

What is given back wakes sleeping lanes besides, without this. Where nobody may ever be evicted,
and for units over their leaf's min that have nobody of lower priority beside them, next to nothing
is done.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kube_queue.admission.borrowers import lower
from kube_queue.admission.lanes import Group, Lane, Line, Position, Rank
from kube_queue.admission.ledger import LedgerNode, QuotaLedger
from kube_queue.admission.needs import NeedIndex
from kube_queue.admission.outlook import Short, enough_leaves, short
from kube_queue.admission.quota_node import MAX
from kube_queue.admission.reclaim import Reclaim, headroom, over_min
from kube_queue.admission.running import asked
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy
from kube_queue.api.resources import ResourceVector

_TIDY_FROM: Final = 1024


class _Sort(NamedTuple):
    """What a bar is about."""

    name: str
    bound: int = MAX
    resource: str = ""
    priority: int = 0
    """Whose priority decides who could be evicted; 0 where that is no matter."""


class _Bar(NamedTuple):
    """Where one group waits: until the node has ``need`` of that sort."""

    node: LedgerNode
    sort: _Sort
    need: int


class _Place:
    """The groups that wait at one node for one sort."""

    __slots__ = ("groups", "node", "sort")

    def __init__(self, node: LedgerNode, sort: _Sort) -> None:
        self.node = node
        self.sort = sort
        self.groups: NeedIndex[Group] = NeedIndex()


_ANY: Final = _Sort("any")


class Again:
    """The groups that wait at bars, and which bars to look at."""

    def __init__(self, ledger: QuotaLedger, reclaim: Reclaim) -> None:
        self._ledger = ledger
        self._reclaim = reclaim
        self._takes_back = reclaim.reclaim is not ReclaimPolicy.NEVER
        self._preempts = reclaim.preemption is not PreemptionPolicy.NEVER
        lower_only = reclaim.reclaim is ReclaimPolicy.LOWER_PRIORITY
        self._lower_only = lower_only
        self.depends_on_priority: Final = lower_only or self._preempts
        """Whether a unit of higher priority may have victims that others have not."""
        self._places: dict[LedgerNode, dict[str, dict[_Sort, _Place]]] = {}
        """By node, by the resource that the bar is about, by sort."""
        self._waits: dict[Group, tuple[tuple[_Place, int], ...]] = {}
        self._priority: dict[Group, int] = {}
        self._moved: dict[tuple[str, ResourceVector], None] = {}
        self._called: dict[Group, None] = {}
        """Groups that are looked at whatever their bars say."""
        self._lifted: dict[_Place, None] = {}
        """Where bars were lifted since the last look and may be so still."""
        self._tried: set[Group] = set()
        """Groups that had their turn since the last look."""
        self._under_way: dict[Lane, None] = {}
        """Lanes of which somebody has his turn."""
        self._tidy_at = _TIDY_FROM

    def clear(self) -> None:
        """Nobody waits: everybody is looked at anyway."""
        for index in (self._places, self._waits, self._priority, self._moved, self._called):
            index.clear()
        self._lifted.clear()

    @property
    def waiting(self) -> bool:
        """Whether somebody may have to be looked at."""
        return bool(self._called) or bool(self._moved) or bool(self._lifted)

    def moved(self, leaf: str, request: ResourceVector) -> None:
        """What the leaf uses, was promised or could give up of these resources may have changed."""
        if self._waits:
            self._moved[leaf, request] = None

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
        waits: dict[_Bar, _Place] = {}
        for bar in self._lacking(group, priority):
            if bar not in waits:
                place = waits[bar] = self._place(bar.node, bar.sort)
                place.groups.add(group, bar.need)
        self._waits[group] = tuple((place, bar.need) for bar, place in waits.items())

    def look(self) -> None:
        """Whose bars were lifted since the last look has his turn if they are so still by then."""
        self._tried.clear()
        self._under_way.clear()
        moved, self._moved = self._moved, {}
        concerned: dict[_Place, None] = {}
        for leaf, request in moved:
            for node in self._ledger.chain(leaf):
                here = self._places.get(node)
                if here is None:
                    continue
                if _ANY.resource in here:
                    concerned.update(dict.fromkeys(here[_ANY.resource].values()))
                for name, _ in asked(request):
                    if name in here:
                        concerned.update(dict.fromkeys(here[name].values()))
        for place in concerned:
            if place.groups and place.groups.lowest <= self._present(place.node, place.sort):
                self._lifted[place] = None

    def next_groups(self, line: Line | None, rank: Rank | None) -> list[Group]:
        """The groups of one line that have to be looked at before, or with, whom this line would
        try at this rank (None: nobody has a turn): the first one of each lane. They wait no more.
        """
        if line is None:
            self._under_way.clear()
        ready = self._ready() if self._lifted or self._called else []
        best: Lane | None = None
        for group in ready:
            lane = group.lane
            if lane.line is line:
                break
            if best is None or lane.rank < best.rank:
                best = lane
        else:
            if best is None or (rank is not None and best.rank >= rank):
                return []
            line = best.line
        return self._turns_in(line, [group for group in ready if group.lane.line is line])

    def _turns_in(self, line: Line | None, ready: list[Group]) -> list[Group]:
        assert line is not None
        first: dict[Lane, tuple[Position, int, Group]] = {}
        for group in ready:
            turn = line.scan.next_of(line, group), group.serial, group
            first[group.lane] = min(turn, first.get(group.lane, turn))
        for lane, (_, _, group) in first.items():
            self._under_way[lane] = None
            self._tried.add(group)
            self._called.pop(group, None)
            self._drop(group)
        return [group for _, _, group in first.values()]

    def had_turn(self, lane: Lane) -> None:
        """Somebody of the lane has his verdict, so that whoever stands behind him has his turn."""
        self._under_way.pop(lane, None)

    def _ready(self) -> list[Group]:
        """Everybody to look at now, those behind others of their lane included."""
        found = dict.fromkeys(self._called)
        tried = self._tried
        for place in tuple(self._lifted):
            here = place.groups.fitting(self._present(place.node, place.sort))
            fresh = [group for group in here if group not in tried] if tried else here
            if fresh:
                found.update(dict.fromkeys(fresh))
            else:
                self._settled(place)
        ready = []
        for group in found:
            # It sleeps no more: it has another verdict, or nobody is left in it.
            if group.watched is None:
                self._called.pop(group, None)
                self._drop(group)
            elif group.lane not in self._under_way:
                ready.append(group)
        return ready

    # --- what is lacking ------------------------------------------------------------------------

    def _lacking(self, group: Group, priority: int) -> list[_Bar]:
        chain, own = group.lane.chain, self._own(group.lane.leaf, MAX_JOBS, priority)
        over = self._over_min(group, priority) if self._takes_back else None
        others = self._takes_back and over is None
        if not own and not others:
            first = [_Bar(chain[0], _Sort("own", MAX, MAX_JOBS, priority), 1)]
            return [*(first if self._preempts else ()), *((over,) if over is not None else ())]
        lacking = short(chain, group.demand)
        if enough_leaves(chain, group.demand):
            return [
                _Bar(one.node, _Sort("soon", one.bound, one.resource), -_amount(group, one))
                for one in lacking
            ]
        bars: list[_Bar] = []
        if over is not None:
            others = self._missing(group, over, priority) <= 0
            bars = self._both(group, over, priority) if not others else []
        for one in lacking:
            bar = self._bar(group, one, priority, others=others)
            if self._missing(group, bar, priority) > 0:
                return [*bars, *self._both(group, bar, priority)]
        nodes = dict.fromkeys(one.node for one in lacking)
        if self._preempts:
            nodes[chain[0]] = None
        return [_Bar(node, _ANY, 0) for node in nodes]

    def _over_min(self, group: Group, priority: int) -> _Bar | None:
        """The resource in which the leaf's min has too little left; of several the one that its
        own units of lower priority can do least about.
        """
        leaf = group.lane.chain[0]
        missing = over_min(group.lane.chain, asked(group.request))
        if not missing:
            return None
        name = max(missing, key=lambda name: missing[name] - self._own(leaf.path, name, priority))
        return _Bar(leaf, _Sort("headroom", MAX, name), missing[name] + headroom(leaf, name))

    def _missing(self, group: Group, bar: _Bar, priority: int) -> int:
        """How much more it takes to lift the bar with all that the leaf's own units could give."""
        own = self._own(group.lane.leaf, bar.sort.resource, priority)
        return bar.need - own - self._present(bar.node, bar.sort)

    def _bar(self, group: Group, lacking: Short, priority: int, *, others: bool) -> _Bar:
        node, bound, resource, _ = lacking
        leaf = group.lane.chain[0]
        guaranteed = resource != MAX_JOBS or resource in leaf.quota.min
        name, whose = "free", 0
        if others and bound == MAX and node is not leaf and guaranteed:
            name, whose = "room", priority if self._lower_only else 0
        return _Bar(node, _Sort(name, bound, resource, whose), _amount(group, lacking))

    def _both(self, group: Group, bar: _Bar, priority: int) -> list[_Bar]:
        """The bar, and what its own leaf's units could add, each for half of what is missing."""
        if not self._preempts:
            return [bar]
        node, sort, need = bar
        own = self._own(group.lane.leaf, sort.resource, priority)
        half = self._missing(group, bar, priority) // 2
        return [
            _Bar(node, sort, need - own - half),
            _Bar(group.lane.chain[0], _Sort("own", MAX, sort.resource, priority), own + half + 1),
        ]

    def _own(self, leaf: str, resource: str, priority: int) -> int:
        """What units of lower priority in the leaf hold that could be evicted."""
        if not self._preempts:
            return 0
        return lower(self._reclaim.running.evictable(leaf, resource), priority)

    def _present(self, node: LedgerNode, sort: _Sort) -> int:
        """What there is now of what a bar waits for."""
        name, bound, resource, priority = sort
        if name == "headroom":
            return headroom(node, resource)
        if name == "own":
            return self._own(node.path, resource, priority)
        if name == "soon":
            return -node.soon(bound, resource) - 1
        if name == "any":
            return 0
        # As if everybody had what one of them keeps from others: too early is no harm.
        free = node.free[bound][resource] + (node.unlent.get(resource, 0) if bound == MAX else 0)
        if name == "room":
            free += self._reclaim.borrowers.evictable(node, resource, priority)
        return free

    # --- bookkeeping ----------------------------------------------------------------------------

    def _place(self, node: LedgerNode, sort: _Sort) -> _Place:
        sorts = self._places.setdefault(node, {}).setdefault(sort.resource, {})
        place = sorts.get(sort)
        if place is None:
            place = sorts[sort] = _Place(node, sort)
        return place

    def _drop(self, group: Group) -> None:
        self._priority.pop(group, None)
        for place, need in self._waits.pop(group, ()):
            place.groups.discard(group, need)
            if not place.groups and place not in self._lifted:
                self._forget(place)

    def _settled(self, place: _Place) -> None:
        """Nobody is left there whose bar is lifted and who had no turn."""
        del self._lifted[place]
        if not place.groups:
            self._forget(place)

    def _forget(self, place: _Place) -> None:
        node, sort = place.node, place.sort
        by_resource = self._places[node]
        del by_resource[sort.resource][sort]
        if not by_resource[sort.resource]:
            del by_resource[sort.resource]
            if not by_resource:
                del self._places[node]

    def _tidy(self) -> None:
        # Groups come to an end without a word to us.
        if len(self._waits) < self._tidy_at:
            return
        for group in [group for group in self._waits if not group.units]:
            self._drop(group)
        self._tidy_at = max(_TIDY_FROM, 2 * len(self._waits))


def _amount(group: Group, lacking: Short) -> int:
    """What the group asks for where it does not fit; nothing where others are over the bound."""
    return dict(asked(group.request)).get(lacking.resource, 0)
