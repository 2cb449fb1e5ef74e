"""What differs between two answers, and which of it is accepted.

Holds: Difference, differences, Verdict, judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

ABSENT = "<absent>"


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the two servers differ; `where` is case, number of the request, path."""

    where: str
    embedded: Any
    kubernetes: Any

    def line(self, width: int) -> str:
        """On one line, values of at most `width` characters."""
        ours, theirs = (_short(value, width) for value in (self.embedded, self.kubernetes))
        return f"{self.where} | embedded {ours} | kubernetes {theirs}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A difference that stays, as it stands in the docs, and where it shows.

    `where` are places of differences; `*` is any text. Each has to be met in a whole run.
    """

    what: str
    kubernetes: str
    embedded: str
    why: str
    where: tuple[str, ...]

    def row(self) -> str:
        """Its row in docs/embedded-cluster.md."""
        return f"| {self.what} | {self.kubernetes} | {self.embedded} | {self.why} |"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Differences that nobody accepted, how many were, and entries that nothing met."""

    open: tuple[Difference, ...]
    accepted: tuple[tuple[Difference, str], ...]
    """Each with the place in the table that met it."""
    stale: tuple[str, ...]


def between(where: str, embedded: dict[str, Any], kubernetes: dict[str, Any]) -> list[Difference]:
    """What differs between two masked answers.

    If one is a refusal and the other is not, or another, they are not compared in detail. Causes
    and warnings are compared without their order: Kubernetes finds some in the order of a map.
    """
    if embedded["status"] != kubernetes["status"]:
        said = (embedded.get("body"), kubernetes.get("body"))
        return [
            Difference(f"{where}.status", embedded["status"], kubernetes["status"]),
            *([] if _same(*said) else [Difference(f"{where}.body", *said)]),
        ]
    return list(differences(where, _ordered(embedded), _ordered(kubernetes)))


def _ordered(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with warnings and causes in order, and causes only once in it."""
    if "warnings" in answer:
        answer = {**answer, "warnings": sorted(answer["warnings"])}
    body = answer.get("body")
    details = body.get("details") if isinstance(body, dict) else None
    causes = details.get("causes") if isinstance(details, dict) else None
    if not isinstance(body, dict) or not isinstance(details, dict) or not causes:
        return answer
    # Kubernetes finds some things twice.
    once = {orjson.dumps(one, option=orjson.OPT_SORT_KEYS) for one in causes}
    causes = [orjson.loads(one) for one in sorted(once)]
    head, found, _ = str(body.get("message")).partition(" is invalid: ")
    changed = {**body, "details": {**details, "causes": causes}, "message": head + found}
    return {**answer, "body": changed}


def differences(where: str, embedded: Any, kubernetes: Any) -> Iterator[Difference]:
    """Every place at which the two values differ, the smallest part each."""
    if isinstance(embedded, dict) and isinstance(kubernetes, dict):
        for key in sorted({*embedded, *kubernetes}):
            yield from differences(
                f"{where}.{key}", embedded.get(key, ABSENT), kubernetes.get(key, ABSENT)
            )
    elif (
        isinstance(embedded, list)
        and isinstance(kubernetes, list)
        and len(embedded) == len(kubernetes)
    ):
        for place, (ours, theirs) in enumerate(zip(embedded, kubernetes, strict=True)):
            yield from differences(f"{where}[{place}]", ours, theirs)
    elif not _same(embedded, kubernetes):
        yield Difference(where, embedded, kubernetes)


def _same(left: Any, right: Any) -> bool:
    """Unlike Python, true is not 1 and 1.0 is not 1."""
    return type(left) is type(right) and bool(left == right)


def judged(found: Iterable[Difference], table: Sequence[Accepted], *, whole: bool) -> Verdict:
    """The differences against the table; after a `whole` run entries nothing met are stale."""
    patterns = {text: _pattern(text) for entry in table for text in entry.where}
    unmet, left, accepted = set(patterns), [], []
    for one in found:
        met = {text for text, pattern in patterns.items() if pattern.fullmatch(one.where)}
        unmet -= met
        if met:
            accepted.append((one, min(met)))
        else:
            left.append(one)
    return Verdict(tuple(left), tuple(accepted), tuple(sorted(unmet)) if whole else ())


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


def _short(value: Any, width: int) -> str:
    text = value if value == ABSENT else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return text if len(text) <= width else f"{text[: width - 3]}..."
