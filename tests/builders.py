"""Builders of small worlds: ``a_unit("u1").asking(cpu="4").in_queue("team-a")``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from kube_queue.admission import Admit, Decision, Requeue
from kube_queue.api.lifecycle import HOLDS_QUOTA, Phase
from kube_queue.api.names import MAX_JOBS, QUEUE_NAMESPACE
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy
from kube_queue.api.queues import DEFAULT_THRESHOLD, Policy, Queue
from kube_queue.api.quota import QuotaTree, parse_tree, queue_name
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.api.units import Unit
from kube_queue.cache import Cache

START = 1_700_000_000.0
"""The first moment of every world, in seconds since the epoch."""

_SHORT = {"gpu": "nvidia.com/gpu", "jobs": MAX_JOBS}


def amounts(**quantities: str | int) -> dict[str, str]:
    """A manifest's resource list; ``gpu`` and ``jobs`` stand for their long names."""
    return {_SHORT.get(name, name): str(value) for name, value in quantities.items()}


def vector(**quantities: str | int) -> ResourceVector:
    return ResourceVector.parse(amounts(**quantities))


@dataclass(frozen=True)
class UnitBuilder:
    unit: Unit

    def _with(self, **fields: Any) -> UnitBuilder:
        return UnitBuilder(replace(self.unit, **fields))

    def asking(self, **quantities: str | int) -> UnitBuilder:
        return self._with(request=vector(**quantities))

    def in_queue(self, name: str) -> UnitBuilder:
        return self._with(queue=name)

    def of_quota(self, name: str) -> UnitBuilder:
        return self._with(quota=name)

    def of_namespace(self, namespace: str) -> UnitBuilder:
        return self._with(namespace=namespace)

    def with_priority(self, priority: int) -> UnitBuilder:
        return self._with(priority=priority)

    def submitted_at(self, second: float) -> UnitBuilder:
        return self._with(submitted=int((START + second) * 1_000_000))

    def requeued_until(self, second: float) -> UnitBuilder:
        return self._with(requeue_at=int((START + second) * 1_000_000))

    def not_preemptible(self) -> UnitBuilder:
        return self._with(preemptible=False)

    def inactive(self) -> UnitBuilder:
        return self._with(active=False)

    def invalid(self, why: str) -> UnitBuilder:
        return self._with(invalid=why)

    def in_phase(self, phase: Phase) -> UnitBuilder:
        held = self.unit.request if phase in HOLDS_QUOTA else EMPTY
        return self._with(phase=phase, held=held)

    def holding(self, **quantities: str | int) -> UnitBuilder:
        return self._with(phase=Phase.RUNNING, held=vector(**quantities))

    def at_version(self, version: int) -> UnitBuilder:
        return self._with(resource_version=str(version))


def a_unit(name: str) -> UnitBuilder:
    """A waiting preemptible unit of namespace ``default`` that asks for nothing, at version 1."""
    return UnitBuilder(
        Unit(
            namespace="default",
            name=name,
            uid=f"uid-{name}",
            resource_version="1",
            job=None,
            queue="",
            quota="",
            preemptible=True,
            priority=0,
            request=EMPTY,
            held=EMPTY,
            active=True,
            phase=Phase.ENQUEUED,
            reason="",
            message="",
            submitted=int(START * 1_000_000),
            requeue_at=0,
            attempts=0,
            evicted=False,
            job_priority=None,
            invalid="",
        )
    )


@dataclass(frozen=True)
class QuotaBuilder:
    name: str
    limits: dict[str, Any] = field(default_factory=dict)
    below: tuple[QuotaBuilder, ...] = ()
    namespaces: tuple[str, ...] = ()

    def max(self, **quantities: str | int) -> QuotaBuilder:
        return replace(self, limits={**self.limits, "max": amounts(**quantities)})

    def min(self, **quantities: str | int) -> QuotaBuilder:
        return replace(self, limits={**self.limits, "min": amounts(**quantities)})

    def over(self, *children: QuotaBuilder) -> QuotaBuilder:
        return replace(self, below=children)

    def serving(self, *namespaces: str) -> QuotaBuilder:
        return replace(self, namespaces=namespaces)

    def manifest(self) -> dict[str, Any]:
        children = [child.manifest() for child in self.below]
        return {
            "name": self.name,
            "namespaces": list(self.namespaces),
            "children": children or None,
            **self.limits,
        }


def a_quota(name: str) -> QuotaBuilder:
    return QuotaBuilder(name)


def a_tree(root: QuotaBuilder, **labels: str) -> QuotaTree:
    metadata = {"namespace": "kube-system", "name": "tree", "uid": "t", "resourceVersion": "1"}
    named = {f"kube-queue/{name.replace('_', '-')}": text for name, text in labels.items()}
    tree, _ = parse_tree(
        {"metadata": {**metadata, "labels": named}, "spec": {"root": root.manifest()}}
    )
    assert tree is not None
    return tree


def one_quota(**quantities: str | int) -> QuotaTree:
    """A root and its one leaf ``team`` for namespace ``default``, both with this max."""
    leaf = a_quota("team").max(**quantities).serving("default")
    return a_tree(a_quota("root").max(**quantities).over(leaf))


def a_queue(
    name: str,
    policy: Policy | None = None,
    *,
    priority: int = 0,
    policy_text: str = "",
    namespace: str = QUEUE_NAMESPACE,
    threshold: int = DEFAULT_THRESHOLD,
    threshold_unread: str = "",
) -> Queue:
    return Queue(
        namespace=namespace,
        name=name,
        uid=f"uid-{name}",
        resource_version="1",
        policy=policy,
        policy_text=policy_text or (policy.value if policy is not None else ""),
        priority=priority,
        quota_path="",
        created_by_us=True,
        threshold=threshold,
        threshold_unread=threshold_unread,
    )


class World:
    """A cache with its API state: what was written is seen at once unless a test says otherwise."""

    def __init__(
        self,
        tree: QuotaTree | None,
        policy: Policy = Policy.ROUND,
        *,
        oversell_rate: float = 1.0,
        queues: bool = True,
        reclaim: ReclaimPolicy = ReclaimPolicy.NEVER,
        preemption: PreemptionPolicy = PreemptionPolicy.NEVER,
    ) -> None:
        self.cache = Cache(
            default_policy=policy,
            oversell_rate=oversell_rate,
            reclaim=reclaim,
            preemption=preemption,
        )
        self.now = START
        self.cache.tree_seen(tree)
        if tree is not None and queues:
            for leaf in tree.leaves():
                self.cache.queue_seen(a_queue(queue_name(leaf.path)))

    def sees(self, *builders: UnitBuilder) -> Self:
        for builder in builders:
            self.cache.unit_seen(builder.unit)
        return self

    def decides(self, *, limit: int = 0) -> list[Decision]:
        return self.cache.cycle(self.now, limit)

    def admits(self, *, limit: int = 0) -> list[str]:
        """Names admitted by one cycle, in order."""
        return [d.name for d in self.decides(limit=limit) if isinstance(d, Admit)]

    def refuses(self) -> list[Requeue]:
        return [d for d in self.decides() if isinstance(d, Requeue)]

    def runs(self, *names: str) -> Self:
        """The admission of these units was written and seen."""
        for name in names:
            unit = self.known(name)
            version = str(int(unit.resource_version) + 1)
            self.cache.unit_seen(
                replace(unit, phase=Phase.DEQUEUED, held=unit.request, resource_version=version)
            )
        return self

    def ends(self, *names: str) -> Self:
        """These units' jobs succeeded."""
        for name in names:
            unit = self.known(name)
            version = str(int(unit.resource_version) + 1)
            self.cache.unit_seen(
                replace(unit, phase=Phase.SUCCEED, held=EMPTY, resource_version=version)
            )
        return self

    def known(self, name: str) -> Unit:
        unit = self.cache.unit(f"uid-{name}")
        assert unit is not None
        return unit

    def used(self, path: str, resource: str = "cpu") -> int:
        return self.cache.ledger.usage(path).used.get(_SHORT.get(resource, resource), 0)

    def why(self, name: str) -> tuple[str, str]:
        waiting = self.cache.why(f"uid-{name}")
        assert waiting is not None
        return waiting.reason.value, waiting.message
