"""One domain for a whole gang: which domains there are, and which of them to try first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from kube_queue.api.errors import InvalidInput
from kube_queue.api.gangs import TopologyConstraint, topology_constraint
from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import Mask
from kube_queue.placement.placing import Placer
from kube_queue.placement.units import Unit
from kube_queue.placement.verdict import Refusal

PLUGIN: Final = "TopologyConstraint"
_SHOWN: Final = 10
"""Domains that a message lists."""


@dataclass(frozen=True, slots=True)
class Domain:
    """The nodes that have the same values of all keys."""

    values: tuple[str, ...]
    rows: Mask

    @property
    def name(self) -> str:
        """The values, as they are shown."""
        return ",".join(self.values)


def constraint_of(unit: Unit) -> TopologyConstraint | Refusal | None:
    """What the unit asks of its domain; a Refusal where that cannot be read."""
    if unit.constraint:
        try:
            return topology_constraint(unit.constraint)
        except InvalidInput as error:
            return Refusal(PLUGIN, f"InvalidTopologyConstraint: {error}", unresolvable=True)
    if unit.domain_key:
        return TopologyConstraint("", (unit.domain_key,), ())
    return None


def domains(cluster: Cluster, constraint: TopologyConstraint) -> list[Domain]:
    """Every domain with a node that may be used, by name."""
    rows: dict[tuple[str, ...], list[int]] = {}
    for row, node in cluster.live_rows():
        values = values_of(node, constraint)
        if values is not None:
            rows.setdefault(values, []).append(row)
    found = []
    for values in sorted(rows):
        mask = np.zeros(cluster.columns.rows, np.bool_)
        mask[rows[values]] = True
        found.append(Domain(values, mask))
    return found


def values_of(node: Node, constraint: TopologyConstraint) -> tuple[str, ...] | None:
    """The domain the node is in; None: in none."""
    terms = constraint.terms
    if terms and not any(term.matches(node.name, node.labels) for term in terms):
        return None
    values = tuple(node.labels.get(key) for key in constraint.keys)
    return None if None in values else tuple(value or "" for value in values)


def pinned(
    found: Iterable[Domain], placed: Iterable[Pod], nodes: Mapping[str, int]
) -> list[Domain]:
    """The domains that hold every member that stands on a node already."""
    rows = {nodes[pod.node] for pod in placed if pod.node in nodes}
    return [domain for domain in found if all(domain.rows[row] for row in rows)]


class Room(NamedTuple):
    """What a domain has room for."""

    domain: Domain
    pods: int
    """How many of the unit's pods it holds at most, up to the number that is needed."""
    slots: int
    """How many it would hold if there were more of them, each kind counted by itself."""
    enough: bool


def rooms_of(
    placer: Placer, found: Sequence[Domain], members: Sequence[Pod], need: int
) -> list[Room]:
    """What each domain has room for. Each kind of member is counted by itself on nodes that take
    it, so a domain never has room for more.
    """
    kinds = Counter(pod.spec for pod in members)
    slots = []
    for spec, many in kinds.items():
        feasible = placer.views.of(spec).feasible
        slots.append((many, placer.cluster.columns.slots(spec.request, slice(None)) * feasible))
    rooms = []
    for domain in found:
        counts = [(many, int(each[domain.rows].sum())) for many, each in slots]
        pods = sum(min(many, count) for many, count in counts)
        room = sum(count for _, count in counts)
        rooms.append(Room(domain, min(pods, need), room, pods >= need))
    return rooms


def tightest_first(rooms: Iterable[Room]) -> list[Domain]:
    """The domains that may have room enough, the one with least room first, ties by name."""
    enough = [room for room in rooms if room.enough]
    enough.sort(key=lambda room: (room.slots, room.domain.values))
    return [room.domain for room in enough]


def no_domain(rooms: Sequence[Room], constraint: TopologyConstraint) -> Refusal:
    """Why no domain holds the unit, domain by domain."""
    keys = ", ".join(constraint.keys)
    shown = [f"{room.domain.name} has room for {room.pods}" for room in rooms[:_SHOWN]]
    more = len(rooms) - len(shown)
    if more > 0:
        shown.append(f"and {more} more")
    listed = "; ".join(shown) if shown else "its members stand in different ones"
    return Refusal(PLUGIN, f"no domain of {keys} holds all pods that are needed: {listed}")
