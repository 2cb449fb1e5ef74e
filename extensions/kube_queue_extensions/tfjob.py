"""TFJob of kubeflow.org/v1."""

from __future__ import annotations

from kube_queue.api.types import TFJOBS
from kube_queue_extensions.kubeflow import KubeflowJob


class TFJobExtension(KubeflowJob):
    """See KubeflowJob."""

    name = "tfjob"
    resource = TFJOBS
    suffix = "tf"
    replica_specs = "tfReplicaSpecs"
    types = ("Chief", "Evaluator", "Master", "PS", "Worker")
