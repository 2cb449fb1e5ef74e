"""How long a unit stays away from its queue after its job did not start or a check asked for it."""

from __future__ import annotations

from dataclasses import dataclass

_MOST_DOUBLINGS = 60
"""A float of seconds holds far more; by then every limit is reached."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """`base` seconds the first time, twice as long every further time in a row, `most` at most."""

    base: float
    most: float

    def seconds(self, times: int) -> float:
        """How long the wait is when it is the `times`-th in a row, counted from 1."""
        return float(min(self.most, self.base * 2.0 ** min(max(0, times - 1), _MOST_DOUBLINGS)))
