"""PaddleJob of kubeflow.org/v1."""

from __future__ import annotations

from typing import Final

from kube_queue.api.types import ResourceType
from kube_queue_extensions.kubeflow import KubeflowJob

PADDLEJOBS: Final = ResourceType("kubeflow.org", "v1", "paddlejobs", "PaddleJob")


class PaddleJobExtension(KubeflowJob):
    """See KubeflowJob."""

    name = "paddlejob"
    resource = PADDLEJOBS
    suffix = "paddle"
    replica_specs = "paddleReplicaSpecs"
    types = ("Master", "Worker")
