"""Pure rules of a Job's status."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.simulator.job_status import (
    format_indexes,
    job_spec,
    next_status,
    parse_indexes,
    tally,
)


@settings(deadline=None)
@given(st.frozensets(st.integers(min_value=0, max_value=200)))
def test_completed_indexes_are_read_as_they_were_written(indexes: frozenset[int]):
    assert parse_indexes(format_indexes(indexes)) == indexes


def test_neighbouring_indexes_are_written_as_a_range():
    assert format_indexes(frozenset({1, 3, 4, 5, 9})) == "1,3-5,9"


def test_two_neighbours_are_no_range():
    assert format_indexes(frozenset({0, 1, 4})) == "0,1,4"


def test_a_suspended_job_without_pods_says_so_once():
    job = {"spec": {"suspend": True, "completions": 1, "parallelism": 1}}
    spec = job_spec(job)
    first = next_status(job, spec, tally(job, spec, []), 100.0)
    (condition,) = first["conditions"]
    assert (condition["type"], condition["status"]) == ("Suspended", "True")
    assert "startTime" not in first

    job["status"] = first
    assert next_status(job, spec, tally(job, spec, []), 200.0) == first


def test_a_resumed_job_starts_at_the_moment_of_its_resumption():
    job = {"spec": {"suspend": True}}
    spec = job_spec(job)
    job["status"] = next_status(job, spec, tally(job, spec, []), 100.0)
    job["spec"]["suspend"] = False
    spec = job_spec(job)
    status = next_status(job, spec, tally(job, spec, []), 160.0)
    assert status["startTime"] == "1970-01-01T00:02:40Z"
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "JobResumed")


def test_a_job_managed_by_somebody_else_is_not_ours():
    assert not job_spec({"spec": {"managedBy": "kueue.x-k8s.io/multikueue"}}).managed_by_us
    assert job_spec({"spec": {}}).managed_by_us
