"""What scenarios read from kubectl's tables."""

from e2e.world import _without_age


def test_cells_are_told_apart_by_where_the_names_of_columns_begin() -> None:
    lines = [
        "NAME   AGE   STATE     JOB STATUS   END",
        "one    5s    Queuing                now",
        "two    12s             RUNNING",
    ]
    assert _without_age(lines) == [["one", "Queuing", "", "now"], ["two", "", "RUNNING", ""]]


def test_where_nothing_is_printed_there_are_no_rows() -> None:
    assert _without_age([]) == []
