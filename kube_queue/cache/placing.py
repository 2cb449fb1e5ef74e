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
from dataclasses import replace
from typing import Final

from kube_queue.api.gangs import PodGroup
from kube_queue.api.lifecycle import HOLDS_QUOTA
from kube_queue.api.nodes import Node
from kube_queue.api.pod_disruption_budgets import PodDisruptionBudget
from kube_queue.api.pods import Labels, Pod
from kube_queue.api.quota import QuotaTree
from kube_queue.api.units import Unit as QueueUnit
from kube_queue.cache.leaving import Leaving
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.cycle import Cycle
from kube_queue.placement.decisions import Bind, Decision, Preempt, Wait
from kube_queue.placement.framework import PluginFactory, Profile
from kube_queue.placement.gangs import Gangs, key_of
from kube_queue.placement.plugins.volume_binding import VolumeBinding
from kube_queue.placement.quota import Capacity
from kube_queue.placement.reserving import Reservations
from kube_queue.placement.storage import Storage, StorageObject, ToBind
from kube_queue.placement.trying import helped_by_pods
from kube_queue.placement.units import Unit, UnitKey
from kube_queue.placement.verdict import Refusal
from kube_queue.placement.victims import Victims
from kube_queue.placement.waiting import NO_POD_HELPS, ROOM, Event, Waiting

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
        self._storage = self.cluster.shared(Storage)
        self.gangs = Gangs()
        self.waiting = Waiting()
        self.capacity = self.cluster.shared(Capacity)
        self._schedulers = frozenset(schedulers)
        self._leaving = Leaving(self.cluster, self.waiting, self._schedulers, self._touch)
        self.claims = self._leaving.claims
        self.profile = Profile(tuple(plugin(self.cluster) for plugin in plugins))
        self.cycle = Cycle(self.cluster, self.profile, self.gangs)
        self._victims = self.cluster.shared(Victims)
        self._told: dict[UnitKey, Wait] = {}
        """The last answer to each unit that waits and was tried."""
        self.reservations = Reservations(reserve_after)
        self._touched: dict[UnitKey, None] = {}
        """Units that may be others than they were; looked at before the next decision, so that a
        gang of ten thousand is not counted anew for each of its pods."""

    # --- what was seen --------------------------------------------------------------------------

    def node_seen(self, node: Node, now: float) -> None:
        """The node is as it says."""
        before = self.cluster.node_count
        if self.cluster.node_seen(node):
            self.waiting.wake(Event.NODE, now)
            if self.cluster.node_count > before:
                self._wake_claimants(now)

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
        self._touch(self.gangs.pod_seen(old, mine))

    def group_seen(self, old: PodGroup | None, new: PodGroup | None, now: float) -> None:
        """The PodGroup is as it says; None: gone."""
        self._victims.groups += 1
        self._touch(self.gangs.group_seen(old, new))

    def tree_seen(
        self, tree: QuotaTree | None, now: float, oversell_rate: float = 1.0, problem: str = ""
    ) -> None:
        """This quota tree is in effect; ``problem``: there is one that cannot be used, for this
        reason, and no pod is placed while it is there.
        """
        self.capacity.set_tree(tree, oversell_rate, problem)
        self._quota_changed(now)

    def unit_seen(self, old: QueueUnit | None, new: QueueUnit | None, now: float) -> None:
        """The QueueUnit is as it says; None: gone."""
        self.capacity.unit_seen(old, new)
        if old is None or new is None or _holds(old) != _holds(new):
            self._quota_changed(now)

    def owner_seen(self, uid: str, owner: str, now: float) -> None:
        """The object of this uid stands below another: a ReplicaSet below its Deployment, a pod
        below the uid that stands for its group. An empty owner: below none.
        """
        moved = self.capacity.moved
        self.capacity.owner_seen(uid, owner)
        if self.capacity.moved != moved:
            self._quota_changed(now)

    def queue_lives(self, lives: bool, now: float) -> None:
        """Whether a queue controller is there to evict whole units, and to be counted on."""
        if self.capacity.queue_lives != lives:
            self.capacity.set_queue_lives(lives)
            self._quota_changed(now)

    def budget_seen(
        self, old: PodDisruptionBudget | None, new: PodDisruptionBudget | None, now: float
    ) -> None:
        """The PodDisruptionBudget is as it says; None: gone."""
        self._leaving.budget_seen(old, new, now)

    def namespace_seen(self, name: str, labels: Labels | None, now: float) -> None:
        """The namespace has these labels; None: it is gone."""
        if self.cluster.namespace_seen(name, labels):
            self.waiting.wake(Event.POD_CAME | Event.POD_GONE, now)

    def storage_seen(self, thing: StorageObject, now: float) -> None:
        """The claim, volume, class or CSINode is as it says."""
        self._storage.seen(thing)
        self.waiting.wake(Event.STORAGE, now)

    def storage_gone(self, thing: StorageObject, now: float) -> None:
        """There is no such object."""
        self._storage.gone(thing)
        self.waiting.wake(Event.STORAGE, now)

    # --- decisions ------------------------------------------------------------------------------

    def decide(self, now: float, limit: int) -> list[Decision]:
        """What is to be done now about at most ``limit`` units; pods of a Bind are assumed."""
        self._leaving.tick(now)
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
            decision = self._decide(unit, now)
            self._remember(unit, decision, now)
            decisions.append(decision)
        return decisions

    def _decide(self, unit: Unit, now: float) -> Decision:
        claim = self.claims.get(unit.key)
        taken = claim is not None and claim.contested and not claim.victims
        spared = frozenset(claim.spared) if claim is not None else frozenset()
        may_evict = not taken and self.claims.may_evict(unit.key, now)
        closed = self.reservations.closed_to(unit, self.cluster.columns.rows)
        decision = self.cycle.decide(unit, closed=closed, may_preempt=may_evict, spared=spared)
        if isinstance(decision, Wait):
            if taken:
                self.claims.lost(unit.key, now)
            note = self.claims.why_not(unit.key, now)
            decision = replace(decision, note=note) if note else decision
        return decision

    def bind_failed(self, pod: Pod, now: float, *, taken: bool = False) -> None:
        """The binding was refused for good: the pod takes no room, and its unit is tried again
        once its backoff is over. ``taken``: a pod of another scheduler took its room.
        """
        self._leaving.not_bound(pod.uid, now, taken=taken)
        placed = self.cluster.placed(pod.uid)
        if placed is None or not placed.assumed:
            return
        self.cluster.forget(pod.uid)
        self.gangs.assumed(pod, "")
        self.capacity.pod_waits(pod)
        key = key_of(pod)
        self._refresh(key, now)
        unit = self.gangs.unit(key)
        if unit is not None:
            # At once it would most likely be refused again, and again at once.
            self.waiting.sleep(unit.key, _wakes_on(unit, ROOM), now)
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
        self.cluster.lift([pod.uid])
        self.cluster.lift_below(pod.priority)
        try:
            return self.cycle.placer.row_refusal(pod, row)
        finally:
            self.cluster.lower()
            self.cluster.assume(placed.pod, placed.node)

    def eviction_refused(self, uid: str, now: float) -> None:
        """The pod that was to go stays for now, because a budget protects it: the room that is kept
        for whoever waits for it is kept on, and only the rest is planned anew.
        """
        self._leaving.refused(uid)

    def unnominated(self) -> list[Pod]:
        """Pods that no room is kept for any more, since this was asked last: their
        status.nominatedNodeName is to be cleared.
        """
        return self._leaving.unnominated()

    def volume_bindings(self, pod: Pod) -> tuple[ToBind, ...]:
        """What is to be written for the claims of a pod of a Bind, and to be bound, before its
        Binding; nothing where all are bound.
        """
        plugins = self.profile.plugins
        found = (each.volume_bindings(pod) for each in plugins if isinstance(each, VolumeBinding))
        return tuple(one for each in found for one in each)

    def claims_bound(self, pod: Pod) -> bool:
        """Whether every claim of the pod has its volume."""
        claims = self._storage.claims_of(pod)
        return len(claims) == len(pod.claims) and all(claim.bound for claim in claims)

    def next_wake(self, now: float) -> float | None:
        """When ``decide`` may decide something: now, later, or only after an event (None)."""
        if self._touched:
            return now
        moments = (
            self.waiting.next_wake(now),
            self.reservations.next_due(),
            self._leaving.next_tick(),
        )
        return min((max(now, each) for each in moments if each is not None), default=None)

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
            self._leaving.nominated_seen(new, now)
        after = self.cluster.placed(uid)
        self._leaving.pod_seen(uid, new)
        self._request_seen(uid, new)
        if after is not None and before is None and after.pod.scheduler not in self._schedulers:
            self.claims.foreign_bound(after.node)
        if before is not None and (after is None or _takes_less(before.pod, after.pod)):
            self.waiting.wake(Event.POD_GONE, now)
        elif after is not None and (before is None or before.pod.labels is not after.pod.labels):
            self.waiting.wake(Event.POD_CAME, now)

    def _touch(self, keys: Iterable[UnitKey]) -> None:
        """These units may be others than they were, or have their turn again."""
        self._touched.update(dict.fromkeys(keys))

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

    def _request_seen(self, uid: str, new: Pod | None) -> None:
        waits = (
            new is not None
            and new.scheduler in self._schedulers
            and not (new.node or new.finished or new.gated or new.deletion)
            and self.cluster.placed(uid) is None
        )
        if waits and new is not None:
            self.capacity.pod_waits(new)
        else:
            self.capacity.pod_waits_no_more(uid)

    def _quota_changed(self, now: float) -> None:
        self.waiting.wake(Event.QUOTA, now)
        self._wake_claimants(now)

    def _wake_claimants(self, now: float) -> None:
        self._touch(self.claims.units())

    def _refresh(self, key: UnitKey, now: float) -> None:
        unit = self.gangs.unit(key)
        if unit is None or unit.key != key:
            self.waiting.remove(key)
            self._told.pop(key, None)
            self._open(key, now)
            self._leaving.forget(key, now)
        if unit is not None:
            alike = self._alike(unit)
            self.waiting.put(unit.key, unit.priority, alike, now, first=unit.resumes)

    def _open(self, key: UnitKey, now: float) -> None:
        """Nothing is kept for the unit; who was kept out may have a turn."""
        if self.reservations.over(key):
            self.waiting.wake(Event.NODE, now)

    def _remember(self, unit: Unit, decision: Decision, now: float) -> None:
        match decision:
            case Bind():
                self._bound(unit, decision, now)
            case Wait():
                self._waits(unit, decision, now)
            case Preempt():
                self._evicts(unit, decision, now)

    def _bound(self, unit: Unit, decision: Bind, now: float) -> None:
        for pod, node in decision.placements:
            self.gangs.assumed(pod, node)
            self.capacity.pod_waits_no_more(pod.uid)
        self._told.pop(unit.key, None)
        self._open(unit.key, now)
        self._leaving.placed(unit.key, [pod.uid for pod, _ in decision.placements], now)
        if unit.is_gang and self.gangs.unit(unit.key) is not None:
            self.waiting.sleep(unit.key, _wakes_on(unit, ROOM), now)
        else:
            self.waiting.remove(unit.key)
        # They are there from now on for whoever wants to be near them.
        self.waiting.wake(Event.POD_CAME, now)

    def _waits(self, unit: Unit, decision: Wait, now: float) -> None:
        self._told[unit.key] = decision
        if decision.lacks_room:
            self.reservations.lacks_room(unit, now)
        else:
            self._open(unit.key, now)
        claim = self.claims.get(unit.key)
        if claim is not None and not claim.found:
            if claim.victims:
                # Its turn comes when they have gone.
                self.waiting.remove(unit.key)
                return
            if not self.claims.any_victims or claim.contested:
                self._leaving.release(claim, now)
            # Else what others wait for may be all that is in its way.
        helpless = all(verdict.unresolvable for verdict in decision.why.values())
        wakes_on = _wakes_on(unit, NO_POD_HELPS if helpless else ROOM)
        self.waiting.sleep(unit.key, wakes_on, now, again=decision.again)

    def _evicts(self, unit: Unit, decision: Preempt, now: float) -> None:
        self._leaving.made(unit.key, decision.preemption, now)
        self._told[unit.key] = Wait(unit.key, decision.why)
        self.waiting.remove(unit.key)

    def _alike(self, unit: Unit) -> Hashable:
        """Equal for units of which one finds no place when another does not."""
        if unit.is_gang or self.claims.get(unit.key) is not None:
            return unit.key
        (pod,) = unit.members()
        kind = self.cycle.placer.kind_of(pod)
        return kind, pod.namespace, self.capacity.homes.of(pod), pod.priority


def _wakes_on(unit: Unit, events: Event) -> Event:
    """These events, and that pods came where the unit wants to be near some."""
    helped = any(map(helped_by_pods, unit.members()))
    return events | Event.POD_CAME if helped else events


def _holds(unit: QueueUnit) -> tuple[object, ...]:
    return unit.phase in HOLDS_QUOTA, unit.held, unit.quota, unit.preemptible, unit.evicted


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
