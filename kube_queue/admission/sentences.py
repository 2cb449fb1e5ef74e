"""Why somebody is evicted, in one sentence that names who it is for."""

from __future__ import annotations

from kube_queue.admission.decisions import Evict
from kube_queue.admission.ledger import QuotaLedger
from kube_queue.admission.quota_node import MAX, MIN
from kube_queue.admission.running import Held
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.preemption import named_preemptor
from kube_queue.api.reasons import Reason
from kube_queue.api.resources import format_amount
from kube_queue.api.units import Unit


def eviction(held: Held, preemptor: Unit, leaf: str, ledger: QuotaLedger) -> Evict:
    """The decision that the holder has to go for a unit of this leaf."""
    inside = held.leaf == leaf
    return Evict(
        uid=held.unit.uid,
        namespace=held.unit.namespace,
        name=held.unit.name,
        preemptor=preemptor.uid,
        reason=Reason.PREEMPTED if inside else Reason.RECLAIMED,
        message=_preempted(held, preemptor)
        if inside
        else _reclaimed(held, preemptor, leaf, ledger),
    )


def _preempted(held: Held, preemptor: Unit) -> str:
    return (
        f"has priority {held.unit.priority} and makes room in quota {held.leaf} for "
        f"{named_preemptor(preemptor.key, preemptor.uid)} of priority {preemptor.priority}"
    )


def _reclaimed(held: Held, preemptor: Unit, leaf: str, ledger: QuotaLedger) -> str:
    return (
        f"quota {held.leaf} has borrowed ({_borrowed(held, ledger)}), and quota {leaf} takes back "
        f"what its min guarantees for {named_preemptor(preemptor.key, preemptor.uid)}"
    )


def _borrowed(held: Held, ledger: QuotaLedger) -> str:
    node = ledger.chain(held.leaf or "")[0]
    said = []
    for name in (*(name for name, _ in held.request.items), MAX_JOBS):
        used, low = node.used(MAX, name), node.limits[MIN].get(name, 0)
        if used > low and (name != MAX_JOBS or name in node.quota.min):
            said.append(f"{name} used {format_amount(name, used)}, min {format_amount(name, low)}")
    return "; ".join(said) or "it used more than its min before others were told to leave"
