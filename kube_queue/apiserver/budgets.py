"""PodDisruptionBudget: how many pods of a set may be evicted now, kept in status and asked by
evictions.

Holds: Budgets, which follows every change. An eviction reckons with the pods as they are at that
moment, not with the status, which is written soon after.
"""

from collections import Counter
from math import ceil
from typing import Any

from kube_queue.apiserver.counting import Counting
from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.selectors import selects
from kube_queue.apiserver.status import StatusError
from kube_queue.apiserver.store import DELETED, Collection, Event, Object, Record

_PODS = ("", "pods")
_REPLICA_SETS = ("apps", "replicasets")
_UNPROTECTED = ("Failed", "Pending", "Succeeded")
_VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."
_CAUSE = "DisruptionBudget"


class _Budget:
    """One budget and the pods it counts."""

    __slots__ = ("name", "obj", "owners", "pods", "selector")

    def __init__(self, record: Record) -> None:
        self.name = record.name
        self.obj = record.decode()
        self.selector: Object | None = self.obj.get("spec", {}).get("selector")
        self.pods: dict[str, tuple[bool, str]] = {}
        """Uid of a pod -> whether it is healthy, and the uid of its controller."""
        self.owners: Counter[str] = Counter()
        """Uid of a controller -> how many of the pods are its own."""

    def covers(self, labels: Any) -> bool:
        """Whether it is about pods with these labels."""
        return self.selector is not None and selects(self.selector, labels)


class Budgets(Counting[_Budget]):
    """Every budget of every namespace."""

    resource = ("policy", "poddisruptionbudgets")

    def seen(self, collection: Collection, event: Event) -> None:
        """A budget, a pod or what keeps a number of pods has changed."""
        record, resource = event.record, (collection.group, collection.plural)
        if resource == self.resource:
            self._note(event)
        for budget in self.of(record.namespace).values():
            if resource == _PODS:
                self._pod_seen(budget, record, gone=event.type == DELETED)
            elif record.uid in budget.owners:
                self._mark(record.namespace, budget.name)

    def _pod_seen(self, budget: _Budget, record: Record, *, gone: bool) -> None:
        before = budget.pods.pop(record.uid, None)
        if not gone and budget.covers(record.labels):
            pod = record.decode()
            healthy = _ready(pod) and not record.deleting
            budget.pods[record.uid] = (healthy, _controller(pod))
        now = budget.pods.get(record.uid)
        if before == now:
            return
        for state, change in ((before, -1), (now, 1)):
            if state is not None and state[1]:
                budget.owners[state[1]] += change
                if not budget.owners[state[1]]:
                    del budget.owners[state[1]]
        self._mark(record.namespace, budget.name)

    def _begin(self, record: Record) -> _Budget:
        return _Budget(record)

    def _counts_alike(self, one: _Budget, other: _Budget) -> bool:
        return one.selector == other.selector

    def _count_all(self, counted: _Budget, namespace: str) -> None:
        for pod in tuple(self._world.store.collection(*_PODS).within(namespace)):
            self._pod_seen(counted, pod, gone=False)

    def _status(self, counted: _Budget) -> Object:
        healthy = sum(ready for ready, _ in counted.pods.values())
        expected, desired, problem = self._expected(counted)
        allowed = healthy - desired if expected > 0 and not problem else 0
        generation = counted.obj["metadata"].get("generation", 0)
        reason = "SufficientPods" if allowed > 0 else "InsufficientPods"
        condition = {
            "type": "DisruptionAllowed",
            "status": "True" if allowed > 0 else "False",
            "observedGeneration": generation,
            "lastTransitionTime": self._world.now(),
            "reason": "SyncFailed" if problem else reason,
            "message": problem,
        }
        for before in counted.obj.get("status", {}).get("conditions", ()):
            if (before.get("type"), before.get("status")) == (
                condition["type"],
                condition["status"],
            ):
                condition["lastTransitionTime"] = before["lastTransitionTime"]
        return {
            "observedGeneration": generation,
            "disruptionsAllowed": max(0, allowed),
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "conditions": [condition],
        }

    def _expected(self, budget: _Budget) -> tuple[int, int, str]:
        """How many pods there should be, how many must be healthy, and what hinders to know."""
        spec = budget.obj.get("spec", {})
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if type(least) is int and most is None:
            return len(budget.pods), least, ""
        if least is None and most is None:
            return 0, 0, ""
        scales: dict[str, int] = {}
        for owner in budget.owners:
            uid, replicas, problem = self._scale(owner)
            if problem:
                return 0, 0, problem
            scales[uid] = replicas
        expected = sum(scales.values())
        if most is not None:
            return expected, max(0, expected - _share(most, expected)), ""
        return expected, _share(least, expected), ""

    def _scale(self, uid: str) -> tuple[str, int, str]:
        """What keeps the pods of an owner, and how many; or why that cannot be said."""
        found = self._world.store.find_uid(uid)
        if found is None:
            return uid, 0, ""
        collection, record = found
        obj = record.decode()
        above = _controller(obj) if (collection.group, collection.plural) == _REPLICA_SETS else ""
        if above and self._world.store.find_uid(above) is not None:
            return self._scale(above)
        kind = self._world.kind_of(collection)
        if kind is None or "scale" not in kind.subresources:
            named = kind.resource if kind is not None else collection.resource
            return uid, 0, f"{named} does not implement the scale subresource"
        return uid, _replicas(kind, obj), ""

    def guard(self, pod: Object) -> None:
        """Raises a 429 when a budget forbids that the pod is evicted now."""
        metadata, phase = pod["metadata"], pod.get("status", {}).get("phase")
        if phase in _UNPROTECTED or "deletionTimestamp" in metadata:
            return
        within = self.of(metadata["namespace"]).values()
        covering = [b for b in within if b.covers(metadata.get("labels", {}))]
        if len(covering) > 1:
            raise StatusError(
                500,
                "InternalError",
                "This pod has more than one PodDisruptionBudget, which the eviction subresource "
                "does not support.",
            )
        if not covering:
            return
        (budget,) = covering
        status = self._status(budget)
        healthy, desired = status["currentHealthy"], status["desiredHealthy"]
        if not _ready(pod):
            always = budget.obj["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow"
            if always or healthy >= desired > 0:
                return
        if not status["disruptionsAllowed"]:
            raise StatusError(
                429,
                "TooManyRequests",
                _VIOLATED,
                {"causes": [{"reason": _CAUSE, "message": _why(budget.name, status)}]},
            )


def _why(name: str, status: Object) -> str:
    (condition,) = status["conditions"]
    if condition["reason"] == "SyncFailed":
        return (
            f"The disruption budget {name} does not allow evicting pods currently because it "
            f"failed sync: {condition['message']}"
        )
    healthy, desired = status["currentHealthy"], status["desiredHealthy"]
    if healthy <= desired:
        return (
            f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
        )
    return f"The disruption budget {name} does not allow evicting pods currently"


def _ready(pod: Object) -> bool:
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in pod.get("status", {}).get("conditions", ())
    )


def _controller(obj: Object) -> str:
    """The uid of what controls the object; "" when nothing does."""
    owners = obj["metadata"].get("ownerReferences", ())
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), "")


def _share(value: Any, whole: int) -> int:
    """A number, or a percentage of the whole rounded up."""
    if type(value) is int:
        return value
    return ceil(int(str(value).removesuffix("%")) * whole / 100)


def _replicas(kind: Kind, obj: Object) -> int:
    value: Any = obj
    for part in kind.scale[0].strip(".").split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value if type(value) is int else 0
