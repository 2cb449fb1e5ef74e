"""One cycle: whoever fits is admitted, in the order of turns, until nothing that waits fits."""

from __future__ import annotations

from kube_queue.admission.decisions import Admit, Decision, Requeue
from kube_queue.admission.lanes import Line
from kube_queue.admission.ledger import Blocked, QuotaLedger
from kube_queue.admission.pending import PendingQueues
from kube_queue.admission.policies import Choice
from kube_queue.api.resources import ResourceVector


def cycle(
    ledger: QuotaLedger, pending: PendingQueues, now: float, limit: int = 0
) -> list[Decision]:
    """Decisions in the order they were made; every Admit is charged and waits no more.

    ``now`` is seconds since the epoch. With a ``limit`` the cycle ends after so many admissions
    and the next one goes on where it stopped. A refusal holds for the whole cycle, because nothing
    is given back in one: units alike in (leaf, request, preemptible) share it in every queue.
    """
    # Reclaim would come in here: a refused choice whose leaf is within its min asks for victims,
    # tried out in ledger.trial().
    pending.ring(now)
    decisions: list[Decision] = []
    refused: dict[tuple[str, ResourceVector, bool], Blocked] = {}
    admitted = 0
    while not (limit and admitted >= limit) and (turn := pending.turns.next()) is not None:
        line, choice = turn
        group = choice.group
        alike = (group.lane.leaf, group.request, group.preemptible)
        blocked = refused.get(alike)
        if blocked is None:
            pending.examined += 1
            blocked = ledger.blocker(group.lane.chain, group.demand)
        if blocked is None:
            decisions.append(_admit(ledger, pending, line, choice))
            admitted += 1
        else:
            refused[alike] = blocked
            decisions.append(_refuse(ledger, line, choice, blocked, now))
    return decisions


def _admit(ledger: QuotaLedger, pending: PendingQueues, line: Line, choice: Choice) -> Admit:
    group, unit = choice.group, line.waiters[choice.uid].unit
    leaf = group.lane.leaf
    ledger.charge(unit.uid, leaf, group.request, group.preemptible)
    pending.admitted(line, choice)
    return Admit(
        uid=unit.uid,
        namespace=unit.namespace,
        name=unit.name,
        resource_version=unit.resource_version,
        leaf=leaf,
        queue=line.queue.name,
        request=group.request,
    )


def _refuse(
    ledger: QuotaLedger, line: Line, choice: Choice, blocked: Blocked, now: float
) -> Requeue:
    _, bound, resource, amount = blocked
    shortage = choice.group.shortage = ledger.told(choice.group.lane.chain, blocked)
    line.scan.refused(line, choice, ((bound, resource), amount), now)
    return Requeue(choice.uid, shortage)
