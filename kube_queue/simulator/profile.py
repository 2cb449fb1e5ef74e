"""Named sets of simulated nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kube_queue.api.errors import InvalidSetting


@dataclass(frozen=True, slots=True)
class Profile:
    """A set of equal nodes: how many, and what each has (cpu and memory as quantities).

    `gpu` counts nvidia.com/gpu devices a node; nodes are dealt to `zones` in turn.
    """

    name: str = "default"
    nodes: int = 3
    cpu: str = "8"
    memory: str = "32Gi"
    gpu: int = 0
    zones: tuple[str, ...] = ("zone-a",)
    pods: int = 110

    def node_names(self) -> list[str]:
        """node-1, node-2 and so on."""
        return [f"node-{number}" for number in range(1, self.nodes + 1)]

    def zone(self, node_name: str) -> str:
        """The zone of one of its nodes; empty when the profile has none."""
        index = int(node_name.rpartition("-")[2]) - 1
        return self.zones[index % len(self.zones)] if self.zones else ""


_THREE_ZONES = ("zone-a", "zone-b", "zone-c")

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(),
        Profile(name="small", nodes=1, cpu="4", memory="16Gi"),
        Profile(name="gpu", cpu="64", memory="512Gi", gpu=8, zones=_THREE_ZONES),
        Profile(name="large", nodes=100, cpu="64", memory="256Gi", zones=_THREE_ZONES),
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
