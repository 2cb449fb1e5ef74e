"""Small worlds in which quota is taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

from kube_queue.admission import Evict
from kube_queue.api.lifecycle import Phase
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy, preemptor_in
from kube_queue.api.queues import Policy
from kube_queue.api.quota import QuotaTree
from kube_queue.api.resources import EMPTY
from tests.builders import QuotaBuilder, UnitBuilder, World, a_quota, a_tree, a_unit


class Storm(World):
    """A world in which units are evicted, and leave when a test says so."""

    def __init__(
        self,
        tree: QuotaTree,
        policy: Policy = Policy.PRIORITY,
        *,
        reclaim: ReclaimPolicy = ReclaimPolicy.ANY,
        preemption: PreemptionPolicy = PreemptionPolicy.NEVER,
        oversell_rate: float = 1.0,
    ) -> None:
        super().__init__(
            tree, policy, reclaim=reclaim, preemption=preemption, oversell_rate=oversell_rate
        )
        self.evictions: list[Evict] = []

    def running(self, *builders: UnitBuilder) -> Self:
        """These run, granted one after the other."""
        for builder in builders:
            self.now += 1
            unit = builder.in_phase(Phase.RUNNING).unit
            since = int(self.now * 1_000_000)
            self.cache.unit_seen(replace(unit, allocated=since, granted=since))
        return self

    def evicts(self) -> list[str]:
        """Names evicted by one cycle, in order."""
        decisions = self.decides()
        evictions = [one for one in decisions if isinstance(one, Evict)]
        self.evictions += evictions
        return [one.name for one in evictions]

    def told(self, *names: str) -> Self:
        """The evictions of these were written and seen."""
        for name in names:
            unit = self.known(name)
            eviction = next(one for one in reversed(self.evictions) if one.name == name)
            version = str(int(unit.resource_version) + 1)
            self.cache.unit_seen(
                replace(
                    unit,
                    evicted=True,
                    preemptor=preemptor_in(eviction.message),
                    resource_version=version,
                )
            )
        return self

    def gone(self, *names: str) -> Self:
        """The pods of these are gone and they wait again."""
        for name in names:
            unit = self.known(name)
            version = str(int(unit.resource_version) + 1)
            self.cache.unit_seen(
                replace(
                    unit,
                    phase=Phase.ENQUEUED,
                    held=EMPTY,
                    evicted=False,
                    preemptor="",
                    left_for=unit.preemptor if unit.evicted else "",
                    left_at=int(self.now * 1_000_000) if unit.evicted and unit.preemptor else 0,
                    allocated=0,
                    resource_version=version,
                )
            )
        return self

    def leave(self, *names: str) -> Self:
        return self.told(*names).gone(*names)


def leaf(name: str, low: str | int = 0, **more: Any) -> QuotaBuilder:
    quota = a_quota(name).min(cpu=low).serving(name)
    return quota.max(**more) if more else quota


def under(most: str | int, *leaves: QuotaBuilder) -> QuotaTree:
    return a_tree(a_quota("root").max(cpu=most).over(*leaves))


def unit(name: str, cpu: str | int, priority: int = 0) -> UnitBuilder:
    """A unit of the leaf its name begins with."""
    return a_unit(name).of_namespace(name.partition("-")[0]).asking(cpu=cpu).with_priority(priority)


def two(most: int = 6, **switches: Any) -> Storm:
    return Storm(under(most, leaf("alpha", 3), leaf("beta", 3)), **switches)
