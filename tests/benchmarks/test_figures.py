from __future__ import annotations

import os

import pytest

from benchmarks.figures import ProcessTimes, carried_out, parsed_lanes, spread

PAGE = """\
# HELP kube_queue_api_writes_total Writes by lane.
# TYPE kube_queue_api_writes_total counter
kube_queue_api_writes_total{lane="admit",result="sent"} 15000
kube_queue_api_writes_total{lane="admit",result="failed"} 3.0
kube_queue_api_writes_total{lane="event",result="superseded"} 7
kube_queue_api_writes_total{lane="event",result="retried"} 2
kube_queue_api_requests_total{verb="patch"} 15003
"""


def test_lanes_are_read_from_a_metrics_page() -> None:
    assert parsed_lanes(PAGE) == {
        "admit": {"sent": 15000, "failed": 3},
        "event": {"superseded": 7, "retried": 2},
    }


def test_a_refused_or_repeated_write_costs_a_request_and_a_superseded_one_does_not() -> None:
    lanes = parsed_lanes(PAGE)
    assert carried_out(lanes) == 15005
    assert carried_out(lanes, "admit") == 15003
    assert carried_out(lanes, "event", "resume") == 2


def test_a_spread_takes_its_percentiles_from_the_ranked_values() -> None:
    found = spread([float(value) for value in range(100, 0, -1)])
    assert found == {
        "count": 100,
        "mean": pytest.approx(50.5),
        "p50": 51.0,
        "p95": 96.0,
        "p99": 100.0,
        "max": 100.0,
    }


def test_a_spread_of_nothing_is_zero() -> None:
    assert set(spread([]).values()) == {0}


def test_cpu_seconds_count_from_the_start_of_the_measurement_on() -> None:
    times = ProcessTimes({"self": os.getpid()})
    before = sum(os.times()[:2])
    while sum(os.times()[:2]) - before < 0.05:
        pass
    found = times.figures()["self"]
    assert 0.03 <= found["cpu_seconds"] < sum(os.times()[:2])
    assert 0 < found["mb"] <= found["peak_mb"]
