"""What a plug-in is: the extension points of kube-scheduler, as Protocols a class may have.

A plug-in is one class in one file of ``plugins`` and one line in ``plugins/__init__``. It has a
``name`` and any of the abilities below; ``Profile`` sorts them out once. It is built with the
cluster, and with ``Cluster.follow`` it may keep counts of its own.

=============  ==================================================================================
ability        in kube-scheduler's words
=============  ==================================================================================
NodeFilter     Filter that depends on pod spec and node alone: worked out once per spec and node
StateFilter    PreFilter and Filter that depend on the other pods
NodeScore      Score that depends on pod spec and node alone
ResourceScore  Score by what the node's pods take: worked out again for rows that changed
StateScore     PreScore and Score that depend on the other pods
UnitFilter     PreFilter of a whole unit: a gang, or one pod
PostFilter     what may be evicted for a unit that does not fit
=============  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from kube_queue.api.nodes import Node
from kube_queue.api.pods import Pod, PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.columns import IntColumn, Mask, Rows
from kube_queue.placement.verdict import Refusal, Verdict

if TYPE_CHECKING:
    from kube_queue.placement.making_room import Room
    from kube_queue.placement.units import Unit

MAX_SCORE = 100
"""The best score a plug-in gives; the worst is 0."""

Codes = NDArray[np.int16]


class Plugin(Protocol):
    """What every plug-in has."""

    name: str


@runtime_checkable
class NodeFilter(Protocol):
    """Whether a node takes pods of a spec, whatever else stands on it."""

    def filters_nodes_for(self, spec: PodSpec) -> bool:
        """Whether any node might be refused; False is kube-scheduler's Skip."""

    def node_refusal(self, spec: PodSpec, node: Node) -> Refusal | None:
        """Why this node does not take pods of the spec."""


@dataclass(frozen=True, slots=True)
class Refusals:
    """A reason for every row that does not take a pod."""

    codes: Codes
    """By row: 0 takes it, k is refused by ``reasons[k - 1]``."""
    reasons: tuple[Refusal, ...]
    also: tuple[tuple[Refusal, Mask], ...] = ()
    """Rows with a code that are refused for another reason as well, and counted for it too."""


@runtime_checkable
class StateFilter(Protocol):
    """Whether rows take a pod beside the pods that are there now."""

    def filters_by_pods(self, pod: Pod) -> bool:
        """Whether any row might be refused. Asked for each pod, so it has to cost next to nothing.

        While it is true, the pod's replicas are asked about one by one.
        """

    def refusals(self, pod: Pod) -> Refusal | Refusals:
        """The rows that do not take it, as the cluster is now; one Refusal: no row does."""

    def row_refusal(self, pod: Pod, row: int) -> Refusal | None:
        """The same for one row."""


@runtime_checkable
class NodeScore(Protocol):
    """How well nodes suit pods of a spec, whatever else stands on them."""

    weight: int

    def scores_nodes_for(self, spec: PodSpec) -> bool:
        """Whether nodes might differ."""

    def node_score(self, spec: PodSpec, node: Node) -> int:
        """A raw score, at least 0."""

    def normalised(self, raw: IntColumn) -> IntColumn:
        """Scores 0 to 100 from the raw ones of all rows that may take the pod."""


@runtime_checkable
class ResourceScore(Protocol):
    """How well rows suit pods of a spec by what is taken of them."""

    weight: int

    def resource_scores(self, spec: PodSpec, rows: Rows | slice) -> IntColumn:
        """Scores 0 to 100 of these rows with one such pod more."""

    def resource_score(self, spec: PodSpec, row: int) -> int:
        """The same of one row: most often only one has changed, and then numbers beat columns."""


@runtime_checkable
class StateScore(Protocol):
    """How well rows suit a pod beside the pods that are there now."""

    weight: int

    def scores_by_pods(self, pod: Pod) -> bool:
        """Whether rows might differ. Has to cost next to nothing."""

    def state_scores(self, pod: Pod, feasible: Mask) -> IntColumn:
        """Scores 0 to 100 of all rows; those of rows that are not feasible do not count."""


@runtime_checkable
class UnitFilter(Protocol):
    """Whether a unit may take what it asks for at all, before a node is looked for."""

    def unit_refusal(self, unit: Unit, members: Sequence[Pod]) -> Refusal | None:
        """Why these members of the unit, together, may not be placed now."""


@dataclass(frozen=True, slots=True)
class Preemption:
    """What has to go so that a unit fits, and where its members then go."""

    victims: tuple[Pod, ...]
    """Pods that are to be evicted one by one."""
    nominations: tuple[tuple[Pod, str], ...]
    """(member, node name) of every member that needs the room."""
    reclaim: bool = False
    """Quota that was lent is taken back; else a lower priority gives way."""
    units: tuple[str, ...] = ()
    """uids of QueueUnits whose controller is to be asked to evict them whole."""
    pods_of_units: tuple[Pod, ...] = ()
    """The pods of these units: they leave with their jobs."""

    @property
    def leaving(self) -> tuple[Pod, ...]:
        """Every pod that leaves."""
        return self.victims + self.pods_of_units


@runtime_checkable
class PostFilter(Protocol):
    """What helps a unit that does not fit."""

    def preemption(
        self, unit: Unit, members: Sequence[Pod], why: Verdict, room: Room
    ) -> Preemption | None:
        """Whom to evict so that these members fit; None: nobody's leaving helps, or nobody's is
        needed because enough leave already.

        ``room``: what it is tried out with. The cluster is the same afterwards.
        """


P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Profile:
    """The plug-ins of a scheduler, by ability, in the order they were given in."""

    plugins: tuple[Plugin, ...]
    node_filters: tuple[NodeFilter, ...] = field(init=False)
    state_filters: tuple[StateFilter, ...] = field(init=False)
    node_scores: tuple[NodeScore, ...] = field(init=False)
    resource_scores: tuple[ResourceScore, ...] = field(init=False)
    state_scores: tuple[StateScore, ...] = field(init=False)
    unit_filters: tuple[UnitFilter, ...] = field(init=False)
    post_filters: tuple[PostFilter, ...] = field(init=False)

    def __post_init__(self) -> None:
        for name, ability in _ABILITIES.items():
            object.__setattr__(self, name, _those_of(self.plugins, ability))
        for plugin in self.plugins:
            if not any(isinstance(plugin, ability) for ability in _ABILITIES.values()):
                raise TypeError(f"plug-in {plugin.name} has none of the abilities of a plug-in")


_ABILITIES: dict[str, type] = {
    "node_filters": NodeFilter,
    "state_filters": StateFilter,
    "node_scores": NodeScore,
    "resource_scores": ResourceScore,
    "state_scores": StateScore,
    "unit_filters": UnitFilter,
    "post_filters": PostFilter,
}


def _those_of(plugins: Iterable[Plugin], ability: type[P]) -> tuple[P, ...]:
    return tuple(plugin for plugin in plugins if isinstance(plugin, ability))


class PluginFactory(Protocol):
    """Builds a plug-in for one cluster; a plug-in's class is one."""

    def __call__(self, cluster: Cluster) -> Plugin: ...
