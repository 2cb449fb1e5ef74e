"""JAXJob of kubeflow.org/v1."""

from __future__ import annotations

from typing import Final

from kube_queue.api.types import ResourceType
from kube_queue_extensions.kubeflow import KubeflowJob

JAXJOBS: Final = ResourceType("kubeflow.org", "v1", "jaxjobs", "JAXJob")


class JAXJobExtension(KubeflowJob):
    """See KubeflowJob."""

    name = "jaxjob"
    resource = JAXJOBS
    suffix = "jax"
    replica_specs = "jaxReplicaSpecs"
    types = ("Worker",)
