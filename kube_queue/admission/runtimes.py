"""How long jobs run: by their owner's word, else by what jobs like them took.

What is known of one job's run time is an interval. Its owner's word (annotation
``kube-queue/expected-run-seconds``) is a point; else the shortest and the longest of the last
runs of jobs like it count; else a job with a time limit runs between nothing and the limit; else
nothing is known. A time limit caps every one of them.

Jobs are alike when namespace, kind, request and the name without its run are the same. The run is
what schedulers and people append: numbers (``nightly-28371240``, ``sweep-2024-01-31``) and the
random letters of ``generateName`` or a hash (``train-x7k2p``, ``etl-9f8e7d6c``), always behind
``-``, ``.`` or ``_``. ``resnet50`` and ``resnet101`` are not alike.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from functools import lru_cache
from math import ceil, inf
from typing import Final, NamedTuple

from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import Unit

RUNS_KEPT: Final = 20
"""Runs remembered for jobs that are alike; older ones are forgotten."""
KINDS_KEPT: Final = 10_000
"""Sets of alike jobs remembered; the one that ended longest ago is forgotten first."""

_NUMBERS: Final = re.compile(r"(?:[-._][0-9]+)+$")
_RANDOM: Final = re.compile(
    # generateName draws five of these letters; a hash is hexadecimal and has a digit somewhere.
    r"[-._](?:[bcdfghjklmnpqrstvwxz2456789]{5}|(?=[a-f]*[0-9])[0-9a-f]{8,})$"
)


class Interval(NamedTuple):
    """From the least to the most, in seconds."""

    least: float
    most: float


class Alike(NamedTuple):
    """What jobs have in common that teach each other how long they run."""

    namespace: str
    kind: str
    name: str
    request: ResourceVector


class Learned(NamedTuple):
    """A run time that follows what is learned."""

    alike: Alike
    limit: float
    """No longer than that, in seconds; infinite: without a limit."""


Length = float | Learned | None
"""What is known of the most seconds that a job runs: a number, what jobs like it took, nothing."""


class Unlearned:
    """Units of whose run time something may be learned yet, by what they are alike."""

    __slots__ = ("_alike", "_units")

    def __init__(self) -> None:
        self._alike: dict[str, Alike] = {}
        self._units: dict[Alike, dict[str, None]] = {}

    def add(self, unit: Unit) -> None:
        """The unit is among them, unless its owner says how long it runs."""
        if not unit.expected_seconds:
            alike = self._alike[unit.uid] = alike_of(unit)
            self._units.setdefault(alike, {})[unit.uid] = None

    def discard(self, uid: str) -> None:
        """The unit is not among them."""
        alike = self._alike.pop(uid, None)
        if alike is not None:
            units = self._units[alike]
            del units[uid]
            if not units:
                del self._units[alike]

    def like(self, alike: Alike) -> tuple[str, ...]:
        """The uids of those that are so alike."""
        return tuple(self._units.get(alike, ()))

    def clear(self) -> None:
        """There are none."""
        self._alike.clear()
        self._units.clear()


class RunTimes:
    """What is known about run times; forgets what is old, so its memory is bounded."""

    def __init__(self) -> None:
        self._runs: OrderedDict[Alike, deque[float]] = OrderedDict()

    def ended(self, unit: Unit, seconds: float) -> bool:
        """The unit's job ended well after running so long; less than 0 is no run and ignored.
        Returns whether the most that jobs like it run is another now.
        """
        if not seconds >= 0.0:
            return False
        alike = alike_of(unit)
        runs = self._runs.get(alike)
        before = max(runs) if runs else None
        if runs is None:
            runs = self._runs[alike] = deque(maxlen=RUNS_KEPT)
            if len(self._runs) > KINDS_KEPT:
                self._runs.popitem(last=False)
        else:
            self._runs.move_to_end(alike)
        runs.append(seconds)
        return before != max(runs)

    def expected(self, unit: Unit) -> Interval | None:
        """How long the unit's job runs from its start to its end; None: not known."""
        limit = float(unit.limit_seconds)
        if unit.expected_seconds:
            least = most = float(unit.expected_seconds)
        elif runs := self._runs.get(alike_of(unit)):
            least, most = min(runs), max(runs)
        elif limit:
            return Interval(0.0, limit)
        else:
            return None
        return Interval(min(least, limit), min(most, limit)) if limit else Interval(least, most)

    def length(self, unit: Unit) -> Length:
        """What is known of the most the unit's job runs: of units that have it in common this is
        the same value, whatever is learned later.
        """
        limit = float(unit.limit_seconds) or inf
        if unit.expected_seconds:
            return min(float(unit.expected_seconds), limit)
        alike = alike_of(unit)
        if alike in self._runs:
            return Learned(alike, limit)
        return limit if limit < inf else None

    def most(self, length: Length) -> float | None:
        """How long that is by now, in whole seconds; None: not known."""
        if not isinstance(length, Learned):
            return length
        runs = self._runs.get(length.alike)
        known = min(max(runs), length.limit) if runs else length.limit
        return float(ceil(known)) if known < inf else None


def alike_of(unit: Unit) -> Alike:
    """What other jobs have to have in common with the unit's to be alike."""
    job = unit.job
    kind, name = (job.kind, job.name) if job is not None else ("", unit.name)
    return Alike(unit.namespace, kind, without_run(name), unit.request)


@lru_cache(maxsize=4_096)
def without_run(name: str) -> str:
    """The name without the number or the random letters of one run; never empty."""
    for pattern in (_NUMBERS, _RANDOM, _NUMBERS):
        stem = pattern.sub("", name)
        if stem:
            name = stem
    return name
