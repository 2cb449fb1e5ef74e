"""Which ElasticQuotaTree is in force, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from kube_queue.api.names import TREE_NAMESPACE
from kube_queue.api.quota import QuotaTree
from kube_queue.api.reasons import Reason
from kube_queue.config.settings import TreeValidation
from kube_queue.controller.records import TreeRecord

MOST_SAID: Final = 20
"""Violations a message lists; the rest are counted."""

_log = structlog.get_logger("controller.trees")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the condition Valid of one tree says."""

    valid: bool
    reason: Reason
    message: str


class Trees(Protocol):
    """The trees there are, as an informer keeps them."""

    def values(self) -> Iterable[TreeRecord]:
        """Every tree as last seen."""


class TreeKeeper:
    """The tree in force follows the objects in kube-system.

    There should be one; of several the oldest counts, of equally old ones the first by name, and
    the others say so: a tree that is added by mistake takes nothing over. A tree nothing can be
    taken from, and with validation `strict` any tree with an error, leaves the last usable tree in
    force. `put_in_force` is told whenever that changes, None when there is none left.
    """

    def __init__(
        self,
        trees: Trees,
        mode: TreeValidation,
        put_in_force: Callable[[QuotaTree | None], None],
    ) -> None:
        self.in_force: QuotaTree | None = None
        self._trees = trees
        self._mode = mode
        self._put_in_force = put_in_force
        self._spec = b""
        self._uid = ""

    def tree_changed(self, old: TreeRecord | None, new: TreeRecord | None) -> None:
        """An informer handler."""
        first = self.first()
        if first is None:
            self._set(None, b"", "")
            return
        if first.spec == self._spec and first.uid == self._uid:
            return
        tree = first.seen.tree
        if tree is None or (self._mode is TreeValidation.STRICT and first.seen.errors):
            _log.warning("the quota tree cannot be used", tree=first.name)
            return
        self._set(tree, first.spec, first.uid)

    def settle(self) -> None:
        """The trees are known: where there is none, that is said as well."""
        if self.first() is None:
            self._set(None, b"", "")

    def first(self) -> TreeRecord | None:
        """The object that counts: the oldest in kube-system, or the first of them by name."""
        effective = (record for record in self._trees.values() if record.seen.effective)
        return min(effective, key=lambda record: record.turn, default=None)

    def verdict(self, record: TreeRecord) -> Verdict:
        """What is to be said about this tree."""
        first = self.first()
        if first is not None and first.name != record.name:
            return Verdict(
                False,
                Reason.TREE_INVALID,
                f"Only one tree counts, and {TREE_NAMESPACE}/{first.name} is in force.",
            )
        seen = record.seen
        if not seen.violations:
            return Verdict(True, Reason.TREE_VALID, "The tree keeps every rule.")
        said = "; ".join(str(found) for found in seen.violations[:MOST_SAID])
        if len(seen.violations) > MOST_SAID:
            said += f"; and {len(seen.violations) - MOST_SAID} more"
        if not seen.errors:
            return Verdict(True, Reason.TREE_HAS_WARNINGS, said)
        if seen.tree is not None and self._mode is TreeValidation.WARN:
            return Verdict(False, Reason.TREE_INVALID, f"The tree is used all the same: {said}")
        kept = "the last valid tree stays in force" if self.in_force else "no tree is in force"
        return Verdict(False, Reason.TREE_INVALID, f"The tree is not used, {kept}: {said}")

    def _set(self, tree: QuotaTree | None, spec: bytes, uid: str) -> None:
        self._spec, self._uid = spec, uid
        self.in_force = tree
        if tree is None:
            _log.warning("there is no quota tree in kube-system")
        else:
            _log.info("a quota tree is in force", tree=tree.name, nodes=len(tree.nodes))
        self._put_in_force(tree)
