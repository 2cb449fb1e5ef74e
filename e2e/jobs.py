"""Manifests of jobs for scenarios, and the questions one asks of their units."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kube_queue.api.names import (
    EXPECTED_RUN_SECONDS_ANNOTATION,
    PREEMPTIBLE_LABELS,
    PRIORITY_ANNOTATION,
    QUEUE_NAME_ANNOTATION,
    SCHEDULING_GATE,
    SUSPEND_ANNOTATION,
)

Object = dict[str, Any]
HOLDS = frozenset({"Reserved", "Dequeued", "Running"})
FINISHED = frozenset({"Succeed", "Failed"})


def pod_template(amounts: Mapping[str, str], seconds: float, container: str = "main") -> Object:
    """A pod that sleeps for this long and asks for this much."""
    return {
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": container,
                    "image": "busybox",
                    "command": ["/bin/sh", "-c", "--"],
                    "args": [f"sleep {seconds:g}s"],
                    "resources": {"requests": dict(amounts), "limits": dict(amounts)},
                }
            ],
        }
    }


def job(
    name: str,
    cpu: str,
    *,
    seconds: float = 600,
    memory: str = "16Mi",
    namespace: str = "default",
    priority: int | None = None,
    parallelism: int = 1,
) -> Object:
    """A suspended batch Job; it asks for nothing where `cpu` is empty."""
    annotations = {} if priority is None else {PRIORITY_ANNOTATION: str(priority)}
    amounts = {"cpu": cpu, "memory": memory} if cpu else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {
            "suspend": True,
            "parallelism": parallelism,
            "completions": parallelism,
            "template": pod_template(amounts, seconds),
        },
    }


def gated(one: Mapping[str, Any]) -> bool:
    """Whether our gate keeps this pod from a node."""
    gates = one.get("spec", {}).get("schedulingGates") or ()
    return any(gate["name"] == SCHEDULING_GATE for gate in gates)


def tfjob(name: str, *, seconds: float, workers: int = 2, namespace: str = "default") -> Object:
    """A suspended TFJob of one PS and some workers, 1 cpu and 1Gi each."""
    replicas = {
        kind: {
            "replicas": count,
            "restartPolicy": "Never",
            "template": pod_template({"cpu": "1", "memory": "1Gi"}, seconds, "tensorflow"),
        }
        for kind, count in (("PS", 1), ("Worker", workers))
    }
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": {SUSPEND_ANNOTATION: "true"},
        },
        "spec": {"runPolicy": {"cleanPodPolicy": "Running"}, "tfReplicaSpecs": replicas},
    }


def annotated(manifest: Object, **more: str) -> Object:
    """The job with these annotations: `queue` is its Queue, `expected` its seconds to run."""
    names = {"queue": QUEUE_NAME_ANNOTATION, "expected": EXPECTED_RUN_SECONDS_ANNOTATION}
    annotations = {names[key]: value for key, value in more.items()}
    metadata = manifest["metadata"]
    given = {**metadata.get("annotations", {}), **annotations}
    return {**manifest, "metadata": {**metadata, "annotations": given}}


def non_preemptible(manifest: Object) -> Object:
    """The job that may use only what its quota is guaranteed."""
    labels = {PREEMPTIBLE_LABELS[0]: "false"}
    return {**manifest, "metadata": {**manifest["metadata"], "labels": labels}}


def nowhere(manifest: Object, label: str) -> Object:
    """The Job whose pods find no node until one has this label with value `yes`."""
    spec = manifest["spec"]
    template = spec["template"]
    pod_spec = {**template["spec"], "nodeSelector": {label: "yes"}}
    return {**manifest, "spec": {**spec, "template": {**template, "spec": pod_spec}}}


def unit_of(units: Sequence[Object], job_name: str) -> Object | None:
    """The QueueUnit whose consumerRef names this job."""
    found = [one for one in units if one["spec"].get("consumerRef", {}).get("name") == job_name]
    return found[0] if found else None


def status_of(units: Sequence[Object], job_name: str) -> Mapping[str, Any]:
    """The status of this job's unit; empty while there is none."""
    return (unit_of(units, job_name) or {}).get("status") or {}


def phase(units: Sequence[Object], job_name: str) -> str:
    """The phase of this job's unit; `none` while it has no unit."""
    return phases(units, (job_name,))[0]


def phases(units: Sequence[Object], job_names: Iterable[str]) -> list[str]:
    """The phase of each of these jobs' units; `none` for one that has no unit."""
    found: dict[str, str] = {}
    for one in units:
        name = one["spec"].get("consumerRef", {}).get("name", "")
        found.setdefault(name, one.get("status", {}).get("phase") or "Enqueued")
    return [found.get(name, "none") for name in job_names]


def admitted(units: Sequence[Object], *job_names: str) -> bool:
    """Whether the units of all these jobs are admitted and not finished."""
    return {*phases(units, job_names)} <= {"Dequeued", "Running"}


def waits_because(units: Sequence[Object], job_name: str, *reasons: str) -> bool:
    """Whether this job's unit waits and its status says one of these reasons."""
    reason = status_of(units, job_name).get("reason")
    return phase(units, job_name) == "Enqueued" and reason in reasons


def condition_of(unit: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The unit's condition of this type where it is true; else empty."""
    for one in unit.get("status", {}).get("conditions") or ():
        if one["type"] == kind and one["status"] == "True":
            return dict(one)
    return {}


def evicted(unit: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The condition by which the unit, which holds quota, was told to leave; else empty."""
    if unit is None or unit.get("status", {}).get("phase") not in HOLDS:
        return {}
    return condition_of(unit, "Evicted")
