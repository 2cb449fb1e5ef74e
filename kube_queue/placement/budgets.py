"""PodDisruptionBudgets: who may be made to leave, and how many at once.

What a budget allows is what its status says, less those who were told to go and are not in that
number yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kube_queue.api.pod_disruption_budgets import PodDisruptionBudget
from kube_queue.api.pods import Pod
from kube_queue.placement.cluster import Cluster


class Budgets:
    """Every budget. ``Cluster.shared(Budgets)`` is the one of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.version = 0
        """Grows when somebody might be protected otherwise than before."""
        self._budgets: dict[str, dict[str, PodDisruptionBudget]] = {}
        """By namespace and uid."""
        self._told: dict[str, dict[str, str]] = {}
        """By budget: names, by uid, of pods that were told to go and are not deleted yet."""

    def budget_seen(self, old: PodDisruptionBudget | None, new: PodDisruptionBudget | None) -> None:
        """The budget is as it says; None: gone."""
        if old is not None:
            self._budgets.get(old.namespace, {}).pop(old.uid, None)
            if not self._budgets.get(old.namespace):
                self._budgets.pop(old.namespace, None)
        if new is not None:
            self._budgets.setdefault(new.namespace, {})[new.uid] = new
        self.version += 1

    def of(self, pod: Pod) -> Iterator[PodDisruptionBudget]:
        """The budgets whose leave the pod needs to go."""
        for budget in self._budgets.get(pod.namespace, {}).values():
            if budget.protects(pod.namespace, pod.labels) and (
                pod.ready or not budget.lets_unready_go
            ):
                yield budget

    def any_for(self, namespace: str) -> bool:
        """Whether a budget might protect pods of the namespace."""
        return namespace in self._budgets

    def left(self, budget: PodDisruptionBudget) -> int:
        """How many more may go now."""
        told = self._told.get(budget.uid)
        if not told:
            return budget.allowed
        return budget.allowed - sum(name not in budget.disrupted for name in told.values())

    def told(self, pod: Pod) -> None:
        """The pod is told to go."""
        for budget in self.of(pod):
            self._told.setdefault(budget.uid, {})[pod.uid] = pod.name
            self.version += 1

    def settled(self, uid: str) -> None:
        """The pod is deleted, so that its budgets count it themselves, or it stays after all."""
        for budget in [each for each, names in self._told.items() if uid in names]:
            del self._told[budget][uid]
            if not self._told[budget]:
                del self._told[budget]
            self.version += 1


class Spending:
    """What one plan takes of the budgets."""

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets
        self._spent: dict[str, int] = {}

    def violations(self, pods: Iterable[Pod]) -> int:
        """How many of the pods would leave against a budget, after those spent so far."""
        count = 0
        more: dict[str, int] = {}
        for pod in pods:
            violates = False
            for budget in self._budgets.of(pod):
                spent = self._spent.get(budget.uid, 0) + more.get(budget.uid, 0)
                violates |= self._budgets.left(budget) <= spent
                more[budget.uid] = more.get(budget.uid, 0) + 1
            count += violates
        return count

    def allows(self, pods: Iterable[Pod]) -> bool:
        """Whether the API server would let every one of the pods be evicted: it refuses those that
        more than one budget protects.
        """
        pods = tuple(pods)
        if not any(self._budgets.any_for(pod.namespace) for pod in pods):
            return True
        if any(sum(1 for _ in self._budgets.of(pod)) > 1 for pod in pods):
            return False
        return not self.violations(pods)

    def spend(self, pods: Iterable[Pod], sign: int = 1) -> None:
        """The plan takes these pods, or with sign -1 does not any more."""
        for pod in pods:
            for budget in self._budgets.of(pod):
                self._spent[budget.uid] = self._spent.get(budget.uid, 0) + sign
