"""How many examples a property is tried with."""

from hypothesis import settings


def examples(count: int) -> int:
    """All of them in the long suite, and in the quick one as large a share as of any property."""
    return max(1, count * settings().max_examples // 100)
