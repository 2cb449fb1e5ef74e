"""Which rules hold for which kind."""

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.rules.base import Rules
from kube_queue.apiserver.rules.crds import CustomResourceDefinitionRules
from kube_queue.apiserver.rules.jobs import JobRules
from kube_queue.apiserver.rules.pods import PodRules
from kube_queue.apiserver.rules.small import (
    LimitRangeRules,
    NamespaceRules,
    NodeRules,
    PlainRules,
    PriorityClassRules,
    ResourceQuotaRules,
)

_CUSTOM = Rules()
_PLAIN = PlainRules()
_RULES: dict[tuple[str, str], Rules] = {
    ("", "namespaces"): NamespaceRules(),
    ("", "nodes"): NodeRules(),
    ("", "pods"): PodRules(),
    ("batch", "jobs"): JobRules(),
    ("", "limitranges"): LimitRangeRules(),
    ("", "resourcequotas"): ResourceQuotaRules(),
    ("apiextensions.k8s.io", "customresourcedefinitions"): CustomResourceDefinitionRules(),
    ("scheduling.k8s.io", "priorityclasses"): PriorityClassRules(),
}


def rules_of(kind: Kind) -> Rules:
    """The kind's rules."""
    if not kind.builtin:
        return _CUSTOM
    return _RULES.get((kind.group, kind.plural), _PLAIN)
