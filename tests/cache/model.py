"""A small, slow model of the queue: sums, bounds and order by looking at everything, every time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from kube_queue.api.lifecycle import FINISHED, HOLDS_QUOTA, Phase
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.queues import Policy, Queue
from kube_queue.api.quota import QuotaNode, QuotaTree, queue_name
from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import Unit, order_key

Amounts = dict[str, int]
Lane = tuple[str, str]
"""(queue, leaf): what a head stands in front of."""


@dataclass(frozen=True)
class Held:
    """What one unit, or the pods of no unit, are charged."""

    leaf: str | None
    request: ResourceVector
    preemptible: bool = True
    jobs: int = 1


def plus(left: Mapping[str, int], right: Mapping[str, int], sign: int = 1) -> Amounts:
    return {name: left.get(name, 0) + sign * right.get(name, 0) for name in {*left, *right}}


def asked_by(unit: Unit) -> Amounts:
    return dict(unit.request.items) | {MAX_JOBS: 1}


class Model:
    """Tree, queues and units as the cache was told, with the admissions it decided."""

    def __init__(self, default: Policy, rate: Fraction) -> None:
        self.default = default
        self.rate = rate
        self.tree: QuotaTree | None = None
        self.queues: dict[str, Queue] = {}
        self.units: dict[str, Unit] = {}
        self.decided: dict[str, Held] = {}
        self.unmanaged: dict[tuple[str, str], ResourceVector] = {}
        self.promised: Collection[str] = ()
        """uids of units that wait for their victims to leave."""

    # --- who holds what -----------------------------------------------------------------------

    def leaf(self, unit: Unit) -> str | None:
        return self.leaf_of(unit.quota, unit.namespace)

    def leaf_of(self, quota: str, namespace: str) -> str | None:
        node = self.tree.leaf_for(quota, namespace) if self.tree is not None else None
        return node.path if node is not None else None

    def holders(self) -> dict[str, Held]:
        """Every unit that holds quota, seen or only decided."""
        held = {
            uid: Held(self.leaf(unit), unit.held, unit.preemptible)
            for uid, unit in self.units.items()
            if unit.phase in HOLDS_QUOTA
        }
        return held | self.decided

    def replace_tree(self, tree: QuotaTree | None) -> None:
        """Another tree: what was decided and not seen yet is where the unit belongs in it."""
        self.tree = tree
        for uid, decided in self.decided.items():
            unit = self.units[uid]
            self.decided[uid] = Held(self.leaf(unit), unit.request, decided.preemptible)

    def charged(self, without: Collection[str] = ()) -> list[Held]:
        """Everything that counts: units but for these, and pods that no unit stands for."""
        units = [held for uid, held in self.holders().items() if uid not in without]
        return units + self.pods()

    def pods(self) -> list[Held]:
        return [
            Held(self.leaf_of(quota, namespace), request, jobs=0)
            for (quota, namespace), request in self.unmanaged.items()
        ]

    # --- sums -----------------------------------------------------------------------------------

    def used(self, path: str, held: Iterable[Held], *, guaranteed: bool = False) -> Amounts:
        sums: Amounts = {}
        for one in held:
            inside = one.leaf is not None and f"{one.leaf}/".startswith(f"{path}/")
            if not inside or (guaranteed and (one.preemptible or not one.jobs)):
                continue
            sums = plus(sums, dict(one.request.items) | {MAX_JOBS: one.jobs})
        return {name: amount for name, amount in sums.items() if amount}

    def scaled(self, amounts: Mapping[str, int]) -> Amounts:
        return {name: int(amount * self.rate // 1) for name, amount in amounts.items()}

    def node(self, path: str) -> QuotaNode:
        assert self.tree is not None
        return self.tree.nodes[path]

    def chain(self, leaf: str) -> tuple[str, ...]:
        assert self.tree is not None
        return self.tree.chain(leaf)

    def guarantee(self, path: str) -> Amounts:
        """The min of the node; of one that declares none, the sum of its children's."""
        node = self.node(path)
        if node.min_declared or not node.children:
            return dict(node.min)
        sums: Amounts = {}
        for child in node.children:
            sums = plus(sums, self.guarantee(child))
        if not all(MAX_JOBS in self.guarantee(child) for child in node.children):
            sums.pop(MAX_JOBS, None)
        return sums

    def taken(self, path: str, chain: Collection[str], held: list[Held]) -> Amounts:
        """What the node counts for in its parent: off the chain, at least what it does not lend."""
        node = self.node(path)
        sums = {} if node.children else self.used(path, held)
        for child in node.children:
            sums = plus(sums, self.taken(child, chain, held))
        if path in chain or node.lend_limit is None:
            return sums
        for name, least in self.scaled(node.min).items():
            kept = least - node.lend_limit.get(name, least)
            sums[name] = max(sums.get(name, 0), kept)
        return sums

    # --- bounds ---------------------------------------------------------------------------------

    def shortages(
        self, unit: Unit, held: list[Held], kept: Mapping[str, Amounts] | None = None
    ) -> list[tuple[str, str]]:
        """(node, resource) of every bound the unit does not fit; ``kept``: set aside by node."""
        leaf = self.leaf(unit)
        assert leaf is not None
        found = []
        for path in self.chain(leaf):
            aside = (kept or {}).get(path, {})
            found += [(path, name) for name in self._over_max(path, unit, leaf, held, aside)]
            if not unit.preemptible:
                aside = (kept or {}).get(f"{path}#min", {})
                found += [(path, name) for name in self._over_min(path, unit, held, aside)]
        jobs = (kept or {}).get("#preemptible", {}).get(MAX_JOBS, 0)
        if unit.preemptible and self._too_many_preemptible(held, jobs):
            found.append((self.chain(leaf)[-1], MAX_JOBS))
        return found

    def fits(self, unit: Unit, held: list[Held], kept: Mapping[str, Amounts] | None = None) -> bool:
        return not self.shortages(unit, held, kept)

    def _over_max(
        self, path: str, unit: Unit, leaf: str, held: list[Held], aside: Mapping[str, int]
    ) -> list[str]:
        asked = asked_by(unit)
        used, taken = self.used(path, held), self.taken(path, self.chain(leaf), held)
        over = []
        for name, limit in self.scaled(self.node(path).max).items():
            wanted = asked.get(name, 0)
            after = taken.get(name, 0) + aside.get(name, 0) + wanted
            # A node above its max admits nothing, even what asks for none of the resource.
            if (wanted and after > limit) or used.get(name, 0) > limit:
                over.append(name)
        return over

    def _over_min(
        self, path: str, unit: Unit, held: list[Held], aside: Mapping[str, int]
    ) -> list[str]:
        asked, low = asked_by(unit), self.scaled(self.guarantee(path))
        hard = plus(self.used(path, held, guaranteed=True), aside)
        over = []
        for name in {*asked, *low, *hard}:
            if name == MAX_JOBS and name not in low:
                continue
            # What a min does not list it does not guarantee: its bound is zero.
            if hard.get(name, 0) + asked.get(name, 0) > low.get(name, 0):
                over.append(name)
        return over

    def _too_many_preemptible(self, held: list[Held], aside: int) -> bool:
        most = self.tree.max_preemptible_jobs if self.tree is not None else None
        soft = [one for one in held if one.leaf is not None and one.preemptible and one.jobs]
        return most is not None and len(soft) + aside + 1 > most

    # --- order ----------------------------------------------------------------------------------

    def queue_of(self, unit: Unit) -> str:
        leaf = self.leaf(unit)
        return unit.queue or (queue_name(leaf) if leaf is not None else "")

    def lane_of(self, unit: Unit) -> Lane:
        leaf = self.leaf(unit)
        assert leaf is not None
        return self.queue_of(unit), leaf

    def policy(self, queue: str) -> Policy:
        return self.queues[queue].policy or self.default

    def threshold(self, queue: str) -> int:
        return int(getattr(self.queues[queue], "threshold", 4))

    def waits(self, unit: Unit) -> bool:
        phase = unit.phase is not Phase.TIMEOUT_BACKOFF and unit.phase not in HOLDS_QUOTA | FINISHED
        return phase and unit.uid not in self.decided

    def waiting(self, now: float) -> list[Unit]:
        """Units that may have a turn now, in order; those that wait for victims among them."""
        return sorted(
            (
                unit
                for unit in self.units.values()
                if self.waits(unit)
                and unit.active
                and not unit.invalid
                and unit.requeue_at / 1e6 <= now
                and self.leaf(unit) is not None
                and self.queue_of(unit) in self.queues
                and self.could_run(unit)
            ),
            key=lambda unit: (*order_key(unit), unit.uid),
        )

    def could_run(self, unit: Unit) -> bool:
        """Whether the unit would fit if every unit's quota were free."""
        return self.fits(unit, [])

    def lanes(self, now: float) -> dict[Lane, list[Unit]]:
        lanes: dict[Lane, list[Unit]] = {}
        for unit in self.waiting(now):
            lanes.setdefault(self.lane_of(unit), []).append(unit)
        return lanes

    def may_be_tried(self, unit: Unit, lane: list[Unit]) -> bool:
        """Whether the policy gives the unit a turn besides the units that wait with it."""
        queue = self.queue_of(unit)
        policy = self.policy(queue)
        if policy is Policy.INTELLIGENT:
            high = [other for other in lane if other.priority >= self.threshold(queue)]
            return not high or high[0] is unit
        return policy not in (Policy.BLOCK, Policy.BACKFILL) or lane[0] is unit

    def turns(self, now: float) -> list[Unit]:
        """Every unit that its policy lets have a turn, fitting or not."""
        return [
            unit
            for lane in self.lanes(now).values()
            for unit in lane
            if unit.uid not in self.promised and self.may_be_tried(unit, lane)
        ]

    # --- fairness -------------------------------------------------------------------------------

    def share(self, leaf: str) -> Fraction:
        """The leaf's dominant share: of its min, of its max where it has no min."""
        node, used = self.node(leaf), self.used(leaf, self.charged())
        shares = [Fraction(0)]
        for name, amount in used.items():
            whole = node.min.get(name, 0) or node.max.get(name, 0)
            if whole > 0:
                shares.append(Fraction(amount, whole))
        return max(shares)

    def rank(self, unit: Unit) -> tuple[int, Fraction]:
        """Smaller goes first between queues."""
        queue, leaf = self.lane_of(unit)
        return -self.queues[queue].priority, self.share(leaf)


# --- schedules ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A unit that holds quota until a moment at the latest; None: nobody knows."""

    held: Held
    until: float | None


def earliest_start(model: Model, unit: Unit, runs: list[Run], now: float) -> float | None:
    """When the unit fits if nothing else starts; None: only what has no known end can help."""
    for moment in sorted({now, *(run.until for run in runs if run.until is not None)}):
        left = [run.held for run in runs if run.until is None or run.until > moment]
        if moment >= now and model.fits(unit, left + model.pods()):
            return moment
    return None
