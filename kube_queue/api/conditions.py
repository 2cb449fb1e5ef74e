"""Conditions of a status and RFC 3339 times, both as Kubernetes writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from kube_queue.api.errors import InvalidInput

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHAPE: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-][0-9]{2}:[0-9]{2}))"
)


class UnitCondition(StrEnum):
    """The condition types of a QueueUnit."""

    QUOTA_RESERVED = "QuotaReserved"
    ADMITTED = "Admitted"
    PODS_READY = "PodsReady"
    FINISHED = "Finished"
    EVICTED = "Evicted"
    REQUEUED = "Requeued"


GIVEN_BACK: Final = (
    UnitCondition.EVICTED,
    UnitCondition.QUOTA_RESERVED,
    UnitCondition.ADMITTED,
    UnitCondition.PODS_READY,
)
"""What is no longer true of a unit once its quota went back."""


class QueueCondition(StrEnum):
    """The condition types of a Queue."""

    POLICY_KNOWN = "PolicyKnown"


class TreeCondition(StrEnum):
    """The condition types of an ElasticQuotaTree."""

    VALID = "Valid"


def set_condition(
    conditions: Iterable[Mapping[str, Any]] | None,
    type: str,
    status: bool | str,
    reason: str,
    message: str,
    now_text: str,
) -> list[dict[str, Any]]:
    """A new list in which condition ``type`` says this, in its old place or else at the end.

    ``status`` is a bool or ``"Unknown"``; ``now_text`` is RFC 3339 and becomes lastTransitionTime
    only where the status changed. The given list is left as it was.
    """
    word = status if isinstance(status, str) else "True" if status else "False"
    fresh = {
        "type": str(type),
        "status": word,
        "reason": str(reason),
        "message": message,
        "lastTransitionTime": now_text,
    }
    result: list[dict[str, Any]] = []
    placed = False
    for old in conditions or ():
        if old.get("type") != type:
            result.append(dict(old))
        elif not placed:
            placed = True
            if old.get("status") == word and old.get("lastTransitionTime"):
                fresh["lastTransitionTime"] = old["lastTransitionTime"]
            result.append({**old, **fresh})
    if not placed:
        result.append(fresh)
    return result


def withdrawn(
    conditions: Iterable[Mapping[str, Any]] | None,
    types: Iterable[str],
    reason: str,
    message: str,
    now_text: str,
) -> list[dict[str, Any]]:
    """A new list in which those of `types` that were true are false; absent ones stay absent."""
    result = [dict(each) for each in conditions or ()]
    true = {each.get("type") for each in result if each.get("status") == "True"}
    for kind in types:
        if kind in true:
            result = set_condition(result, kind, False, reason, message, now_text)
    return result


def requeued_conditions(
    conditions: Iterable[Mapping[str, Any]] | None, reason: str, message: str, now_text: str
) -> list[dict[str, Any]]:
    """The conditions of a unit whose quota went back and that waits again since now."""
    # Requeued once before and admitted since, it did not wait all the time.
    over = withdrawn(conditions, (*GIVEN_BACK, UnitCondition.REQUEUED), reason, message, now_text)
    return set_condition(over, UnitCondition.REQUEUED, True, reason, message, now_text)


def condition_is_true(conditions: object, type: str) -> bool:
    """Whether condition ``type`` is there with status ``"True"``; odd input counts as not."""
    if not isinstance(conditions, (list, tuple)):
        return False
    return any(
        isinstance(entry, Mapping) and entry.get("type") == type and entry.get("status") == "True"
        for entry in conditions
    )


def rfc3339(seconds: float) -> str:
    """``2026-01-31T12:00:00Z``: seconds since the epoch, cut to whole seconds."""
    return (_EPOCH + timedelta(seconds=seconds // 1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(microseconds: int) -> str:
    """``2026-01-31T12:00:00.000001Z``: microseconds since the epoch, always six digits."""
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> int:
    """Microseconds since the epoch; finer digits are cut. Raises InvalidInput without a path."""
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise _no_time(text)
    day, time_of_day, fraction, offset = shape.groups()
    try:
        seconds = _seconds(day, time_of_day, offset)
    except ValueError:
        raise _no_time(text) from None
    return seconds * 1_000_000 + (int(fraction[:6].ljust(6, "0")) if fraction else 0)


# Units of one burst share their second and differ in the microseconds only.
@lru_cache(maxsize=4096)
def _seconds(day: str, time_of_day: str, offset: str | None) -> int:
    since = datetime.fromisoformat(f"{day}T{time_of_day}{offset or '+00:00'}") - _EPOCH
    return since.days * 86_400 + since.seconds


def _no_time(text: str) -> InvalidInput:
    return InvalidInput(
        f"{text[:60]!r} is no RFC 3339 time", hint="write for example 2026-01-31T12:00:00Z"
    )
