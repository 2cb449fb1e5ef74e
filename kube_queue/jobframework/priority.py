"""The priority a job asks for, and what was odd about how it asked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from kube_queue.api.names import PRIORITY_ANNOTATION
from kube_queue.api.reasons import Reason
from kube_queue.jobframework.decisions import Emit
from kube_queue.jobframework.extension import PodSet
from kube_queue.jobframework.fields import text
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue.jobframework.view import JobView

_INTEGER = re.compile(r"[+-]?[0-9]{1,10}\Z", re.ASCII)
_INT32 = range(-(2**31), 2**31)


@dataclass(frozen=True, slots=True)
class JobPriority:
    """`value` is what counts; `class_name` the PriorityClass it came from, or empty."""

    value: int
    class_name: str = ""
    warnings: tuple[Emit, ...] = ()


def job_priority(
    view: JobView, pod_sets: Iterable[PodSet], surroundings: Surroundings
) -> JobPriority:
    """The job's own priority: its annotation, else its class, else its pods' highest, else 0.

    A class that does not exist counts as 0 and an unreadable annotation as absent, with a warning.
    """
    warnings: tuple[Emit, ...] = ()
    written = view.annotations.get(PRIORITY_ANNOTATION)
    if written is not None:
        value = _integer(written)
        if value is not None:
            return JobPriority(value)
        warnings = (
            Emit(
                Reason.INVALID_JOB,
                f"metadata.annotations[{PRIORITY_ANNOTATION}]: {written!r} is not a whole number "
                "of 32 bits; it is ignored",
                warning=True,
            ),
        )
    classes = surroundings.priority_classes
    named = view.extension.priority_class(view.manifest)
    if named:
        return _of_class(named, surroundings, warnings)
    of_pods = [name for name in map(_pod_class, pod_sets) if name]
    if of_pods:
        known = [name for name in of_pods if name in classes]
        best = max(known, key=lambda name: classes[name]) if known else of_pods[0]
        missing = next((name for name in of_pods if name not in classes), "")
        if missing and known:
            warnings += (_missing(missing),)
        return _of_class(best, surroundings, warnings)
    default = surroundings.default_priority_class
    return JobPriority(classes.get(default, 0), default, warnings)


def _of_class(name: str, surroundings: Surroundings, warnings: tuple[Emit, ...]) -> JobPriority:
    value = surroundings.priority_classes.get(name)
    if value is None:
        return JobPriority(0, name, (*warnings, _missing(name)))
    return JobPriority(value, name, warnings)


def _missing(name: str) -> Emit:
    return Emit(
        Reason.MISSING_PRIORITY_CLASS,
        f"PriorityClass {name} does not exist; its priority counts as 0 until it does",
        warning=True,
    )


def _pod_class(pod_set: PodSet) -> str:
    return text(pod_set.template or {}, "spec", "priorityClassName")


def _integer(written: object) -> int | None:
    if not isinstance(written, str) or not _INTEGER.match(written.strip()):
        return None
    value = int(written)
    return value if value in _INT32 else None
