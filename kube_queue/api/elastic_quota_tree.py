"""The ElasticQuotaTree as it stands on the wire; see quota.py for what is made of it.

The models recurse; a structural schema cannot, so the CRD types the root and leaves its
descendants open. Every rule, at any depth, is checked in quota.py.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from kube_queue.api.wire import Conditions, FreeResourceList, WireModel

_ATOMIC = {"x-kubernetes-list-type": "atomic"}


class QuotaNodeSpec(WireModel):
    """One quota: what it guarantees, what it allows, and how it is divided."""

    name: str
    """Unique in the tree; jobs name it by label."""
    namespaces: Annotated[list[str] | None, Field(json_schema_extra=_ATOMIC)] = None
    """Whose jobs are charged here unless their label says otherwise; leaves only."""
    attributes: dict[str, str] | None = None
    """alibabacloud.com/lendlimit: JSON resource list, how much of min others may borrow."""
    min: FreeResourceList | None = None
    """Guaranteed amounts; an absent resource has none."""
    max: FreeResourceList | None = None
    """Upper bounds; an absent resource is unlimited, zero allows nothing."""
    children: Annotated[list[QuotaNodeSpec] | None, Field(json_schema_extra=_ATOMIC)] = None
    """The quotas this one is divided into, of the same form, to any depth."""


class QuotaNodeStatus(WireModel):
    """What is used of one quota."""

    name: str
    """The node's name."""
    namespaces: Annotated[list[str] | None, Field(json_schema_extra=_ATOMIC)] = None
    """The namespaces that are charged here."""
    used: FreeResourceList | None = None
    """What admitted units and other live pods take."""
    request: FreeResourceList | None = None
    """What all units ask for, waiting ones included."""
    children: Annotated[list[QuotaNodeStatus] | None, Field(json_schema_extra=_ATOMIC)] = None
    """The same for each child, to any depth."""


class ElasticQuotaTreeSpec(WireModel):
    """The tree."""

    root: QuotaNodeSpec | None = None
    """The quota everything else is part of."""


class ElasticQuotaTreeStatus(WireModel):
    """What is used of the tree and what is wrong with it."""

    root: QuotaNodeStatus | None = None
    """Mirrors spec.root."""
    conditions: Conditions = Field(default_factory=list)
    """Valid: whether the tree keeps every rule; the message lists the broken ones."""


class ElasticQuotaTree(WireModel):
    """How the cluster is divided among its teams; takes effect in namespace kube-system."""

    api_version: Literal["scheduling.sigs.k8s.io/v1beta1"] = "scheduling.sigs.k8s.io/v1beta1"
    kind: Literal["ElasticQuotaTree"] = "ElasticQuotaTree"
    metadata: dict[str, Any] = Field(default_factory=dict)
    spec: ElasticQuotaTreeSpec = Field(default_factory=ElasticQuotaTreeSpec)
    status: ElasticQuotaTreeStatus = Field(default_factory=ElasticQuotaTreeStatus)
