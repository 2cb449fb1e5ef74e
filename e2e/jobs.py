"""Manifests for scenarios: trees, jobs and the questions one asks of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Object = dict[str, Any]


def tree(cpu: str, *leaves: tuple[str, str], memory: str = "64Gi", **more: str) -> Object:
    """An ElasticQuotaTree: a root of max `cpu`, and per leaf (namespace, max cpu) one node."""
    children = [
        {
            "name": f"root.{namespace}",
            "namespaces": [namespace],
            "max": {"cpu": limit, "memory": memory, **more},
            "min": {"cpu": "0"},
        }
        for namespace, limit in (leaves or (("default", cpu),))
    ]
    return {
        "apiVersion": "scheduling.sigs.k8s.io/v1beta1",
        "kind": "ElasticQuotaTree",
        "metadata": {"name": "elasticquotatree", "namespace": "kube-system"},
        "spec": {
            "root": {
                "name": "root",
                "namespaces": [],
                "max": {"cpu": cpu, "memory": memory, **more},
                "min": {"cpu": "0"},
                "children": children,
            }
        },
    }


def pod_template(cpu: str, memory: str, seconds: float, container: str = "main") -> Object:
    """A pod that sleeps for this long and asks for this much."""
    amounts = {"cpu": cpu, "memory": memory}
    return {
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": container,
                    "image": "busybox",
                    "command": ["/bin/sh", "-c", "--"],
                    "args": [f"sleep {seconds:g}s"],
                    "resources": {"requests": amounts, "limits": amounts},
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
    """A suspended batch Job."""
    annotations = {} if priority is None else {"scheduling.x-k8s.io/priority": str(priority)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
        "spec": {
            "suspend": True,
            "parallelism": parallelism,
            "completions": parallelism,
            "template": pod_template(cpu, memory, seconds),
        },
    }


def tfjob(name: str, *, seconds: float, workers: int = 2) -> Object:
    """A suspended TFJob of one PS and some workers, 1 cpu and 1Gi each."""
    replicas = {
        kind: {
            "replicas": count,
            "restartPolicy": "Never",
            "template": pod_template("1", "1Gi", seconds, "tensorflow"),
        }
        for kind, count in (("PS", 1), ("Worker", workers))
    }
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {
            "name": name,
            "namespace": "default",
            "annotations": {"scheduling.x-k8s.io/suspend": "true"},
        },
        "spec": {"runPolicy": {"cleanPodPolicy": "Running"}, "tfReplicaSpecs": replicas},
    }


def namespace(name: str) -> Object:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def unit_of(units: Sequence[Object], job_name: str) -> Object | None:
    """The QueueUnit whose consumerRef names this job."""
    found = [one for one in units if one["spec"].get("consumerRef", {}).get("name") == job_name]
    return found[0] if found else None


def phase(units: Sequence[Object], job_name: str) -> str:
    """The phase of this job's unit; `none` while it has no unit."""
    unit = unit_of(units, job_name)
    return "none" if unit is None else unit.get("status", {}).get("phase") or "Enqueued"


def admitted(units: Sequence[Object], *job_names: str) -> bool:
    """Whether the units of all these jobs hold quota."""
    return all(phase(units, name) in {"Dequeued", "Running"} for name in job_names)


def waits_because(units: Sequence[Object], job_name: str, reason: str) -> bool:
    """Whether this job's unit waits and its status says this reason."""
    unit = unit_of(units, job_name)
    status: Mapping[str, Any] = (unit or {}).get("status", {})
    return phase(units, job_name) == "Enqueued" and status.get("reason") == reason
