"""Why a unit waits, in words and numbers, from memory alone."""

from __future__ import annotations

from dataclasses import dataclass

from kube_queue.admission.decisions import Bound, Shortage
from kube_queue.admission.estimate import Estimate
from kube_queue.admission.holders import Holders
from kube_queue.admission.holds import cooling
from kube_queue.admission.lanes import Waiter
from kube_queue.admission.ledger import QuotaLedger
from kube_queue.admission.pending import PendingQueues
from kube_queue.admission.reclaim import over_min
from kube_queue.admission.running import asked
from kube_queue.api.conditions import rfc3339
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.queues import Policy
from kube_queue.api.reasons import Reason
from kube_queue.api.resource_quota import namespace_of
from kube_queue.api.resources import ResourceVector, bound_of
from kube_queue.api.units import Unit


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
    what a decision may use: negative while the node is above its max, and less than max - used
    while quota is kept back for somebody.
    """

    resource: str
    requested: int
    used: int
    min: int | None
    max: int | None
    available: int | None
    min_used: int | None = None
    """Used by units that are not preemptible; None for a unit that may use more than min."""
    min_available: int | None = None
    """What such units may still use."""


@dataclass(frozen=True, slots=True)
class QuotaLevel:
    """One node on the way from the unit's leaf to the root."""

    path: str
    resources: tuple[ResourceLevel, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The unit that has to go first, whatever fits, and why it waits itself."""

    unit: Unit
    reason: Reason
    message: str
    waits_for: str


@dataclass(frozen=True, slots=True)
class Summary:
    """One unit in one line."""

    uid: str
    namespace: str
    name: str
    phase: Phase
    queue: str
    quota: str
    """Path of the leaf; empty while there is none."""
    position: int
    """1-based among all units that wait in the Queue; 0: it waits in none."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Explanation(Summary):
    """Everything that decides about one unit now."""

    policy: Policy | None
    """None while the Queue does not exist."""
    notice: str
    """What the Queue asks for and does not get."""
    levels: tuple[QuotaLevel, ...]
    """From the leaf to the root."""
    shortages: tuple[Shortage, ...]
    """Every bound without room, from the leaf to the root; empty for a unit that holds quota."""
    waits_for: str
    """What has to happen before it is tried; empty for a unit that does not wait."""
    next_try: str
    """The event that has it tried and who goes before it then; empty like ``waits_for``."""
    head: Head | None
    """Who has to go first."""
    holders: Holders | None
    """Who holds what is shortest: for a unit behind a head, what the head is short of."""
    leaving: tuple[Unit, ...]
    """Units that were told to give quota back for this one and still hold it."""
    estimate: Estimate | None
    """When it starts; None for a unit that does not wait."""


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
    first = head(pending, waiter)
    if first is not None:
        return _behind_head(pending, waiter, first)
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


def head(pending: PendingQueues, waiter: Waiter) -> Waiter | None:
    """The waiting unit that has to go before this one whatever fits; None if there is none."""
    group = waiter.group
    if group is None or group.exceeds is not None:
        return None
    key = group.lane.line.scan.ahead_of(group.lane, waiter.key)
    return pending.waiter(key[-1]) if key is not None else None


def _behind_head(pending: PendingQueues, waiter: Waiter, first: Waiter) -> tuple[Reason, str, str]:
    verdict = first.group.shortage if first.group is not None else None
    its_wait = f" ({verdict.message})" if verdict is not None else ""
    queue, leaf = waiter.place.queue, waiter.place.leaf
    state = pending.queue(queue)
    message = f"queue {queue} blocks in quota {leaf} behind its head {first.unit.key}{its_wait}"
    if state is not None and state.policy is Policy.BACKFILL:
        message = (
            f"would delay {first.unit.key}, the head of queue {queue} in quota {leaf}{its_wait}"
        )
    return (
        Reason.BLOCKED_BY_HEAD,
        message,
        f"waits until {first.unit.key} is admitted, deleted or deactivated",
    )


def shortest(ledger: QuotaLedger, waiter: Waiter) -> Shortage | None:
    """The bound with the least room for the unit now; None if it fits or never will."""
    leaf, group = waiter.place.leaf, waiter.group
    if leaf is None or group is None or group.exceeds is not None:
        return None
    return ledger.shortage(leaf, waiter.place.request, waiter.unit.preemptible)


_ORDER = {
    Policy.ROUND: "Round goes on behind the unit it tried last, so others may be tried first",
    Policy.PRIORITY: "Priority tries those before it first",
    Policy.BLOCK: "it is the head and nobody else of its queue is tried in this quota",
    Policy.INTELLIGENT: "Intelligent tries those before it first",
    Policy.BACKFILL: "Backfill keeps what it needs from everybody who would delay it",
}


def next_try(
    ledger: QuotaLedger,
    waiter: Waiter,
    first: Waiter | None,
    policy: Policy,
    *,
    takes_back: bool,
) -> str:
    """The event after which the unit is tried, and who is tried before it then; empty where what
    it waits for says everything.

    ``takes_back``: a unit within its quota's min may evict units of others that borrowed.
    """
    group = waiter.group
    if waiter.hold is not None or group is None or not waiter.has_turns:
        return ""
    if group.exceeds is not None:
        if bound_of(group.exceeds.resource)[0]:
            return "when its request or that ResourceQuota changes"
        return "when its request, its quota label or the bounds of its quota change"
    if first is not None:
        return _after_head(ledger, waiter, first, policy)
    if group.deferred:
        return f"on a release in {group.lane.leaf}, at the latest at {rfc3339(group.until)}"
    short = shortest(ledger, waiter)
    if short is None:
        return "at once"
    event = f"on {_event(short)}"
    if takes_back and _could_take_back(ledger, waiter, short):
        what = f"others in {short.path} start to borrow {short.resource}"
        event += f", or when {what}: it is within the min of {group.lane.leaf}"
    return f"{event}; {_ORDER[policy]}"


def _could_take_back(ledger: QuotaLedger, waiter: Waiter, short: Shortage) -> bool:
    """Whether others could be evicted for the unit if they held what is its quota's own."""
    leaf = waiter.place.leaf
    if leaf is None or short.bound is not Bound.MAX or short.path == leaf:
        return False
    chain = ledger.chain(leaf)
    if short.resource == MAX_JOBS and MAX_JOBS not in chain[0].quota.min:
        return False
    return not over_min(chain, asked(waiter.place.request))


def _event(short: Shortage) -> str:
    whose = {
        Bound.MAX: "",
        Bound.MIN: " by a unit that is not preemptible",
        Bound.PREEMPTIBLE_JOBS: " by a preemptible unit",
    }[short.bound]
    if short.resource == MAX_JOBS:
        return f"the end of a job in {short.path}{whose}"
    quota, resource = bound_of(short.resource)
    where = f"namespace {namespace_of(short.path)}" if quota else short.path
    return f"a release of {resource} in {where}{whose}"


def _after_head(ledger: QuotaLedger, waiter: Waiter, first: Waiter, policy: Policy) -> str:
    event = f"when {first.unit.key} is admitted, deleted or deactivated, or falls behind it"
    if policy is Policy.BACKFILL:
        event += ", or when it cannot delay that one any more"
    return event if shortest(ledger, waiter) is not None else f"{event}; it would fit now"


def levels(
    ledger: QuotaLedger, leaf: str, request: ResourceVector, preemptible: bool
) -> tuple[QuotaLevel, ...]:
    """The requested resources, and max-jobs where it is bounded, on every node up to the root."""
    found = []
    amounts = {name: amount for name, amount in request.items if name != MAX_JOBS}
    # Writes out the mins that it is held against.
    ledger.demand(request, preemptible)
    for node in ledger.chain(leaf):
        usage = ledger.usage(node.path)
        wanted = dict(amounts)
        if MAX_JOBS in usage.max or MAX_JOBS in usage.min:
            wanted[MAX_JOBS] = 1
        guaranteed = {} if preemptible else node.free[Bound.MIN]
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
                        available=node.free[Bound.MAX].get(name),
                        min_used=(
                            usage.used_guaranteed.get(name, 0) if name in guaranteed else None
                        ),
                        min_available=guaranteed.get(name),
                    )
                    for name, amount in wanted.items()
                ),
            )
        )
    return tuple(found)
