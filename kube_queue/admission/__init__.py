"""Room admission: the brain of units. Facts and events in, decisions out.

Holds: the quota ledger (exact sums), the pending queues (order, lanes, shared verdicts, wake
indices, backoff), the policies, who runs, who is evicted for whom and what that promises, the cycle
that joins them, explanations.
May import: api.
Never: asyncio, time, random, logging, structlog, I/O of any kind, a clock of its own.

Read in this order: decisions (what comes out), quota_node and ledger (what is free), lanes (how
waiting units are grouped), scan and policies (who is next in one queue), turns (which queue is
next), lane_index (they join their lanes, and wake), pending (they come and go), running (who holds
quota), reclaim (whom to evict), promises and early (what comes of it), cycle (the steps), explain
(the sentences).
"""

from kube_queue.admission.cycle import cycle
from kube_queue.admission.decisions import Admit, Decision, Evict, Requeue, Shortage
from kube_queue.admission.explain import Explanation, QuotaLevel, ResourceLevel, Summary, Waiting
from kube_queue.admission.ledger import NodeUsage, QuotaLedger
from kube_queue.admission.pending import PendingQueues

__all__ = [
    "Admit",
    "Decision",
    "Evict",
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
