"""What is promised to a unit while its victims leave, and how a promise ends."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from kube_queue.admission import Admit
from kube_queue.admission.promises import LINGER
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import LEND_LIMIT_ATTRIBUTE
from kube_queue.api.preemption import ReclaimPolicy
from kube_queue.api.queues import Policy
from kube_queue.api.resources import EMPTY
from tests.admission.storms import Storm, leaf, two, under, unit
from tests.builders import UnitBuilder, a_queue, vector


def promised(policy: Policy = Policy.PRIORITY) -> Storm:
    """alpha-1 is to get 3 of the 6 that beta-1 and beta-2 hold; beta-2 leaves for it."""
    world = two(policy=policy).running(unit("beta-1", 3), unit("beta-2", 3))
    assert world.sees(unit("alpha-1", 3)).evicts() == ["beta-2"]
    return world


def free(world: Storm) -> int:
    return world.cache.ledger.chain("root/beta")[-1].free[0]["cpu"]


def test_the_preemptor_waits_outside_the_queue_and_says_for_whom() -> None:
    reason, message = promised().why("alpha-1")
    assert reason == "ReclaimPending"
    assert "beta/beta-2 leaves to make room for it" in message


def test_nobody_steals_what_the_victims_give_back() -> None:
    world = Storm(under(6, leaf("alpha", 4), leaf("beta", 0)))
    world.running(unit("beta-1", 2), unit("beta-2", 2), unit("beta-3", 2))
    assert world.sees(unit("alpha-1", 4)).evicts() == ["beta-3", "beta-2"]
    world.leave("beta-3").sees(unit("beta-4", 1, 100))
    assert world.admits() == []
    assert free(world) == 0
    assert world.leave("beta-2").admits() == ["alpha-1"]


def test_what_is_really_over_may_be_used_meanwhile() -> None:
    world = Storm(under(7, leaf("alpha", 3), leaf("beta", 3)))
    world.running(unit("beta-1", 6))
    assert world.sees(unit("alpha-1", 3), unit("beta-2", 1)).admits() == ["beta-2"]
    world.runs("beta-2")
    assert world.known("alpha-1").phase is Phase.ENQUEUED
    assert world.decides() == []


def test_whoever_has_room_before_its_victims_are_gone_is_admitted_at_once() -> None:
    world = promised()
    assert world.ends("beta-1").cache.has_work()
    assert world.admits() == ["alpha-1"]
    assert world.leave("beta-2").admits() == ["beta-2"]


def test_room_that_comes_before_the_victims_are_gone_goes_by_turns_first() -> None:
    world = promised().sees(unit("beta-3", 2, 9))
    assert world.ends("beta-1").admits() == ["beta-3"]
    assert world.leave("beta-2").admits() == ["alpha-1"]


def test_room_that_comes_early_to_the_head_lets_those_behind_it_have_their_turn() -> None:
    world = two(7, policy=Policy.BLOCK).running(unit("beta-1", 3), unit("beta-2", 3))
    assert world.sees(unit("alpha-1", 3)).evicts() == ["beta-2"]
    assert world.sees(unit("alpha-2", 1).submitted_at(1)).decides() == []
    assert world.ends("beta-1").admits() == ["alpha-1", "alpha-2"]


def test_what_a_quota_keeps_to_itself_is_room_for_whom_others_leave() -> None:
    lends = {"attributes": {LEND_LIMIT_ATTRIBUTE: '{"cpu": "2"}'}}
    alpha = replace(leaf("alpha", 3), limits={**leaf("alpha", 3).limits, **lends})
    world = Storm(under(6, alpha, leaf("beta", 3)))
    world.running(unit("beta-1", 3), unit("beta-2", 2))
    assert world.sees(unit("alpha-1", 3)).evicts() == ["beta-2"]
    assert world.ends("beta-1").admits() == ["alpha-1"]


def test_an_eviction_that_lands_late_keeps_nobody_from_room_that_is_there() -> None:
    late = promised().told("beta-2").known("beta-2")
    world = two().running(unit("beta-1", 3), unit("beta-2", 3)).sees(unit("alpha-1", 3))
    world.ends("beta-1").cache.unit_seen(late)
    assert world.admits() == ["alpha-1"]


def test_each_promise_is_kept_by_its_own_victims() -> None:
    world = Storm(under(9, leaf("alpha", 4), leaf("beta", 0), leaf("gamma", 5)))
    world.running(unit("beta-1", 5), unit("beta-2", 2), unit("beta-3", 2))
    assert world.sees(unit("alpha-1", 4)).evicts() == ["beta-3", "beta-2"]
    assert world.sees(unit("gamma-1", 1)).evicts() == ["beta-1"]
    world.leave("beta-3").sees(unit("beta-4", 2, 9))
    assert world.admits() == []
    assert world.leave("beta-2").admits() == ["alpha-1"]


def test_while_enough_leaves_nobody_else_is_evicted() -> None:
    world = Storm(under(9, leaf("alpha", 3), leaf("gamma", 3), leaf("beta", 0)))
    world.running(unit("beta-1", 1), unit("beta-2", 8))
    assert world.sees(unit("alpha-1", 3)).evicts() == ["beta-2"]
    assert world.sees(unit("gamma-1", 3)).evicts() == []
    assert sorted(world.leave("beta-2").admits()) == ["alpha-1", "gamma-1"]


def test_nobody_is_evicted_twice_for_the_same_unit() -> None:
    world = two().running(unit("beta-1", 3).not_preemptible(), unit("beta-2", 3))
    assert world.sees(unit("alpha-1", 3)).evicts() == ["beta-2"]
    world.leave("beta-2").running(unit("beta-2", 3).at_version(9))
    assert world.evicts() == []
    assert world.why("alpha-1")[0] == "InsufficientQuota"
    assert world.sees(unit("alpha-2", 2)).evicts() == ["beta-2"]


def test_nobody_is_evicted_twice_for_the_same_unit_by_another_controller() -> None:
    old = promised().told("beta-2")
    told = replace(old.known("beta-2"), evicted=False, resource_version="7")
    world = two()
    for one in (old.known("alpha-1"), old.known("beta-1"), told):
        world.cache.unit_seen(one)
    assert world.evicts() == ["beta-1"]


@pytest.mark.parametrize("order", [("told", "gone"), ("gone",)])
def test_a_victim_may_be_gone_before_its_eviction_is_seen(order: tuple[str, ...]) -> None:
    world = promised()
    for step in order:
        getattr(world, step)("beta-2")
    assert world.admits() == ["alpha-1"]


def test_a_victim_that_finishes_or_is_deleted_has_left() -> None:
    assert promised().ends("beta-2").admits() == ["alpha-1"]
    world = promised()
    world.cache.unit_gone("uid-beta-2")
    assert world.admits() == ["alpha-1"]


def test_a_preemptor_that_is_deleted_gives_its_promise_back() -> None:
    world = promised().told("beta-2")
    world.cache.unit_gone("uid-alpha-1")
    world.gone("beta-2")
    assert world.admits() == ["beta-2"]


def test_a_preemptor_that_is_deactivated_gives_its_promise_back() -> None:
    world = promised().told("beta-2").sees(unit("alpha-1", 3).inactive().at_version(5))
    assert world.why("alpha-1")[0] == "NotActive"
    assert world.gone("beta-2").admits() == ["beta-2"]


def test_a_preemptor_that_asks_for_something_else_waits_like_anybody() -> None:
    world = promised().told("beta-2").sees(unit("alpha-1", 2).at_version(5))
    assert world.why("alpha-1")[0] != "ReclaimPending"
    assert world.evicts() == []
    assert world.gone("beta-2").admits() == ["alpha-1"]


def test_a_change_of_priority_keeps_the_promise() -> None:
    world = promised().sees(unit("alpha-1", 3, 7).at_version(5))
    assert world.why("alpha-1")[0] == "ReclaimPending"
    assert world.leave("beta-2").admits() == ["alpha-1"]


@pytest.mark.parametrize("change", ["priority", "tree"])
def test_a_unit_whose_time_has_come_keeps_its_promise_through_edits(change: str) -> None:
    world = two().running(unit("beta-1", 3), unit("beta-2", 3))
    due = UnitBuilder(replace(unit("alpha-1", 3).unit, requeue_at=int(world.now * 1_000_000)))
    world.now += 1
    assert world.sees(due).evicts() == ["beta-2"]
    if change == "priority":
        world.sees(due.with_priority(7).at_version(5))
    else:
        world.cache.tree_seen(under(7, leaf("alpha", 3), leaf("beta", 3)))
    assert world.why("alpha-1")[0] == "ReclaimPending"
    assert world.leave("beta-2").admits() == ["alpha-1"]


def test_a_failed_eviction_ends_the_promise_and_others_are_asked() -> None:
    world = Storm(under(6, leaf("alpha", 3), leaf("beta", 2)))
    world.running(unit("beta-1", 3), unit("beta-2", 3)).sees(unit("alpha-1", 3))
    assert world.evicts() == ["beta-2"]
    assert world.cache.evicting("uid-beta-2")
    world.cache.eviction_failed("uid-beta-2")
    assert not world.cache.evicting("uid-beta-2")
    assert world.evicts() == ["beta-1"]
    world.cache.eviction_failed("uid-nobody")


@pytest.mark.parametrize("after", ["told", "gone"])
def test_a_tree_that_changes_while_victims_leave_takes_the_promise_along(after: str) -> None:
    world = promised()
    if after == "gone":
        world.told("beta-2")
    world.cache.tree_seen(under(7, leaf("alpha", 3), leaf("beta", 3)))
    assert world.why("alpha-1")[0] == "ReclaimPending"
    assert world.leave("beta-2").admits() == ["alpha-1"]


def test_a_promise_without_its_leaf_ends() -> None:
    world = promised().told("beta-2")
    world.cache.tree_seen(under(6, leaf("beta", 3)))
    assert world.why("alpha-1")[0] == "NoQuota"
    assert world.gone("beta-2").admits() == ["beta-2"]


def test_a_promise_that_does_not_fit_when_its_victims_are_gone_is_dropped() -> None:
    world = promised().told("beta-2").running(unit("beta-3", 3).not_preemptible())
    world.sees(unit("beta-1", 3).in_phase(Phase.RUNNING).not_preemptible().at_version(9))
    assert world.gone("beta-2").admits() == []
    assert world.why("alpha-1")[0] == "InsufficientQuota"
    assert world.ends("beta-3").admits() == ["alpha-1"]


KEPT_BACK = (
    "ReclaimPending",
    "units left to make room for it; their quota is kept for it until their last pods are gone",
)


def lingering() -> Storm:
    """beta-2 has left for alpha-1, and its pods are still seen."""
    world = promised().leave("beta-2")
    world.cache.unmanaged_seen("", "beta", vector(cpu=3))
    return world


def test_pods_seen_a_moment_longer_than_the_unit_they_belong_to_do_not_end_a_promise() -> None:
    world = lingering().sees(unit("beta-3", 1, 9))
    assert world.admits() == []
    assert world.why("alpha-1") == KEPT_BACK
    world.cache.unmanaged_seen("", "beta", vector(cpu=1))
    assert world.admits() == []
    world.cache.unmanaged_seen("", "beta", EMPTY)
    assert world.cache.has_work()
    assert world.admits() == ["alpha-1"]


def test_pods_that_stay_end_a_promise_after_some_seconds() -> None:
    world = lingering()
    assert world.admits() == []
    world.cache.unmanaged_seen("", "beta", vector(cpu=1))
    assert world.admits() == []
    assert world.cache.next_wake() == world.now + LINGER
    world.now += LINGER
    assert world.sees(unit("beta-3", 1, 9)).admits() == ["beta-3"]


def test_a_tree_that_changes_takes_along_what_is_kept_until_pods_are_gone() -> None:
    world = lingering()
    assert world.admits() == []
    world.cache.tree_seen(under(7, leaf("alpha", 3), leaf("beta", 3)))
    world.cache.unmanaged_seen("", "beta", vector(cpu=3))
    assert world.cache.next_wake() == world.now + LINGER
    world.cache.unmanaged_seen("", "beta", EMPTY)
    assert world.admits() == ["alpha-1"]


def test_what_others_left_for_is_kept_while_a_failed_write_of_the_admission_is_waited_out() -> None:
    world = promised().leave("beta-2")
    assert world.admits() == ["alpha-1"]
    world.cache.forget("uid-alpha-1", world.now)
    assert world.why("alpha-1")[0] == "Backoff"
    assert world.sees(unit("beta-3", 1, 9)).admits() == []
    world.now += 1
    assert world.admits() == ["alpha-1"]
    world.cache.forget("uid-alpha-1", world.now)
    assert "beta-3" in world.admits()


def test_what_others_left_for_is_not_kept_for_a_unit_that_asks_for_something_else() -> None:
    world = promised().leave("beta-2")
    assert world.admits() == ["alpha-1"]
    world.sees(unit("alpha-1", 1).at_version(9))
    world.cache.forget("uid-alpha-1", world.now)
    assert "beta-3" in world.sees(unit("beta-3", 1, 9)).admits()


@pytest.mark.parametrize("preemptor_first", [True, False])
@pytest.mark.parametrize("tree_first", [True, False])
def test_promises_are_made_anew_from_the_evictions_that_name_them(
    preemptor_first: bool, tree_first: bool
) -> None:
    old = promised().told("beta-2")
    seen = [old.known("alpha-1"), old.known("beta-1"), old.known("beta-2")]
    tree = under(6, leaf("alpha", 3), leaf("beta", 3))
    world = two()
    if not tree_first:
        world.cache.tree_seen(None)
    for one in seen if preemptor_first else reversed(seen):
        world.cache.unit_seen(one)
    world.cache.tree_seen(tree)
    assert world.why("alpha-1")[0] == "ReclaimPending"
    assert world.sees(unit("beta-9", 3, 99)).decides()[0].uid == "uid-beta-9"
    assert world.gone("beta-2").admits() == ["alpha-1"]


@pytest.mark.parametrize("tree_first", [True, False])
@pytest.mark.parametrize("order", list(permutations(("alpha-1", "beta-2", "beta-3"))))
def test_a_promise_made_anew_waits_for_all_who_leave_for_its_unit(
    order: tuple[str, ...], tree_first: bool
) -> None:
    tree = under(6, leaf("alpha", 4), leaf("beta", 0))
    old = Storm(tree).running(unit("beta-1", 2), unit("beta-2", 2), unit("beta-3", 2))
    assert old.sees(unit("alpha-1", 4)).evicts() == ["beta-3", "beta-2"]
    old.told("beta-2", "beta-3")
    world = Storm(tree)
    if not tree_first:
        world.cache.tree_seen(None)
    for name in ("beta-1", *order):
        world.cache.unit_seen(old.known(name))
    world.cache.tree_seen(tree)
    assert "beta/beta-2, beta/beta-3 leave" in world.why("alpha-1")[1]
    assert world.gone("beta-2").sees(unit("beta-4", 1, 9)).admits() == []
    assert world.gone("beta-3").admits() == ["alpha-1"]


def test_a_promise_is_made_anew_when_the_queue_is_seen_last() -> None:
    old = promised().told("beta-2")
    world = Storm(under(6, leaf("alpha", 3), leaf("beta", 3)))
    world.cache.queue_gone("kube-queue", "root-alpha")
    for name in ("alpha-1", "beta-1", "beta-2"):
        world.cache.unit_seen(old.known(name))
    assert world.why("alpha-1")[0] == "NoQueue"
    world.cache.queue_seen(a_queue("root-alpha"))
    assert world.why("alpha-1")[0] == "ReclaimPending"


def test_an_eviction_that_is_taken_back_ends_its_promise() -> None:
    world = promised().told("beta-2")
    back = replace(world.known("beta-2"), evicted=False, preemptor="", resource_version="7")
    world.cache.unit_seen(back)
    assert world.evicts() == ["beta-1"]


def test_a_victim_of_a_promise_that_ended_still_leaves_and_is_no_victim_again() -> None:
    world = promised().told("beta-2")
    world.cache.unit_gone("uid-alpha-1")
    assert world.sees(unit("alpha-2", 3)).evicts() == []
    assert world.gone("beta-2").admits() == ["alpha-2"]


def test_a_victim_that_shrinks_while_it_leaves_gives_its_share_to_the_promise() -> None:
    world = promised().told("beta-2")
    smaller = replace(world.known("beta-2"), held=unit("x", 1).unit.request, resource_version="8")
    world.cache.unit_seen(smaller)
    assert free(world) == 0
    world.cache.unit_seen(replace(smaller, phase=Phase.SUCCEED, held=EMPTY, resource_version="9"))
    assert world.admits() == ["alpha-1"]


def test_reclaim_never_still_keeps_promises_of_before() -> None:
    old = promised().told("beta-2")
    world = two(reclaim=ReclaimPolicy.NEVER)
    for name in ("alpha-1", "beta-1", "beta-2"):
        world.cache.unit_seen(old.known(name))
    assert world.why("alpha-1")[0] == "ReclaimPending"
    assert world.gone("beta-2").admits() == ["alpha-1"]


def test_a_search_that_failed_is_forgotten_with_the_lane_it_was_made_in() -> None:
    world = two().running(unit("beta-1", 3).not_preemptible(), unit("beta-2", 3).not_preemptible())
    assert world.sees(unit("alpha-1", 3)).decides()[0].uid == "uid-alpha-1"
    world.cache.queue_seen(a_queue("root-alpha", Policy.BLOCK))
    assert world.ends("beta-1").admits() == ["alpha-1"]
    assert world.ends("beta-2").sees(unit("alpha-2", 1)).admits() == ["alpha-2"]


def test_room_behind_a_promised_head_is_left_alone_and_the_cycle_ends() -> None:
    world = Storm(under(6, leaf("alpha", 4), leaf("beta", 0)), Policy.BACKFILL)
    world.running(unit("beta-1", 2), unit("beta-2", 2), unit("beta-3", 2))
    assert world.sees(unit("alpha-big", 5), unit("alpha-small", 2)).decides() != []
    assert world.sees(unit("alpha-1", 4, 9)).evicts() == ["beta-3", "beta-2"]
    assert world.ends("beta-1").decides() == []
    assert world.leave("beta-3", "beta-2").admits()[0] == "alpha-1"


def test_a_promise_is_made_anew_for_a_unit_whose_time_has_come_since() -> None:
    old = promised().told("beta-2")
    world = two()
    early = replace(old.known("alpha-1"), requeue_at=int(world.now * 1_000_000) + 1)
    for one in (early, old.known("beta-1"), old.known("beta-2")):
        world.cache.unit_seen(one)
    world.now += 1
    assert world.decides() == []
    assert world.why("alpha-1")[0] == "ReclaimPending"


def taken_over(old: Storm, *names: str, **switches: Any) -> Storm:
    """Another process takes over just when these units are known."""
    world = two(**switches)
    world.now = old.now
    for name in names:
        world.cache.unit_seen(old.known(name))
    world.cache.takes_over()
    return world


ALL = ("alpha-1", "beta-1", "beta-2")


@pytest.mark.parametrize("policy", list(Policy))
def test_whom_others_left_for_is_admitted_first_by_whoever_takes_over(policy: Policy) -> None:
    world = taken_over(promised().leave("beta-2"), *ALL, policy=policy)
    assert world.sees(unit("beta-9", 3, 99)).cache.has_work()
    assert world.decides()[0].uid == "uid-alpha-1"
    assert not any(isinstance(one, Admit) for one in world.decides())


def test_a_limit_does_not_let_others_before_whom_others_left_for() -> None:
    old = promised().running(unit("beta-3", 0)).leave("beta-2")
    world = taken_over(old, *ALL).sees(unit("beta-9", 3, 99))
    assert world.admits(limit=1) == ["alpha-1"]


def test_what_was_owed_and_does_not_fit_is_forgotten() -> None:
    old = promised().leave("beta-2").running(unit("beta-7", 2))
    world = taken_over(old, *ALL, "beta-7", reclaim=ReclaimPolicy.NEVER)
    assert world.admits() == []
    world.ends("beta-7").sees(unit("beta-9", 3, 99))
    world.cache.queue_seen(a_queue("root-beta", priority=1))
    assert world.admits()[0] == "beta-9"


def test_what_was_owed_is_kept_until_the_pods_of_who_left_are_gone() -> None:
    world = taken_over(promised().leave("beta-2"), *ALL).sees(unit("beta-9", 1, 99))
    world.cache.unmanaged_seen("", "beta", vector(cpu=1))
    assert world.admits() == []
    assert world.why("alpha-1") == KEPT_BACK
    world.cache.unmanaged_seen("", "beta", EMPTY)
    assert world.decides()[0].uid == "uid-alpha-1"


@pytest.mark.parametrize("how", ["admitted since", "in the same second", "deactivated", "deleted"])
def test_nothing_is_owed_to_whom_got_it_or_does_not_want_it(how: str) -> None:
    old = promised().leave("beta-2")
    left = old.known("beta-2").left_at
    alpha = replace(old.known("alpha-1"), resource_version="9")
    if how == "deactivated":
        old.cache.unit_seen(replace(alpha, active=False))
    elif how != "deleted":
        granted = left + (1_000_000 if how == "admitted since" else 0)
        old.cache.unit_seen(replace(alpha, granted=granted))
    names = ("beta-1", "beta-2") if how == "deleted" else ALL
    world = taken_over(old, *names).sees(unit("beta-9", 3, 99))
    world.cache.queue_seen(a_queue("root-beta", priority=1))
    assert world.admits()[0] == "beta-9"


def test_a_victim_that_holds_quota_again_is_owed_for_no_more() -> None:
    old = promised().leave("beta-2")
    back = unit("beta-2", 1).holding(cpu=1).at_version(9).unit
    old.cache.unit_seen(replace(back, granted=old.known("beta-2").left_at))
    world = taken_over(old, *ALL).sees(unit("beta-9", 2, 99))
    world.cache.queue_seen(a_queue("root-beta", priority=1))
    assert world.admits() == ["beta-9"]


def test_backfill_counts_on_the_end_of_a_promised_unit_as_soon_as_it_is_admitted() -> None:
    def lasting(seconds: int, builder: UnitBuilder) -> UnitBuilder:
        return UnitBuilder(replace(builder.unit, expected_seconds=seconds))

    world = Storm(under(6, leaf("alpha", 4), leaf("beta", 0)), Policy.BACKFILL)
    world.running(unit("beta-1", 6)).sees(lasting(100, unit("alpha-1", 4)))
    assert world.evicts() == ["beta-1"]
    world.sees(unit("beta-head", 4), lasting(50, unit("beta-short", 2)))
    assert world.ends("beta-1").admits() == ["alpha-1", "beta-short"]
