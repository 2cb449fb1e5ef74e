"""What a job's unit takes from objects around the job: quota tree, priority classes, defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kube_queue.api.quota import QuotaTree
from kube_queue.api.resources import ResourceVector


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The present objects around the jobs. The mappings may be live views of a mutable memory."""

    tree: QuotaTree | None = None
    priority_classes: Mapping[str, int] = field(default_factory=dict)
    """Value by name."""
    default_priority_class: str = ""
    """Name of the class that is the cluster's default; empty if none is."""
    container_defaults: Mapping[str, ResourceVector] = field(default_factory=dict)
    """By namespace: what the LimitRanges give a container that requests nothing."""
    overheads: Mapping[str, ResourceVector] = field(default_factory=dict)
    """By RuntimeClass: what a pod of it takes besides its containers."""
    container_limits: Mapping[str, ResourceVector] = field(default_factory=dict)
    """By namespace: what the LimitRanges limit a container to that sets no limit."""
    by_namespace: bool = False
    """Whether the ResourceQuotas of a job's namespace are its quota."""
    asks_nodes: bool = False
    """Whether nodes are asked before a job is released: its unit says where its pods may be."""
