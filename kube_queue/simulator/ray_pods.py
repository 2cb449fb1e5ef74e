"""The pods KubeRay makes for a RayJob: a head, workers group by group, a submitter.

Source: github.com/ray-project/kuberay v1.7. Head and workers serve until they are taken away,
whatever their template's command; the submitter runs the job's entrypoint. Here they belong to the
RayJob itself: no RayCluster and no Job stands between, so nothing is queued or counted twice.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kube_queue.simulator.fields import mapping, mappings, number, text
from kube_queue.simulator.outcome import NewPod, until_stopped
from kube_queue.simulator.owned_pods import Wanted

SUBMITTER_RESOURCES: Final = {
    "requests": {"cpu": "500m", "memory": "200Mi"},
    "limits": {"cpu": "1", "memory": "1Gi"},
}
AUTOSCALER_RESOURCES: Final = {
    "requests": {"cpu": "500m", "memory": "512Mi"},
    "limits": {"cpu": "500m", "memory": "512Mi"},
}
MOST_WORKERS: Final = 10_000
"""More workers of a group than this are not made."""
_LONGEST_PREFIX: Final = 50
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"


def generated(name: str, *seeds: str) -> str:
    """The name and five letters that follow from the seeds."""
    digest = zlib.crc32(" ".join((name, *seeds)).encode())
    letters = ""
    for _ in range(5):
        digest, index = divmod(digest, len(_LETTERS))
        letters += _LETTERS[index]
    return f"{name}-{letters}"


def cluster_pods(job: Mapping[str, Any], cluster: str) -> Iterator[NewPod]:
    """The head and the workers of the job's cluster of that name."""
    spec = mapping(job.get("spec"))
    given = mapping(spec.get("rayClusterSpec"))
    if not given:
        return
    template = mapping(mapping(given.get("headGroupSpec")).get("template"))
    beside: list[dict[str, Any]] = []
    if given.get("enableInTreeAutoscaling") is True:
        options = mapping(given.get("autoscalerOptions"))
        resources = options.get("resources") or AUTOSCALER_RESOURCES
        beside.append(_container("autoscaler", template, resources))
    if spec.get("submissionMode") == "SidecarMode":
        beside.append(_container("ray-job-submitter", template, SUBMITTER_RESOURCES))
    yield _serving(f"{_prefix(cluster)}-head", cluster, "head", "headgroup", template, beside)
    for group in mappings(given.get("workerGroupSpecs")):
        name = text(group.get("groupName")) or "workers"
        template = mapping(group.get("template"))
        prefix = _prefix(f"{cluster}-{name}")
        for index in range(_workers(group)):
            yield _serving(f"{prefix}-worker-{index}", cluster, "worker", name, template, [])


def submitter_pod(job: Mapping[str, Any], cluster: str) -> NewPod:
    """The pod that submits the entrypoint to the cluster and waits for its end."""
    metadata, spec = mapping(job.get("metadata")), mapping(job.get("spec"))
    name = text(metadata.get("name"))
    given = spec.get("submitterPodTemplate")
    head = mapping(
        mapping(mapping(spec.get("rayClusterSpec")).get("headGroupSpec")).get("template")
    )
    container = _container("ray-job-submitter", head, SUBMITTER_RESOURCES)
    template: dict[str, Any] = {"spec": {"containers": [container]}}
    if isinstance(given, dict):
        template = {**given, "spec": dict(mapping(given.get("spec")))}
        template["spec"]["containers"] = [
            dict(each) for each in mappings(template["spec"].get("containers"))
        ] or [container]
    first = template["spec"]["containers"][0]
    if not first.get("command"):
        first["command"] = ["/bin/bash", "-ce", "--"]
        first["args"] = [text(spec.get("entrypoint"))]
    wanted = Wanted(
        submitter_name(name, cluster),
        {"ray.io/originated-from-cr-name": name, "ray.io/originated-from-crd": "RayJob"},
        spec={"restartPolicy": "Never"},
    )
    return NewPod(template, wanted)


def submitter_name(name: str, cluster: str) -> str:
    """The name of the pod that submits to the cluster."""
    return generated(name, cluster)


def entrypoint_pod(job: Mapping[str, Any]) -> dict[str, Any]:
    """A pod that nobody makes: how long a job without a submitter of its own runs."""
    metadata, spec = mapping(job.get("metadata")), mapping(job.get("spec"))
    annotations = mapping(metadata.get("annotations"))
    command = ["/bin/bash", "-ce", "--", text(spec.get("entrypoint"))]
    return {
        "metadata": {"annotations": annotations},
        "spec": {"containers": [{"command": command}]},
    }


def _prefix(name: str) -> str:
    """What a pod's name begins with; two long names stay different."""
    if len(name) <= _LONGEST_PREFIX:
        return name
    return generated(name[: _LONGEST_PREFIX - 6], name)


def _serving(
    name: str,
    cluster: str,
    node_type: str,
    group: str,
    template: Mapping[str, Any],
    beside: list[dict[str, Any]],
) -> NewPod:
    spec = dict(mapping(template.get("spec")))
    if beside:
        spec["containers"] = [*mappings(spec.get("containers")), *beside]
    labels = {
        "ray.io/cluster": cluster,
        "ray.io/group": group,
        "ray.io/is-ray-node": "yes",
        "ray.io/node-type": node_type,
    }
    wanted = Wanted(name.lower(), labels, until_stopped(template))
    return NewPod({**template, "spec": spec}, wanted)


def _container(name: str, head: Mapping[str, Any], resources: Mapping[str, Any]) -> dict[str, Any]:
    containers = mappings(mapping(head.get("spec")).get("containers"))
    image = text(containers[0].get("image")) if containers else ""
    return {"name": name, "image": image or "rayproject/ray", "resources": dict(resources)}


def _workers(group: Mapping[str, Any]) -> int:
    if group.get("suspend") is True:
        return 0
    replicas = max(number(group.get("replicas")), number(group.get("minReplicas")))
    replicas = min(replicas, number(group.get("maxReplicas"), replicas))
    return max(0, min(replicas * (number(group.get("numOfHosts"), 1) or 1), MOST_WORKERS))
