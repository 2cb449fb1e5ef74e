"""What is placed in one go: a gang, several gangs that belong together, or one pod."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kube_queue.api.pods import Pod
from kube_queue.placement.verdict import Refusal


class UnitKey(NamedTuple):
    """Names a unit; ``pod`` is the uid of a pod that is in no gang, else empty."""

    namespace: str
    name: str
    pod: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One gang of a unit, or one pod by itself."""

    key: UnitKey
    members: tuple[Pod, ...]
    """Those that wait and may be placed, in the order in which they are tried."""
    need: int
    """How many of them have to be placed together; 0: each by itself."""
    least: int
    """The gang's minimum; 1 for a pod by itself."""
    placed: tuple[Pod, ...] = ()
    """Members that stand on a node; a topology constraint keeps the others in their domain."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What one cycle decides about, as it is now."""

    key: UnitKey
    """That of the first part."""
    parts: tuple[Part, ...]
    priority: int
    """The lowest of its members'."""
    constraint: str
    """The annotation of its topology constraint, not read yet; empty: none."""
    domain_key: str
    """The label whose value Kubernetes' own PodGroup wants alike; empty: none."""
    resumes: bool
    """Some of its members were bound and others not: it goes before everybody."""
    problem: Refusal | None = None
    """Why it cannot be tried at all."""

    @property
    def is_gang(self) -> bool:
        """Whether it is more than a pod by itself."""
        return not self.key.pod

    @property
    def need(self) -> int:
        """How many pods have to be placed together."""
        return sum(part.need for part in self.parts)

    def members(self) -> Iterator[Pod]:
        """Every pod that waits."""
        for part in self.parts:
            yield from part.members

    def placed(self) -> Iterator[Pod]:
        """Every member that stands on a node."""
        for part in self.parts:
            yield from part.placed


def trial_order(pod: Pod) -> tuple[int, int, str]:
    """The order in which the members of a unit are tried."""
    return -pod.priority, pod.created, pod.name
