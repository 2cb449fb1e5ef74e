"""Who was told to leave for whom, and the room that is kept meanwhile.

::

    plan ──▶ made: victims told, room kept ──victims gone──▶ the unit has its turn
               │ lapsed, lost, placed, gone
               ▼
             released: the room is anybody's, who was told and has not begun to leave may stay
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kube_queue.api.pod_disruption_budgets import PodDisruptionBudget
from kube_queue.api.pods import Pod
from kube_queue.placement.budgets import Budgets
from kube_queue.placement.claims import Claim, Claims
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.departures import Departures
from kube_queue.placement.framework import Preemption
from kube_queue.placement.gangs import key_of
from kube_queue.placement.quota import Capacity
from kube_queue.placement.units import UnitKey
from kube_queue.placement.waiting import Event, Waiting


class Leaving:
    """The claims of units and what follows from them; times are seconds.

    ``touch`` is told of units that may have their turn.
    """

    def __init__(
        self,
        cluster: Cluster,
        waiting: Waiting,
        schedulers: frozenset[str],
        touch: Callable[[Iterable[UnitKey]], None],
    ) -> None:
        self.claims = Claims()
        self._cluster = cluster
        self._capacity = cluster.shared(Capacity)
        self._departures = cluster.shared(Departures)
        self._budgets = cluster.shared(Budgets)
        self._waiting = waiting
        self._schedulers = schedulers
        self._touch = touch
        self._released: dict[str, str] = {}
        """By uid: nodes where no room is kept for the pods any more, though they still say so."""
        self._unnominated: list[Pod] = []
        self._entering: dict[str, UnitKey] = {}
        """By uid: pods that are being bound into room that others left for their unit."""

    # --- what was seen --------------------------------------------------------------------------

    def nominated_seen(self, pod: Pod, now: float) -> None:
        """Nobody knows yet where the pod goes; where somebody wants it, it will need room."""
        if self.claims.of_pod(pod.uid) is not None:
            return
        node = pod.nominated
        if not node or pod.scheduler not in self._schedulers:
            self._released.pop(pod.uid, None)
            self._cluster.nominate(pod, node)
        elif self._released.get(pod.uid) != node:
            # Kept by whoever was scheduler before: those who go for it are on their way.
            self.claims.found(key_of(pod), pod, now)
            self._cluster.nominate(pod, node, firm=bool(self._capacity.homes.of(pod).leaf))

    def pod_seen(self, uid: str, pod: Pod | None) -> None:
        """Who was told to go is deleted, or has gone (None); who took their place is there."""
        if pod is None or pod.node or pod.finished:
            unit = self._entering.pop(uid, None)
            if unit is not None:
                self.claims.kept(unit)
        if pod is not None and pod.takes_room:
            if pod.deletion:
                self._departures.seen(pod)
                self._budgets.settled(uid)
            return
        if pod is None or pod.finished:
            self._departures.gone(uid)
            self._budgets.settled(uid)
            self._touch(self.claims.gone(uid))
        if pod is None:
            self._released.pop(uid, None)

    def budget_seen(
        self, old: PodDisruptionBudget | None, new: PodDisruptionBudget | None, now: float
    ) -> None:
        """The PodDisruptionBudget is as it says; None: gone."""
        self._budgets.budget_seen(old, new)
        if old is not None and (
            new is None or new.allowed > old.allowed or new.selector != old.selector
        ):
            self._waiting.wake(Event.POD_GONE, now)

    def refused(self, uid: str) -> None:
        """The pod that was to go stays for now, because a budget protects it: the room that is kept
        for whoever waits for it is kept on, and only the rest is planned anew.
        """
        self._departures.stays(uid)
        self._budgets.settled(uid)
        self._touch(self.claims.refused(uid))

    # --- what was decided -----------------------------------------------------------------------

    def made(self, unit: UnitKey, plan: Preemption, now: float) -> None:
        """Those whom the plan names are told to go, and room is kept for the unit."""
        self.claims.made(unit, plan, now)
        for pod in plan.leaving:
            self._departures.tell(pod.uid)
        for pod in plan.victims:
            self._budgets.told(pod)
        for uid in plan.units:
            self._capacity.set_leaving(uid, True)
        for pod, node in plan.nominations:
            self._released.pop(pod.uid, None)
            self._cluster.nominate(pod, node, firm=plan.reclaim)

    def placed(self, unit: UnitKey, pods: Iterable[str], now: float) -> None:
        """These pods of the unit, by uid, are about to be bound: nothing is kept for it any more.
        If others left for it, that is remembered until the pods are there.
        """
        claim = self.claims.get(unit)
        if claim is None:
            self.claims.kept(unit)
            return
        self._entering.update(dict.fromkeys(pods, unit))
        self.release(claim, now)

    def not_bound(self, uid: str, now: float, *, taken: bool) -> None:
        """The pod could not be bound; ``taken``: because a pod of another scheduler took the room,
        which for a unit that others left for is as good as if it had been seen before.
        """
        unit = self._entering.pop(uid, None)
        if taken and unit is not None:
            self.claims.lost(unit, now)

    def forget(self, unit: UnitKey, now: float) -> None:
        """The unit is gone: nothing is kept for it or remembered of it."""
        claim = self.claims.forget(unit)
        if claim is not None:
            self.release(claim, now)

    def release(self, claim: Claim, now: float) -> None:
        """Nothing is kept for the claim any more, and nobody goes for it who does not already."""
        self.claims.end(claim.unit)
        for pod, node in claim.pods.values():
            if self._cluster.nomination(pod.uid):
                self._cluster.nominate(pod, "")
                self._released[pod.uid] = node
                self._unnominated.append(pod)
        for uid in claim.victims:
            if not self.claims.awaits(uid):
                self._departures.stays(uid)
                self._budgets.settled(uid)
        for unit in claim.units:
            self._capacity.set_leaving(unit, False)
        self._waiting.wake(Event.POD_GONE, now)

    def unnominated(self) -> list[Pod]:
        """Pods that no room is kept for any more, since this was asked last."""
        found, self._unnominated = self._unnominated, []
        return found

    # --- time -----------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """What is due by now happens."""
        if self._departures.tick(now):
            self._waiting.wake(Event.POD_GONE, now)
        lapsed, free = self.claims.tick(now)
        for claim in lapsed:
            self.claims.lapsed(claim.unit, now)
            self.release(claim, now)
            self._touch([claim.unit])
        self._touch(free)

    def next_tick(self) -> float | None:
        """When ``tick`` may do something."""
        moments = (self.claims.next_tick(), self._departures.next_tick())
        return min((each for each in moments if each is not None), default=None)
