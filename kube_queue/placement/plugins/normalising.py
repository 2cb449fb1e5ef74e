"""How raw scores become 0 to 100."""

from __future__ import annotations

import numpy as np

from kube_queue.placement.columns import IntColumn
from kube_queue.placement.framework import MAX_SCORE


def best_is_most(raw: IntColumn) -> IntColumn:
    """The largest raw score is 100 and the others follow in proportion."""
    most = int(raw.max()) if len(raw) else 0
    return raw * MAX_SCORE // most if most > 0 else np.zeros_like(raw)


def best_is_least(raw: IntColumn) -> IntColumn:
    """A raw score of 0 is 100 and the largest is 0."""
    most = int(raw.max()) if len(raw) else 0
    return MAX_SCORE - raw * MAX_SCORE // most if most > 0 else np.full_like(raw, MAX_SCORE)
