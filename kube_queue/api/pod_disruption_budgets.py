"""PodDisruptionBudgets: how many pods of a sort may be made to leave now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from sys import intern
from typing import Any, Final

from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.pod_affinity import read_selector
from kube_queue.api.selectors import Selector

ALWAYS_ALLOW: Final = "AlwaysAllow"


@dataclass(frozen=True, slots=True)
class PodDisruptionBudget:
    """One PodDisruptionBudget (policy/v1), as those who look for victims read it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    selector: Selector | None
    """Of the pods it protects, in its namespace; None: it has none and protects nobody."""
    allowed: int
    """status.disruptionsAllowed."""
    disrupted: frozenset[str]
    """Names of pods whose eviction is counted in ``allowed`` already."""
    lets_unready_go: bool
    """Whether pods that are not ready may leave without counting: under AlwaysAllow, or while
    enough others are healthy."""

    def protects(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether pods of these labels are counted by it."""
        return (
            namespace == self.namespace
            and self.selector is not None
            and self.selector.selects(labels)
        )


def budget_of(obj: Mapping[str, Any]) -> PodDisruptionBudget:
    """The budget an object stands for; it never raises on odd content."""
    metadata, spec, status = (mapping_of(obj.get(part)) for part in ("metadata", "spec", "status"))
    allowed = status.get("disruptionsAllowed")
    healthy, wanted = status.get("currentHealthy"), status.get("desiredHealthy")
    enough = isinstance(healthy, int) and isinstance(wanted, int) and healthy >= wanted > 0
    return PodDisruptionBudget(
        namespace=intern(text_of(metadata.get("namespace"))),
        name=text_of(metadata.get("name")),
        uid=text_of(metadata.get("uid")),
        resource_version=text_of(metadata.get("resourceVersion")),
        selector=read_selector(spec.get("selector")),
        # A budget that no controller has looked at yet allows nothing, as the API server holds it.
        allowed=max(0, allowed) if isinstance(allowed, int) else 0,
        disrupted=frozenset(map(str, mapping_of(status.get("disruptedPods")))),
        lets_unready_go=spec.get("unhealthyPodEvictionPolicy") == ALWAYS_ALLOW or enough,
    )
