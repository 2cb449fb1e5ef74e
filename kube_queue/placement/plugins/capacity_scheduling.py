"""CapacityScheduling: the quota tree bounds what pods take, and guarantees what its min says."""

from __future__ import annotations

from collections.abc import Sequence

from kube_queue.api.pods import Pod
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.framework import Preemption
from kube_queue.placement.making_room import Room, Search
from kube_queue.placement.quota import Capacity
from kube_queue.placement.quota_bounds import short_for_good, shortages, within_min
from kube_queue.placement.reclaim_rule import Reclaim
from kube_queue.placement.units import Unit
from kube_queue.placement.verdict import Refusal, Verdict


class CapacityScheduling:
    """Lets units take what their quotas have room for, and takes back what was lent of a min."""

    name = "CapacityScheduling"

    def __init__(self, cluster: Cluster) -> None:
        self._capacity = cluster.shared(Capacity)

    def unit_refusal(self, unit: Unit, members: Sequence[Pod]) -> Refusal | None:
        capacity = self._capacity
        if not capacity.in_effect:
            return None
        for pod in members:
            problem = capacity.homes.of(pod).problem
            if problem:
                return Refusal(self.name, problem, unresolvable=True)
        demand = capacity.demand(members, unit.members())
        short = next(shortages(capacity.sums, demand), None)
        if short is None:
            return None
        parts = ((part.members, part.need) for part in unit.parts)
        never = short_for_good(capacity.sums, capacity.homes, parts)
        if never is not None:
            text = f"can never be scheduled as it is: {never}"
            return Refusal(self.name, text, unresolvable=True, never=True)
        return Refusal(self.name, str(short))

    def preemption(
        self, unit: Unit, members: Sequence[Pod], why: Verdict, room: Room
    ) -> Preemption | None:
        """Whom to evict so that a unit within the min of its quota gets what it guarantees."""
        capacity = self._capacity
        if not capacity.sums.nodes or (why.refusal is not None and why.refusal.unresolvable):
            return None
        leaves = {capacity.homes.of(pod).leaf for pod in members}
        if "" in leaves:
            return None
        demand = capacity.demand(members, unit.members())
        if not all(within_min(capacity.sums, demand, leaf) for leaf in leaves):
            return None
        return Search(room, unit, members, Reclaim(capacity, leaves)).run()
