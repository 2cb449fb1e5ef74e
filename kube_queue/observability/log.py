"""The form of a log line: a constant sentence, then fields; one line each, on standard error.

{"at": "2026-01-02T03:04:05.678901Z", "level": "info", "event": "leading", "lease": "..."}
"""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO

import orjson
import structlog

from kube_queue.api.conditions import rfc3339

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_log(
    *, level: str, form: str, clock: Callable[[], float], stream: TextIO | None = None
) -> None:
    """From now on this process logs `level` and above, as `json` or for people (`console`)."""

    def stamp(_: Any, __: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        fields["at"] = rfc3339(clock())
        return fields

    last: Any
    if form == "json":
        last = structlog.processors.JSONRenderer(serializer=_json)
    else:
        last = structlog.dev.ConsoleRenderer(colors=False, timestamp_key="at")
    structlog.configure(
        processors=[
            stamp,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(file=stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def _json(fields: dict[str, Any], **_: Any) -> str:
    return orjson.dumps(fields, default=str, option=orjson.OPT_SORT_KEYS).decode()
