"""What must be true of the API's objects at every moment, and when everything is at rest.

A ledger of what was seen: it reads only QueueUnits, jobs and the tree, so it would catch a mistake
of the controllers whatever they believe themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kube_queue.api.quota import QuotaTree, parse_tree
from kube_queue.api.resources import ResourceVector

Object = dict[str, Any]
HOLDS = {"Reserved", "Dequeued", "Running"}
FINISHED = {"Succeed", "Failed"}


class Broken(AssertionError):
    """An invariant does not hold: one sentence."""


class Ledger:
    """Follows every event of QueueUnits and keeps what it broke."""

    def __init__(self, tree: Object) -> None:
        parsed, _ = parse_tree(tree)
        assert parsed is not None, "a scenario's tree is valid"
        self._tree: QuotaTree = parsed
        self._held: dict[str, tuple[str, ResourceVector]] = {}
        self._used: Counter[tuple[str, str]] = Counter()
        self.admissions: Counter[str] = Counter()
        self.broken: list[str] = []

    def unit_seen(self, old: Object | None, new: Object | None) -> None:
        """Take one watch event; a breach is kept in `broken`."""
        unit = new or old
        assert unit is not None
        uid = unit["metadata"]["uid"]
        before, after = _phase(old), _phase(new)
        if after in HOLDS and before not in HOLDS:
            job = unit["spec"]["consumerRef"]["uid"]
            self.admissions[job] += 1
            if self.admissions[job] > 1:
                self.broken.append(f"{unit['metadata']['name']} was admitted twice")
        if before in FINISHED and new is not None and after not in FINISHED:
            self.broken.append(f"{unit['metadata']['name']} went from {before} to {after}")
        self._charge(uid, new if after in HOLDS else None)

    def _charge(self, uid: str, unit: Object | None) -> None:
        leaf, request = self._held.pop(uid, ("", ResourceVector.parse({})))
        for path in self._tree.chain(leaf) if leaf else ():
            for name, amount in request.items:
                self._used[path, name] -= amount
        if unit is None:
            return
        node = self._tree.leaf_for("", unit["metadata"]["namespace"])
        assert node is not None, "scenarios under the ledger use namespaces of the tree"
        request = ResourceVector.parse(unit["spec"]["resource"])
        self._held[uid] = (node.path, request)
        for path in self._tree.chain(node.path):
            for name, amount in request.items:
                self._used[path, name] += amount
                limit = self._tree.nodes[path].max.get(name)
                if limit is not None and self._used[path, name] > limit:
                    self.broken.append(
                        f"{path} holds {self._used[path, name]} of {name}, its max is {limit}"
                    )

    def check(self) -> None:
        """Raise Broken when any event broke an invariant."""
        if self.broken:
            raise Broken("; ".join(self.broken[:5]))

    def used(self, path: str) -> dict[str, int]:
        """What the units of this node hold now, without zeros."""
        return {
            name: amount for (node, name), amount in self._used.items() if node == path and amount
        }


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
    """The tree's status says what the units hold. Raise Broken otherwise."""
    root = tree.get("status", {}).get("root", {})
    said = ResourceVector.parse(
        {k: v for k, v in root.get("used", {}).items() if k != "kube-queue/max-jobs"}
    )
    held = ledger.used(root.get("name", "root"))
    if dict(said.items) != held:
        raise Broken(f"the tree's status says {dict(said.items)} used, units hold {held}")


def _phase(unit: Mapping[str, Any] | None) -> str:
    if unit is None:
        return ""
    return unit.get("status", {}).get("phase") or "Enqueued"
