"""The admission checks of a Queue: whom each applies to, and what their states mean together.

A check is somebody else's controller. It finds units in phase Reserved that name it in
status.admissionChecks, and answers there with a state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from sys import intern
from typing import Any, Final

from kube_queue.api.loose import mapping_of, text_of


class CheckState(StrEnum):
    """What one check says about one unit; the values are the ones on the wire."""

    PENDING = "Pending"
    """Nothing yet."""
    READY = "Ready"
    """The unit may run."""
    RETRY = "Retry"
    """Not now: the quota goes back for a while."""
    REJECTED = "Rejected"
    """Never: the unit is deactivated."""


class Verdict(Enum):
    """What all checks of a unit say together; the strongest word counts."""

    PENDING = "one has not answered"
    READY = "all are ready"
    RETRY = "one asks to try again later"
    REJECTED = "one refuses"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One comparison of a label; what cannot be read as one matches nothing."""

    key: str
    operator: str
    values: frozenset[str]

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels satisfy it, as label selectors of Kubernetes do."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case _:
                return False


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a Queue; all its requirements have to hold for it to apply to a unit."""

    name: str
    requirements: tuple[Requirement, ...] = ()


def checks_of(entries: object) -> tuple[Check, ...]:
    """The checks in a Queue's spec.admissionChecks; entries without a name are left out."""
    if not isinstance(entries, (list, tuple)):
        return ()
    found: dict[str, Check] = {}
    for entry in map(mapping_of, entries):
        name = intern(text_of(entry.get("name")))
        if name:
            found.setdefault(name, Check(name, tuple(_requirements(entry.get("labelSelector")))))
    return tuple(found.values())


def selective(checks: Iterable[Check]) -> bool:
    """Whether a unit's labels have to be known to tell which of the checks apply to it."""
    return any(check.requirements for check in checks)


def applying(checks: Iterable[Check], labels: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the checks that apply to a unit with these labels."""
    return tuple(
        check.name
        for check in checks
        if all(requirement.holds(labels) for requirement in check.requirements)
    )


def verdict(states: Iterable[tuple[str, str]]) -> Verdict:
    """What (name, state) of all checks of a unit say together; without any: ready."""
    said = {state for _, state in states}
    for state, meaning in _STRONGEST:
        if state in said:
            return meaning
    return Verdict.READY if said <= {CheckState.READY} else Verdict.PENDING


_STRONGEST: Final = (
    (CheckState.REJECTED, Verdict.REJECTED),
    (CheckState.RETRY, Verdict.RETRY),
)


def _requirements(selector: object) -> Iterable[Requirement]:
    read = mapping_of(selector)
    for key, value in mapping_of(read.get("matchLabels")).items():
        yield Requirement(key, "In", frozenset({text_of(value)}))
    expressions: Any = read.get("matchExpressions")
    for entry in map(mapping_of, expressions if isinstance(expressions, (list, tuple)) else ()):
        values = entry.get("values")
        yield Requirement(
            text_of(entry.get("key")),
            text_of(entry.get("operator")),
            frozenset(map(text_of, values)) if isinstance(values, (list, tuple)) else frozenset(),
        )
