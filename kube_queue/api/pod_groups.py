"""Pods that wait together: to which group a pod says it belongs, and how the group is identified.

A group is no object of its own. It is what its pods say, so its identity is its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.names import POD_GROUP_LABEL

POD_MAKERS: Final = frozenset(
    {("apps", "ReplicaSet"), ("apps", "StatefulSet"), ("", "ReplicationController")}
)
"""Group and kind of controllers that make pods one by one and ask nobody before they do."""


def pod_group(metadata: Mapping[str, Any]) -> str:
    """The name of the group that the pod of this metadata is part of; empty for none."""
    return text_of(mapping_of(metadata.get("labels")).get(POD_GROUP_LABEL))


def pod_group_uid(namespace: str, name: str) -> str:
    """What stands for the uid of a group, which no object has."""
    return f"pod-group/{namespace}/{name}"
