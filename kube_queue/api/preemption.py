"""Who may take quota back from whom, and the sentence in which an eviction names its preemptor.

The sentence is read again after a restart: it is where the tie between a leaving unit and the one
its quota is kept for survives.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final


class ReclaimPolicy(StrEnum):
    """Which units of other quotas, above their min, a unit within its own min may evict."""

    ANY = "Any"
    """Any preemptible unit."""
    LOWER_PRIORITY = "LowerPriority"
    """Only units of lower priority."""
    NEVER = "Never"
    """None: a guarantee is waited for."""


class PreemptionPolicy(StrEnum):
    """Which preemptible units of its own quota a unit may evict."""

    NEVER = "Never"
    """None."""
    LOWER_PRIORITY = "LowerPriority"
    """Only units of lower priority."""


_NAMED: Final = re.compile(r"\(uid ([A-Za-z0-9-]{1,128})\)")


def named_preemptor(key: str, uid: str) -> str:
    """How an eviction's message names the unit the quota is for: ``QueueUnit ns/name (uid U)``."""
    return f"QueueUnit {key} (uid {uid})"


def preemptor_in(message: str) -> str:
    """The uid that ``named_preemptor`` put into this message, or empty."""
    found = _NAMED.search(message)
    return found.group(1) if found is not None else ""
