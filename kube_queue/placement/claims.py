"""Units that others were told to go for: what they wait for, how long, and when they may ask again.

::

    made ──victims gone──▶ resolved ──placed──▶ done
     │  ▲                     │ no room after all: ended; the unit may evict again
     │  │ refused: one of     │ a pod of another scheduler took it: lost; the unit evicts nobody
     │  │ them stays, the     ▼        for 1, 2, 4 ... 30 minutes
     │  │ rest is planned   ended
     └── a minute after the longest grace period: lapsed; the unit evicts nobody for a while
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Final

from kube_queue.api.pods import Pod
from kube_queue.api.reasons import Reason
from kube_queue.placement.departures import PATIENCE
from kube_queue.placement.framework import Preemption
from kube_queue.placement.units import UnitKey

_FIRST_LOSS: Final = 60.0
_LAST_LOSS: Final = 1_800.0
_FIRST_LAPSE: Final = 10.0
_LAST_LAPSE: Final = 300.0
_DEFAULT_GRACE: Final = 30.0


@dataclass(slots=True, eq=False)
class Claim:
    """What one unit waits for."""

    unit: UnitKey
    pods: dict[str, tuple[Pod, str]]
    """(member, node) of those that room is kept for, by uid."""
    victims: set[str]
    """uids of pods that have not gone yet."""
    units: set[str]
    """uids of QueueUnits that were asked to leave."""
    lapses: float
    found: bool = False
    """It was found on the pods, left by an earlier scheduler: nobody knows who goes for it."""
    contested: bool = False
    """A pod of another scheduler came to a node where room is kept for it."""
    spared: set[str] = field(default_factory=set)
    """uids of pods that could not be evicted."""


@dataclass(slots=True)
class _Setback:
    losses: int = 0
    lapses: int = 0
    until: float = 0.0
    reason: str = ""


class Claims:
    """Every claim. Times are seconds since the epoch."""

    def __init__(self) -> None:
        self._claims: dict[UnitKey, Claim] = {}
        self._by_victim: dict[str, dict[UnitKey, None]] = {}
        self._by_node: dict[str, dict[UnitKey, None]] = {}
        self._by_pod: dict[str, UnitKey] = {}
        self._setbacks: dict[UnitKey, _Setback] = {}
        self._due: list[tuple[float, UnitKey]] = []

    def __len__(self) -> int:
        return len(self._claims)

    def get(self, key: UnitKey) -> Claim | None:
        """What the unit waits for."""
        return self._claims.get(key)

    def of_pod(self, uid: str) -> Claim | None:
        """The claim by which room is kept for the pod."""
        key = self._by_pod.get(uid)
        return self._claims.get(key) if key is not None else None

    def awaits(self, uid: str) -> bool:
        """Whether a unit waits for the pod to go."""
        return uid in self._by_victim

    @property
    def any_victims(self) -> bool:
        """Whether anybody is still on the way out for anyone."""
        return bool(self._by_victim)

    def units(self) -> tuple[UnitKey, ...]:
        """Every unit that waits for somebody to go."""
        return tuple(self._claims)

    def made(self, key: UnitKey, plan: Preemption, now: float) -> Claim:
        """These leave for the unit, besides those who do already."""
        grace = max((float(pod.grace) for pod in plan.leaving), default=0.0)
        claim = self._claims.get(key)
        if claim is None or claim.found:
            claim = self._claims[key] = Claim(key, {}, set(), set(), 0.0)
        for uid, (_, node) in claim.pods.items():
            self._by_pod.pop(uid, None)
            self._by_node.get(node, {}).pop(key, None)
        claim.pods = {pod.uid: (pod, node) for pod, node in plan.nominations}
        self._by_pod.update(dict.fromkeys(claim.pods, key))
        claim.units.update(plan.units)
        claim.lapses = max(claim.lapses, now + grace + PATIENCE)
        heapq.heappush(self._due, (claim.lapses, key))
        for pod in plan.leaving:
            claim.victims.add(pod.uid)
            self._by_victim.setdefault(pod.uid, {})[key] = None
        for _, node in plan.nominations:
            self._by_node.setdefault(node, {})[key] = None
        return claim

    def found(self, key: UnitKey, pod: Pod, now: float) -> None:
        """The pod says that room is kept for it, and nobody here remembers why."""
        claim = self._claims.get(key)
        if claim is None:
            lapses = now + _DEFAULT_GRACE + PATIENCE
            claim = self._claims[key] = Claim(key, {}, set(), set(), lapses, found=True)
            heapq.heappush(self._due, (lapses, key))
        if claim.found:
            claim.pods[pod.uid] = pod, pod.nominated
            self._by_pod[pod.uid] = key
            self._by_node.setdefault(pod.nominated, {})[key] = None

    def gone(self, uid: str) -> list[UnitKey]:
        """The pod has gone. Returns the units that wait for nobody any more."""
        resolved = []
        for key in self._by_victim.pop(uid, ()):
            claim = self._claims.get(key)
            if claim is not None:
                claim.victims.discard(uid)
                if not claim.victims:
                    resolved.append(key)
        return resolved

    def refused(self, uid: str) -> list[UnitKey]:
        """The pod cannot be evicted now. Returns the units that waited for it: they keep the room
        that is kept for them, and the rest is to be planned anew.
        """
        keys = list(self._by_victim.pop(uid, ()))
        for key in keys:
            claim = self._claims.get(key)
            if claim is not None:
                claim.victims.discard(uid)
                claim.spared.add(uid)
        return keys

    def foreign_bound(self, node: str) -> None:
        """A pod of another scheduler came to the node."""
        for key in self._by_node.get(node, ()):
            self._claims[key].contested = True

    # --- ends -----------------------------------------------------------------------------------

    def end(self, key: UnitKey) -> Claim | None:
        """The unit waits for nobody; what it has suffered is not forgotten."""
        claim = self._claims.pop(key, None)
        if claim is None:
            return None
        for uid in claim.victims:
            waiting = self._by_victim.get(uid)
            if waiting is not None:
                waiting.pop(key, None)
                if not waiting:
                    del self._by_victim[uid]
        for uid, (_, node) in claim.pods.items():
            self._by_pod.pop(uid, None)
            waiting = self._by_node.get(node)
            if waiting is not None:
                waiting.pop(key, None)
                if not waiting:
                    del self._by_node[node]
        return claim

    def forget(self, key: UnitKey) -> Claim | None:
        """The unit was placed, or is gone: nothing is remembered of it."""
        self._setbacks.pop(key, None)
        return self.end(key)

    def kept(self, key: UnitKey) -> None:
        """The unit has the room that others left for it; what it had suffered is forgotten."""
        if key not in self._claims:
            self._setbacks.pop(key, None)

    def lost(self, key: UnitKey, now: float) -> None:
        """Another scheduler took the unit's room."""
        setback = self._setbacks.setdefault(key, _Setback())
        setback.losses += 1
        wait = min(_FIRST_LOSS * 2 ** min(setback.losses - 1, 8), _LAST_LOSS)
        minutes = int(wait // 60)
        setback.reason = (
            f"{Reason.ROOM_TAKEN_BY_ANOTHER_SCHEDULER}: pods were evicted for it and another "
            f"scheduler used the room; it evicts nobody for {minutes} min"
        )
        self._hold(key, setback, now + wait)

    def lapsed(self, key: UnitKey, now: float) -> None:
        """Those who were told to go did not in time."""
        setback = self._setbacks.setdefault(key, _Setback())
        setback.lapses += 1
        setback.reason = "pods that were told to make room for it did not go in time"
        wait = min(_FIRST_LAPSE * 2 ** min(setback.lapses - 1, 8), _LAST_LAPSE)
        self._hold(key, setback, now + wait)

    def _hold(self, key: UnitKey, setback: _Setback, until: float) -> None:
        setback.until = until
        heapq.heappush(self._due, (until, key))

    def may_evict(self, key: UnitKey, now: float) -> bool:
        """Whether others may be told to go for the unit now."""
        setback = self._setbacks.get(key)
        return setback is None or setback.until <= now

    def why_not(self, key: UnitKey, now: float) -> str:
        """Why nobody is told to go for the unit now, in a sentence; empty where they may be."""
        return "" if self.may_evict(key, now) else self._setbacks[key].reason

    def tick(self, now: float) -> tuple[list[Claim], list[UnitKey]]:
        """The claims that lapse by now, and the units that may evict again."""
        lapsed: list[Claim] = []
        free: list[UnitKey] = []
        while self._due and self._due[0][0] <= now:
            _, key = heapq.heappop(self._due)
            claim, setback = self._claims.get(key), self._setbacks.get(key)
            if claim is not None and claim.lapses <= now and claim not in lapsed:
                lapsed.append(claim)
            elif setback is not None and setback.until <= now:
                free.append(key)
        return lapsed, free

    def next_tick(self) -> float | None:
        """When ``tick`` may find something."""
        return self._due[0][0] if self._due else None
