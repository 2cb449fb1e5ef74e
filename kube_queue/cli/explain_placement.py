"""The text of an explanation of a pod or gang, as the co-scheduler gives it."""

from __future__ import annotations

from typing import Any, Final

from kube_queue.cli.tables import columns

GANG_WORDS: Final = frozenset({"gang", "gangs", "podgroup", "podgroups", "pg", "pgs"})
BOTH_WORDS: Final = frozenset({"podgroup", "podgroups"})
"""The queue calls pods that wait as one so as well."""
POD_WORDS: Final = frozenset({"pod", "pods", "po"})
_SHOWN: Final = 8
STATES: Final = {
    "Waiting": "waits",
    "Binding": "is being bound",
    "Scheduled": "stands on a node",
    "Gated": "is held by a scheduling gate",
    "Terminating": "is being deleted",
    "Finished": "has ended",
    "NotOurs": "is placed by another scheduler",
}
HELD: Final = {
    "Turn": "waits for its first turn",
    "Leaving": "waits for pods that leave for it",
    "Gang": "waits for the rest of its gang",
    "Quota": "waits for quota",
    "Object": "cannot be placed as it is",
    "Node": "waits for a node",
    "Scheduler": "waits for a co-scheduler",
}
"""Words for a Waiting one, by what holds it."""


def placement_explained(answer: dict[str, Any]) -> str:
    """The text for people: how it stands, what holds it, and what would have it tried again."""
    lines = [f"{answer['kind']} {answer['namespace']}/{answer['name']}: {_state(answer)}"]
    if answer["message"]:
        lines.append(f"  {answer['message']}")
    facts = [
        ("Gang", _gang(answer["gang"])),
        ("Together", _companions(answer["gang"])),
        ("Priority", "" if answer["priority"] is None else str(answer["priority"])),
        ("Kept", _kept(answer)),
        ("Leaving", _listed(answer["leaving"])),
        ("Volumes", _volumes(answer["claims"])),
        ("Notice", answer["notice"]),
        ("Waits for", "; or ".join(answer["waitsFor"])),
    ]
    lines += [f"  {name + ':':<12}{text}" for name, text in facts if text]
    for table in (_reasons(answer), _domains(answer)):
        if table:
            lines += ["", *(f"  {line}" for line in table)]
    return "\n".join(lines)


def _state(answer: dict[str, Any]) -> str:
    words = HELD.get(answer["held"], STATES[answer["state"]])
    gang = answer["gang"]
    if answer["kind"] == "Gang" and answer["held"] and gang["satisfied"] and gang["placed"]:
        return f"has its minimum; {gang['waiting']} more: {words}"
    if answer["kind"] == "Gang" and answer["state"] == "Scheduled":
        return "stands on nodes"
    if answer["state"] == "NotOurs":
        return f"{words}, {answer['scheduler']}"
    if answer["node"] and answer["state"] in ("Binding", "Scheduled"):
        return f"{words.removesuffix(' on a node')}{_where(answer)}"
    return words


def _where(answer: dict[str, Any]) -> str:
    return f" to {answer['node']}" if answer["state"] == "Binding" else f" on {answer['node']}"


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _volumes(claims: list[str]) -> str:
    return f"bound or made first, for {_listed(claims)}" if claims else ""


def _gang(gang: dict[str, Any] | None) -> str:
    if gang is None:
        return ""
    counts = [f"{gang['placed']} on nodes", f"{gang['waiting']} waiting"]
    counts += [f"{gang[name]} {name}" for name in ("gated", "succeeded", "failed") if gang[name]]
    had = ", had its minimum once" if gang["satisfied"] else ""
    return f"{gang['name']} ({gang['source']}), minimum {gang['minimum']}: {', '.join(counts)}{had}"


def _companions(gang: dict[str, Any] | None) -> str:
    return ", ".join(gang["companions"]) if gang is not None else ""


def _kept(answer: dict[str, Any]) -> str:
    kept = []
    if answer["nominated"]:
        kept.append(f"room on {answer['nominated']}")
    if answer["reservedNodes"]:
        kept.append(f"{answer['reservedNodes']} nodes, until it fits")
    return ", ".join(kept)


def _reasons(answer: dict[str, Any]) -> list[str]:
    if not answer["reasons"]:
        return []
    rows = [
        (str(one["nodes"]), one["reason"], "no" if one["permanent"] else "yes")
        for one in answer["reasons"]
    ]
    header = ("NODES", "REASON", "HELPS IF PODS LEAVE")
    member = answer["member"]
    whose = f" for pod {member}" if member and member != answer["name"] else ""
    return [f"Of {answer['nodes']} nodes{whose}:", *columns(header, rows).splitlines()]


def _domains(answer: dict[str, Any]) -> list[str]:
    if not answer["domains"]:
        return []
    rows = [
        (one["name"], str(one["nodes"]), f"{one['room']} of {one['needed']}")
        for one in answer["domains"]
    ]
    keys = ", ".join(answer["domainKeys"])
    return [f"Domains of {keys}:", *columns(("DOMAIN", "NODES", "ROOM FOR"), rows).splitlines()]
