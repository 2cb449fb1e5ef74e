"""What must be true of the API's objects at every moment, and when everything is at rest.

A ledger of what was seen: it reads only QueueUnits, jobs and the tree, so it would catch a mistake
of the controllers whatever they believe themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from e2e.jobs import FINISHED, HOLDS, evicted
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.preemption import preemptor_in
from kube_queue.api.quota import QuotaTree, parse_tree
from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import is_preemptible, quota_label

Object = dict[str, Any]
ADOPTED = {"ReleasedByHand", "SuspendIgnored", "JobSucceeded", "JobFailed"}
"""Why a unit is charged without anybody's decision: its job runs already, or did."""
FOR_ANOTHER = {"Reclaimed", "Preempted"}


class Broken(AssertionError):
    """An invariant does not hold: one sentence."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A unit that holds quota: where, how much, and whether it could be made to leave."""

    namespace: str
    quota: str
    preemptible: bool
    amounts: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, unit: Object) -> Holding:
        """What the unit holds, and itself as one job.

        That is what it asks for, less what pods that have ended before the others gave back.
        """
        labels = unit["metadata"].get("labels") or {}
        request = ResourceVector.parse(unit["spec"].get("resource") or {})
        admissions = (unit.get("status") or {}).get("admissions")
        if admissions:
            parts = [ResourceVector.parse(one.get("resources") or {}) for one in admissions]
            request = sum(parts, start=ResourceVector.parse({}))
        return cls(
            unit["metadata"]["namespace"],
            quota_label(labels),
            is_preemptible(labels),
            (*request.items, (MAX_JOBS, 1)),
        )


@dataclass(frozen=True, slots=True)
class Eviction:
    """A unit that was told to leave for another; `at` counts the events."""

    name: str
    uid: str
    preemptor: str
    at: int


class Ledger:
    """Follows every event of QueueUnits and keeps what it broke."""

    def __init__(self, tree: Object) -> None:
        self._tree = _compiled(tree)
        self._held: dict[str, Holding] = {}
        self._used: Counter[tuple[str, str]] = Counter()
        self._firm: Counter[tuple[str, str]] = Counter()
        self._events = 0
        self._admitted_at: dict[str, int] = {}
        self._out_at: dict[str, int] = {}
        self.admissions: Counter[str] = Counter()
        """By the uid of the job: how often its unit came to hold quota."""
        self.returns: Counter[str] = Counter()
        """By the uid of the job: how often quota was given back before the job had ended."""
        self.order: list[str] = []
        """The names of the jobs whose units were admitted, as often as they were."""
        self.evictions: list[Eviction] = []
        self.broken: list[str] = []

    def tree_changed(self, tree: Object) -> None:
        """The limits are these from now on; what is held stays, even above them."""
        self._tree = _compiled(tree)
        self._used.clear()
        self._firm.clear()
        for holding in self._held.values():
            self._add(holding, 1)

    def unit_seen(self, old: Object | None, new: Object | None) -> None:
        """Take one watch event; a breach is kept in `broken`."""
        self._events += 1
        unit = new or old
        assert unit is not None
        uid, name = unit["metadata"]["uid"], unit["metadata"]["name"]
        before, after = _phase(old), _phase(new)
        if after in HOLDS and before not in HOLDS:
            self._admit(unit)
        if before in HOLDS and after not in HOLDS and after not in FINISHED:
            self.returns[unit["spec"]["consumerRef"]["uid"]] += 1
            if new is not None and not _was_told(old, new):
                self.broken.append(f"{name} went from {before} to {after} without being evicted")
        if before in FINISHED and new is not None and after not in FINISHED:
            self.broken.append(f"{name} went from {before} to {after}")
        if new is None or not new["spec"].get("active", True):
            self._out_at[uid] = self._events
        if new is not None and not evicted(old):
            self._evict(new)
        self._charge(uid, new if after in HOLDS else None)

    def _admit(self, unit: Object) -> None:
        job = unit["spec"]["consumerRef"]
        self.admissions[job["uid"]] += 1
        self.order.append(job["name"])
        self._admitted_at[unit["metadata"]["uid"]] = self._events
        if self.admissions[job["uid"]] > 1 + self.returns[job["uid"]]:
            self.broken.append(f"{unit['metadata']['name']} was admitted twice")

    def _evict(self, unit: Object) -> None:
        condition = evicted(unit)
        if condition.get("reason") not in FOR_ANOTHER:
            return
        name, uid = unit["metadata"]["name"], unit["metadata"]["uid"]
        preemptor = preemptor_in(condition.get("message", ""))
        if not preemptor:
            self.broken.append(f"{name} was evicted for somebody who is not named")
        if not is_preemptible(unit["metadata"].get("labels") or {}):
            self.broken.append(f"{name} was evicted and is not preemptible")
        if any((one.uid, one.preemptor) == (uid, preemptor) for one in self.evictions):
            back = self._admitted_at.get(uid, 0) > max(
                one.at for one in self.evictions if (one.uid, one.preemptor) == (uid, preemptor)
            )
            how = "and admitted in between" if back else "while it was leaving"
            self.broken.append(f"{name} was evicted twice for the same unit, {how}")
        self.evictions.append(Eviction(name, uid, preemptor, self._events))

    def _charge(self, uid: str, unit: Object | None) -> None:
        known = self._held.pop(uid, None)
        if known is not None:
            self._add(known, -1)
        if unit is None:
            return
        holding = self._held[uid] = Holding.of(unit)
        self._add(holding, 1)
        if known is None and unit["status"].get("reason") not in ADOPTED:
            self._judge(unit["metadata"]["name"], holding)

    def _add(self, holding: Holding, sign: int) -> None:
        node = self._tree.leaf_for(holding.quota, holding.namespace)
        for path in self._tree.chain(node.path) if node is not None else ():
            for name, amount in holding.amounts:
                self._used[path, name] += sign * amount
                if not holding.preemptible:
                    self._firm[path, name] += sign * amount

    def _judge(self, name: str, holding: Holding) -> None:
        """No decision takes a node above its max, or what cannot be taken back above its min."""
        node = self._tree.leaf_for(holding.quota, holding.namespace)
        if node is None:
            self.broken.append(f"{name} was admitted and belongs to no quota")
            return
        for path in self._tree.chain(node.path):
            bounds = [("max", self._tree.nodes[path].max, self._used)]
            if not holding.preemptible and self._tree.nodes[path].min_declared:
                bounds.append(("min", self._tree.nodes[path].min, self._firm))
            for word, bound, used in bounds:
                for resource, amount in holding.amounts:
                    limit = bound.get(resource)
                    if amount and limit is not None and used[path, resource] > limit:
                        held = used[path, resource]
                        said = f"{path} holds {held} of {resource}, its {word} is {limit}"
                        self.broken.append(f"{name} was admitted and {said}")

    def check(self) -> None:
        """Raise Broken when any event broke an invariant."""
        if self.broken:
            raise Broken("; ".join(self.broken[:5]))

    def check_evictions(self) -> None:
        """Nobody had to leave in vain: whoever it was for was admitted afterwards. Raise Broken.

        For when everything is at rest. One that was deleted or deactivated meanwhile is excused.
        """
        for one in self.evictions:
            seen = max(self._admitted_at.get(one.preemptor, 0), self._out_at.get(one.preemptor, 0))
            if seen < one.at:
                raise Broken(f"{one.name} had to leave for {one.preemptor}, who was not admitted")

    def used(self, path: str) -> dict[str, int]:
        """What the units of this node hold now, without zeros and without the number of jobs."""
        return {
            name: amount
            for (node, name), amount in self._used.items()
            if node == path and amount and name != MAX_JOBS
        }

    def paths(self) -> Sequence[str]:
        """Every node of the tree."""
        return tuple(self._tree.nodes)


def check_pairs(jobs: Sequence[Object], units: Sequence[Object], extra: int = 0) -> None:
    """Every unfinished job has one unit and every unit its job. Raise Broken otherwise.

    `extra` jobs may have no unit yet: those the job side has not seen.
    """
    owners = Counter(unit["spec"]["consumerRef"]["uid"] for unit in units)
    twice = [uid for uid, count in owners.items() if count > 1]
    if twice:
        raise Broken(f"{len(twice)} jobs have two units")
    missing = [job["metadata"]["name"] for job in jobs if job["metadata"]["uid"] not in owners]
    if len(missing) > extra:
        raise Broken(f"without a unit: {', '.join(sorted(missing)[:5])}")


def check_status(tree: Object, ledger: Ledger) -> None:
    """The tree's status says of every node what the units hold. Raise Broken otherwise."""
    said = dict(_said(tree.get("status", {}).get("root") or {}, ""))
    for path in ledger.paths():
        held = ledger.used(path)
        if said.get(path) != held:
            raise Broken(f"the tree's status says {path} uses {said.get(path)}, units hold {held}")


def agrees(tree: Object, ledger: Ledger) -> bool:
    """Whether the tree's status says what the units hold."""
    try:
        check_status(tree, ledger)
    except Broken:
        return False
    return True


def _said(node: Mapping[str, Any], above: str) -> list[tuple[str, dict[str, int]]]:
    path = f"{above}/{node.get('name', 'root')}".lstrip("/")
    used = ResourceVector.parse(
        {name: amount for name, amount in (node.get("used") or {}).items() if name != MAX_JOBS}
    )
    here = (path, {name: amount for name, amount in used.items if amount})
    below = [each for child in node.get("children") or () for each in _said(child, path)]
    return [here, *below]


def _compiled(tree: Object) -> QuotaTree:
    parsed, _ = parse_tree(tree)
    assert parsed is not None, "a scenario's tree is valid"
    return parsed


def _was_told(old: Object | None, new: Object) -> bool:
    """Whether quota went back by the rules: told to leave, timed out, or only reserved."""
    status = new.get("status", {})
    return bool(
        evicted(old)
        or status.get("phase") == "TimeoutBackoff"
        or _phase(old) == "Reserved"
        or status.get("reason") == "SuspendedByUser"
    )


def _phase(unit: Mapping[str, Any] | None) -> str:
    if unit is None:
        return ""
    return unit.get("status", {}).get("phase") or "Enqueued"
