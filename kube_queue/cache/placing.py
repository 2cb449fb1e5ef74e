"""The memory of the scheduler: nodes, pods and gangs as last seen, and what was decided since.

The life of a pod that names us, by uid::

                     decide: Bind                    seen with a node
    waiting ───────────────────────▶ assumed ────────────────────────▶ placed
       ▲                               │ │                                │
       └──── bind_failed: refused ─────┘ └─ bind_failed, placed elsewhere ┤
                                                                          ▼
    gone or ended, from anywhere: it takes no room, and whoever waits for room has a turn
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Final

from kube_queue.api.gangs import PodGroup
from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.cycle import Cycle
from kube_queue.placement.decisions import Bind, Decision, Preempt, Wait
from kube_queue.placement.framework import PluginFactory, Profile
from kube_queue.placement.gangs import Gangs, key_of
from kube_queue.placement.reserving import Reservations
from kube_queue.placement.units import Unit, UnitKey
from kube_queue.placement.verdict import Refusal
from kube_queue.placement.waiting import ANY, NO_POD_HELPS, Event, Waiting

RESERVE_AFTER: Final = 300.0
"""Seconds that a unit finds no room before nodes are kept for it."""


class PlacementCache:
    """Everything the scheduler remembers; belongs to one event loop. Times are seconds."""

    def __init__(
        self,
        schedulers: Iterable[str],
        plugins: Sequence[PluginFactory],
        *,
        reserve_after: float = RESERVE_AFTER,
    ) -> None:
        self.cluster = Cluster()
        self.gangs = Gangs()
        self.waiting = Waiting()
        self.profile = Profile(tuple(plugin(self.cluster) for plugin in plugins))
        self.cycle = Cycle(self.cluster, self.profile)
        self._schedulers = frozenset(schedulers)
        self._told: dict[UnitKey, Wait] = {}
        """The last answer to each unit that waits and was tried."""
        self.reservations = Reservations(reserve_after)
        self._touched: dict[UnitKey, None] = {}
        """Units that may be others than they were; looked at before the next decision, so that a
        gang of ten thousand is not counted anew for each of its pods."""

    # --- what was seen --------------------------------------------------------------------------

    def node_seen(self, node: Node, now: float) -> None:
        """The node is as it says."""
        if self.cluster.node_seen(node):
            self.waiting.wake(Event.NODE, now)

    def node_gone(self, name: str, now: float) -> None:
        """There is no such node."""
        self.cluster.node_gone(name)
        # A domain may be the tightest now, or the spread another.
        self.waiting.wake(Event.NODE, now)

    def pod_seen(self, old: Pod | None, new: Pod | None, now: float) -> None:
        """The pod is as it says; None: gone."""
        self._place_seen(old, new, now)
        ours = [pod for pod in (old, new) if pod is not None and pod.scheduler in self._schedulers]
        if not ours:
            return
        mine = new if new is not None and new.scheduler in self._schedulers else None
        if old is not None and mine is not None and _waits_alike(old, mine):
            # A condition we wrote ourselves, above all: it is no reason to try again.
            self.gangs.renew(mine)
            return
        self._touched.update(dict.fromkeys(self.gangs.pod_seen(old, mine)))

    def group_seen(self, old: PodGroup | None, new: PodGroup | None, now: float) -> None:
        """The PodGroup is as it says; None: gone."""
        self._touched.update(dict.fromkeys(self.gangs.group_seen(old, new)))

    def happened(self, event: Event, now: float) -> None:
        """Something that no method here is about may let units in."""
        self.waiting.wake(event, now)

    # --- decisions ------------------------------------------------------------------------------

    def decide(self, now: float, limit: int) -> list[Decision]:
        """What is to be done now about at most ``limit`` units; pods of a Bind are assumed."""
        self._settle(now)
        decisions: list[Decision] = []
        while len(decisions) < limit:
            key = self.waiting.pop(now)
            if key is None:
                break
            unit = self.gangs.unit(key)
            if unit is None:
                self.waiting.remove(key)
                continue
            closed = self.reservations.closed_to(unit, self.cluster.columns.rows)
            decision = self.cycle.decide(unit, closed=closed)
            self._remember(unit, decision, now)
            decisions.append(decision)
        return decisions

    def bind_failed(self, pod: Pod, now: float) -> None:
        """The binding was refused for good: the pod takes no room, and its unit is tried again
        once its backoff is over.
        """
        placed = self.cluster.placed(pod.uid)
        if placed is None or not placed.assumed:
            return
        self.cluster.forget(pod.uid)
        self.gangs.assumed(pod, "")
        key = key_of(pod)
        self._refresh(key, now)
        unit = self.gangs.unit(key)
        if unit is not None:
            # At once it would most likely be refused again, and again at once.
            self.waiting.sleep(unit.key, ANY, now)
        self.waiting.wake(Event.POD_GONE, now)

    def still_refused(self, pod: Pod) -> Refusal | None:
        """Why the node that the pod is assumed on does not take it any more, if it does not."""
        placed = self.cluster.placed(pod.uid)
        if placed is None or not placed.assumed:
            return None
        row = self.cluster.row_of.get(placed.node)
        if row is None or self.cluster.nodes[row] is None:
            return Refusal("NodeName", "node(s) are gone", unresolvable=True)
        self.cluster.forget(pod.uid)
        self.cluster.lift([pod.uid], below=pod.priority)
        try:
            return self.cycle.placer.row_refusal(pod, row)
        finally:
            self.cluster.lower()
            self.cluster.assume(placed.pod, placed.node)

    def next_wake(self, now: float) -> float | None:
        """When ``decide`` may decide something: now, later, or only after an event (None)."""
        if self._touched:
            return now
        times = (self.waiting.next_wake(now), self.reservations.next_due())
        return min((time for time in times if time is not None), default=None)

    def told(self, key: UnitKey) -> Wait | None:
        """The last answer to the unit, while it waits."""
        return self._told.get(key)

    # --- inside ---------------------------------------------------------------------------------

    def _place_seen(self, old: Pod | None, new: Pod | None, now: float) -> None:
        uid = new.uid if new is not None else old.uid if old is not None else ""
        before = self.cluster.placed(uid)
        if new is None:
            self.cluster.nominate(old, "") if old is not None else None
            self.cluster.forget(uid)
        elif new.node or new.finished:
            self.cluster.pod_seen(new)
        elif before is None and (old is None or old.nominated != new.nominated):
            # Only news counts: what we decided may be on its way to where this state was read.
            self.cluster.nominate(new, new.nominated)
        after = self.cluster.placed(uid)
        if before is not None and (after is None or _takes_less(before.pod, after.pod)):
            self.waiting.wake(Event.POD_GONE, now)
        elif after is not None and (before is None or before.pod.labels is not after.pod.labels):
            self.waiting.wake(Event.POD_CAME, now)

    def _settle(self, now: float) -> None:
        """Every unit that was touched has a turn as it is now, or waits no more."""
        touched, self._touched = self._touched, {}
        for key in touched:
            self.gangs.satisfy(key)
            self._refresh(key, now)
        for key in self.reservations.due(now):
            unit = self.gangs.unit(key)
            if unit is None or self.reservations.keep(unit, self.cycle.placer) is None:
                self.reservations.over(key)

    def _refresh(self, key: UnitKey, now: float) -> None:
        unit = self.gangs.unit(key)
        if unit is None or unit.key != key:
            self.waiting.remove(key)
            self._told.pop(key, None)
            self._open(key, now)
        if unit is None:
            return
        self.waiting.put(unit.key, unit.priority, _alike(unit), now, first=unit.resumes)

    def _open(self, key: UnitKey, now: float) -> None:
        """Nothing is kept for the unit; who was kept out may have a turn."""
        if self.reservations.over(key):
            self.waiting.wake(Event.NODE, now)

    def _remember(self, unit: Unit, decision: Decision, now: float) -> None:
        match decision:
            case Bind():
                for pod, node in decision.placements:
                    self.gangs.assumed(pod, node)
                self._told.pop(unit.key, None)
                self._open(unit.key, now)
                if unit.is_gang and self.gangs.unit(unit.key) is not None:
                    self.waiting.sleep(unit.key, ANY, now)
                else:
                    self.waiting.remove(unit.key)
            case Wait():
                self._told[unit.key] = decision
                if decision.lacks_room:
                    self.reservations.lacks_room(unit, now)
                else:
                    self._open(unit.key, now)
                helpless = all(verdict.unresolvable for verdict in decision.why.values())
                self.waiting.sleep(unit.key, NO_POD_HELPS if helpless else ANY, now)
            case Preempt():
                for pod, node in decision.preemption.nominations:
                    self.cluster.nominate(pod, node)
                self._told[unit.key] = Wait(unit.key, decision.why)
                self.waiting.sleep(unit.key, ANY, now)


def _alike(unit: Unit) -> Hashable:
    """Equal for units of which one finds no place when another does not."""
    if unit.is_gang:
        return unit.key
    (pod,) = unit.members()
    return id(pod.spec), pod.namespace, pod.quota, pod.preemptible, pod.priority


def _waits_alike(old: Pod, new: Pod) -> bool:
    """Whether no unit is another with the new state of the pod."""
    return (
        old.uid == new.uid
        and old.scheduler == new.scheduler
        and old.spec is new.spec
        and old.labels is new.labels
        and old.gang == new.gang
        and old.priority == new.priority
        and (old.node, old.gated, old.finished, old.deletion, old.commit)
        == (new.node, new.gated, new.finished, new.deletion, new.commit)
    )


def _takes_less(before: Pod, after: Pod) -> bool:
    return any(after.charged[name] < amount for name, amount in before.charged.items)
