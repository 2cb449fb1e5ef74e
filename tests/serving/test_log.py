"""A log line is a constant sentence and its fields."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from kube_queue.observability.log import configure_log


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_a_json_line_has_time_level_sentence_and_fields() -> None:
    out = io.StringIO()
    configure_log(level="info", form="json", clock=lambda: 1_767_225_600.0, stream=out)
    structlog.get_logger("x").info("unit admitted", unit="default/u1", count=2)
    assert json.loads(out.getvalue()) == {
        "at": "2026-01-01T00:00:00Z",
        "level": "info",
        "event": "unit admitted",
        "unit": "default/u1",
        "count": 2,
    }


@pytest.mark.parametrize(("level", "lines"), [("debug", 4), ("info", 3), ("error", 1)])
def test_less_important_lines_are_left_out(level: str, lines: int) -> None:
    out = io.StringIO()
    configure_log(level=level, form="json", clock=lambda: 0.0, stream=out)
    log = structlog.get_logger("x")
    for say in (log.debug, log.info, log.warning, log.error):
        say("a sentence")
    assert len(out.getvalue().splitlines()) == lines


def test_what_json_cannot_say_is_written_as_text() -> None:
    out = io.StringIO()
    configure_log(level="info", form="json", clock=lambda: 0.0, stream=out)
    structlog.get_logger("x").info("a sentence", problem=ValueError("no"), key=("a", 1))
    line = json.loads(out.getvalue())
    assert line["problem"] == "no" and line["key"] == ["a", 1]


def test_the_console_form_is_one_line_without_colours() -> None:
    out = io.StringIO()
    configure_log(level="info", form="console", clock=lambda: 0.0, stream=out)
    structlog.get_logger("x").info("leading", lease="kube-queue/x")
    (line,) = out.getvalue().splitlines()
    assert "leading" in line and "kube-queue/x" in line and "\x1b" not in line
