"""Which of many rows is the one where least harm is done, without working out every row's plan.

A plan is worked out closely only for rows that might be the best by what any plan of theirs costs
at least: as soon as a plan is known that costs no more than any row left might, it is the one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

import numpy as np

from kube_queue.placement.columns import Mask
from kube_queue.placement.victims import Pick

CANDIDATES: Final = 100
"""Nodes, or domains, that are looked at closely."""
MOST_ROWS: Final = 4 * CANDIDATES
"""Rows that are looked at for one pod at all."""

Harm = tuple[int | str, ...]
"""Compares rows by what leaves there; the smallest is chosen."""


class RowPlan(NamedTuple):
    """What has to leave a row so that one pod fits."""

    row: int
    picks: tuple[Pick, ...]
    harm: Harm


def least_harmful(
    rows: Iterable[int],
    at_once: int,
    least: Callable[[int], Harm | None],
    plan: Callable[[int], RowPlan | None],
) -> RowPlan | None:
    """The plan of least harm among the first ``at_once`` rows that might have one; where none of
    them has, among the next so many, and so on.

    ``least``: no plan of the row does less harm than that; None: it has none. Rows of equal harm
    are told apart by the harm itself, which therefore names the row in one way or another.
    """
    might = _bounded(rows, least)
    while window := list(islice(might, at_once)):
        heapq.heapify(window)
        while window:
            _, row, known = heapq.heappop(window)
            if known is not None:
                return known
            found = plan(row)
            if found is not None:
                heapq.heappush(window, (found.harm, row, found))
    return None


def _bounded(
    rows: Iterable[int], least: Callable[[int], Harm | None]
) -> Iterator[tuple[Harm, int, RowPlan | None]]:
    for row in rows:
        harm = least(row)
        if harm is not None:
            yield harm, row, None


def in_turn(rows: Mask, turn: int) -> Iterator[int]:
    """The rows of the mask from this one on, then those before it."""
    found = np.flatnonzero(rows)
    after = int(np.searchsorted(found, turn))
    for part in (found[after:], found[:after]):
        yield from map(int, part)
