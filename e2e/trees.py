"""Manifests for scenarios: what sets the limits, and the Queues that wait for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kube_queue.api.names import PRIORITY_THRESHOLD_ANNOTATION, QUEUE_NAMESPACE, TREE_NAMESPACE

Object = dict[str, Any]
TREE_NAME = "elasticquotatree"


def tree(cpu: str, *leaves: tuple[str, str], memory: str = "64Gi", **more: str) -> Object:
    """An ElasticQuotaTree: a root of max `cpu`, and per leaf (namespace, max cpu) one node."""
    bounds = {"memory": memory, **more}
    return quota_tree(
        {"cpu": cpu, **bounds},
        *(
            leaf(namespace, {"cpu": limit, **bounds}, {"cpu": "0"})
            for namespace, limit in (leaves or (("default", cpu),))
        ),
    )


def borrowing(cpu: str, *leaves: tuple[str, str]) -> Object:
    """An ElasticQuotaTree of max `cpu`; per (namespace, min cpu) a leaf that may use all of it."""
    bound = {"cpu": cpu}
    return quota_tree(bound, *(leaf(name, bound, {"cpu": own}) for name, own in leaves))


def leaf(namespace: str, most: Mapping[str, str], least: Mapping[str, str]) -> Object:
    """The node `root.NAMESPACE` of a tree."""
    return {
        "name": f"root.{namespace}",
        "namespaces": [namespace],
        "max": dict(most),
        "min": dict(least),
    }


def quota_tree(most: Mapping[str, str], *leaves: Object) -> Object:
    """The one ElasticQuotaTree, with these nodes below a root of this max.

    The root names no min: that is the sum of theirs.
    """
    root = {
        "name": "root",
        "namespaces": [],
        "max": dict(most),
        "children": list(leaves),
    }
    return {
        "apiVersion": "scheduling.sigs.k8s.io/v1beta1",
        "kind": "ElasticQuotaTree",
        "metadata": {"name": TREE_NAME, "namespace": TREE_NAMESPACE},
        "spec": {"root": root},
    }


def resource_quota(**hard: str) -> Object:
    """A ResourceQuota of namespace default; `_` in a key stands for `.`."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "quota", "namespace": "default"},
        "spec": {"hard": {key.replace("_", "."): amount for key, amount in hard.items()}},
    }


def queue(
    name: str, policy: str = "", *, threshold: int | None = None, checks: Sequence[str] = ()
) -> Object:
    """A Queue that jobs name; a policy it does not name is the controller's."""
    spec: Object = {"queuePolicy": policy} if policy else {}
    if checks:
        spec["admissionChecks"] = [{"name": check} for check in checks]
    annotations = {} if threshold is None else {PRIORITY_THRESHOLD_ANNOTATION: str(threshold)}
    return {
        "apiVersion": "scheduling.x-k8s.io/v1alpha1",
        "kind": "Queue",
        "metadata": {"name": name, "namespace": QUEUE_NAMESPACE, "annotations": annotations},
        "spec": spec,
    }


def namespace(name: str) -> Object:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
