"""What a Queue's status says, and the counts behind it."""

from __future__ import annotations

from dataclasses import dataclass

from kube_queue.api.lifecycle import HOLDS_QUOTA, Phase
from kube_queue.api.queues import Policy


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One waiting unit with its 1-based position."""

    position: int
    namespace: str
    name: str
    uid: str
    priority: int


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The counts of one Queue and the first units that wait in it."""

    name: str
    policy: Policy
    """The one it is served by."""
    notice: str
    """What the Queue asks for and does not get, empty if there is nothing."""
    pending: int
    reserved: int
    admitted: int
    head: str
    """namespace/name of the first waiting unit, empty if none waits."""
    items: tuple[QueueItem, ...]


class HeldCounts:
    """Units that hold quota, by Queue and kind of hold."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[str, bool]] = {}
        self._counts: dict[tuple[str, bool], int] = {}

    def set(self, uid: str, queue: str, phase: Phase | None) -> None:
        """The unit counts in this Queue by its phase; None or a phase without quota: nowhere."""
        new = (queue, phase is Phase.RESERVED) if phase in HOLDS_QUOTA else None
        counts, old = self._counts, self._of.get(uid)
        if new == old:
            return
        if old is not None:
            left = counts[old] - 1
            if left:
                counts[old] = left
            else:
                del counts[old]
            del self._of[uid]
        if new is not None:
            counts[new] = counts.get(new, 0) + 1
            self._of[uid] = new

    def reserved(self, queue: str) -> int:
        """Units with quota reserved while their checks run."""
        return self._counts.get((queue, True), 0)

    def admitted(self, queue: str) -> int:
        """Units admitted or running."""
        return self._counts.get((queue, False), 0)
