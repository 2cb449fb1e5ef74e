"""The policies, one file each: who is next inside one line of a queue.

============ ======================================================================================
Round        Every unit gets its turn; one that does not fit backs off, smaller ones pass.
Priority     Every release starts again from the first unit; those that do not fit are passed.
Block        Only the head is tried; all behind it wait.
Intelligent  Units of high priority as Block; the others as Priority, while no high one waits.
Backfill     As Block, but whoever cannot delay the head may pass it.
============ ======================================================================================
"""

from __future__ import annotations

from kube_queue.admission.backoff import backoff
from kube_queue.admission.policies.backfill import BackfillScan
from kube_queue.admission.policies.block import BlockScan
from kube_queue.admission.policies.intelligent import LowScan
from kube_queue.admission.policies.priority import PriorityScan
from kube_queue.admission.policies.round import RoundScan
from kube_queue.admission.scan import Choice, Scan
from kube_queue.api.names import PRIORITY_THRESHOLD_ANNOTATION
from kube_queue.api.queues import Policy, Queue

__all__ = ["BackfillScan", "Choice", "Scan", "Scans", "backoff", "effective_policy", "notice"]


class Scans:
    """The scan of every policy; only the last one needs to know more than its line."""

    def __init__(self, backfill: BackfillScan) -> None:
        self._of: dict[Policy, Scan] = {
            Policy.ROUND: RoundScan(),
            Policy.PRIORITY: PriorityScan(),
            Policy.BLOCK: BlockScan(),
            Policy.INTELLIGENT: LowScan(),
            Policy.BACKFILL: backfill,
        }

    def of(self, policy: Policy, threshold: int, priority: int) -> Scan:
        """The scan that serves units of this priority in a Queue of this policy."""
        if policy is Policy.INTELLIGENT and priority >= threshold:
            policy = Policy.BLOCK
        return self._of[policy]


def effective_policy(queue: Queue, default: Policy) -> Policy:
    """The policy the queue is served by: its own, else the default; Round if it is unknown."""
    if queue.policy_unknown:
        return Policy.ROUND
    return queue.policy if queue.policy is not None else default


def notice(queue: Queue, default: Policy) -> str:
    """One sentence where the queue asks for something it does not get, else empty."""
    if queue.policy_unknown:
        return f"policy {queue.policy_text!r} is unknown; the queue behaves as Round"
    if queue.threshold_unread and effective_policy(queue, default) is Policy.INTELLIGENT:
        return (
            f"annotation {PRIORITY_THRESHOLD_ANNOTATION}: {queue.threshold_unread} is no "
            f"integer; units of priority {queue.threshold} and more go first"
        )
    return ""
