"""`kube-queue get units|queues|quotas`: what waits and what runs, as tables or documents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kube_queue.cli.errors import REFUSED, USAGE, Stop
from kube_queue.cli.output import DOCUMENTS, demand_form, print_document
from kube_queue.cli.questions import Questions
from kube_queue.cli.tables import columns, duration

Item = dict[str, Any]
Row = tuple[str, ...]
SETTLE_SECONDS = 0.2
WAIT = "WAIT"
STOPPED = {"Hold": ", stopped", "HoldAndDrain": ", drained"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    what: str
    name: str | None
    namespace: str | None
    all_namespaces: bool
    output: str
    selector: str
    watch: bool


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of answer is asked for and printed."""

    question: str
    header: Row
    wide: Row
    row: Callable[[Item, bool], Row]
    namespaced: bool = False


def get_verb(wanted: Wanted, kubeconfig: str | None, context: str | None) -> None:
    """Print what is wanted, again and again with --watch. Raises Stop."""
    kind = _kind(wanted.what)
    demand_form(wanted.output, {"", "wide", *DOCUMENTS})
    if wanted.selector and not kind.namespaced:
        raise Stop("--selector: selects units; queues and quotas are shown whole", USAGE)
    if wanted.watch and wanted.output in DOCUMENTS:
        raise Stop("--watch: goes with the table or -o wide", USAGE)
    questions = Questions(kubeconfig, context)
    # Before a watch as well: it waits for a cluster that comes back, not for one that never was.
    items = _items(questions, kind, wanted, _selected(wanted, questions, kubeconfig, context))
    if wanted.watch:
        asyncio.run(_watch(questions, kind, wanted, kubeconfig, context))
    elif wanted.output in DOCUMENTS:
        document = items[0] if wanted.name and len(items) == 1 else {kind.question: items}
        print_document(document, wanted.output)
    elif not items:
        print(f"No {kind.question} found" + _where(questions, kind, wanted) + ".")
    else:
        print(columns(*_table(kind, items, wanted)))


def _items(
    questions: Questions, kind: Kind, wanted: Wanted, selected: set[tuple[str, str]] | None
) -> list[Item]:
    namespace = (
        "" if wanted.all_namespaces or not kind.namespaced else _namespace(questions, wanted)
    )
    items: list[Item] = questions.ask(kind.question, namespace=namespace)[kind.question]
    if selected is not None:
        items = [one for one in items if (one["namespace"], one["name"]) in selected]
    if wanted.name:
        items = [one for one in items if wanted.name in _names(one)]
        if not items:
            raise Stop(f"{kind.question}: the queue knows no {wanted.name!r}", REFUSED)
    return items


def _names(item: Item) -> set[str]:
    job = item.get("job") or {}
    return {item["name"], item.get("path", ""), job.get("name", "")}


def _namespace(questions: Questions, wanted: Wanted) -> str:
    return wanted.namespace or questions.credentials.namespace


def _where(questions: Questions, kind: Kind, wanted: Wanted) -> str:
    if wanted.all_namespaces or not kind.namespaced:
        return ""
    return f" in namespace {_namespace(questions, wanted)}"


def _selected(
    wanted: Wanted, questions: Questions, kubeconfig: str | None, context: str | None
) -> set[tuple[str, str]] | None:
    """(namespace, name) of the units with these labels; None: no labels were asked for."""
    if not wanted.selector:
        return None
    from kube_queue.api.types import QUEUE_UNITS
    from kube_queue.kube.connection import connect

    async def listed() -> set[tuple[str, str]]:
        client = await connect(kubeconfig, context)
        try:
            namespace = "" if wanted.all_namespaces else _namespace(questions, wanted)
            units = await client.list(QUEUE_UNITS, namespace, label_selector=wanted.selector)
        finally:
            await client.close()
        return {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in units}

    return asyncio.run(listed())


def _table(kind: Kind, items: Sequence[Item], wanted: Wanted) -> tuple[Row, list[Row]]:
    wide = wanted.output == "wide"
    header = kind.header + (kind.wide if wide else ())
    rows = [kind.row(item, wide) for item in items]
    if kind.namespaced and wanted.all_namespaces:
        header = ("NAMESPACE", *header)
        rows = [(item["namespace"], *row) for item, row in zip(items, rows, strict=True)]
    return header, rows


async def _watch(
    questions: Questions,
    kind: Kind,
    wanted: Wanted,
    kubeconfig: str | None,
    context: str | None,
) -> None:
    """Print the table, then the rows that changed, whenever a unit, Queue or tree changes."""
    from kube_queue.cli.watching import changes

    table = Watched()
    async for _ in changes(kubeconfig, context, SETTLE_SECONDS):
        selected = await asyncio.to_thread(_selected, wanted, questions, kubeconfig, context)
        items = await asyncio.to_thread(_items, questions, kind, wanted, selected)
        lines = table.lines(*_table(kind, items, wanted))
        if lines:
            print("\n".join(lines), flush=True)


class Watched:
    """What a watch has printed: the header once, then each row when it changes."""

    def __init__(self) -> None:
        self._shown: set[Row] | None = None
        self._widths: list[int] = []

    def lines(self, header: Row, rows: Sequence[Row]) -> list[str]:
        """The lines to print now, in columns as wide as before. Waiting longer is no change."""
        said = [
            tuple(c for name, c in zip(header, row, strict=True) if name != WAIT) for row in rows
        ]
        first = self._shown is None
        shown = self._shown or set()
        fresh = [row for row, words in zip(rows, said, strict=True) if words not in shown]
        self._shown = set(said)
        lines = columns(header, fresh, self._widths).splitlines()
        return lines if first else lines[1:]


def _unit_row(unit: Item, wide: bool) -> Row:
    job = unit["job"] or {"kind": "", "name": unit["name"]}
    requests = ",".join(f"{name}={amount}" for name, amount in unit["request"].items())
    waited = unit["waitedSeconds"]
    row = (
        unit["name"],
        job["kind"],
        job["name"],
        unit["queue"],
        str(unit["position"] or "-"),
        str(unit["priority"]),
        requests or "-",
        unit["phase"],
        "-" if waited is None else duration(waited),
        unit["reason"] or "-",
    )
    return (*row, unit["quota"] or "-", unit["message"]) if wide else row


def _queue_row(queue: Item, wide: bool) -> Row:
    row = (
        queue["name"],
        _policy(queue),
        str(queue["priority"]),
        str(queue["pending"]),
        str(queue["reserved"]),
        str(queue["admitted"]),
        queue["head"] or "-",
    )
    return (*row, queue["quotaPath"] or "-", queue["notice"] or "") if wide else row


def _policy(queue: Item) -> str:
    stopped = STOPPED.get(queue.get("stopPolicy", ""), "")
    return (queue["policy"] or "-") + stopped


def _quota_row(quota: Item, wide: bool) -> Row:
    path: str = quota["path"]
    name = "  " * path.count("/") + str(quota["name"])
    if quota["resourceQuota"]:
        name = f"ResourceQuota {path}"
    resources = sorted({*quota["used"], *quota["request"], *quota["max"], *quota["min"]})
    cells = (
        name,
        _amounts(quota["used"], resources),
        _amounts(quota["min"], resources),
        _amounts(quota["max"], resources),
    )
    return (
        (*cells, _amounts(quota["request"], resources), ",".join(quota["namespaces"]) or "-")
        if wide
        else cells
    )


def _amounts(amounts: dict[str, str], resources: Sequence[str]) -> str:
    shown = [f"{name}={amounts[name]}" for name in resources if name in amounts]
    return ",".join(shown) or "-"


UNITS = Kind(
    "units",
    ("NAME", "KIND", "JOB", "QUEUE", "POSITION", "PRIORITY", "REQUESTS", "PHASE", WAIT, "REASON"),
    ("QUOTA", "MESSAGE"),
    _unit_row,
    namespaced=True,
)
QUEUES = Kind(
    "queues",
    ("NAME", "POLICY", "PRIORITY", "PENDING", "RESERVED", "ADMITTED", "HEAD"),
    ("QUOTA", "NOTICE"),
    _queue_row,
)
QUOTAS = Kind(
    "quotas",
    ("QUOTA", "USED", "MIN", "MAX"),
    ("REQUEST", "NAMESPACES"),
    _quota_row,
)
WORDS = {
    **dict.fromkeys(("unit", "units", "queueunit", "queueunits", "qu", "qus"), UNITS),
    **dict.fromkeys(("queue", "queues"), QUEUES),
    **dict.fromkeys(("quota", "quotas"), QUOTAS),
}


def _kind(word: str) -> Kind:
    kind = WORDS.get(word.lower())
    if kind is None:
        raise Stop(f"{word!r} cannot be shown; say units, queues or quotas", USAGE)
    return kind
