"""How waiting units are grouped, from the smallest to the largest:

* a **waiter** is one waiting unit with its place;
* a **group** holds the waiters of one lane that ask for the same and therefore share one verdict;
* a **lane** holds the groups of one queue that are charged to one quota leaf;
* a **line** is what competes with others for the next turn: one lane where the policy blocks, all
  lanes of the queue where it lets others pass. Its **scan**, the policy, says whose turn it is
  inside the line.

A group that does not fit watches one dimension (bound and resource) in which its chain of quota
nodes has no room. Nothing of the lane is looked at again until that dimension has room for the
smallest group that watches it; ``wake`` says how that is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from kube_queue.admission.decisions import Shortage
from kube_queue.admission.holds import Hold
from kube_queue.admission.ledger import Demand, LedgerNode
from kube_queue.admission.needs import NeedIndex
from kube_queue.admission.order import Key, SortedKeys
from kube_queue.admission.quota_node import MAX
from kube_queue.admission.runtimes import Length, Unlearned
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.units import Unit, order_key

if TYPE_CHECKING:
    from kube_queue.admission.scan import Scan

Dimension = tuple[int, str]
"""(bound, resource)."""
Position = tuple[int, Key]
"""(lap, key): where a unit stands in its line's scan."""
Kind = tuple[ResourceVector, bool, Length]
"""(request, preemptible, run time): what units of one group have in common."""
Rank = tuple[int, float, int, str, str, str, str]
"""(-queue priority, share of the leaf, head's submission, namespace and name, queue, leaf): least
goes first.
"""

NO_HEAD: Final[Key] = (0, 0, "", "", "")
NO_CURSOR: Final[Position] = (0, (-(2**31), 0, "", "", ""))
"""Before every unit of the first lap."""


def key_of(unit: Unit) -> Key:
    """The unit's place in every order; the uid keeps two lives of one name apart."""
    return (*order_key(unit), unit.uid)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a waiting unit belongs: its Queue's name, its quota leaf, and what keeps it out."""

    queue: str
    leaf: str | None
    hold: Hold | None = None
    request: ResourceVector = EMPTY
    """What is asked of the ledger for it."""


class Waiter:
    """One waiting unit with its place; ``group`` is None while it is in no lane."""

    __slots__ = ("cooling_until", "due_at", "group", "hold", "kept", "key", "place", "unit")

    def __init__(self, unit: Unit, place: Place) -> None:
        self.unit = unit
        self.key = key_of(unit)
        self.place = place
        self.group: Group | None = None
        self.hold: Hold | None = place.hold
        """Why it has no turn now, None if only the quota can be the reason."""
        self.kept: Hold | None = None
        """Why somebody keeps it from its turns, until he says otherwise."""
        # Most are due at any time, and share one zero.
        self.due_at = unit.requeue_at / 1_000_000 if unit.requeue_at else 0.0
        """Not before then; seconds since the epoch, 0 = at any time."""
        self.cooling_until = 0.0
        """Until then no try, because a write failed; seconds since the epoch, 0 = none."""

    @property
    def has_turns(self) -> bool:
        """Whether it may be tried when its turn comes."""
        return not self.cooling_until and self.kept is None


class Bed(NamedTuple):
    """Where something sleeps until so much is free of one dimension of one node."""

    node: LedgerNode
    dimension: Dimension
    threshold: int


class Group:
    """Units of one lane that are of one kind: one verdict for all of them."""

    __slots__ = (
        "attempts",
        "deferred",
        "demand",
        "exceeds",
        "head",
        "kept",
        "lane",
        "length",
        "need",
        "opened",
        "preemptible",
        "request",
        "serial",
        "shortage",
        "token",
        "units",
        "until",
        "watched",
    )

    def __init__(
        self,
        lane: Lane,
        kind: Kind,
        demand: Demand,
        serial: int,
    ) -> None:
        self.lane = lane
        self.request, self.preemptible, self.length = kind
        self.demand = demand
        self.serial = serial
        self.units = SortedKeys()
        self.head: Key = NO_HEAD
        """The first of ``units``."""
        self.exceeds: Shortage | None = None
        """Set while the request is larger than a bound itself: passed over by every policy."""
        self.shortage: Shortage | None = None
        """The last verdict; None before the first one."""
        self.opened = False
        """Whether the group waits for a verdict in its line's scan."""
        self.token: Position | None = None
        self.watched: Dimension | None = None
        self.need = 0
        self.kept: tuple[Bed, ...] = ()
        """Where it sleeps while it is kept back though it fits, because the head has to go first.
        """
        self.attempts = 0
        self.until = 0.0
        self.deferred = False
        """Whether a try is asked for and waits for the end of the backoff at ``until``."""

    @property
    def kind(self) -> Kind:
        """What its units have in common."""
        return self.request, self.preemptible, self.length

    @property
    def asleep(self) -> bool:
        """Whether its last verdict was no and holds until something is given back."""
        return self.watched is not None or bool(self.kept)

    @property
    def has_room(self) -> bool:
        """Whether what the last verdict failed by has room now."""
        return self.watched is None or self.lane.has(self.watched, self.need)


class Lane:
    """The units of one queue that are charged to one leaf."""

    __slots__ = (
        "chain",
        "groups",
        "kept",
        "kept_for",
        "leader",
        "leaf",
        "lends",
        "line",
        "look_at",
        "order",
        "rank",
        "unlearned",
        "watch",
    )

    def __init__(self, line: Line, leaf: str, chain: tuple[LedgerNode, ...]) -> None:
        self.line = line
        self.leaf = leaf
        self.chain = chain
        self.lends = any(node.floor for node in chain)
        """Whether a node of the chain may keep something for its own units."""
        self.groups: dict[Kind, Group] = {}
        self.order = SortedKeys()
        """Every unit of the lane that could run if all quota were free."""
        self.watch: dict[Dimension, NeedIndex[Group]] = {}
        self.kept: dict[tuple[LedgerNode, Dimension], NeedIndex[Group]] = {}
        """Groups that are kept back, by where they sleep."""
        self.kept_for: Group | None = None
        """The head they were kept back for."""
        self.look_at = 0.0
        """When they may not have to be kept back any more; seconds since the epoch, 0 = unset."""
        self.unlearned = Unlearned()
        """Units whose groups change with what is learned of run times (Backfill)."""
        self.leader: Lane | None = None
        """While another lane's units all go first: that lane; nobody of this one is tried."""
        self.rank: Rank = self.present_rank()

    def present_rank(self) -> Rank:
        """Where the lane stands among all lanes now."""
        head = self.order.first if self.order else NO_HEAD
        queue = self.line.queue
        share = self.chain[0].share()
        return (-queue.priority, share, head[1], head[2], head[3], queue.name, self.leaf)

    def free(self, dimension: Dimension) -> int:
        """How much every node of the chain has left, for a dimension that one of them bounds."""
        return self.tightest(dimension)[0]

    def has(self, dimension: Dimension, need: int) -> bool:
        """Whether every node of the chain has so much left."""
        if self.lends:
            return self.free(dimension) >= need
        bound, resource = dimension
        # Most lack room where many share it.
        for node in self.chain[::-1]:
            free = node.free[bound]
            if resource in free and free[resource] < need:
                return False
        return True

    def tightest(self, dimension: Dimension) -> tuple[int, LedgerNode]:
        """The least that a node of the chain has left, and the node. LookupError: unbounded."""
        bound, resource = dimension
        least: int | None = None
        tightest, own, lends = self.chain[0], 0, self.lends and bound == MAX
        for node in self.chain:
            free = node.free[bound]
            if resource in free:
                left = free[resource] + own
                if least is None or left < least:
                    least, tightest = left, node
            if lends:
                own += node.slack.get(resource, 0)
        if least is None:
            raise LookupError(f"nothing bounds {resource} for {self.leaf}")
        return least, tightest

    def watch_for(self, group: Group, dimension: Dimension, need: int) -> None:
        """The group is not tried before ``need`` of the dimension is free on its whole chain."""
        group.watched, group.need = dimension, need
        index = self.watch.get(dimension)
        if index is None:
            index = self.watch[dimension] = NeedIndex()
        index.add(group, need)

    def keep(self, group: Group, beds: tuple[Bed, ...]) -> None:
        """The group is kept back until one of the beds has room; there is one at least."""
        group.kept = beds
        for node, dimension, threshold in beds:
            index = self.kept.get((node, dimension))
            if index is None:
                index = self.kept[node, dimension] = NeedIndex()
            index.add(group, threshold)

    def kept_groups(self, *, with_room: bool) -> list[Group]:
        """The groups that are kept back; ``with_room``: only those of which a bed has room."""
        found: dict[Group, None] = {}
        for (node, (bound, resource)), index in self.kept.items():
            fitting = index.fitting(node.free[bound][resource]) if with_room else index.members()
            found.update(dict.fromkeys(fitting))
        return list(found)

    def beds(self) -> Iterator[tuple[Dimension | tuple[LedgerNode, Dimension], Bed]]:
        """Where the lane has to sleep so that none of its groups oversleeps."""
        for dimension, index in self.watch.items():
            free, node = self.tightest(dimension)
            # The lane may have more room than the node has for everybody.
            own = free - node.free[dimension[0]][dimension[1]]
            yield dimension, Bed(node, dimension, index.lowest - own)
        for place, index in self.kept.items():
            yield place, Bed(*place, index.lowest)

    def unwatch(self, group: Group) -> None:
        """The group sleeps for nothing."""
        if group.kept:
            for node, dimension, threshold in group.kept:
                index = self.kept[node, dimension]
                index.discard(group, threshold)
                if not index:
                    del self.kept[node, dimension]
            group.kept = ()
        if group.watched is None:
            return
        index = self.watch[group.watched]
        index.discard(group, group.need)
        if not index:
            del self.watch[group.watched]
        group.watched = None

    @property
    def has_room(self) -> bool:
        """Whether what groups sleep for has room for the least that one of them needs."""
        for watched, index in self.watch.items():
            if self.has(watched, index.lowest):
                return True
        return bool(self.kept) and bool(self.kept_groups(with_room=True))


class Line:
    """What competes for the next turn; its scan (the policy) says whose turn it is inside."""

    __slots__ = (
        "awake",
        "called_at",
        "cursor",
        "epoch",
        "lanes",
        "open",
        "queue",
        "ready",
        "scan",
        "stirred",
        "ticket",
        "waiters",
    )

    def __init__(
        self, queue: QueueFace, scan: Scan, waiters: Mapping[str, Waiter], cursor: Position
    ) -> None:
        self.queue = queue
        self.scan = scan
        self.waiters = waiters
        self.lanes: dict[str, Lane] = {}
        self.open: list[tuple[int, Key, int, Group]] = []
        """Heap of units to try, by position: one for each opened group, and newcomers of a Round
        queue.
        """
        self.cursor = cursor
        """The unit last tried (Round)."""
        self.awake: dict[Lane, None] = {}
        """Lanes in which something watched has room again."""
        self.stirred: dict[Lane, None] = {}
        """Lanes whose sleep has to be set anew when the line has nothing left to try."""
        self.ready = False
        self.called_at: Rank | None = None
        self.ticket = 0
        self.epoch = -1


@dataclass(slots=True)
class QueueFace:
    """The two facts of a Queue that rank its lanes."""

    name: str
    priority: int
