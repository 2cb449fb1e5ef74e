"""DefaultPreemption: lower priorities make room for higher ones, as kube-scheduler's do.

A pod with a quota finds its victims in its own quota, one without among pods without. Gangs that
would fall below their minimum leave whole; pods of a unit that holds quota leave with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kube_queue.api.pods import Pod, PodSpec
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.framework import Preemption
from kube_queue.placement.making_room import Room, Search
from kube_queue.placement.priority_rule import LowerPriority
from kube_queue.placement.quota import Capacity
from kube_queue.placement.row_board import Board
from kube_queue.placement.units import Unit
from kube_queue.placement.verdict import Verdict

_KEPT: Final = 64
"""Boards that are kept."""


class DefaultPreemption:
    """Evicts pods of lower priority for units that find no room."""

    name = "DefaultPreemption"

    def __init__(self, cluster: Cluster) -> None:
        self._capacity = cluster.shared(Capacity)
        self._boards: dict[tuple[PodSpec, str, int], Board] = {}

    def preemption(
        self, unit: Unit, members: Sequence[Pod], why: Verdict, room: Room
    ) -> Preemption | None:
        """Whom to evict for the unit; nobody where a member has preemptionPolicy Never."""
        if any(pod.spec.never_preempts for pod in members) or why.unresolvable:
            return None
        return Search(room, unit, members, LowerPriority(self._capacity, unit, self._board)).run()

    def _board(self, pod: Pod, leaf: str, priority: int, turn: int) -> Board:
        """Of the boards that were asked for lately; a new one begins with the row in turn."""
        key = pod.spec, leaf, priority
        board = self._boards.pop(key, None)
        if board is None:
            board = Board(turn)
            if len(self._boards) >= _KEPT:
                del self._boards[next(iter(self._boards))]
        self._boards[key] = board
        return board
