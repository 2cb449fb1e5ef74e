"""The nodes and pods of the placing benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

NAMESPACE: Final = "bench"
OURS: Final = "kube-queue-scheduler"
PEER: Final = "default-scheduler"
_GANG: Final = "pod-group.scheduling.sigs.k8s.io"


def node(index: int) -> dict[str, Any]:
    """A node of 32 cpu and 256Gi, in one of three zones."""
    name = f"node-{index:05}"
    amounts = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "topology.kubernetes.io/zone": f"zone-{index % 3}",
            },
        },
        "status": {
            "allocatable": amounts,
            "capacity": amounts,
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def pod(
    index: int, scheduler: str, *, cpu: str = "1", gang: int = 1, priority_class: str = ""
) -> dict[str, Any]:
    """A pod of one container; every ``gang`` of them start together."""
    labels = {"app": "bench"}
    if gang > 1:
        labels[f"{_GANG}/name"] = f"gang-{index // gang}"
        labels[f"{_GANG}/min-available"] = str(gang)
    spec: dict[str, Any] = {
        "schedulerName": scheduler,
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "main",
                "image": "registry.k8s.io/pause:3.10",
                "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}},
            }
        ],
    }
    if priority_class:
        spec["priorityClassName"] = priority_class
    name = f"{'high' if priority_class else 'pod'}-{index:06}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": spec,
    }


def pods(count: int, scheduler: str, gang: int = 1) -> Iterator[dict[str, Any]]:
    """So many pods; what is left of the last gang is left out."""
    for index in range(count - count % gang):
        yield pod(index, scheduler, gang=gang)
