"""Named sets of simulated nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from kube_queue.api.errors import InvalidSetting

GPU: Final = "nvidia.com/gpu"
_THREE_ZONES: Final = ("zone-a", "zone-b", "zone-c")


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPU cards of a node: how many, which model, and how much memory each has."""

    count: int
    model: str
    memory_mib: int

    def labels(self) -> dict[str, str]:
        """What NVIDIA's feature discovery, and Alibaba Cloud's, write on a node with such cards."""
        count, memory = str(self.count), str(self.memory_mib)
        return {
            "nvidia.com/gpu.count": count,
            "nvidia.com/gpu.memory": memory,
            "nvidia.com/gpu.present": "true",
            "nvidia.com/gpu.product": self.model,
            "aliyun.accelerator/nvidia_count": count,
            "aliyun.accelerator/nvidia_mem": f"{memory}MiB",
            "aliyun.accelerator/nvidia_name": self.model,
        }


@dataclass(frozen=True, slots=True)
class Profile:
    """A set of equal nodes: how many, and what each has (cpu and memory as quantities).

    Nodes are dealt to `zones` in turn; without any they have no zone.
    """

    name: str = "default"
    nodes: int = 3
    cpu: str = "8"
    memory: str = "32Gi"
    gpus: Gpus | None = None
    zones: tuple[str, ...] = _THREE_ZONES
    pods: int = 110

    def node_names(self) -> list[str]:
        """node-1, node-2 and so on."""
        return [f"node-{number}" for number in range(1, self.nodes + 1)]

    def zone(self, node_name: str) -> str:
        """The zone of one of its nodes; empty when the profile has none."""
        index = int(node_name.rpartition("-")[2]) - 1
        return self.zones[index % len(self.zones)] if self.zones else ""

    def labels(self, node_name: str) -> dict[str, str]:
        """The labels one of its nodes registers with."""
        labels = {
            "kubernetes.io/hostname": node_name,
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": f"simulated.{self.name}",
        }
        zone = self.zone(node_name)
        if zone:
            labels["topology.kubernetes.io/region"] = "simulated"
            labels["topology.kubernetes.io/zone"] = zone
        return labels if self.gpus is None else {**labels, **self.gpus.labels()}

    def capacity(self) -> dict[str, str]:
        """What one of its nodes has, as quantities by resource."""
        capacity = {
            "cpu": self.cpu,
            "memory": self.memory,
            "ephemeral-storage": "100Gi",
            "pods": str(self.pods),
        }
        return capacity if self.gpus is None else {**capacity, GPU: str(self.gpus.count)}


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(),
        Profile(name="small", nodes=1, cpu="4", memory="16Gi", zones=("zone-a",)),
        Profile(
            name="gpu",
            cpu="64",
            memory="512Gi",
            gpus=Gpus(count=8, model="NVIDIA-A100-SXM4-80GB", memory_mib=81_920),
        ),
        Profile(name="large", nodes=100, cpu="64", memory="256Gi"),
    )
}
"""The profiles that can be asked for by name."""


def profile_named(name: str, nodes: int | None = None) -> Profile:
    """That profile, with another number of nodes if given.

    Raises InvalidSetting for an unknown name (listing the names) or a negative number.
    """
    profile = PROFILES.get(name)
    if profile is None:
        raise InvalidSetting(
            f"no profile {name!r}", "--profile", f"use one of {', '.join(PROFILES)}"
        )
    if nodes is None:
        return profile
    if nodes < 0:
        raise InvalidSetting(f"{nodes} nodes cannot be", "--nodes", "use 0 or more")
    return replace(profile, nodes=nodes)
