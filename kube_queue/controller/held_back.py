"""Units that their quota has room for and the nodes have not: who of them is looked at when.

no room ──▶ held back ──nodes change──▶ has its turns again
   │ others were evicted for it
   └──────▶ quota kept ──nodes change──▶ asked about again
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Final

from kube_queue.admission.decisions import Admit
from kube_queue.api.units import Unit
from kube_queue.cache import Cache

HELD_PAUSE: Final = 1.0
"""Seconds in which changes of nodes become one look at those who wait for room."""
TRIED_AT_ONCE: Final = 64
"""So many that were held back have a turn at one look; the others at the next ones."""


class HeldBack:
    """Everybody who waits for room on the nodes.

    `again` is called to write the admission of one that kept its quota; `look` when units may have
    a turn that had none.
    """

    def __init__(
        self, cache: Cache, again: Callable[[Admit, Unit], None], look: Callable[[], None]
    ) -> None:
        self._cache = cache
        self._again = again
        self._look = look
        self._kept: dict[str, tuple[Admit, Unit]] = {}
        """Admissions whose quota stays assumed, by uid."""
        self._without_turn: dict[str, None] = {}
        """uids of units that gave it back; who had the last turn longest ago comes first."""
        self._to_try: dict[str, None] = {}
        """Those of them that have a turn soon, because nodes changed."""
        self._look_due = False
        self._stopped = False

    def __contains__(self, uid: str) -> bool:
        """Whether the unit gave its quota back and has no turn."""
        return uid in self._without_turn

    def stop(self) -> None:
        """Nobody is looked at from here."""
        self._stopped = True

    def hold(self, decision: Admit, unit: Unit, problem: str) -> None:
        """The nodes have no room for the unit's pods, for this reason."""
        if decision.others_left:
            self._kept[unit.uid] = decision, unit
        else:
            self._without_turn[unit.uid] = None
            self._cache.hold_back(unit.uid, problem)

    def gone(self, uid: str) -> None:
        """The unit is no more, or was admitted: nobody waits."""
        self._kept.pop(uid, None)
        self._without_turn.pop(uid, None)

    def changed(self, uid: str) -> None:
        """The unit is another; its pods may fit."""
        if uid in self._without_turn:
            self._let_try(uid)
            self._look()

    def nodes_changed(self) -> None:
        """Nodes may have room for who was held back: soon they all have a turn."""
        self._to_try = dict(self._without_turn)
        if self._to_try or self._kept:
            self._look_soon()

    def _look_soon(self) -> None:
        if not self._look_due and not self._stopped:
            self._look_due = True
            asyncio.get_running_loop().call_later(HELD_PAUSE, self._look_again)

    def _look_again(self) -> None:
        self._look_due = False
        if self._stopped:
            return
        kept, self._kept = self._kept, {}
        for decision, unit in kept.values():
            if self._cache.unit(unit.uid) is not None:
                self._again(decision, unit)
        for uid in list(islice(self._to_try, TRIED_AT_ONCE)):
            del self._to_try[uid]
            self._let_try(uid)
        if self._to_try:
            self._look_soon()
        self._look()

    def _let_try(self, uid: str) -> None:
        if uid in self._without_turn:
            del self._without_turn[uid]
            self._cache.let_try(uid)
