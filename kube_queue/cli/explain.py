"""`kube-queue explain JOB`: why it waits, in the controller's words."""

from __future__ import annotations

import asyncio
from typing import Any

from kube_queue.cli.output import DOCUMENTS, demand_form, print_document
from kube_queue.cli.questions import Answer, Questions, ask_directly
from kube_queue.cli.tables import columns, duration

UNLIMITED = "-"


def explain_verb(
    job: str, namespace: str | None, output: str, kubeconfig: str | None, context: str | None
) -> None:
    """Print the explanation. Raises Stop when the queue does not know the job."""
    demand_form(output, {"", *DOCUMENTS})
    questions = Questions(kubeconfig, context)
    kind, _, name = job.rpartition("/")
    answer = questions.ask(
        "explain",
        namespace=namespace or questions.credentials.namespace,
        name=name,
        kind=kind.partition(".")[0],
    )
    if output:
        print_document(answer, output)
    else:
        print(explained(answer))


async def explanation_text(visibility: str, namespace: str, name: str) -> str:
    """The explanation of a job by the controller at this address."""
    answer = await asyncio.to_thread(
        ask_directly, visibility, "explain", {"namespace": namespace, "name": name}
    )
    return explained(answer) if answer else f"the controller at {visibility} does not answer"


def explained(answer: Answer) -> str:
    """The text for people: what it is, why it waits, its quota path, what is waited for."""
    job = answer.get("job") or {"kind": "QueueUnit", "name": answer["name"]}
    lines = [
        f"{job['kind']} {answer['namespace']}/{job['name']}: {_state(answer)}",
        f"  {answer['message']}" if answer["message"] else "",
        f"  Queue:      {_queue(answer)}",
        f"  Priority:   {answer['priority']}"
        + ("" if answer["preemptible"] else ", uses min only"),
    ]
    if answer["waitedSeconds"] is not None:
        lines.append(f"  Waited:     {duration(answer['waitedSeconds'])}")
    if answer["waitsFor"]:
        lines.append(f"  Waits:      {answer['waitsFor'].removeprefix('waits ')}")
    if answer["notice"]:
        lines.append(f"  Notice:     {answer['notice']}")
    short = {(one["path"], one["resource"]): one["missing"] for one in answer["shortages"]}
    rows = [
        (
            level["path"],
            one["resource"],
            one["requested"],
            one["used"],
            _limit(one["min"]),
            _limit(one["max"]),
            _limit(one["available"]),
            short.get((level["path"], one["resource"]), ""),
        )
        for level in answer["levels"]
        for one in level["resources"]
    ]
    if rows:
        header = ("QUOTA", "RESOURCE", "REQUESTED", "USED", "MIN", "MAX", "FREE", "SHORT BY")
        table = columns(header, rows)
        lines += ["", *(f"  {line}" for line in table.splitlines())]
    return "\n".join(line for line in lines if line or line == "")


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
    return UNLIMITED if amount is None else amount
