"""The plug-ins, each in a file of its own; a new one is a file and a line here."""

from __future__ import annotations

from typing import Final

from kube_queue.placement.framework import PluginFactory
from kube_queue.placement.plugins.balanced_allocation import NodeResourcesBalancedAllocation
from kube_queue.placement.plugins.capacity_scheduling import CapacityScheduling
from kube_queue.placement.plugins.default_preemption import DefaultPreemption
from kube_queue.placement.plugins.image_locality import ImageLocality
from kube_queue.placement.plugins.inter_pod_affinity import InterPodAffinity
from kube_queue.placement.plugins.node_affinity import NodeAffinity
from kube_queue.placement.plugins.node_ports import NodePorts
from kube_queue.placement.plugins.node_unschedulable import NodeUnschedulable
from kube_queue.placement.plugins.node_volume_limits import NodeVolumeLimits
from kube_queue.placement.plugins.pod_topology_spread import PodTopologySpread
from kube_queue.placement.plugins.resources_fit import LeastAllocated
from kube_queue.placement.plugins.taint_toleration import TaintToleration
from kube_queue.placement.plugins.volume_binding import VolumeBinding
from kube_queue.placement.plugins.volume_restrictions import VolumeRestrictions
from kube_queue.placement.plugins.volume_zone import VolumeZone

BASE: Final[tuple[PluginFactory, ...]] = (
    NodeUnschedulable,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    LeastAllocated,
    VolumeRestrictions,
    NodeVolumeLimits,
    VolumeBinding,
    VolumeZone,
    PodTopologySpread,
    InterPodAffinity,
    NodeResourcesBalancedAllocation,
    ImageLocality,
    CapacityScheduling,
    DefaultPreemption,
)
"""In the order in which a node's first refusal is told."""
