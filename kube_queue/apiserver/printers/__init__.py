"""How objects become the cells of a table.

Holds: human durations (durations.py), JSONPath as printer columns use it (jsonpath.py), one
    printer for each built-in kind that has more to show than its name (pods.py, workloads.py,
    apps.py, storage.py, cluster.py), and the index of them.
May import: the standard library, orjson, kinds.
Never: the clock; the present comes in as `now`, seconds since the epoch.
"""

from collections.abc import Mapping

from kube_queue.apiserver.printers import apps, cluster, pods, storage, workloads
from kube_queue.apiserver.printers.rows import Printer

PRINTERS: Mapping[tuple[str, str], Printer] = {
    ("", "ConfigMap"): cluster.config_map,
    ("", "Endpoints"): workloads.endpoints,
    ("", "Event"): cluster.event,
    ("", "Namespace"): cluster.namespace,
    ("", "Node"): cluster.node,
    ("", "PersistentVolume"): storage.persistent_volume,
    ("", "PersistentVolumeClaim"): storage.persistent_volume_claim,
    ("", "Pod"): pods.pod,
    ("", "ReplicationController"): apps.replication_controller,
    ("", "ResourceQuota"): cluster.resource_quota,
    ("", "Secret"): cluster.secret,
    ("", "Service"): workloads.service,
    ("", "ServiceAccount"): cluster.service_account,
    ("apps", "ControllerRevision"): apps.controller_revision,
    ("apps", "DaemonSet"): apps.daemon_set,
    ("apps", "Deployment"): apps.deployment,
    ("apps", "ReplicaSet"): apps.replica_set,
    ("apps", "StatefulSet"): apps.stateful_set,
    ("autoscaling", "Scale"): apps.scale,
    ("batch", "CronJob"): workloads.cron_job,
    ("batch", "Job"): workloads.job,
    ("coordination.k8s.io", "Lease"): cluster.lease,
    ("events.k8s.io", "Event"): cluster.event,
    ("networking.k8s.io", "Ingress"): workloads.ingress,
    ("policy", "PodDisruptionBudget"): apps.pod_disruption_budget,
    ("scheduling.k8s.io", "PriorityClass"): cluster.priority_class,
    ("storage.k8s.io", "CSINode"): storage.csi_node,
    ("storage.k8s.io", "StorageClass"): storage.storage_class,
}
"""Group and kind -> printer; its cells follow the columns of the kind."""

__all__ = ["PRINTERS", "Printer"]
