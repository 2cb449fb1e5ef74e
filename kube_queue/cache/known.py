"""What is remembered of one unit."""

from __future__ import annotations

from kube_queue.api.units import Unit


class Known:
    """One unit as last seen, and the decision about it that is still to be seen."""

    __slots__ = ("assumed", "failures", "unit")

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.assumed: Assumption | None = None
        self.failures = 0
        """Writes of its admission that failed in a row."""


class Assumption:
    """An admission that was decided at ``version`` and not seen yet."""

    __slots__ = ("others_left", "version", "written")

    def __init__(self, version: str, others_left: bool) -> None:
        self.version = version
        self.others_left = others_left
        """Whether others were evicted for it."""
        self.written = ""
        """The resourceVersion of the state that was written, once the write succeeded."""
