"""How long something that failed is left alone."""

from __future__ import annotations

from typing import Final

BACKOFF_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 20.0)
"""How long the n-th failure in a row keeps a unit back; the last value stays."""


def backoff(failures: int) -> float:
    """Seconds after the n-th failure in a row, n from 1."""
    return BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1]
