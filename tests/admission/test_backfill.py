"""Backfill: as Block, and whoever cannot delay the head may pass it."""

from __future__ import annotations

from dataclasses import replace

from kube_queue.admission.runtimes import RUNS_KEPT
from kube_queue.api.lifecycle import Phase
from kube_queue.api.queues import Policy
from kube_queue.api.quota import QuotaTree
from tests.builders import START, UnitBuilder, World, a_queue, a_quota, a_tree, a_unit, one_quota

BACKFILL = Policy.BACKFILL


def runs_for(name: str, seconds: int, **asked: str | int) -> UnitBuilder:
    """A unit whose owner says how long it runs; 0: he does not."""
    builder = a_unit(name).asking(**asked)
    return UnitBuilder(replace(builder.unit, expected_seconds=seconds))


def start(tree: QuotaTree, *running: UnitBuilder) -> World:
    """The units run from the first moment on."""
    world = World(tree, BACKFILL)
    world.sees(*running)
    assert set(world.admits()) == {builder.unit.name for builder in running}
    return world.runs(*(builder.unit.name for builder in running))


def passes(world: World, *waiting: UnitBuilder) -> list[str]:
    """Who of these is admitted, all of them waiting in the order they are given."""
    world.sees(*(builder.submitted_at(index) for index, builder in enumerate(waiting)))
    return world.admits()


def test_a_unit_that_ends_before_the_heads_start_passes() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=3))
    assert passes(world, runs_for("head", 0, cpu=4), runs_for("short", 100, cpu=1)) == ["short"]


def test_a_unit_that_would_run_into_the_heads_start_waits() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=3))
    assert passes(world, runs_for("head", 0, cpu=4), runs_for("long", 101, cpu=1)) == []
    assert world.why("long")[0] == "BlockedByHead"


def test_a_unit_without_known_run_time_passes_only_beside_the_head() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=3))
    waiting = [runs_for("head", 0, cpu=3), runs_for("big", 0, cpu="1500m"), runs_for("u", 0, cpu=1)]
    assert passes(world, *waiting) == ["u"]
    world.ends("r")
    assert world.admits() == ["head"]


def teaches(world: World, name: str, seconds: int, **asked: str | int) -> None:
    """A job of this name, charged nowhere, ran so long."""
    began = int(START * 1_000_000)
    unit = replace(a_unit(name).asking(**asked).unit, quota="none", uid=f"teacher-{seconds}")
    runs = replace(unit, phase=Phase.RUNNING, started=began)
    ended = replace(unit, phase=Phase.SUCCEED, ended=began + seconds * 1_000_000)
    world.sees(UnitBuilder(runs), UnitBuilder(ended)).cache.unit_gone(unit.uid)


def test_what_is_learned_of_run_times_reaches_units_that_wait_already() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=3))
    assert passes(world, runs_for("head", 0, cpu=4), runs_for("etl-2", 0, cpu=1)) == []
    teaches(world, "etl-1", 100, cpu=1)
    assert world.cache.has_work()
    assert world.admits() == ["etl-2"]


def test_what_is_learned_of_run_times_reaches_units_that_run_already() -> None:
    world = start(one_quota(cpu="4"), runs_for("etl-2", 0, cpu=3))
    assert passes(world, runs_for("head", 0, cpu=4), runs_for("short", 50, cpu=1)) == []
    teaches(world, "etl-1", 50, cpu=3)
    assert world.admits() == ["short"]


def test_what_is_learned_later_counts_more_than_what_was_learned_first() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=3))
    assert passes(world, runs_for("head", 0, cpu=4), runs_for("etl-2", 0, cpu=1)) == []
    teaches(world, "etl-1", 101, cpu=1)
    assert world.admits() == []
    for _ in range(RUNS_KEPT):
        teaches(world, "etl-1", 99, cpu=1)
    assert world.admits() == ["etl-2"]


def test_a_time_limit_still_caps_what_is_learned_of_units_that_wait() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=3))
    capped = UnitBuilder(replace(runs_for("etl-2", 0, cpu=1).unit, limit_seconds=100))
    loose = UnitBuilder(replace(runs_for("etl-3", 0, cpu=1).unit, limit_seconds=300))
    teaches(world, "etl-0", 200, cpu=1)
    assert passes(world, runs_for("head", 0, cpu=4), loose, capped) == ["etl-2"]


def test_only_units_alike_change_with_what_is_learned() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=3))
    waiting = [runs_for("head", 0, cpu=4), runs_for("etl-2", 0, cpu=1), runs_for("other", 0, cpu=1)]
    assert passes(world, *waiting) == []
    teaches(world, "other-1", 10, cpu=1)
    assert world.admits() == ["other"]


def test_a_unit_that_uses_nothing_the_head_needs_passes() -> None:
    world = start(one_quota(cpu="4", gpu=1), runs_for("r", 0, cpu=4))
    assert passes(world, runs_for("head", 0, cpu=2), runs_for("other", 0, gpu=1)) == ["other"]


def test_of_two_units_that_fit_beside_the_head_only_one_by_one_only_the_first_passes() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=2))
    waiting = [runs_for("head", 0, cpu=3), runs_for("one", 0, cpu=1), runs_for("two", 0, cpu=1)]
    assert passes(world, *waiting) == ["one"]
    world.ends("r")
    assert world.admits() == ["head"]


def test_without_known_ends_only_what_the_head_leaves_free_now_is_used() -> None:
    world = start(one_quota(cpu="9", gpu=2), runs_for("r", 0, gpu=2, cpu=1))
    waiting = [
        runs_for("head", 0, cpu=6, gpu=1),
        runs_for("big", 1, cpu=3),
        runs_for("u", 1, cpu=2),
    ]
    assert passes(world, *waiting) == ["u"]


def test_a_unit_that_needs_what_the_head_is_short_of_waits_while_its_end_is_not_known() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 0, cpu=3))
    assert passes(world, runs_for("head", 0, cpu=2), runs_for("small", 1, cpu="500m")) == []


def test_who_runs_longer_than_expected_frees_nothing_until_he_ends() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=3))
    world.now += 101
    assert passes(world, runs_for("head", 0, cpu=4), runs_for("short", 1, cpu=1)) == []
    world.ends("r")
    assert world.admits() == ["head"]


def test_when_a_unit_is_overdue_those_it_held_up_are_looked_at_again() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=1), runs_for("later", 500, cpu=2))
    assert passes(world, runs_for("head", 0, cpu=2), runs_for("u", 300, cpu=1)) == []
    wake = world.cache.next_wake()
    assert wake is not None
    assert START + 100 < wake < START + 101
    world.now = wake
    assert world.cache.has_work() or world.cache.next_wake() == wake
    # The head is expected at 500 now.
    assert world.admits() == ["u"]


def test_the_quotas_above_the_leaf_are_reserved_as_well() -> None:
    leaves = [a_quota(name).max(cpu="4").serving(name) for name in ("a", "b")]
    tree = a_tree(a_quota("root").max(cpu="6").over(*leaves))
    world = start(tree, runs_for("r", 100, cpu=4).of_namespace("b"))
    waiting = [
        runs_for("head", 0, cpu=3),
        runs_for("long", 101, cpu=1),
        runs_for("short", 100, cpu=1),
    ]
    assert passes(world, *(unit.of_namespace("a") for unit in waiting)) == ["long", "short"]
    world = start(tree, runs_for("r", 100, cpu=4).of_namespace("b"))
    waiting = [
        runs_for("head", 0, cpu=4),
        runs_for("long", 101, cpu=2),
        runs_for("short", 100, cpu=2),
    ]
    assert passes(world, *(unit.of_namespace("a") for unit in waiting)) == ["short"]


def test_jobs_are_counted_in_the_reservation() -> None:
    world = start(one_quota(cpu="9", jobs=3), runs_for("r", 100, cpu=8), runs_for("s", 200, cpu=0))
    assert passes(world, runs_for("head", 0, cpu=2), runs_for("long", 0, cpu=0)) == ["long"]
    world = start(one_quota(cpu="9", jobs=2), runs_for("r", 100, cpu=8), runs_for("s", 200, cpu=0))
    world.ends("s")
    world.sees(runs_for("t", 200, cpu=0))
    assert world.admits() == ["t"]
    assert passes(world.runs("t"), runs_for("head", 0, cpu=2), runs_for("long", 0, cpu=0)) == []


def test_the_guarantee_of_units_that_are_not_preemptible_is_reserved() -> None:
    leaf = a_quota("team").min(cpu="4").max(cpu="9").serving("default")
    tree = a_tree(a_quota("root").over(leaf))
    world = start(tree, runs_for("r", 100, cpu=3).not_preemptible())
    waiting = [
        runs_for("head", 0, cpu=2).not_preemptible(),
        runs_for("hard", 101, cpu=1).not_preemptible(),
        runs_for("hard2", 101, cpu=1).not_preemptible(),
        runs_for("soft", 0, cpu=4),
    ]
    assert passes(world, *waiting) == ["hard", "soft"]


def test_a_unit_admitted_in_the_same_cycle_is_counted_on() -> None:
    world = World(one_quota(cpu="4"), BACKFILL)
    waiting = [runs_for("first", 10, cpu=3), runs_for("head", 0, cpu=4), runs_for("u", 50, cpu=1)]
    assert passes(world, *waiting) == ["first"]


def test_a_release_that_makes_room_beside_the_head_lets_a_unit_pass() -> None:
    world = start(one_quota(cpu="6"), runs_for("r", 0, cpu=4), runs_for("s", 0, cpu=1))
    assert passes(world, runs_for("head", 0, cpu=3), runs_for("u", 0, gpu=1, cpu="0")) == ["u"]
    world = start(one_quota(cpu="6", gpu="2"), runs_for("r", 0, gpu=2), runs_for("s", 0, cpu=4))
    waiting = [runs_for("head", 0, cpu=2, gpu=1), runs_for("u", 0, cpu=1)]
    assert passes(world, *waiting) == []
    world.ends("s")
    assert world.admits() == ["u"]


def test_behind_a_head_that_is_deleted_the_next_one_is_the_head() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 0, cpu=2))
    waiting = [runs_for("head", 0, cpu=4), runs_for("next", 0, cpu=2), runs_for("u", 0, cpu=1)]
    assert passes(world, *waiting) == []
    world.cache.unit_gone("uid-head")
    assert world.admits() == ["next"]


def test_a_new_head_is_what_the_others_may_not_delay() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=2), runs_for("s", 200, cpu=1))
    assert passes(world, runs_for("head", 0, cpu=3), runs_for("u", 150, cpu=1)) == []
    world.sees(runs_for("urgent", 0, cpu=4).with_priority(9))
    assert world.admits() == ["u"]


def test_a_run_time_declared_later_counts() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=3))
    late = runs_for("u", 0, cpu=1).submitted_at(1)
    assert passes(world, runs_for("head", 0, cpu=4), late) == []
    world.sees(UnitBuilder(replace(late.at_version(2).unit, expected_seconds=50)))
    assert world.admits() == ["u"]


def test_what_jobs_like_it_took_counts_as_its_run_time() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=3))
    world.cache.run_times.ended(runs_for("etl-1", 0, cpu=1).unit, 60.0)
    assert passes(world, runs_for("head", 0, cpu=4), runs_for("etl-2", 0, cpu=1)) == ["etl-2"]


def test_units_of_one_request_and_different_run_times_are_told_apart() -> None:
    world = start(one_quota(cpu="5"), runs_for("r", 100, cpu=3))
    waiting = [
        runs_for("head", 0, cpu=5),
        runs_for("long", 200, cpu=1),
        runs_for("short", 20, cpu=1),
        runs_for("unknown", 0, cpu=1),
        runs_for("limit", 100, cpu=1),
    ]
    assert passes(world, *waiting) == ["short", "limit"]


def test_quota_that_is_lent_is_not_counted_on() -> None:
    lender = a_quota("a").max(cpu="4").min(cpu="2").serving("a")
    lender = replace(
        lender, limits={**lender.limits, "attributes": {"alibabacloud.com/lendlimit": '{"cpu": 0}'}}
    )
    other = a_quota("b").max(cpu="8").serving("b")
    tree = a_tree(a_quota("root").max(cpu="6").over(lender, other))
    world = start(tree, runs_for("r", 100, cpu=3).of_namespace("b"))
    waiting = [runs_for("head", 0, cpu=4), runs_for("u", 50, cpu=1)]
    assert passes(world, *(unit.of_namespace("b") for unit in waiting)) == []


def test_nothing_is_computed_while_nobody_is_behind_a_blocked_head() -> None:
    world = start(one_quota(cpu="4"), runs_for("r", 100, cpu=3))
    assert passes(world, runs_for("head", 0, cpu=4)) == []
    assert passes(world, runs_for("alike", 0, cpu=4)) == []
    assert world.cache.pending.ends.nodes == ()
    assert passes(world, runs_for("short", 10, cpu=1)) == ["short"]
    assert world.cache.pending.ends.nodes == ("root/team", "root")


def test_a_unit_kept_back_is_looked_at_when_exactly_what_it_lacks_was_given_back() -> None:
    running = [runs_for(f"s{number}", 0, cpu=1) for number in range(5)]
    world = start(one_quota(cpu="8", gpu=1), runs_for("r", 0, gpu=1), *running)
    waiting = [runs_for("head", 0, cpu=2, gpu=1), runs_for("u", 0, cpu=3)]
    assert passes(world, *waiting) == []
    world.ends("s0")
    assert not world.cache.has_work()
    world.ends("s1")
    assert world.cache.has_work()
    assert world.admits() == ["u"]


def test_changed_to_backfill_live_it_loses_nobody() -> None:
    world = World(one_quota(cpu="4"), Policy.ROUND)
    world.sees(runs_for("r", 100, cpu=3))
    assert world.admits() == ["r"]
    world.runs("r")
    assert passes(world, runs_for("head", 0, cpu=4), runs_for("big", 50, cpu=2)) == []
    for policy in (BACKFILL, Policy.INTELLIGENT, BACKFILL):
        world.cache.queue_seen(a_queue("root-team", policy))
        assert world.admits() == []
    world.sees(runs_for("short", 100, cpu=1).submitted_at(5))
    assert world.admits() == ["short"]
    world.runs("short").ends("r", "short")
    assert world.admits() == ["head"]
