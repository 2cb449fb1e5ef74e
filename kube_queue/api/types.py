"""The resource types this product reads and writes, each with its URL path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class ResourceType:
    """One served kind: enough to build a URL or an object of it.

    ``group`` is empty for the core API. Cluster-scoped types ignore the namespace they are given.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """``v1`` or ``group/version``, as objects spell it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, of one object, or of its subresource.

        An empty namespace means the collection over all namespaces.
        """
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if namespace and self.namespaced:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
            if subresource:
                parts.append(subresource)
        return "/".join(parts)


QUEUE_UNITS: Final = ResourceType("scheduling.x-k8s.io", "v1alpha1", "queueunits", "QueueUnit")
QUEUES: Final = ResourceType("scheduling.x-k8s.io", "v1alpha1", "queues", "Queue")
ELASTIC_QUOTA_TREES: Final = ResourceType(
    "scheduling.sigs.k8s.io", "v1beta1", "elasticquotatrees", "ElasticQuotaTree"
)
POD_GROUPS: Final = ResourceType("scheduling.sigs.k8s.io", "v1alpha1", "podgroups", "PodGroup")
X_POD_GROUPS: Final = ResourceType("scheduling.x-k8s.io", "v1alpha1", "podgroups", "PodGroup")
KUBERNETES_POD_GROUPS: Final = ResourceType(
    "scheduling.k8s.io", "v1alpha2", "podgroups", "PodGroup"
)
CRDS: Final = ResourceType(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False
)
NAMESPACES: Final = ResourceType("", "v1", "namespaces", "Namespace", False)
NODES: Final = ResourceType("", "v1", "nodes", "Node", False)
PODS: Final = ResourceType("", "v1", "pods", "Pod")
EVENTS: Final = ResourceType("", "v1", "events", "Event")
RESOURCE_QUOTAS: Final = ResourceType("", "v1", "resourcequotas", "ResourceQuota")
LIMIT_RANGES: Final = ResourceType("", "v1", "limitranges", "LimitRange")
PERSISTENT_VOLUMES: Final = ResourceType("", "v1", "persistentvolumes", "PersistentVolume", False)
PERSISTENT_VOLUME_CLAIMS: Final = ResourceType(
    "", "v1", "persistentvolumeclaims", "PersistentVolumeClaim"
)
STORAGE_CLASSES: Final = ResourceType(
    "storage.k8s.io", "v1", "storageclasses", "StorageClass", False
)
CSI_NODES: Final = ResourceType("storage.k8s.io", "v1", "csinodes", "CSINode", False)
POD_DISRUPTION_BUDGETS: Final = ResourceType(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"
)
LEASES: Final = ResourceType("coordination.k8s.io", "v1", "leases", "Lease")
PRIORITY_CLASSES: Final = ResourceType(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False
)
RUNTIME_CLASSES: Final = ResourceType("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", False)
DEPLOYMENTS: Final = ResourceType("apps", "v1", "deployments", "Deployment")
REPLICA_SETS: Final = ResourceType("apps", "v1", "replicasets", "ReplicaSet")
JOBS: Final = ResourceType("batch", "v1", "jobs", "Job")
TFJOBS: Final = ResourceType("kubeflow.org", "v1", "tfjobs", "TFJob")
