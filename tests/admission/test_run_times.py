"""How long jobs run, declared and learned."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kube_queue.admission.runtimes import KINDS_KEPT, RUNS_KEPT, Interval, RunTimes, without_run
from kube_queue.api.lifecycle import Phase
from kube_queue.api.units import JobRef, Unit
from tests.builders import UnitBuilder, World, a_unit, one_quota, vector


def job(name: str, *, kind: str = "TFJob", cpu: str = "1", **fields: int | str) -> Unit:
    reference = JobRef("kubeflow.org/v1", kind, "default", name, f"uid-of-{name}")
    unit = a_unit(f"{name}-tf-qu").asking(cpu=cpu).unit
    return replace(unit, job=reference, **fields)  # type: ignore[arg-type]


def test_the_owners_word_is_taken_exactly() -> None:
    times = RunTimes()
    times.ended(job("train-1"), 50.0)
    assert times.expected(job("train-2", expected_seconds=600)) == Interval(600.0, 600.0)


def test_a_job_nobody_knows_anything_about_has_no_run_time() -> None:
    times = RunTimes()
    times.ended(job("train-1"), 50.0)
    assert times.expected(job("other-1")) is None


def test_learned_are_the_shortest_and_the_longest_of_the_last_runs() -> None:
    times = RunTimes()
    for number, seconds in enumerate((30.0, 90.0, 60.0)):
        times.ended(job(f"train-{number}"), seconds)
    assert times.expected(job("train-9")) == Interval(30.0, 90.0)
    for _ in range(RUNS_KEPT):
        times.ended(job("train-x7k2p"), 70.0)
    assert times.expected(job("train-9")) == Interval(70.0, 70.0)


@pytest.mark.parametrize(
    "other",
    [
        job("train-2", kind="PyTorchJob"),
        job("train-2", cpu="2"),
        job("train-2", namespace="elsewhere"),
        job("eval-2"),
    ],
)
def test_only_jobs_alike_teach_each_other(other: Unit) -> None:
    times = RunTimes()
    times.ended(job("train-1"), 50.0)
    assert times.expected(job("train-2")) == Interval(50.0, 50.0)
    assert times.expected(other) is None


def test_a_limit_alone_says_between_nothing_and_the_limit() -> None:
    assert RunTimes().expected(job("train-1", limit_seconds=60)) == Interval(0.0, 60.0)


def test_a_limit_caps_what_is_declared_and_what_is_learned() -> None:
    times = RunTimes()
    times.ended(job("train-1"), 50.0)
    times.ended(job("train-1"), 500.0)
    assert times.expected(job("train-2", limit_seconds=100)) == Interval(50.0, 100.0)
    assert times.expected(job("x", expected_seconds=200, limit_seconds=100)) == (100.0, 100.0)


def test_a_run_that_lasted_less_than_nothing_teaches_nothing() -> None:
    times = RunTimes()
    times.ended(job("train-1"), -1.0)
    times.ended(job("train-1"), float("nan"))
    assert times.expected(job("train-1")) is None


def test_what_ended_longest_ago_is_forgotten_first() -> None:
    times = RunTimes()
    times.ended(job("first"), 1.0)
    times.ended(job("second"), 2.0)
    times.ended(job("first"), 1.0)
    for number in range(KINDS_KEPT - 1):
        times.ended(job(f"n{number}x"), 3.0)
    assert times.expected(job("second")) is None
    assert times.expected(job("first")) == Interval(1.0, 1.0)


def test_units_without_a_job_go_by_their_own_name() -> None:
    times = RunTimes()
    times.ended(a_unit("batch-1").unit, 5.0)
    assert times.expected(a_unit("batch-2").unit) == Interval(5.0, 5.0)
    assert times.expected(replace(a_unit("batch-2").unit, request=vector(cpu=1))) is None


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("nightly-28371240", "nightly"),
        ("sweep-2024-01-31", "sweep"),
        ("train-x7k2p", "train"),
        ("etl-9f8e7d6c", "etl"),
        ("etl-3-x7k2p", "etl"),
        ("train.v2.17", "train.v2"),
        ("resnet50", "resnet50"),
        ("eval-large", "eval-large"),
        ("load-deadbeef", "load-deadbeef"),
        ("12", "12"),
        ("-7", "-7"),
    ],
)
def test_the_run_of_a_name_is_its_trailing_numbers_or_random_letters(name: str, stem: str) -> None:
    assert without_run(name) == stem


@pytest.mark.parametrize(
    ("end", "learned"), [(Phase.SUCCEED, Interval(90.0, 90.0)), (Phase.FAILED, None)]
)
def test_a_run_that_is_seen_to_end_well_teaches_how_long_it_took(
    end: Phase, learned: Interval | None
) -> None:
    world = World(one_quota(cpu="4"))
    runs = replace(job("train-1"), phase=Phase.RUNNING, started=10_000_000)
    ended = replace(runs, phase=end, started=0, ended=100_000_000)
    world.sees(UnitBuilder(runs), UnitBuilder(ended), UnitBuilder(ended))
    assert world.cache.run_times.expected(job("train-2")) == learned
