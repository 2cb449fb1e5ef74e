"""TFJob of kubeflow.org/v1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube_queue.api.types import TFJOBS
from kube_queue.jobframework.extension import JobPatch, JobState, PodSet
from kube_queue_extensions import kubeflow

REPLICA_TYPES: Final = ("Chief", "Evaluator", "Master", "PS", "Worker")


class TFJobExtension:
    """Held by its annotation or runPolicy.suspend; one pod set a replica type."""

    name = "tfjob"
    aliases: tuple[str, ...] = ()
    resource = TFJOBS
    suffix = "tf"

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        return kubeflow.state(manifest)

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        return kubeflow.pod_sets(manifest, "tfReplicaSpecs", REPLICA_TYPES)

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension."""
        return kubeflow.priority_class(manifest)

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return kubeflow.resume(manifest)

    def suspend(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Suspendable."""
        return kubeflow.suspend(manifest)

    def queuing(self, manifest: Mapping[str, Any], waits: bool, now_text: str) -> JobPatch | None:
        """See ShowsQueuing."""
        return kubeflow.queuing(manifest, waits, now_text)
