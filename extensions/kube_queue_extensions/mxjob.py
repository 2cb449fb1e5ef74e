"""MXJob of kubeflow.org/v1. Training operators up to v1.8 run it; later ones know it no more."""

from __future__ import annotations

from typing import Final

from kube_queue.api.types import ResourceType
from kube_queue_extensions.kubeflow import KubeflowJob

MXJOBS: Final = ResourceType("kubeflow.org", "v1", "mxjobs", "MXJob")


class MXJobExtension(KubeflowJob):
    """See KubeflowJob."""

    name = "mxjob"
    resource = MXJOBS
    suffix = "mx"
    replica_specs = "mxReplicaSpecs"
    types = ("Scheduler", "Server", "Tuner", "TunerServer", "TunerTracker", "Worker")
