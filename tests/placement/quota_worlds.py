"""A scheduler's memory with a quota tree, pods that come and go, and what it decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kube_queue.api.lifecycle import HOLDS_QUOTA, Phase
from kube_queue.api.pod_disruption_budgets import PodDisruptionBudget, budget_of
from kube_queue.api.pods import Pod
from kube_queue.api.quota import QuotaTree
from kube_queue.api.resources import EMPTY
from kube_queue.api.units import JobRef, Unit
from kube_queue.cache.placing import PlacementCache
from kube_queue.placement.decisions import Bind, Decision, Preempt, Wait
from kube_queue.placement.plugins import BASE
from tests.builders import START, QuotaBuilder, a_quota, a_tree, a_unit, vector
from tests.placement.builders import SCHEDULER, NodeBuilder, PodBuilder, a_node, a_pod


def quota(name: str, low: int, high: int | None = None, *below: QuotaBuilder) -> QuotaBuilder:
    """A quota of so much cpu; a leaf serves the namespace of its own name."""
    made = a_quota(name).min(cpu=low)
    made = made.max(cpu=high) if high is not None else made
    return made.over(*below) if below else made.serving(name)


def tree(*below: QuotaBuilder, cpu: int) -> QuotaTree:
    """A root of so much cpu, guaranteed and at most, over these quotas."""
    return a_tree(quota("root", cpu, cpu, *below))


def two(cpu: int = 8, low: int = 4) -> QuotaTree:
    """Leaves ``alpha`` and ``beta`` that share the root's cpu, each with this min."""
    return tree(quota("alpha", low, cpu), quota("beta", low, cpu), cpu=cpu)


def pod_in(namespace: str, name: str, cpu: int = 1, priority: int = 0) -> PodBuilder:
    """A waiting pod of the namespace."""
    made = a_pod(name).of_namespace(namespace).asking(cpu=cpu)
    return made.with_priority(priority)


def queue_unit(job: str, namespace: str, cpu: int, phase: Phase = Phase.RUNNING) -> Unit:
    """The QueueUnit of the job of this uid, which holds or asks for so much."""
    ref = JobRef("batch/v1", "Job", namespace, job, job)
    made = replace(a_unit(f"{job}-unit").unit, namespace=namespace, job=ref, phase=phase)
    asked = vector(cpu=cpu)
    return replace(made, request=asked, held=asked if phase in HOLDS_QUOTA else EMPTY)


def a_budget(name: str, namespace: str, allowed: int, **labels: str) -> PodDisruptionBudget:
    """A PodDisruptionBudget of pods with these labels that lets so many go."""
    return budget_of(
        {
            "metadata": {"namespace": namespace, "name": name, "uid": f"uid-{name}"},
            "spec": {"selector": {"matchLabels": labels}},
            "status": {"disruptionsAllowed": allowed},
        }
    )


class QuotaWorld:
    """What the API server would hold, and a scheduler that sees it at once."""

    def __init__(self, tree: QuotaTree | None, *nodes: NodeBuilder, rate: float = 1.0) -> None:
        self.now = START
        self.brain = PlacementCache([SCHEDULER], BASE)
        self.pods: dict[str, PodBuilder] = {}
        self.evicted: list[str] = []
        self.units: dict[str, Unit] = {}
        self.brain.tree_seen(tree, self.now, rate)
        for node in nodes or (a_node("big").having(cpu="1000", pods="1000"),):
            self.brain.node_seen(node.node, self.now)

    # --- events ---------------------------------------------------------------------------------

    def sees(self, *pods: PodBuilder) -> QuotaWorld:
        """The pods are as they say."""
        for pod in pods:
            name = pod.pod.name
            old = self.pods.get(name)
            self.pods[name] = pod
            self.brain.pod_seen(old.pod if old is not None else None, pod.pod, self.now)
        return self

    def runs(self, *pods: PodBuilder, node: str = "big") -> QuotaWorld:
        """The pods stand on the node, ready."""
        return self.sees(*(pod.on(node).ready() for pod in pods))

    def goes(self, *names: str) -> QuotaWorld:
        """The pods are gone."""
        for name in names:
            self.brain.pod_seen(self.pods.pop(name).pod, None, self.now)
        return self

    def holds(self, unit: Unit) -> QuotaWorld:
        """The QueueUnit is as it says."""
        self.brain.unit_seen(self.units.get(unit.uid), unit, self.now)
        self.units[unit.uid] = unit
        return self

    def protects(self, budget: PodDisruptionBudget) -> QuotaWorld:
        self.brain.budget_seen(None, budget, self.now)
        return self

    def later(self, seconds: float) -> QuotaWorld:
        self.now += seconds
        return self

    # --- decisions ------------------------------------------------------------------------------

    def decides(self, limit: int = 100) -> list[Decision]:
        """What the scheduler decides now; what is bound is seen on its node at once."""
        found = self.brain.decide(self.now, limit)
        for decision in found:
            if isinstance(decision, Bind):
                for pod, node in decision.placements:
                    self.sees(self.pods[pod.name].on(node).ready())
        return found

    def places(self) -> list[str]:
        """Names of the pods that are bound now."""
        bound = [each for each in self.decides() if isinstance(each, Bind)]
        return sorted(pod.name for each in bound for pod, _ in each.placements)

    def evicts(self) -> list[str]:
        """Names of the pods that are told to go now."""
        return sorted(pod.name for each in self.preempts() for pod in each.preemption.leaving)

    def preempts(self) -> list[Preempt]:
        return [each for each in self.decides() if isinstance(each, Preempt)]

    def says(self) -> str:
        """The sentence of the first pod that is refused now."""
        for decision in self.decides():
            if isinstance(decision, Wait):
                return next(iter(decision.why.values())).message
        return ""

    def settles(self, *, rounds: int = 50) -> int:
        """Decisions are carried out until none is left: who is evicted goes at once, and a pod of
        the same kind comes for it. Returns how many were evicted.
        """
        evicted = 0
        for _ in range(rounds):
            found = self.decides()
            leaving: list[Pod] = []
            for decision in found:
                if isinstance(decision, Preempt):
                    leaving += decision.preemption.leaving
            for pod in leaving:
                evicted += 1
                self.evicted.append(pod.name)
                former = self.pods[pod.name]
                self.goes(pod.name)
                self.sees(again(former, f"{pod.name}r"))
            if not found:
                moment = self.brain.next_wake(self.now)
                if moment is None:
                    break
                self.now = max(self.now + 1, moment)
        return evicted

    def running(self, namespace: str) -> int:
        return sum(
            pod.pod.namespace == namespace and bool(pod.pod.node) for pod in self.pods.values()
        )

    def used(self, path: str, resource: str = "cpu") -> int:
        """Whole cpus, or units, of the node in its status."""
        amount = self.brain.capacity.usage()[path].used.get(resource, 0)
        return amount // 1000 if resource == "cpu" else amount


def again(pod: PodBuilder, name: str) -> PodBuilder:
    """A pod of the same kind that waits."""
    manifest: dict[str, Any] = {**pod.manifest}
    manifest["metadata"] = {**manifest["metadata"], "name": name, "uid": f"uid-{name}"}
    manifest["spec"] = {k: v for k, v in manifest["spec"].items() if k != "nodeName"}
    manifest["status"] = {"phase": "Pending"}
    return PodBuilder(manifest)
