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


class _Alike(NamedTuple):
    namespace: str
    kind: str
    name: str
    request: ResourceVector


class RunTimes:
    """What is known about run times; forgets what is old, so its memory is bounded."""

    def __init__(self) -> None:
        self._runs: OrderedDict[_Alike, deque[float]] = OrderedDict()

    def ended(self, unit: Unit, seconds: float) -> None:
        """The unit's job ended well after running so long; less than 0 is no run and ignored."""
        if not seconds >= 0.0:
            return
        alike = _alike(unit)
        runs = self._runs.get(alike)
        if runs is None:
            runs = self._runs[alike] = deque(maxlen=RUNS_KEPT)
            if len(self._runs) > KINDS_KEPT:
                self._runs.popitem(last=False)
        else:
            self._runs.move_to_end(alike)
        runs.append(seconds)

    def expected(self, unit: Unit) -> Interval | None:
        """How long the unit's job runs from its start to its end; None: not known."""
        limit = float(unit.limit_seconds)
        if unit.expected_seconds:
            least = most = float(unit.expected_seconds)
        elif runs := self._runs.get(_alike(unit)):
            least, most = min(runs), max(runs)
        elif limit:
            return Interval(0.0, limit)
        else:
            return None
        return Interval(min(least, limit), min(most, limit)) if limit else Interval(least, most)


def _alike(unit: Unit) -> _Alike:
    job = unit.job
    kind, name = (job.kind, job.name) if job is not None else ("", unit.name)
    return _Alike(unit.namespace, kind, without_run(name), unit.request)


def without_run(name: str) -> str:
    """The name without the number or the random letters of one run; never empty."""
    for pattern in (_NUMBERS, _RANDOM, _NUMBERS):
        stem = pattern.sub("", name)
        if stem:
            name = stem
    return name
