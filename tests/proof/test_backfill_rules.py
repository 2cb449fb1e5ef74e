"""Backfill against the schedule: the head starts when it would have, and gaps are used."""

from __future__ import annotations

from hypothesis import given

from kube_queue.api.queues import Policy
from tests.builders import UnitBuilder, a_quota, a_tree, a_unit, one_quota
from tests.proof.schedule import Job, Player, jobs

ONE = one_quota(cpu=5, memory=5)
NESTED = a_tree(
    a_quota("root")
    .max(cpu=5, memory=4)
    .over(a_quota("p").max(memory=5).over(a_quota("team").max(cpu=4).serving("default")))
)


@given(jobs())
def test_the_head_is_never_delayed(played: list[Job]) -> None:
    for tree in (ONE, NESTED):
        schedule = Player(tree, Policy.BACKFILL, played).play()
        for uid, start in schedule.reserved.items():
            assert schedule.started[uid] <= start


@given(jobs(undeclared=True))
def test_the_head_is_never_delayed_by_jobs_of_unknown_length(played: list[Job]) -> None:
    schedule = Player(ONE, Policy.BACKFILL, played).play()
    for uid, start in schedule.reserved.items():
        assert schedule.started[uid] <= start


@given(jobs())
def test_every_job_that_could_run_runs_at_last_under_every_policy(played: list[Job]) -> None:
    for policy in Policy:
        player = Player(ONE, policy, played)
        schedule = player.play()
        for uid, job in player.jobs.items():
            assert (uid in schedule.started) == player.model.could_run(job.unit)


@given(jobs())
def test_block_is_never_overtaken(played: list[Job]) -> None:
    assert Player(ONE, Policy.BLOCK, played).play().passed == []


def _job(name: UnitBuilder, seconds: float, comes: float = 0, declared: bool = True) -> Job:
    unit = name._with(expected_seconds=int(seconds) if declared else 0).unit
    return Job(unit, comes, seconds, declared)


def _starts(*played: Job) -> dict[str, float]:
    started = Player(ONE, Policy.BACKFILL, played).play().started
    first = min(started.values())
    return {uid.removeprefix("uid-"): start - first for uid, start in started.items()}


def test_a_unit_that_ends_before_the_heads_start_may_pass_it() -> None:
    runs = _job(a_unit("runs").asking(cpu=3), 9)
    head = _job(a_unit("head").asking(cpu=4).submitted_at(1), 5, comes=1)
    short = _job(a_unit("short").asking(cpu=2).submitted_at(2), 8, comes=1)
    assert _starts(runs, head, short) == {"runs": 0, "short": 1, "head": 9}


def test_a_unit_that_ends_after_the_heads_start_waits_behind_it() -> None:
    runs = _job(a_unit("runs").asking(cpu=3), 9)
    head = _job(a_unit("head").asking(cpu=4).submitted_at(1), 5, comes=1)
    long = _job(a_unit("long").asking(cpu=2).submitted_at(2), 9, comes=1)
    assert _starts(runs, head, long) == {"runs": 0, "head": 9, "long": 14}


def test_a_unit_of_unknown_length_may_use_what_the_head_does_not_need() -> None:
    runs = _job(a_unit("runs").asking(cpu=3), 9)
    head = _job(a_unit("head").asking(cpu=4).submitted_at(1), 5, comes=1)
    other = _job(a_unit("other").asking(memory=4).submitted_at(2), 30, comes=1, declared=False)
    spare = _job(a_unit("spare").asking(cpu=1).submitted_at(3), 30, comes=1, declared=False)
    assert _starts(runs, head, other, spare) == {"runs": 0, "other": 1, "spare": 1, "head": 9}


def test_a_unit_that_is_kept_back_ends_the_turn() -> None:
    played = [
        _job(a_unit("first").asking(cpu=3), 9),
        _job(a_unit("second").asking(cpu=1, memory=4).submitted_at(1), 6),
        _job(a_unit("behind").asking(memory=4).submitted_at(2), 9, comes=1),
        _job(a_unit("head").asking(cpu=2, memory=1).submitted_at(3).with_priority(1), 8, comes=2),
    ]
    assert len(Player(NESTED, Policy.BACKFILL, played).play().started) == 4
