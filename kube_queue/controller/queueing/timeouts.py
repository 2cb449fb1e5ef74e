"""Units whose job does not start in time, and units whose backoff is over.

::

    Dequeued longer than the limit        TimeoutBackoff: quota back at once, the job side suspends
                                          the job
      told to leave already               nothing: that is under way
      of a kind that cannot be stopped    nothing: it would run without quota
    TimeoutBackoff, its time not over     look again then
                    over, pods gone       Enqueued, at its job's old place
                    over, pods there      nothing: the job side tells when they are gone
                    over, nobody told     Enqueued after UNANSWERED_SECONDS more: no job side that
                                          runs knows the job's kind

Every moment is read off the unit, so a restart forgets none.
"""

from __future__ import annotations

from typing import Final

from kube_queue.api.conditions import UnitCondition, parse_rfc3339, rfc3339
from kube_queue.api.errors import InvalidInput
from kube_queue.api.lifecycle import Phase
from kube_queue.api.reasons import Reason
from kube_queue.controller.queueing.backoff import Backoff
from kube_queue.controller.records import UnitRecord
from kube_queue.controller.steps import Said, Step
from kube_queue.controller.unit_patches import backoff_patch, comeback_patch
from kube_queue.kube.writes import Lane

CUT: Final = 1.0
"""Times on the wire are cut to whole seconds: what they began may be this much younger."""
UNANSWERED_SECONDS: Final = 300.0
"""How long after its backoff a unit waits for a word about its job's pods. A job side says one
within seconds, and a job that runs all the same is adopted when one comes back."""


def pending_too_long(
    record: UnitRecord, limit: float, backoff: Backoff, now: float
) -> Step | float | None:
    """The end of an admission whose job does not run after `limit` seconds; 0: there is no limit.

    A float: seconds until that is to be looked at again.
    """
    unit, standing = record.unit, record.standing
    if not limit or unit.phase is not Phase.DEQUEUED or standing is None:
        return None
    if unit.evicted or not unit.evictable:
        return None
    since = _admitted_since(record)
    if since is None:
        return None
    left = since + limit + CUT - now
    if left > 0:
        return left
    until = now + backoff.seconds(standing.backoffs + 1)
    message = f"the job did not run within {limit:g} s; not tried again before {rfc3339(until)}"
    said = Said("Warning", Reason.RUNNING_TIMEOUT, message)
    patch = backoff_patch(record, Reason.RUNNING_TIMEOUT, message, until, now)
    return Step(patch, Lane.EVICT, said)


def back_in_queue(record: UnitRecord, now: float) -> Step | float | None:
    """The end of a backoff. A float: seconds until it is to be looked at again."""
    unit, standing = record.unit, record.standing
    if unit.phase is not Phase.TIMEOUT_BACKOFF or standing is None:
        return None
    left = unit.requeue_at / 1e6 - now
    if left > 0:
        return left
    if standing.pods is None and unit.job is not None and left + UNANSWERED_SECONDS > 0:
        return left + UNANSWERED_SECONDS
    if standing.pods and unit.job is not None:
        return None
    return Step(comeback_patch(record, now), Lane.PROGRESS)


def _admitted_since(record: UnitRecord) -> float | None:
    """Since when the job is free to run, in seconds; None where nothing tells."""
    for type_, status, _, _, since in record.conditions:
        if type_ == UnitCondition.ADMITTED and status == "True":
            try:
                return parse_rfc3339(since) / 1e6
            except InvalidInput:
                break
    return record.unit.allocated / 1e6 or None
