"""What scenarios read from what kubectl prints."""

from e2e.world import _events_in, _without_age


def test_cells_are_told_apart_by_where_the_names_of_columns_begin() -> None:
    lines = [
        "NAME   AGE   STATE     JOB STATUS   END",
        "one    5s    Queuing                now",
        "two    12s             RUNNING",
    ]
    assert _without_age(lines) == [["one", "Queuing", "", "now"], ["two", "", "RUNNING", ""]]


def test_where_nothing_is_printed_there_are_no_rows() -> None:
    assert _without_age([]) == []


def test_of_a_description_the_events_are_read_with_the_whole_of_their_messages() -> None:
    lines = [
        "Name:         it",
        "Events:",
        "  Type     Reason            Age                From              Message",
        "  ----     ------            ----               ----              -------",
        "  Normal   Enqueued          5s                 kube-queue-jobs   waits in  queue a",
        "  Warning  FailedScheduling  4s (x2 over 5s)    kube-queue        quota a: cpu",
    ]
    assert _events_in(lines) == [
        ("Normal", "Enqueued", "waits in  queue a"),
        ("Warning", "FailedScheduling", "quota a: cpu"),
    ]


def test_a_description_without_events_has_none() -> None:
    assert _events_in(["Name:   it", "Events:  <none>"]) == []
    assert _events_in(["Name:   it"]) == []
