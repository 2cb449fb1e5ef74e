"""What the kinds of ray.io share: the pods of a RayCluster. Source: see rayjob."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.jobframework.extension import PodSet
from kube_queue.jobframework.fields import (
    MAX_COUNT,
    demand_count,
    demand_flag,
    demand_map,
    demand_section,
    number,
    text,
)

OPERATOR: Final = "ray.io/kuberay-operator"
HEAD: Final = "head"
SUBMITTER: Final = "submitter"
AUTOSCALER_RESOURCES: Final = {"requests": {"cpu": "500m", "memory": "512Mi"}}


def managed_by(manifest: Mapping[str, Any]) -> str:
    """Who runs it if not KubeRay; or empty."""
    named = text(manifest, "spec", "managedBy")
    return "" if named == OPERATOR else named


def alive(status: Mapping[str, Any]) -> int:
    """The pods that a RayCluster's status counts."""
    workers = max(0, number(status, "availableWorkerReplicas"))
    return workers + int(bool(text(status, "head", "podIP")))


def pod_sets(
    cluster: Mapping[str, Any], path: str, beside: Sequence[Mapping[str, Any]] = ()
) -> tuple[PodSet, ...]:
    """The head and one pod set a worker group of the RayCluster spec that stands at `path`.

    `beside` are containers that the head has besides its own. Raises InvalidManifest.
    """
    group = demand_section({path: cluster}, path, "headGroupSpec")
    where = f"{path}.headGroupSpec"
    template = demand_section({where: group}, where, "template")
    added = [*beside]
    autoscales = cluster.get("enableInTreeAutoscaling")
    if demand_flag(autoscales, f"{path}.enableInTreeAutoscaling"):
        options = demand_map(cluster.get("autoscalerOptions"), f"{path}.autoscalerOptions")
        chosen = options.get("resources")
        resources = AUTOSCALER_RESOURCES if chosen is None else chosen
        added.append({"name": "autoscaler", "resources": resources})
    found = [PodSet(HEAD, 1, where, template=_with_containers(template, added))]
    groups = cluster.get("workerGroupSpecs")
    if groups is not None and not isinstance(groups, list):
        raise InvalidManifest("is not a list", f"{path}.workerGroupSpecs", "list worker groups")
    taken: set[str] = set()
    for index, worker in enumerate(groups or ()):
        where = f"{path}.workerGroupSpecs[{index}]"
        if not isinstance(worker, Mapping):
            raise InvalidManifest("is not a mapping", where, "write replicas and a template")
        name = text(worker, "groupName") or "workers"
        if name in taken:
            problem = f"a second group is called {name}"
            raise InvalidManifest(problem, f"{where}.groupName", "give each its own name")
        taken.add(name)
        template = demand_section({where: worker}, where, "template")
        shown = f"{name}-workers" if name in (HEAD, SUBMITTER) else name
        found.append(PodSet(shown, _workers(worker, where), where, template=template))
    return tuple(found)


def _workers(group: Mapping[str, Any], path: str) -> int:
    if demand_flag(group.get("suspend"), f"{path}.suspend"):
        return 0
    least = demand_count(group.get("minReplicas"), 0, f"{path}.minReplicas")
    most = demand_count(group.get("maxReplicas"), MAX_COUNT, f"{path}.maxReplicas")
    replicas = demand_count(group.get("replicas"), 0, f"{path}.replicas")
    hosts = demand_count(group.get("numOfHosts"), 1, f"{path}.numOfHosts") or 1
    if least > most:
        problem = f"minReplicas {least} is above maxReplicas {most}"
        raise InvalidManifest(problem, f"{path}.minReplicas", "change one of them")
    count = min(max(replicas, least), most) * hosts
    if count > MAX_COUNT:
        problem = f"{count} pods are more than can be counted"
        raise InvalidManifest(problem, f"{path}.replicas", f"use at most {MAX_COUNT} in all")
    return count


def _with_containers(
    template: Mapping[str, Any], added: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    spec = template.get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    if not added or not isinstance(spec, Mapping) or not isinstance(containers, list):
        return template
    # A head without a container of its own stays without: such a pod cannot be made.
    every = [*containers, *added] if containers else containers
    return {**template, "spec": {**spec, "containers": every}}
