"""The cluster as placing sees it: nodes in rows, and every pod that takes room of one.

A pod takes room from the moment it is assumed on a node, or seen there, until it is forgotten, has
ended or is gone. Whoever keeps counts of pods is told of each pod that comes to and leaves a row,
and of nothing twice::

    absent --assume--> assumed --seen on the node--> placed --ended, gone--> absent
       ^                  |
       '---- forget ------'     (a try that is taken back; a binding that was refused for good)

A row belongs to one node name for ever; a node that is gone leaves its row empty, and one of the
same name takes it again. ``version`` grows with each change of a row, and ``changed_since`` names
the rows, so that what is worked out per row is worked out again only for those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from kube_queue.api.nodes import Node
from kube_queue.api.pods import Labels, Pod
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.placement.columns import LARGEST, Columns

_KEPT_CHANGES: Final = 16_384

_FIRM: Final = 2**32
"""Stands for a priority above all others."""

T = TypeVar("T")


class Tracker(Protocol):
    """Keeps counts that follow the pods and nodes of the cluster."""

    def pod_added(self, pod: Pod, row: int) -> None:
        """The pod takes room of the row."""

    def pod_removed(self, pod: Pod, row: int) -> None:
        """The pod, exactly as it was added, does not any more."""

    def node_changed(self, row: int, old: Node | None, new: Node | None) -> None:
        """The row's node is another; its pods were removed before and are added afterwards."""


class Census(Protocol):
    """Keeps sums of pods that do not depend on their nodes, known or not."""

    def pod_counted(self, pod: Pod) -> None:
        """The pod takes room somewhere."""

    def pod_uncounted(self, pod: Pod) -> None:
        """It does not any more."""

    def pod_promised(self, pod: Pod) -> None:
        """Room is kept for the pod, which waits."""

    def pod_unpromised(self, pod: Pod) -> None:
        """It is not any more."""


class Placed(NamedTuple):
    """A pod that takes room, and where; ``assumed`` until it was seen there."""

    pod: Pod
    node: str
    assumed: bool


class Changes:
    """Which rows changed, in order; old entries are forgotten."""

    def __init__(self) -> None:
        self.version = 0
        self._rows: list[int] = []

    def note(self, row: int) -> None:
        """The row is another than it was."""
        self._rows.append(row)
        self.version += 1
        if len(self._rows) > 2 * _KEPT_CHANGES:
            del self._rows[:-_KEPT_CHANGES]

    def since(self, version: int) -> list[int] | None:
        """The rows noted after that version, perhaps repeated; None: too many to know."""
        behind = self.version - version
        if behind > len(self._rows):
            return None
        return self._rows[len(self._rows) - behind :]


class Cluster:
    """Nodes and the pods on them. Not safe for use by two threads."""

    def __init__(self) -> None:
        self.columns = Columns()
        self.nodes: list[Node | None] = []
        """By row; None where the node is gone."""
        self.row_of: dict[str, int] = {}
        """Row by node name, those of nodes that are gone included."""
        self.pods: list[dict[str, Pod]] = []
        """By row: the pods that take room there, by uid, oldest first as they came."""
        self.changes = Changes()
        """Rows whose pods or node changed."""
        self.node_changes = Changes()
        """Rows whose node changed."""
        self.node_count = 0
        self._placed: dict[str, Placed] = {}
        self._elsewhere: dict[str, dict[str, Pod]] = {}
        """Pods on nodes that are not known, by node name and uid."""
        self.namespaces: dict[str, Labels] = {}
        """Their labels by name."""
        self._of_namespaces: list[Callable[[str], None]] = []
        self._trackers: list[Tracker] = []
        self._censuses: list[Census] = []
        self._shared: dict[object, Any] = {}
        self._nominated: dict[str, Placed] = {}
        self._by_priority: dict[int, dict[str, Placed]] = {}
        self._lifted: dict[str, Placed] = {}

    def follow(self, tracker: Tracker) -> None:
        """The tracker is told of every change from now on, and of what is here at once."""
        self._trackers.append(tracker)
        for row, node in enumerate(self.nodes):
            if node is not None:
                tracker.node_changed(row, None, node)
                for pod in self.pods[row].values():
                    tracker.pod_added(pod, row)

    def count(self, census: Census) -> None:
        """The census is told of every pod from now on, and of what is here at once."""
        self._censuses.append(census)
        for placed in self._placed.values():
            census.pod_counted(placed.pod)
        for kept in self._nominated.values():
            census.pod_promised(kept.pod)

    def shared(self, kind: Callable[[Cluster], T]) -> T:
        """The one object of this kind that goes with the cluster; built when first asked for."""
        found: T | None = self._shared.get(kind)
        if found is None:
            found = self._shared[kind] = kind(self)
        return found

    # --- namespaces -----------------------------------------------------------------------------

    def follow_namespaces(self, changed: Callable[[str], None]) -> None:
        """It is called with the name of every namespace whose labels are others from now on."""
        self._of_namespaces.append(changed)

    def namespace_seen(self, name: str, labels: Labels | None) -> bool:
        """The namespace has these labels; None: it is gone. Returns whether that is news."""
        if labels == self.namespaces.get(name):
            return False
        if labels is None:
            del self.namespaces[name]
        else:
            self.namespaces[name] = labels
        for changed in self._of_namespaces:
            changed(name)
        return True

    # --- nodes ----------------------------------------------------------------------------------

    def node_seen(self, node: Node) -> bool:
        """The node is as it says. Returns whether anything about placing on it is new."""
        row = self.row_of.get(node.name)
        if row is None:
            row = self.row_of[node.name] = self.columns.add_row()
            self.nodes.append(None)
            self.pods.append({})
        old = self.nodes[row]
        if old is not None and old.same_place(node):
            self.nodes[row] = node
            return False
        self._replace_node(row, old, node)
        return True

    def node_gone(self, name: str) -> None:
        """There is no such node; its pods count nowhere until it is back."""
        row = self.row_of.get(name)
        if row is not None and self.nodes[row] is not None:
            self._replace_node(row, self.nodes[row], None)

    def live_rows(self) -> Iterator[tuple[int, Node]]:
        """Every row that has a node."""
        for row, node in enumerate(self.nodes):
            if node is not None:
                yield row, node

    def _replace_node(self, row: int, old: Node | None, new: Node | None) -> None:
        """Counts by the node's labels hold only if its pods leave with the old and come anew."""
        name = old.name if old is not None else new.name if new is not None else ""
        moving = list(self.pods[row].values())
        for pod in moving:
            self._leave(pod, row)
        self.nodes[row] = new
        self.node_count += (new is not None) - (old is not None)
        if new is None:
            self.columns.set_allocatable(row, EMPTY)
            self._elsewhere[name] = {pod.uid: pod for pod in moving}
        else:
            self.columns.set_allocatable(row, _readable(new))
            moving += self._elsewhere.pop(name, {}).values()
        for tracker in self._trackers:
            tracker.node_changed(row, old, new)
        if new is not None:
            for pod in moving:
                self._come(pod, row)
        self.node_changes.note(row)
        self.changes.note(row)

    # --- pods -----------------------------------------------------------------------------------

    def placed(self, uid: str) -> Placed | None:
        """Where the pod takes room, if it does."""
        return self._placed.get(uid)

    def assume(self, pod: Pod, node: str) -> None:
        """The pod takes room of the node, where it was not seen yet. Room that is kept for it is
        kept on: this may be a trial.
        """
        self._place(Placed(pod, node, True))

    def pod_seen(self, pod: Pod) -> None:
        """The pod, which stands on a node, is as it says; one that ended takes nothing."""
        if pod.takes_room:
            self.nominate(pod, "")
            self._place(Placed(pod, pod.node, False))
        else:
            self.forget(pod.uid)

    def forget(self, uid: str) -> Placed | None:
        """The pod takes no room. Returns where it did, if it did."""
        placed = self._placed.pop(uid, None)
        if placed is None:
            return None
        for census in self._censuses:
            census.pod_uncounted(placed.pod)
        row = self._live_row(placed.node)
        if row is None:
            self._elsewhere.get(placed.node, {}).pop(uid, None)
        else:
            self._leave(placed.pod, row)
        return placed

    def put_back(self, placed: Placed) -> None:
        """What ``forget`` returned takes its room again."""
        self._place(placed)

    def _place(self, placed: Placed) -> None:
        pod = placed.pod
        former = self._placed.get(pod.uid)
        if former is not None:
            if former.node == placed.node and _counts_alike(former.pod, pod):
                self._replace(former, placed)
                return
            self.forget(pod.uid)
        self._placed[pod.uid] = placed
        for census in self._censuses:
            census.pod_counted(pod)
        row = self._live_row(placed.node)
        if row is None:
            self._elsewhere.setdefault(placed.node, {})[pod.uid] = pod
        else:
            self._come(pod, row)

    def _replace(self, former: Placed, placed: Placed) -> None:
        """The same pod in every count, seen again."""
        self._placed[placed.pod.uid] = placed
        row = self._live_row(placed.node)
        pods = self.pods[row] if row is not None else self._elsewhere[placed.node]
        pods[placed.pod.uid] = placed.pod

    def _come(self, pod: Pod, row: int) -> None:
        self.pods[row][pod.uid] = pod
        self.columns.add(row, pod.charged or pod.spec.request)
        for tracker in self._trackers:
            tracker.pod_added(pod, row)
        self.changes.note(row)

    def _leave(self, pod: Pod, row: int) -> None:
        held = self.pods[row].pop(pod.uid)
        self.columns.add(row, held.charged or held.spec.request, -1)
        for tracker in self._trackers:
            tracker.pod_removed(held, row)
        self.changes.note(row)

    def _live_row(self, node: str) -> int | None:
        row = self.row_of.get(node)
        return row if row is not None and self.nodes[row] is not None else None

    # --- room that is promised ------------------------------------------------------------------

    def nominate(self, pod: Pod, node: str, *, firm: bool = False) -> None:
        """Room of the node is kept for the pod, which waits; an empty or unknown node: nowhere.

        ``firm``: whatever the priority of others is.
        """
        former = self._nominated.pop(pod.uid, None)
        if former is not None:
            for group in (former.pod.priority, _FIRM):
                self._by_priority.get(group, {}).pop(pod.uid, None)
            for census in self._censuses:
                census.pod_unpromised(former.pod)
            if self._lifted.pop(pod.uid, None) is None:
                self._reserve(former, -1)
        if node in self.row_of:
            self._nominated[pod.uid] = kept = Placed(pod, node, True)
            self._by_priority.setdefault(_FIRM if firm else pod.priority, {})[pod.uid] = kept
            self._reserve(kept, 1)
            for census in self._censuses:
                census.pod_promised(pod)

    def nominations(self) -> Iterable[Placed]:
        """Every pod that room is kept for."""
        return self._nominated.values()

    def nomination(self, uid: str) -> str:
        """The node where room is kept for the pod, or empty."""
        kept = self._nominated.get(uid)
        return kept.node if kept is not None else ""

    def lift(self, uids: Iterable[str]) -> None:
        """Room kept for these pods is free for now."""
        self._lift(self._nominated[uid] for uid in uids if uid in self._nominated)

    def lift_below(self, priority: int) -> bool:
        """Room kept for pods of a lower priority is free for now. Returns whether there is any."""
        before = len(self._lifted)
        for each, group in self._by_priority.items():
            if each < priority:
                self._lift(group.values())
        return len(self._lifted) > before

    def _lift(self, kept: Iterable[Placed]) -> None:
        for each in kept:
            if each.pod.uid not in self._lifted:
                self._lifted[each.pod.uid] = each
                self._reserve(each, -1)

    def lower(self) -> None:
        """What was lifted is kept again, except for pods that are nominated no more."""
        lifted, self._lifted = self._lifted, {}
        for each in lifted.values():
            self._reserve(each, 1)

    def _reserve(self, kept: Placed, sign: int) -> None:
        row = self.row_of[kept.node]
        self.columns.add(row, kept.pod.spec.request, sign)
        self.changes.note(row)


def _readable(node: Node) -> ResourceVector:
    """What the node has, nothing of a resource that no column can hold."""
    if all(amount <= LARGEST for _, amount in node.allocatable.items):
        return node.allocatable
    return ResourceVector.of(
        {name: amount for name, amount in node.allocatable.items if amount <= LARGEST}
    )


def _counts_alike(old: Pod, new: Pod) -> bool:
    """Whether no count can tell the two apart."""
    return (
        old.charged is new.charged
        and old.spec is new.spec
        and old.labels is new.labels
        and old.deletion == new.deletion
        and old.ready == new.ready
        and old.priority == new.priority
        and old.quota == new.quota
        and old.preemptible == new.preemptible
    )
