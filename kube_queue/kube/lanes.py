"""The order in which writes are served."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Lane(IntEnum):
    """A class of writes; a smaller one is served first. The last three share a slow bucket."""

    EVICT = 0
    """Taking quota back from a unit or pod."""
    ADMIT = 1
    """A unit's admission, a pod's binding."""
    RESUME = 2
    """Letting a job run, or holding it again."""
    CREATE = 3
    """Units, automatic Queues, the job's Queuing condition."""
    PROGRESS = 4
    """A unit running and finished."""
    REASON = 5
    """Why a unit waits."""
    STATUS = 6
    """Status of Queues and of the quota tree."""
    EVENT = 7
    """Events: best effort."""


LOW_LANES: Final = frozenset({Lane.REASON, Lane.STATUS, Lane.EVENT})
