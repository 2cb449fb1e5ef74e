"""Which rules hold for which kind."""

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.rules.apps import (
    DaemonSetRules,
    DeploymentRules,
    ReplicaSetRules,
    StatefulSetRules,
)
from kube_queue.apiserver.rules.base import Rules
from kube_queue.apiserver.rules.budgets import PodDisruptionBudgetRules
from kube_queue.apiserver.rules.crds import CustomResourceDefinitionRules
from kube_queue.apiserver.rules.jobs import JobRules
from kube_queue.apiserver.rules.pods import PodRules
from kube_queue.apiserver.rules.services import CronJobRules, IdleRules, ServiceRules
from kube_queue.apiserver.rules.small import (
    ConfigMapRules,
    EventRules,
    LeaseRules,
    LimitRangeRules,
    NamespaceRules,
    NodeRules,
    PlainRules,
    PriorityClassRules,
    ResourceQuotaRules,
    ReturnedRules,
    SecretRules,
)
from kube_queue.apiserver.rules.storage import (
    PersistentVolumeClaimRules,
    PersistentVolumeRules,
    StorageClassRules,
)

_CUSTOM = Rules()
_PLAIN = PlainRules()
_RULES: dict[tuple[str, str], Rules] = {
    ("", "configmaps"): ConfigMapRules(),
    ("", "events"): EventRules(),
    ("", "namespaces"): NamespaceRules(),
    ("", "nodes"): NodeRules(),
    ("", "pods"): PodRules(),
    ("apps", "daemonsets"): DaemonSetRules(),
    ("apps", "deployments"): DeploymentRules(),
    ("apps", "replicasets"): ReplicaSetRules(),
    ("apps", "statefulsets"): StatefulSetRules(),
    ("", "secrets"): SecretRules(),
    ("", "serviceaccounts"): ReturnedRules(),
    ("batch", "jobs"): JobRules(),
    ("coordination.k8s.io", "leases"): LeaseRules(),
    ("", "limitranges"): LimitRangeRules(),
    ("", "persistentvolumes"): PersistentVolumeRules(),
    ("", "persistentvolumeclaims"): PersistentVolumeClaimRules(),
    ("", "replicationcontrollers"): IdleRules(),
    ("", "services"): ServiceRules(),
    ("batch", "cronjobs"): CronJobRules(),
    ("networking.k8s.io", "ingresses"): IdleRules(),
    ("", "resourcequotas"): ResourceQuotaRules(),
    ("apiextensions.k8s.io", "customresourcedefinitions"): CustomResourceDefinitionRules(),
    ("policy", "poddisruptionbudgets"): PodDisruptionBudgetRules(),
    ("scheduling.k8s.io", "priorityclasses"): PriorityClassRules(),
    ("storage.k8s.io", "storageclasses"): StorageClassRules(),
}


def rules_of(kind: Kind) -> Rules:
    """The kind's rules."""
    if not kind.builtin:
        return _CUSTOM
    return _RULES.get((kind.group, kind.plural), _PLAIN)
