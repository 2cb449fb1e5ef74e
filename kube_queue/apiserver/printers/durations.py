"""Spans of time for people, as kubectl shows them: `7s`, `2m3s`, `5h`, `3d4h`.

Holds: human_duration, age, parse_time.
"""

from datetime import UTC, datetime

UNKNOWN = "<unknown>"
INVALID = "<invalid>"
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 365 * 86_400


def parse_time(text: str) -> float | None:
    """Seconds since the epoch of an RFC 3339 time; None when it is none."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def age(now: float, text: object) -> str:
    """How long ago a time of an object was; `<unknown>` when it is not set."""
    if not isinstance(text, str) or not text:
        return UNKNOWN
    then = parse_time(text)
    return INVALID if then is None else human_duration(now - then)


def human_duration(seconds: float) -> str:
    """A span in two or three significant figures.

    Clocks of two machines may differ by a second: up to two seconds into the future is `0s`,
    further is `<invalid>`.
    """
    total = int(seconds)
    if total < -1:
        return INVALID
    if total < 2 * _MINUTE:
        return f"{max(total, 0)}s"
    if total < 10 * _MINUTE:
        return _two(total, _MINUTE, "m", 1, "s")
    if total < 3 * _HOUR:
        return f"{total // _MINUTE}m"
    if total < 8 * _HOUR:
        return _two(total, _HOUR, "h", _MINUTE, "m")
    if total < 2 * _DAY:
        return f"{total // _HOUR}h"
    if total < 8 * _DAY:
        return _two(total, _DAY, "d", _HOUR, "h")
    if total < 2 * _YEAR:
        return f"{total // _DAY}d"
    if total < 8 * _YEAR:
        return _two(total, _YEAR, "y", _DAY, "d")
    return f"{total // _YEAR}y"


def _two(total: int, unit: int, sign: str, part: int, part_sign: str) -> str:
    rest = total % unit // part
    return f"{total // unit}{sign}{rest}{part_sign}" if rest else f"{total // unit}{sign}"
