"""Conditions keep their place and their time; times read and print as Kubernetes writes them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.conditions import (
    UnitCondition,
    condition_is_true,
    parse_rfc3339,
    requeued_conditions,
    rfc3339,
    rfc3339_micro,
    set_condition,
)
from kube_queue.api.errors import InvalidInput

EARLY, LATE = "2026-01-31T12:00:00Z", "2026-01-31T13:00:00Z"
NOON = 1_769_860_800


def test_a_new_condition_is_appended_and_the_given_list_is_left_alone() -> None:
    before: list[dict[str, Any]] = [{"type": "A", "status": "True"}]
    after = set_condition(before, "B", True, "Why", "because", EARLY)
    assert before == [{"type": "A", "status": "True"}]
    assert after == [
        {"type": "A", "status": "True"},
        {
            "type": "B",
            "status": "True",
            "reason": "Why",
            "message": "because",
            "lastTransitionTime": EARLY,
        },
    ]


def test_a_unit_that_is_requeued_again_waits_since_then() -> None:
    first = requeued_conditions(None, "Reclaimed", "for one", EARLY)
    admitted = set_condition(first, UnitCondition.ADMITTED, True, "Admitted", "", EARLY)
    again = requeued_conditions(admitted, "Reclaimed", "for another", LATE)
    requeued, other = again
    assert (requeued["message"], requeued["lastTransitionTime"]) == ("for another", LATE)
    assert other["status"] == "False"


def test_the_time_of_a_condition_moves_only_with_its_status() -> None:
    first = set_condition(None, "A", True, "One", "", EARLY)
    same = set_condition(first, "A", True, "Two", "more", LATE)
    assert (same[0]["reason"], same[0]["lastTransitionTime"]) == ("Two", EARLY)
    other = set_condition(same, "A", False, "Three", "", LATE)
    assert (other[0]["status"], other[0]["lastTransitionTime"]) == ("False", LATE)


def test_a_condition_keeps_its_place_and_loses_its_doubles() -> None:
    before = [{"type": "A", "status": "True"}, {"type": "B"}, {"type": "A", "status": "False"}]
    after = set_condition(before, "A", "Unknown", "", "", LATE)
    assert [(one["type"], one.get("status")) for one in after] == [("A", "Unknown"), ("B", None)]


@pytest.mark.parametrize(
    ("conditions", "answer"),
    [
        ([{"type": "Evicted", "status": "True"}], True),
        ([{"type": "Evicted", "status": "False"}], False),
        ([{"type": "Evicted", "status": True}], False),
        ([3, None, "Evicted"], False),
        ({"type": "Evicted", "status": "True"}, False),
        (None, False),
    ],
)
def test_only_the_word_true_makes_a_condition_true(conditions: object, answer: bool) -> None:
    assert condition_is_true(conditions, "Evicted") is answer


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-31T12:00:00Z", NOON * 10**6),
        ("2026-01-31T12:00:00.5Z", NOON * 10**6 + 500_000),
        ("2026-01-31T12:00:00.000001Z", NOON * 10**6 + 1),
        ("2026-01-31T12:00:00.123456789Z", NOON * 10**6 + 123_456),
        ("2026-01-31T20:00:00+08:00", NOON * 10**6),
        ("2026-01-31T08:30:00-03:30", NOON * 10**6),
        ("1969-12-31T23:59:59.5Z", -500_000),
    ],
)
def test_a_time_reads_to_the_microsecond(text: str, microseconds: int) -> None:
    assert parse_rfc3339(text) == microseconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-02-31T12:00:00Z",
        "2026-01-31T25:00:00Z",
        "2026-01-31 12:00:00Z",
        "20260131T120000Z",
        "2026-01-31T12:00:00+99:99",
    ],
)
def test_what_is_no_rfc_3339_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_rfc3339(text)


@given(st.integers(0, 4_000_000_000_000_000))
def test_a_printed_time_reads_back(microseconds: int) -> None:
    assert parse_rfc3339(rfc3339_micro(microseconds)) == microseconds
    seconds = microseconds // 10**6
    assert parse_rfc3339(rfc3339(microseconds / 10**6)) == seconds * 10**6
