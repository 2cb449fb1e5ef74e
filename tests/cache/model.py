"""A small, slow model of the queue: sums and order by looking at everything, every time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.queues import Policy, Queue
from kube_queue.api.quota import QuotaTree, queue_name
from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import Unit, order_key


@dataclass
class Held:
    """What one unit is charged."""

    leaf: str | None
    request: ResourceVector
    preemptible: bool


class Model:
    """Tree, queues and units as the cache was told, with the admissions it decided."""

    def __init__(self, default: Policy, rate: Fraction) -> None:
        self.default = default
        self.rate = rate
        self.tree: QuotaTree | None = None
        self.queues: dict[str, Queue] = {}
        self.units: dict[str, Unit] = {}
        self.decided: dict[str, Held] = {}

    # --- sums --------------------------------------------------------------------------------

    def leaf(self, unit: Unit) -> str | None:
        node = self.tree.leaf_for(unit.quota, unit.namespace) if self.tree is not None else None
        return node.path if node is not None else None

    def holders(self) -> dict[str, Held]:
        held = {
            uid: Held(self.leaf(unit), unit.held, unit.preemptible)
            for uid, unit in self.units.items()
            if unit.phase in HOLDS_QUOTA
        }
        for uid, decided in self.decided.items():
            leaf = self.leaf(self.units[uid])
            held[uid] = Held(leaf, decided.request, decided.preemptible)
        return held

    def used(self, path: str, held: Iterable[Held], *, guaranteed: bool = False) -> dict[str, int]:
        sums: dict[str, int] = {}
        for one in held:
            inside = one.leaf is not None and f"{one.leaf}/".startswith(f"{path}/")
            if not inside or (guaranteed and one.preemptible):
                continue
            for name, amount in (*one.request.items, (MAX_JOBS, 1)):
                sums[name] = sums.get(name, 0) + amount
        return sums

    def _min(self, path: str) -> dict[str, int]:
        assert self.tree is not None
        node = self.tree.nodes[path]
        if node.min_declared or not node.children:
            return dict(node.min)
        sums: dict[str, int] = {}
        for child in node.children:
            for name, amount in self._min(child).items():
                sums[name] = sums.get(name, 0) + amount
        if not all(MAX_JOBS in self._min(child) for child in node.children):
            sums.pop(MAX_JOBS, None)
        return sums

    def fits(self, unit: Unit, held: Iterable[Held]) -> bool:
        leaf, held = self.leaf(unit), list(held)
        assert leaf is not None
        assert self.tree is not None
        asked = dict(unit.request.items) | {MAX_JOBS: 1}
        for path in self.tree.chain(leaf):
            node = self.tree.nodes[path]
            used = self.used(path, held)
            for name, limit in node.max.items():
                if used.get(name, 0) + asked.get(name, 0) > limit * self.rate // 1:
                    return False
            if unit.preemptible:
                continue
            hard, low = self.used(path, held, guaranteed=True), self._min(path)
            for name in {*asked, *low, *hard}:
                if name == MAX_JOBS and name not in low:
                    continue
                # What a min does not list it does not guarantee: its bound is zero.
                if hard.get(name, 0) + asked.get(name, 0) > low.get(name, 0) * self.rate // 1:
                    return False
        return True

    # --- order --------------------------------------------------------------------------------

    def queue_of(self, unit: Unit) -> str:
        leaf = self.leaf(unit)
        return unit.queue or (queue_name(leaf) if leaf is not None else "")

    def policy(self, queue: str) -> Policy:
        return self.queues[queue].policy or self.default

    def waiting(self, now: float) -> list[Unit]:
        """Units that may be tried now, in order."""
        return sorted(
            (
                unit
                for uid, unit in self.units.items()
                if uid not in self.decided
                and unit.phase not in HOLDS_QUOTA | FINISHED
                and unit.active
                and unit.requeue_at / 1e6 <= now
                and self.leaf(unit) is not None
                and self.queue_of(unit) in self.queues
                and self.fits(unit, ())
            ),
            key=lambda unit: (*order_key(unit), unit.uid),
        )

    def candidates(self, now: float, cooling: set[str]) -> list[Unit]:
        """What may be admitted next: a head of every (queue, quota) under Block, all else."""
        found: list[Unit] = []
        seen: set[tuple[str, str | None]] = set()
        held = list(self.holders().values())
        for unit in self.waiting(now):
            lane = (self.queue_of(unit), self.leaf(unit))
            if self.policy(lane[0]) is Policy.BLOCK:
                if lane in seen:
                    continue
                seen.add(lane)
            if unit.uid not in cooling and self.fits(unit, held):
                found.append(unit)
        return found
