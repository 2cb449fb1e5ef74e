"""Room cache: the memory of the queue controller.

Holds: every unit, Queue and the quota tree as last seen, what was decided and is not seen yet
(assumptions), and the instances of the ledger and the pending queues.
May import: admission, api.
Never: await, asyncio, time, random, logging, structlog, a second thread. It belongs to one event
loop; every method is one step.
"""

from kube_queue.cache.cache import Cache
from kube_queue.cache.status import QueueItem, QueueStatus

__all__ = ["Cache", "QueueItem", "QueueStatus"]
