"""What a job asks for: its pod sets, each with the request of one pod."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.pod_requests import pod_request
from kube_queue.api.pod_shapes import PodShape, pod_shape
from kube_queue.api.resources import EMPTY, ResourceVector
from kube_queue.jobframework.extension import PodSet
from kube_queue.jobframework.fields import demand_section, text
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue.jobframework.templates import (
    lean_template,
    template_for_nodes,
    whereabouts,
    with_whereabouts,
)

MOST_POD_SETS = 32
"""As many as a QueueUnit takes."""
MOST_AMOUNT = 2**63 - 1
"""The largest amount that other Kubernetes components can still add up."""


@dataclass(frozen=True, slots=True)
class AskedSet:
    """`count` pods that ask for `each`."""

    name: str
    count: int
    each: ResourceVector
    shape: PodShape | None = None
    """How ResourceQuotas look at each of them; None where nobody said or nobody asks."""
    where: str = ""
    """What they say of where they may be, see templates.whereabouts; empty where nobody asks."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything a job asks for; `total` is the sum over its sets."""

    sets: tuple[AskedSet, ...]
    total: ResourceVector
    templates: tuple[Mapping[str, Any] | None, ...] = ()
    """Each set's template as far as anybody looks at it; empty where nobody does."""


def asked(pod_sets: Iterable[PodSet], namespace: str, surroundings: Surroundings) -> Asked:
    """The requests of these pod sets by the Kubernetes rule, in their namespace.

    Raises InvalidInput with the path of the field that cannot be read or is beyond reason.
    """
    sets: list[AskedSet] = []
    templates: list[Mapping[str, Any] | None] = []
    total = EMPTY
    for pod_set in pod_sets:
        each = of_one_pod(pod_set, namespace, surroundings)
        whole = each * pod_set.count
        total += whole
        for name, amount in total.items:
            if amount > MOST_AMOUNT:
                who = "1 pod asks" if pod_set.count == 1 else f"{pod_set.count} pods ask"
                raise InvalidManifest(
                    f"{who} for more {name} than can be counted",
                    pod_set.path,
                    "ask for less or for fewer pods",
                )
        template = _template(pod_set, namespace, surroundings)
        shape = None if template is None else pod_shape(template["spec"])
        where = whereabouts(template) if template is not None else ""
        templates.append(template)
        sets.append(AskedSet(pod_set.name, pod_set.count, each, shape, where))
    if len(sets) > MOST_POD_SETS:
        raise InvalidManifest(
            f"the job has {len(sets)} groups of pods", "spec", f"use at most {MOST_POD_SETS}"
        )
    looked_at = surroundings.by_namespace or surroundings.asks_nodes
    return Asked(tuple(sets), total, tuple(templates) if looked_at else ())


def _template(
    pod_set: PodSet, namespace: str, surroundings: Surroundings
) -> Mapping[str, Any] | None:
    template = pod_set.template
    if pod_set.requests is not None or template is None:
        return None
    if not surroundings.by_namespace:
        asked_for = surroundings.asks_nodes
        return template_for_nodes(template, namespace, surroundings) if asked_for else None
    lean = lean_template(template, namespace, surroundings)
    return with_whereabouts(lean, template) if surroundings.asks_nodes else lean


def of_one_pod(pod_set: PodSet, namespace: str, surroundings: Surroundings) -> ResourceVector:
    """What each pod of the set asks for. Raises InvalidInput."""
    if pod_set.requests is not None:
        return pod_set.requests
    path = pod_set.path if pod_set.whole else f"{pod_set.path}.template"
    if pod_set.template is None:
        raise InvalidManifest("is missing", path, "write a pod template")
    try:
        spec = demand_section(pod_set.template, "spec")
    except InvalidManifest as error:
        raise error.under(path) from None
    where = f"{path}.spec" if path else "spec"
    if not spec.get("containers"):
        # Such a pod is refused when it is created: released, the job would hold quota for ever.
        problem = "a pod needs at least one container"
        raise InvalidManifest(problem, f"{where}.containers", "add one")
    return pod_request(
        spec,
        where,
        container_defaults=surroundings.container_defaults.get(namespace, EMPTY),
        runtime_overhead=surroundings.overheads.get(text(spec, "runtimeClassName"), EMPTY),
    )
