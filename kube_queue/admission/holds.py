"""Why a waiting unit is kept out of every try, in words."""

from __future__ import annotations

from dataclasses import dataclass

from kube_queue.api.conditions import rfc3339
from kube_queue.api.names import QUEUE_NAMESPACE
from kube_queue.api.queues import StopPolicy
from kube_queue.api.reasons import Reason


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a waiting unit is in no lane, and what would change that."""

    reason: Reason
    message: str
    waits_for: str
    until: float = 0.0
    """When whoever keeps the unit out wants to look at it; seconds since the epoch, 0 = never."""


def cooling(until: float) -> Hold:
    """Its admission could not be written; ``until`` in seconds since the epoch."""
    moment = rfc3339(until)
    return Hold(
        Reason.BACKOFF,
        f"its admission could not be written; not tried before {moment}",
        f"waits until {moment}",
    )


def too_early(due_at: float) -> Hold:
    """Its requeueState says when; ``due_at`` in seconds since the epoch."""
    moment = rfc3339(due_at)
    return Hold(Reason.BACKOFF, f"requeued; not tried before {moment}", f"waits until {moment}")


def no_queue(name: str) -> Hold:
    """There is no Queue of that name."""
    return Hold(
        Reason.NO_QUEUE,
        f"Queue {name} does not exist in namespace {QUEUE_NAMESPACE}",
        f"waits until Queue {name} exists",
    )


def queue_stopped(name: str, stop: StopPolicy) -> Hold:
    """Its Queue admits nothing."""
    return Hold(
        Reason.QUEUE_STOPPED,
        f"Queue {name} is stopped (spec.stopPolicy: {stop})",
        f"waits until Queue {name} is started",
    )


def kept_back(until: float) -> Hold:
    """Others have left for it, and what they held cannot be its own yet."""
    return Hold(
        Reason.RECLAIM_PENDING,
        "units left to make room for it; their quota is kept for it until their last pods are gone",
        "waits until their last pods are gone, some seconds at most",
        until,
    )


def nodes_full(problem: str) -> Hold:
    """The nodes have no room for its pods; ``problem`` is what they said."""
    return Hold(Reason.NODES_HAVE_NO_ROOM, problem, "waits until nodes have room for all its pods")
