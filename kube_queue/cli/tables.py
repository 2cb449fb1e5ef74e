"""Tables as kubectl prints them: upper-case headers, three spaces between columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def columns(
    header: Sequence[str], rows: Iterable[Sequence[object]], widths: list[int] | None = None
) -> str:
    """The table as text, without a newline at its end; empty cells are printed as nothing.

    Each column is at least as wide as `widths` says, which is brought up to date.
    """
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [] if widths is None else widths
    widths += [0] * (len(header) - len(widths))
    widths[:] = [max(width, *(len(line[n]) for line in lines)) for n, width in enumerate(widths)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def duration(seconds: float) -> str:
    """A span of time as kubectl writes an age: 5s, 2m10s, 3h, 2d5h."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{minutes}m" if minutes else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days, hours = divmod(hours, 24)
    if days < 8:
        return f"{days}d{hours}h" if hours else f"{days}d"
    return f"{days}d"
