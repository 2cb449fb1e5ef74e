"""How long a job runs, by its owner's word: what is expected and what is allowed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from kube_queue.api.loose import field_path, shown
from kube_queue.api.names import (
    EXPECTED_RUN_SECONDS_ANNOTATION,
    MAXIMUM_EXECUTION_TIME_ANNOTATION,
)
from kube_queue.api.reasons import Reason
from kube_queue.jobframework.decisions import Emit
from kube_queue.jobframework.view import JobView

_SECONDS: Final = re.compile(r"[0-9]{1,10}\Z", re.ASCII)
_MOST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class RunTime:
    """Whole seconds by the job's annotations; 0 where they say nothing that can be read."""

    expected: int = 0
    limit: int = 0
    warnings: tuple[Emit, ...] = ()


_UNSAID: Final = RunTime()


def run_time(view: JobView) -> RunTime:
    """What the job's annotations say; what cannot be read counts as absent, with a warning."""
    annotations = view.annotations
    if (
        EXPECTED_RUN_SECONDS_ANNOTATION not in annotations
        and MAXIMUM_EXECUTION_TIME_ANNOTATION not in annotations
    ):
        return _UNSAID
    warnings: list[Emit] = []
    expected, limit = (
        _seconds(view, name, warnings)
        for name in (EXPECTED_RUN_SECONDS_ANNOTATION, MAXIMUM_EXECUTION_TIME_ANNOTATION)
    )
    return RunTime(expected, limit, tuple(warnings))


def _seconds(view: JobView, name: str, warnings: list[Emit]) -> int:
    written = view.annotations.get(name)
    if written is None:
        return 0
    if isinstance(written, str) and _SECONDS.match(written) and 0 < int(written) <= _MOST:
        return int(written)
    problem = f"{shown(written)} is no whole number of seconds from 1 to {_MOST}; it is ignored"
    path = field_path("metadata.annotations", name)
    warnings.append(Emit(Reason.INVALID_JOB, f"{path}: {problem}", warning=True))
    return 0
