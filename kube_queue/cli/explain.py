"""`kube-queue explain JOB|POD|GANG`: why it waits, in the words of who decides about it."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from kube_queue.cli.errors import Stop
from kube_queue.cli.explain_placement import (
    BOTH_WORDS,
    GANG_WORDS,
    POD_WORDS,
    placement_explained,
)
from kube_queue.cli.output import DOCUMENTS, demand_form, print_document
from kube_queue.cli.questions import Answer, Questions, ask_directly
from kube_queue.cli.tables import columns, duration
from kube_queue.serving.naming import kind_and_name

NONE = "-"


def explain_verb(
    job: str, namespace: str | None, output: str, kubeconfig: str | None, context: str | None
) -> None:
    """Print the explanation. Raises Stop when neither the queue nor the co-scheduler knows it.

    A kind says whom to ask: gang is the co-scheduler's, pod first its, podgroup and what has no
    kind first the queue's, everything else the queue's alone.
    """
    demand_form(output, {"", *DOCUMENTS})
    questions = Questions(kubeconfig, context)
    kind, name = kind_and_name(job)
    where = namespace or questions.credentials.namespace
    answer = answer_of(questions, where, name, kind)
    if output:
        print_document(answer, output)
    else:
        print(explained(answer) if "phase" in answer else placement_explained(answer))


class Asks(Protocol):
    """Who passes questions on: to the queue, and to the co-scheduler."""

    def ask(self, what: str, **query: str) -> Answer:
        """The queue's answer. Raises Stop."""

    def ask_scheduler(self, what: str, **query: str) -> Answer:
        """The co-scheduler's answer. Raises Stop."""


def answer_of(questions: Asks, namespace: str, name: str, kind: str) -> Answer:
    """The answer of whoever knows it, asked in the order of `explain_verb`. Raises Stop."""

    def queue() -> Answer:
        return questions.ask("explain", namespace=namespace, name=name, kind=kind)

    def scheduler() -> Answer:
        return questions.ask_scheduler("explain", namespace=namespace, name=name, kind=kind)

    known = kind.lower()
    if known in GANG_WORDS - BOTH_WORDS:
        return scheduler()
    if known and known not in POD_WORDS | BOTH_WORDS:
        return queue()
    ways = (scheduler, queue) if known in POD_WORDS else (queue, scheduler)
    first: Stop | None = None
    for way in ways:
        try:
            return way()
        except Stop as stop:
            # The queue's words are the ones people know what to do about.
            first = stop if first is None or way is queue else first
    assert first is not None
    raise first


async def explanation_text(visibility: str, namespace: str, name: str) -> str:
    """The explanation of a job by the controller at this address."""
    answer = await asyncio.to_thread(
        ask_directly, visibility, "explain", {"namespace": namespace, "name": name}
    )
    return explained(answer) if answer else f"the controller at {visibility} does not answer"


def explained(answer: Answer) -> str:
    """The text for people: what it is, why it waits, its quota path, who holds what it needs."""
    facts = [
        ("Queue", _queue(answer)),
        ("Priority", f"{answer['priority']}" + (", uses min only" if _fixed(answer) else "")),
        ("Waited", "" if answer["waitedSeconds"] is None else duration(answer["waitedSeconds"])),
        ("Waits", answer["waitsFor"].removeprefix("waits ")),
        ("Next try", answer["nextTry"]),
        ("Start", start(answer["estimate"])),
        ("Notice", answer["notice"]),
    ]
    lines = [f"{_named(answer)}: {_state(answer)}"]
    if answer["message"]:
        lines.append(f"  {answer['message']}")
    lines += [f"  {name + ':':<12}{text}" for name, text in facts if text]
    for table in (_levels(answer), _head(answer), _leaving(answer), _holders(answer)):
        if table:
            lines += ["", *(f"  {line}" for line in table)]
    return "\n".join(lines)


def start(estimate: dict[str, Any] | None) -> str:
    """When it starts, in words; empty for a unit that does not wait."""
    if estimate is None:
        return ""
    earliest, latest = estimate["earliestSeconds"], estimate["latestSeconds"]
    if latest is None:
        not_before = f"; not before {duration(earliest)}" if earliest else ""
        return f"unknown: {estimate['unknown']}{not_before}"
    if duration(earliest) == duration(latest):
        return f"in {duration(latest)}" if latest >= 1 else "now"
    return f"in {duration(earliest)} to {duration(latest)}"


def _fixed(answer: Answer) -> bool:
    """Whether it may use min only; a ResourceQuota has none."""
    by_quota = any(level["resourceQuota"] for level in answer["levels"])
    return not answer["preemptible"] and not by_quota


def _levels(answer: Answer) -> list[str]:
    missing: dict[tuple[str, str], dict[str, str]] = {}
    for one in answer["shortages"]:
        missing.setdefault((_quota(one), one["resource"]), {})[one["bound"]] = one["missing"]
    columns_of = ["requested", "used", "min", "max", "available"]
    header = ["QUOTA", "RESOURCE", "REQUESTED", "USED", "MIN", "MAX", "FREE"]
    if any(level["resourceQuota"] for level in answer["levels"]):
        columns_of = ["requested", "used", "max", "available"]
        header = ["QUOTA", "RESOURCE", "REQUESTED", "USED", "HARD", "FREE"]
    elif _fixed(answer):
        columns_of += ["minUsed", "minAvailable"]
        header += ["USED OF MIN", "FREE OF MIN"]
    rows = []
    for level in answer["levels"]:
        for one in level["resources"]:
            amounts = [_limit(one[name]) for name in columns_of]
            short = _short(missing.get((_quota(level), one["resource"]), {}))
            rows.append((_quota(level), one["resource"], *amounts, short))
    return columns((*header, "SHORT BY"), rows).splitlines() if rows else []


def _short(by_bound: dict[str, str]) -> str:
    """What is missing; of which bound, where that is another amount for each."""
    if len(set(by_bound.values())) > 1:
        words = [f"{amount} of {bound.replace('_', ' ')}" for bound, amount in by_bound.items()]
        return ", ".join(words)
    return next(iter(by_bound.values()), "")


def _quota(one: dict[str, Any]) -> str:
    quota = one["resourceQuota"]
    return f"ResourceQuota {quota}" if quota else str(one["path"])


def _head(answer: Answer) -> list[str]:
    head = answer["head"]
    if head is None:
        return []
    return [f"Before it: {_named(head)} ({head['reason']})", f"  {head['message']}"]


def _leaving(answer: Answer) -> list[str]:
    if not answer["leaving"]:
        return []
    units = ", ".join(_named(one) for one in answer["leaving"])
    return [f"Leaving for it: {units}"]


def _holders(answer: Answer) -> list[str]:
    holders = answer["holders"]
    if holders is None:
        return []
    resource = holders["resource"]
    rows, header = [], ["HOLDER", "QUOTA", resource.upper(), "SINCE"]
    borrows = any(one["borrowed"] != "0" for one in holders["top"])
    for one in holders["top"]:
        more = f"{one['borrowed']} above min" if one["borrowed"] != "0" else NONE
        row = [_named(one), one["quota"], one["amount"], one["since"], *([more] if borrows else [])]
        rows.append(row)
    header += ["ITS QUOTA"] if borrows else []
    if holders["resourceQuota"]:
        # All of them are of this one quota.
        header, rows = [header[0], *header[2:]], [[row[0], *row[2:]] for row in rows]
    lines = columns(header, rows).splitlines() if rows else []
    if holders["more"]:
        units = "unit" if holders["more"] == 1 else "units"
        lines.append(f"and {holders['more']} more {units} with {holders['moreAmount']} in all")
    if holders["unread"]:
        lines.append(f"and {holders['unread']} units of this quota that were not looked at")
    if holders["unmanaged"] != "0":
        lines.append(f"and pods that no unit stands for with {holders['unmanaged']}")
    bounds = {
        "min": " as units that are not preemptible",
        "preemptible_jobs": " as preemptible units",
    }
    whose = "" if holders["resourceQuota"] else bounds.get(holders["bound"], "")
    return [f"Who holds {resource} in {_quota(holders)}{whose}:", *lines]


def _named(one: dict[str, Any]) -> str:
    job = one.get("job") or {"kind": "QueueUnit", "name": one["name"]}
    return f"{job['kind']} {one['namespace']}/{job['name']}"


def _state(answer: dict[str, Any]) -> str:
    phase, reason = answer["phase"], answer["reason"]
    return f"{phase} ({reason})" if reason and reason != phase else str(phase)


def _queue(answer: dict[str, Any]) -> str:
    if not answer["queue"]:
        return "none yet"
    policy = f", policy {answer['policy']}" if answer["policy"] else ""
    position = f", position {answer['position']}" if answer["position"] else ""
    return f"{answer['queue']}{policy}{position}"


def _limit(amount: str | None) -> str:
    return NONE if amount is None else amount
