"""PyTorchJob of kubeflow.org/v1."""

from __future__ import annotations

from typing import Final

from kube_queue.api.types import ResourceType
from kube_queue_extensions.kubeflow import KubeflowJob

PYTORCHJOBS: Final = ResourceType("kubeflow.org", "v1", "pytorchjobs", "PyTorchJob")


class PyTorchJobExtension(KubeflowJob):
    """See KubeflowJob."""

    name = "pytorchjob"
    resource = PYTORCHJOBS
    suffix = "py"
    replica_specs = "pytorchReplicaSpecs"
    types = ("Master", "Worker")
