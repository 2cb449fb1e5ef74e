"""What a plan asks for: at most one write, besides things to say and moments to look again.

One write at a time, because its answer is part of what the next one is decided on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from kube_queue.api.lifecycle import Phase
from kube_queue.api.reasons import Reason


@dataclass(frozen=True, slots=True)
class Emit:
    """One event on the job and on its unit, if it has one. Said once for the same message."""

    reason: Reason
    message: str
    warning: bool = False


class Topic(Enum):
    """What a plan may have to watch for a while before it acts."""

    JOB_GONE = "the job is gone and its unit is not"
    SUSPEND_IGNORED = "the job is held and has live pods"
    PODS_GONE = "the job is held and has no pods"
    RESIZE = "some of the job's pods are done, or it was scaled down"
    POD_STATE = "the pods are not as the unit says"
    RUN_LIMIT = "the job may run a while longer"


@dataclass(frozen=True, slots=True)
class Wait:
    """Decide again in `seconds`, unless something happens before; the topic's time runs on."""

    topic: Topic
    seconds: float


@dataclass(frozen=True, slots=True)
class CreateUnit:
    """The job's unit comes into being. `says` becomes true with it."""

    manifest: dict[str, Any]
    says: tuple[Emit, ...] = ()
    certain: bool = False


@dataclass(frozen=True, slots=True)
class UpdateUnit:
    """The unit's spec and annotations follow the job."""

    patch: dict[str, Any]
    says: tuple[Emit, ...] = ()
    certain: bool = False


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """The unit's status moves; `phase` is the one it is in afterwards."""

    patch: dict[str, Any]
    phase: Phase
    says: tuple[Emit, ...] = ()
    certain: bool = False


@dataclass(frozen=True, slots=True)
class DeleteUnit:
    """The unit goes: nothing it stands for exists."""

    says: tuple[Emit, ...] = ()
    certain: bool = True


@dataclass(frozen=True, slots=True)
class ResumeJob:
    """Nothing holds the job any more."""

    patch: dict[str, Any]
    says: tuple[Emit, ...] = ()
    certain: bool = False


@dataclass(frozen=True, slots=True)
class SuspendJob:
    """The job is held, and its operator takes its pods away."""

    patch: dict[str, Any]
    says: tuple[Emit, ...] = ()
    certain: bool = False


@dataclass(frozen=True, slots=True)
class StopJob:
    """The job ends for good."""

    patch: dict[str, Any]
    says: tuple[Emit, ...] = ()
    certain: bool = False


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """The job goes, and another that is held comes in its place."""

    says: tuple[Emit, ...] = ()
    certain: bool = True


@dataclass(frozen=True, slots=True)
class AnnotateJob:
    """The job carries a mark of ours that changes nothing about how it runs."""

    patch: dict[str, Any]
    says: tuple[Emit, ...] = ()
    certain: bool = False


@dataclass(frozen=True, slots=True)
class MarkQueuing:
    """The job's own status shows that it waits, or (`waits` false) no longer does."""

    patch: dict[str, Any]
    waits: bool
    says: tuple[Emit, ...] = ()
    certain: bool = False


Write = (
    CreateUnit
    | UpdateUnit
    | UnitStatus
    | DeleteUnit
    | ResumeJob
    | SuspendJob
    | StopJob
    | DeleteJob
    | AnnotateJob
    | MarkQueuing
)
"""`certain`: right only if job and unit are what they seem, so both are read again just before."""

Decision = Write | Emit | Wait
