"""What a cycle decides: values that somebody else carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kube_queue.api.pods import Pod
from kube_queue.placement.framework import Preemption
from kube_queue.placement.units import UnitKey
from kube_queue.placement.verdict import Verdict


class Placement(NamedTuple):
    """One pod and the node it goes to."""

    pod: Pod
    node: str


@dataclass(frozen=True, slots=True)
class Bind:
    """These pods, all assumed already, are to be bound; ``together`` of them belong to one commit.

    The first ``together`` are what the gang's minimum needs, the rest follow by themselves.
    """

    unit: UnitKey
    placements: tuple[Placement, ...]
    together: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing of the unit fits now; ``why`` tells each member's verdict by uid."""

    unit: UnitKey
    why: Mapping[str, Verdict]
    never: bool = False
    """It cannot fit as long as neither it nor a quota changes."""
    lacks_room: bool = False
    """Every quota would take it, the nodes do not."""
    again: bool = False
    """There are nodes left of which it was not asked who could leave."""
    note: str = ""
    """Why nobody is evicted for it though that might help; or empty."""


@dataclass(frozen=True, slots=True)
class Preempt:
    """Others are to be evicted, and room is kept for the unit's members meanwhile."""

    unit: UnitKey
    preemption: Preemption
    why: Mapping[str, Verdict]


Decision = Bind | Wait | Preempt
