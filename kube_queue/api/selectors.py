"""Label selectors as kubectl takes them: ``a=b,c!=d,e in (f,g),h notin (i),j,!k``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kube_queue.api.admission_checks import Requirement
from kube_queue.api.errors import InvalidInput

_PART: Final = re.compile(
    r"""\s*(?:
        (?P<absent>!)\s*(?P<not_key>[^\s!=,()]+)
      | (?P<key>[^\s!=,()]+)\s*(?:
            (?P<equals>==|=|!=)\s*(?P<value>[^\s!=,()]*)
          | (?P<set>in|notin)\s*\((?P<values>[^()]*)\)
        )?
    )\s*(?:,|$)""",
    re.VERBOSE,
)
_NAME: Final = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY: Final = re.compile(rf"(?:[a-z0-9](?:[-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_NAME}")
_VALUE: Final = re.compile(rf"(?:{_NAME})?")
_HINT: Final = "write it as for kubectl -l: a=b, a!=b, a in (b,c), a notin (b), a, !a"


@dataclass(frozen=True, slots=True)
class Selector:
    """Labels that satisfy every requirement; without any, all labels do."""

    requirements: tuple[Requirement, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.requirements)

    def selects(self, labels: Mapping[str, Any]) -> bool:
        """Whether these labels satisfy it."""
        return all(requirement.holds(labels) for requirement in self.requirements)


def parse_selector(written: str, path: str = "") -> Selector:
    """The selector that is written; empty selects everything. Raises InvalidInput."""
    return Selector(tuple(_requirements(written, path)))


def _requirements(written: str, path: str) -> Iterator[Requirement]:
    at = 0
    whole = written.strip()
    while at < len(whole):
        part = _PART.match(whole, at)
        if part is None or (part.end() == len(whole) and whole.endswith(",")):
            raise InvalidInput(f"{whole[at:]!r} is no label selector", path, _HINT)
        at = part.end()
        yield _requirement(part, path)


def _requirement(part: re.Match[str], path: str) -> Requirement:
    key = part["not_key"] or part["key"]
    if not _KEY.fullmatch(key):
        raise InvalidInput(f"{key!r} is no label", path, _HINT)
    if part["absent"]:
        return Requirement(key, "DoesNotExist", frozenset())
    if part["equals"]:
        operator = "NotIn" if part["equals"] == "!=" else "In"
        return Requirement(key, operator, frozenset((_value(part["value"], path),)))
    if part["set"]:
        operator = "NotIn" if part["set"] == "notin" else "In"
        values = frozenset(_value(each, path) for each in part["values"].split(","))
        return Requirement(key, operator, values)
    return Requirement(key, "Exists", frozenset())


def _value(written: str, path: str) -> str:
    value = written.strip()
    if not _VALUE.fullmatch(value):
        raise InvalidInput(f"{value!r} is no value of a label", path, _HINT)
    return value
