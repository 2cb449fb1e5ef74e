"""The life of a QueueUnit: its phases, who may move it, and which phases hold quota.

C marks moves the controller writes, J those of the job side::

                         C admitted (no checks)   J adopted: its job was released by hand
      ┌───────────────────────────────────────────────────────┐
      │                              C checks Ready, or none  │
      │                              left;  J adopted         ▼
    Enqueued ──C quota reserved──▶ Reserved ───────────────▶ Dequeued ──J pods run──▶ Running
     ▲ ▲ ▲ ◀──────C given back──────┘ │                        │ │ │                    │ │
     │ │ │                  C a check │                        │ │ │                    │ │
     │ │ │                  says Retry▼     C pending too long │ │ │                    │ │
     │ │ └───C backoff over─── TimeoutBackoff ◀────────────────┘ │ │                    │ │
     │ │       and pods gone                                     │ │                    │ │
     │ └──────J job suspended, its pods gone─────────────────────┘ │ J the job ended,   │ │
     └────────J job suspended, its pods gone───────────────────────┼─or ran too long────┘ │
                                                                   ▼                      │
                                                        Succeed or Failed ◀───────────────┘
                      a job that ended meanwhile:  Reserved, TimeoutBackoff ──J──▶ Succeed, Failed

    holds quota: Reserved, Dequeued, Running            never left again: Succeed, Failed

An eviction is no transition: the controller sets condition Evicted and leaves phase and quota
alone, the job side suspends the job and, once its pods are gone, moves the unit back to Enqueued.
A reserved unit has no job to suspend: the controller gives its quota back itself. A job that ran
longer than it may is suspended as well, and its unit is Failed once the pods are gone.
An absent or empty phase means Enqueued. Each owner writes only its own transitions, as a merge
patch of status with uid and resourceVersion; a conflict means read again and decide again.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Final

from kube_queue.api.errors import InvalidInput


class Phase(StrEnum):
    """Where a unit is in its life; the values are the ones on the wire."""

    ENQUEUED = "Enqueued"
    RESERVED = "Reserved"
    DEQUEUED = "Dequeued"
    RUNNING = "Running"
    SUCCEED = "Succeed"
    FAILED = "Failed"
    TIMEOUT_BACKOFF = "TimeoutBackoff"


class Owner(Enum):
    """Which half of the product writes a transition."""

    CONTROLLER = "controller"
    JOB_SIDE = "job side"


HOLDS_QUOTA: Final = frozenset({Phase.RESERVED, Phase.DEQUEUED, Phase.RUNNING})
"""While a unit is in one of these its quota is charged."""

FINISHED: Final = frozenset({Phase.SUCCEED, Phase.FAILED})
"""A unit in one of these never moves again."""

TRANSITIONS: Final[frozenset[tuple[Phase, Phase, Owner]]] = frozenset(
    {
        (Phase.ENQUEUED, Phase.RESERVED, Owner.CONTROLLER),
        (Phase.RESERVED, Phase.ENQUEUED, Owner.CONTROLLER),
        (Phase.RESERVED, Phase.DEQUEUED, Owner.CONTROLLER),
        (Phase.ENQUEUED, Phase.DEQUEUED, Owner.CONTROLLER),
        (Phase.RESERVED, Phase.TIMEOUT_BACKOFF, Owner.CONTROLLER),
        (Phase.DEQUEUED, Phase.TIMEOUT_BACKOFF, Owner.CONTROLLER),
        (Phase.TIMEOUT_BACKOFF, Phase.ENQUEUED, Owner.CONTROLLER),
        (Phase.ENQUEUED, Phase.DEQUEUED, Owner.JOB_SIDE),
        (Phase.RESERVED, Phase.DEQUEUED, Owner.JOB_SIDE),
        (Phase.RESERVED, Phase.SUCCEED, Owner.JOB_SIDE),
        (Phase.RESERVED, Phase.FAILED, Owner.JOB_SIDE),
        (Phase.TIMEOUT_BACKOFF, Phase.SUCCEED, Owner.JOB_SIDE),
        (Phase.TIMEOUT_BACKOFF, Phase.FAILED, Owner.JOB_SIDE),
        (Phase.DEQUEUED, Phase.RUNNING, Owner.JOB_SIDE),
        (Phase.DEQUEUED, Phase.SUCCEED, Owner.JOB_SIDE),
        (Phase.DEQUEUED, Phase.FAILED, Owner.JOB_SIDE),
        (Phase.RUNNING, Phase.SUCCEED, Owner.JOB_SIDE),
        (Phase.RUNNING, Phase.FAILED, Owner.JOB_SIDE),
        (Phase.DEQUEUED, Phase.ENQUEUED, Owner.JOB_SIDE),
        (Phase.RUNNING, Phase.ENQUEUED, Owner.JOB_SIDE),
    }
)
"""Every legal move with its owner; the picture above draws them."""

_BY_TEXT: Final = {"": Phase.ENQUEUED, **{phase.value: phase for phase in Phase}}


def phase_of(text: str) -> Phase:
    """The phase a status spells; empty means Enqueued. Raises InvalidInput on any other text."""
    phase = _BY_TEXT.get(text)
    if phase is None:
        legal = ", ".join(member.value for member in Phase)
        raise InvalidInput(f"no phase is called {text!r}", "status.phase", f"use one of {legal}")
    return phase


def allowed(frm: Phase, to: Phase, owner: Owner) -> bool:
    """Whether ``owner`` may write the move from ``frm`` to ``to``."""
    return (frm, to, owner) in TRANSITIONS
