"""Why a unit waits, in words and numbers, from memory alone."""

from __future__ import annotations

from dataclasses import dataclass

from kube_queue.admission.decisions import Shortage
from kube_queue.admission.holds import cooling
from kube_queue.admission.lanes import Waiter
from kube_queue.admission.ledger import QuotaLedger
from kube_queue.admission.pending import PendingQueues
from kube_queue.api.conditions import rfc3339
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.queues import Policy
from kube_queue.api.reasons import Reason
from kube_queue.api.resources import ResourceVector


@dataclass(frozen=True, slots=True)
class Waiting:
    """One waiting unit and why it waits; ``since`` is its submission in seconds since the epoch."""

    uid: str
    reason: Reason
    message: str
    since: float


@dataclass(frozen=True, slots=True)
class ResourceLevel:
    """One requested resource on one quota node; millicores for cpu, else whole units.

    ``min`` None: guaranteed nothing; ``max`` and ``available`` None: unlimited. ``available`` is
    negative while the node is above its max.
    """

    resource: str
    requested: int
    used: int
    min: int | None
    max: int | None
    available: int | None


@dataclass(frozen=True, slots=True)
class QuotaLevel:
    """One node on the way from the unit's leaf to the root."""

    path: str
    resources: tuple[ResourceLevel, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that decides about one unit now."""

    uid: str
    namespace: str
    name: str
    phase: Phase
    queue: str
    policy: Policy | None
    """None while the Queue does not exist."""
    notice: str
    """What the Queue asks for and does not get."""
    position: int
    """1-based among all units that wait in the Queue; 0: it waits in none."""
    quota: str
    """Path of the leaf; empty while there is none."""
    levels: tuple[QuotaLevel, ...]
    """From the leaf to the root."""
    shortages: tuple[Shortage, ...]
    """Every bound without room, from the leaf to the root; empty for a unit that holds quota."""
    reason: Reason
    message: str
    waits_for: str
    """The event that would change the answer; empty for a unit that does not wait."""


def why(pending: PendingQueues, waiter: Waiter) -> tuple[Reason, str, str]:
    """(reason, message, what is waited for) of a waiting unit, by the last verdict on it."""
    if waiter.hold is not None:
        return waiter.hold.reason, waiter.hold.message, waiter.hold.waits_for
    group = waiter.group
    if group is None:
        return Reason.ENQUEUED, "waits in its queue", "its turn"
    if group.exceeds is not None:
        return group.exceeds.reason, group.exceeds.message, group.exceeds.waits_for
    if waiter.cooling_until:
        hold = cooling(waiter.cooling_until)
        return hold.reason, hold.message, hold.waits_for
    if group.lane.line.scan.per_lane and group.lane.order.first != waiter.key:
        return _behind_head(pending, waiter)
    if group.deferred:
        moment = rfc3339(group.until)
        return (
            Reason.BACKOFF,
            f"did not fit {group.attempts} times; tried again on a release in its quota, "
            f"at the latest at {moment}",
            f"waits for a release in {group.lane.leaf} or for {moment}",
        )
    shortage = group.shortage
    if shortage is None or group.opened:
        return Reason.ENQUEUED, "waits for its turn in its queue", "waits for its turn"
    return shortage.reason, shortage.message, shortage.waits_for


def _behind_head(pending: PendingQueues, waiter: Waiter) -> tuple[Reason, str, str]:
    group = waiter.group
    if group is None:
        raise ValueError(f"unit {waiter.unit.key} is in no lane")
    head = pending.waiter(group.lane.order.first[3])
    if head is None:
        raise ValueError(f"the head of {group.lane.leaf} does not wait")
    verdict = head.group.shortage if head.group is not None else None
    its_wait = f" ({verdict.message})" if verdict is not None else ""
    return (
        Reason.BLOCKED_BY_HEAD,
        f"queue {waiter.place.queue} blocks in quota {group.lane.leaf} behind its head "
        f"{head.unit.key}{its_wait}",
        f"waits until {head.unit.key} is admitted, deleted or deactivated",
    )


def levels(ledger: QuotaLedger, leaf: str, request: ResourceVector) -> tuple[QuotaLevel, ...]:
    """The requested resources, and max-jobs where it is bounded, on every node up to the root."""
    found = []
    amounts = {name: amount for name, amount in request.items if name != MAX_JOBS}
    for node in ledger.chain(leaf):
        usage = ledger.usage(node.path)
        wanted = dict(amounts)
        if MAX_JOBS in usage.max or MAX_JOBS in usage.min:
            wanted[MAX_JOBS] = 1
        found.append(
            QuotaLevel(
                node.path,
                tuple(
                    ResourceLevel(
                        resource=name,
                        requested=amount,
                        used=usage.used.get(name, 0),
                        min=usage.min.get(name),
                        max=usage.max.get(name),
                        available=(
                            usage.max[name] - usage.used.get(name, 0) if name in usage.max else None
                        ),
                    )
                    for name, amount in wanted.items()
                ),
            )
        )
    return tuple(found)
