"""Which units could have what they were promised before all who leave for them have gone.

A promised unit waits at the bound that lacks room for it, until as much is free of it as those who
leave for the unit still hold. Nobody is looked at before that, so what leaves costs no look at the
promises of others.
"""

from __future__ import annotations

from collections.abc import Iterator

from kube_queue.admission.ledger import LedgerNode, QuotaLedger
from kube_queue.admission.needs import NeedIndex

_Bar = tuple[LedgerNode, int, str]
"""(node, bound, resource)."""


class Early:
    """The promised units, by what each waits for."""

    def __init__(self, ledger: QuotaLedger) -> None:
        self._ledger = ledger
        self._bars: dict[_Bar, NeedIndex[str]] = {}
        self._waits: dict[str, tuple[_Bar, int]] = {}
        self._open: dict[str, None] = {}
        self.stirred = False
        """Whether what somebody holds changed since somebody looked."""

    def look_at(self, uid: str) -> None:
        """What the unit waits for may be something else, or nothing."""
        self.drop(uid)
        self._open[uid] = None
        self.stirred = True

    def drop(self, uid: str) -> None:
        """Nothing is promised to the unit."""
        self._open.pop(uid, None)
        waits = self._waits.pop(uid, None)
        if waits is not None:
            bar, need = waits
            self._bars[bar].discard(uid, need)
            if not self._bars[bar]:
                del self._bars[bar]

    def clear(self) -> None:
        """Nothing is promised to anybody; for another tree."""
        self._bars.clear()
        self._waits.clear()
        self._open.clear()

    @property
    def waiting(self) -> bool:
        """Whether there may be room for one of them since somebody looked."""
        return self.stirred and (bool(self._waits) or bool(self._open))

    def with_room(self) -> Iterator[str]:
        """Those that nothing speaks against now, each for itself; the others wait on."""
        self.stirred = False
        for (node, bound, resource), index in tuple(self._bars.items()):
            for uid in tuple(index.fitting(node.free[bound][resource])):
                self.look_at(uid)
        self.stirred = False
        for uid in tuple(self._open):
            lacking = self._ledger.lacks(uid)
            if lacking is None:
                yield uid
            elif lacking.need is not None:
                self._wait(uid, lacking[:3], lacking.need)

    def _wait(self, uid: str, bar: _Bar, need: int) -> None:
        del self._open[uid]
        self._waits[uid] = bar, need
        if bar not in self._bars:
            self._bars[bar] = NeedIndex()
        self._bars[bar].add(uid, need)
