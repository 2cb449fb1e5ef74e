"""Ages, as people read them."""

import pytest

from kube_queue.apiserver.printers.durations import age, human_duration, parse_time

MINUTE, HOUR, DAY, YEAR = 60, 3600, 86_400, 365 * 86_400


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-2.0, "<invalid>"),
        (-1.9, "0s"),
        (0, "0s"),
        (1.99, "1s"),
        (119, "119s"),
        (2 * MINUTE, "2m"),
        (2 * MINUTE + 1, "2m1s"),
        (10 * MINUTE - 1, "9m59s"),
        (10 * MINUTE + 5, "10m"),
        (3 * HOUR - 1, "179m"),
        (3 * HOUR, "3h"),
        (3 * HOUR + 61, "3h1m"),
        (8 * HOUR - 1, "7h59m"),
        (8 * HOUR, "8h"),
        (2 * DAY - 1, "47h"),
        (2 * DAY, "2d"),
        (3 * DAY + 4 * HOUR, "3d4h"),
        (8 * DAY - 1, "7d23h"),
        (8 * DAY, "8d"),
        (2 * YEAR - 1, "729d"),
        (2 * YEAR, "2y"),
        (2 * YEAR + DAY, "2y1d"),
        (8 * YEAR - 1, "7y364d"),
        (9 * YEAR, "9y"),
    ],
)
def test_a_span_is_shown_in_two_or_three_significant_figures(seconds: float, shown: str) -> None:
    assert human_duration(seconds) == shown


def test_an_age_reads_times_with_and_without_fractions_and_offsets() -> None:
    now = parse_time("2024-05-06T07:08:09Z")
    assert now == 1714979289.0
    assert age(now, "2024-05-06T07:08:02Z") == "7s"
    assert age(now, "2024-05-06T07:08:02.123456Z") == "6s"
    assert age(now, "2024-05-06T09:08:02+02:00") == "7s"


def test_an_age_says_when_a_time_is_missing_or_no_time() -> None:
    assert age(0.0, None) == "<unknown>"
    assert age(0.0, "") == "<unknown>"
    assert age(0.0, "yesterday") == "<invalid>"
