"""What a policy is: whoever says whose turn it is inside one line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from kube_queue.admission.lanes import Dimension, Group, Lane, Line, Position, Waiter
from kube_queue.admission.order import Key
from kube_queue.admission.runtimes import Length


class Choice(NamedTuple):
    """The unit a line would try now."""

    group: Group
    position: Position

    @property
    def key(self) -> Key:
        return self.position[1]

    @property
    def uid(self) -> str:
        return self.position[1][-1]


class Scan(ABC):
    """One policy: who is next inside one line. All state is on the line, its lanes and groups."""

    per_lane = False
    """Whether every lane of the queue is a line of its own."""
    backs_off = False
    """Whether a failed try keeps the unit from tries that no release asked for."""
    by_run_time = False
    """Whether it matters how long a unit runs."""
    keeps_held_in_lane = False
    """Whether a unit that has no turn for a while (a failed write, a promise) keeps its place in
    front of others meanwhile."""

    def length(self, waiter: Waiter) -> Length:
        """The run time that units of one group have to share; None: any."""
        return None

    def next_of(self, line: Line, group: Group) -> Position:
        """The group's unit whose turn comes first."""
        return 0, group.head

    @abstractmethod
    def joined(self, line: Line, group: Group, key: Key, newcomer: bool) -> bool:
        """The unit is in its group. Returns whether the line has something to try because of it."""

    @abstractmethod
    def left(self, line: Line, lane: Lane, key: Key, was_head: bool) -> bool:
        """The unit is out of its group. Returns whether the line has something to try."""

    @abstractmethod
    def reopened(self, line: Line, group: Group) -> bool:
        """The group waits for a new verdict. Returns whether the line has something to try."""

    @abstractmethod
    def choose(self, line: Line) -> Choice | None:
        """The unit whose turn it is; None when nothing of the line could fit."""

    @abstractmethod
    def admitted(self, line: Line, choice: Choice) -> None:
        """The choice was admitted; it is still in its group."""

    @abstractmethod
    def refused(
        self, line: Line, choice: Choice, blocked: tuple[Dimension, int], now: float
    ) -> None:
        """The choice does not fit: its group watches ``blocked``, a dimension and an amount."""

    @abstractmethod
    def shut(self, lane: Lane) -> None:
        """The lane has a leader: nobody of it is tried until it is opened."""

    @abstractmethod
    def opened(self, line: Line, lane: Lane) -> bool:
        """The lane has no leader any more. Returns whether the line has something to try."""

    @abstractmethod
    def ahead_of(self, lane: Lane, key: Key) -> Key | None:
        """The unit that has to go before this one whatever fits, None if there is none."""
