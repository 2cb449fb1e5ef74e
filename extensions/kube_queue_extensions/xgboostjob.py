"""XGBoostJob of kubeflow.org/v1."""

from __future__ import annotations

from typing import Final

from kube_queue.api.types import ResourceType
from kube_queue_extensions.kubeflow import KubeflowJob

XGBOOSTJOBS: Final = ResourceType("kubeflow.org", "v1", "xgboostjobs", "XGBoostJob")


class XGBoostJobExtension(KubeflowJob):
    """See KubeflowJob."""

    name = "xgboostjob"
    resource = XGBOOSTJOBS
    suffix = "xgb"
    replica_specs = "xgbReplicaSpecs"
    types = ("Master", "Worker")
