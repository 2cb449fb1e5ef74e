"""Room admission: the brain of units. Facts and events in, decisions out.

Holds: the quota ledger (exact sums, trial by undo journal), the pending queues (order, lanes,
shared verdicts, wake indices, backoff), the policies, the cycle that joins them, explanations.
May import: api.
Never: asyncio, time, random, logging, structlog, I/O of any kind, a clock of its own.

Read in this order: decisions (what comes out), ledger (what is free), lanes (how waiting units
are grouped), policies (who is next in one queue), turns (which queue is next), pending (units come
and go), cycle (the loop), explain (the sentences).
"""

from kube_queue.admission.cycle import cycle
from kube_queue.admission.decisions import Admit, Decision, Requeue, Shortage
from kube_queue.admission.explain import Explanation, QuotaLevel, ResourceLevel, Summary, Waiting
from kube_queue.admission.ledger import NodeUsage, QuotaLedger
from kube_queue.admission.pending import PendingQueues

__all__ = [
    "Admit",
    "Decision",
    "Explanation",
    "NodeUsage",
    "PendingQueues",
    "QuotaLedger",
    "QuotaLevel",
    "Requeue",
    "ResourceLevel",
    "Shortage",
    "Summary",
    "Waiting",
    "cycle",
]
