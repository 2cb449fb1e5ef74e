"""Which units a person means by a name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from kube_queue.api.errors import InvalidInput
from kube_queue.api.units import Unit

UNIT_WORDS: Final = frozenset({"queueunit", "queueunits", "qu", "qus"})


def kind_and_name(words: str) -> tuple[str, str]:
    """What ``NAME``, ``KIND/NAME`` and ``KIND.GROUP/NAME`` mean; the kind may be empty.

    Raises InvalidInput.
    """
    kind, slash, name = words.rpartition("/")
    if not name or "/" in kind or (slash and not kind):
        raise InvalidInput(f"{words!r} is no name", "JOB", "write NAME or KIND/NAME")
    return kind.partition(".")[0], name


def unknown(namespace: str, name: str, kind: str) -> str:
    """That the queue has no such job, and what it takes to be queued."""
    return (
        f"the queue knows no {kind or 'job or unit'} {namespace}/{name}; "
        "a job is queued if it was created suspended and running job extensions enable its kind"
    )


def units_named(units: Iterable[Unit], namespace: str, name: str, kind: str) -> list[Unit]:
    """The units of this name, and those of jobs of this name and, if given, kind (lower case)."""
    return [
        unit
        for unit in units
        if unit.namespace == namespace
        and ((unit.name == name and (not kind or kind in UNIT_WORDS)) or _job_is(unit, name, kind))
    ]


def _job_is(unit: Unit, name: str, kind: str) -> bool:
    job = unit.job
    if job is None or job.name != name:
        return False
    return not kind or kind in (job.kind.lower(), f"{job.kind.lower()}s")


def several(namespace: str, name: str, found: Sequence[Unit]) -> str:
    """That the name is not enough, and by which ones they can be told apart."""
    kinds = [
        unit.job.kind if unit.job is not None and unit.job.name == name else "" for unit in found
    ]
    ways = [
        f"{kind}/{name}" if kind and kinds.count(kind) == 1 else f"QueueUnit/{unit.name}"
        for kind, unit in zip(kinds, found, strict=True)
    ]
    return (
        f"{len(found)} jobs or units of namespace {namespace} are called {name}; "
        f"ask for one of them: {', '.join(sorted(ways))}"
    )
