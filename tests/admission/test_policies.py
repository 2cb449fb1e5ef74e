"""The policies, one rule a test. Every world has quota ``root/team`` and its queue root-team."""

from __future__ import annotations

import pytest

from kube_queue.admission.policies import backoff
from kube_queue.api.queues import Policy
from kube_queue.cache import QueueItem
from tests.builders import UnitBuilder, World, a_queue, a_quota, a_tree, a_unit, one_quota

ROUND, PRIORITY, BLOCK = Policy.ROUND, Policy.PRIORITY, Policy.BLOCK
EVERY = pytest.mark.parametrize("policy", [ROUND, PRIORITY, BLOCK])


def full_of(policy: Policy, runners: int, cpu: str = "4", each: str = "1") -> World:
    """A full quota of ``cpu`` with ``runners`` running units r1, r2, … of ``each`` cpu."""
    world = World(one_quota(cpu=cpu), policy)
    names = [f"r{index}" for index in range(1, runners + 1)]
    world.sees(*(a_unit(name).asking(cpu=each) for name in names))
    assert world.admits() == names
    return world.runs(*names)


def arrives(world: World, *units: UnitBuilder) -> None:
    """The units arrive one after the other, each tried before the next one comes."""
    for unit in units:
        world.sees(unit)
        assert world.admits() == []


@EVERY
def test_order_is_priority_then_submission_then_name(policy: Policy) -> None:
    world = World(one_quota(cpu="10"), policy)
    world.sees(
        a_unit("b").asking(cpu="1"),
        a_unit("a").asking(cpu="1"),
        a_unit("late").asking(cpu="1").submitted_at(5),
        a_unit("high").asking(cpu="1").submitted_at(9).with_priority(3),
    )
    assert world.admits() == ["high", "a", "b", "late"]


@EVERY
def test_identical_waiting_units_cost_one_check(policy: Policy) -> None:
    world = full_of(policy, 4)
    before = world.cache.pending.examined
    world.sees(*(a_unit(f"w{index}").asking(cpu="1") for index in range(500)))
    assert world.admits() == []
    assert world.cache.pending.examined - before == 1


@EVERY
def test_nothing_is_examined_when_nothing_changed(policy: Policy) -> None:
    world = full_of(policy, 4)
    world.sees(a_unit("w").asking(cpu="2"))
    world.decides()
    before = world.cache.pending.examined
    assert not world.cache.has_work()
    world.now += 100
    assert world.decides() == []
    assert world.cache.pending.examined == before


@EVERY
def test_a_release_that_is_too_small_wakes_nobody(policy: Policy) -> None:
    world = full_of(policy, 4)
    world.sees(a_unit("big").asking(cpu="3"))
    world.decides()
    before = world.cache.pending.examined
    world.ends("r1")
    assert world.admits() == []
    assert world.cache.pending.examined == before


def test_priority_restarts_from_the_first_unit_on_every_release() -> None:
    world = full_of(PRIORITY, 4)
    arrives(
        world,
        a_unit("low").asking(cpu="1").with_priority(1),
        a_unit("middle").asking(cpu="1").with_priority(2),
        a_unit("high").asking(cpu="1").with_priority(3),
    )
    taken = []
    for name in ("r1", "r2", "r3"):
        world.ends(name)
        taken += world.admits()
    assert taken == ["high", "middle", "low"]


def test_round_goes_on_behind_the_unit_last_tried() -> None:
    world = full_of(ROUND, 4)
    arrives(
        world,
        a_unit("low").asking(cpu="1").with_priority(1),
        a_unit("middle").asking(cpu="1").with_priority(2),
        a_unit("high").asking(cpu="1").with_priority(3),
    )
    taken = []
    for name in ("r1", "r2", "r3"):
        world.ends(name)
        taken += world.admits()
    assert taken == ["middle", "low", "high"]


def test_priority_lets_a_lower_unit_run_when_the_higher_does_not_fit() -> None:
    world = full_of(PRIORITY, 4)
    arrives(world, a_unit("big").asking(cpu="4").with_priority(9), a_unit("small").asking(cpu="1"))
    world.ends("r1")
    assert world.admits() == ["small"]


def test_round_lets_smaller_units_pass_a_big_one() -> None:
    world = full_of(ROUND, 4)
    arrives(world, a_unit("big").asking(cpu="4"), a_unit("small").asking(cpu="1"))
    world.ends("r1")
    assert world.admits() == ["small"]


def test_round_gives_every_unit_its_turn() -> None:
    world = full_of(ROUND, 1, cpu="1")
    world.sees(*(a_unit(f"w{index}").asking(cpu="1") for index in range(5)))
    assert world.admits() == []
    running, order = "r1", []
    for _ in range(5):
        world.ends(running)
        [running] = world.admits()
        world.runs(running)
        order.append(running)
    assert order == ["w0", "w1", "w2", "w3", "w4"]


def test_block_tries_only_the_head() -> None:
    world = full_of(BLOCK, 4)
    arrives(world, a_unit("head").asking(cpu="2"), a_unit("small").asking(cpu="1").submitted_at(1))
    world.ends("r1")
    assert world.admits() == []
    assert world.why("small")[0] == "BlockedByHead"
    world.ends("r2")
    assert world.admits() == ["head"]
    world.ends("r3")
    assert world.admits() == ["small"]


def test_block_goes_on_with_the_next_head_after_an_admission() -> None:
    world = full_of(BLOCK, 2, cpu="4", each="2")
    arrives(world, *(a_unit(f"w{index}").asking(cpu="1") for index in range(5)))
    world.ends("r1")
    assert world.admits() == ["w0", "w1"]


def test_block_is_per_quota_of_the_queue() -> None:
    tree = a_tree(
        a_quota("root").over(
            a_quota("a").max(cpu="1").serving("a"), a_quota("b").max(cpu="1").serving("b")
        )
    )
    world = World(tree, queues=False)
    world.cache.queue_seen(a_queue("shared", BLOCK))
    first = a_unit("first").of_namespace("a").in_queue("shared").asking(cpu="1")
    world.sees(first).admits()
    world.sees(
        a_unit("stuck").of_namespace("a").in_queue("shared").asking(cpu="1"),
        a_unit("free").of_namespace("b").in_queue("shared").asking(cpu="1").submitted_at(1),
    )
    assert world.admits() == ["free"]


def test_block_goes_on_at_once_when_its_head_is_deleted() -> None:
    world = full_of(BLOCK, 3)
    arrives(world, a_unit("head").asking(cpu="2"), a_unit("next").asking(cpu="1").submitted_at(1))
    world.cache.unit_gone("uid-head")
    assert world.admits() == ["next"]


def test_block_goes_on_at_once_when_its_head_is_deactivated() -> None:
    world = full_of(BLOCK, 3)
    head = a_unit("head").asking(cpu="2")
    arrives(world, head, a_unit("next").asking(cpu="1").submitted_at(1))
    world.sees(head.inactive().at_version(2))
    assert world.admits() == ["next"]
    assert world.why("head")[0] == "NotActive"


def test_block_passes_over_what_is_invalid_inactive_too_early_or_never_fits() -> None:
    world = World(one_quota(cpu="4"), BLOCK)
    world.sees(
        a_unit("a").asking(cpu="5"),
        a_unit("b").asking(cpu="1").inactive(),
        a_unit("c").asking(cpu="1").invalid("spec.resource.cpu: no quantity"),
        a_unit("d").asking(cpu="1").requeued_until(60),
        a_unit("e").asking(cpu="1"),
    )
    assert world.admits() == ["e"]
    reasons = [world.why(name)[0] for name in "abcd"]
    assert reasons == ["ExceedsMaxQuota", "NotActive", "InvalidRequest", "Backoff"]


def test_a_new_head_of_a_blocking_queue_is_tried_before_the_old_one() -> None:
    world = full_of(BLOCK, 4)
    arrives(world, a_unit("old").asking(cpu="1"), a_unit("new").asking(cpu="2").with_priority(5))
    world.ends("r1")
    assert world.admits() == []
    world.ends("r2")
    assert world.admits() == ["new"]


@EVERY
def test_a_unit_is_not_tried_before_its_requeue_time(policy: Policy) -> None:
    world = World(one_quota(cpu="4"), policy)
    world.sees(a_unit("u").asking(cpu="1").requeued_until(60))
    assert world.admits() == []
    assert world.cache.next_wake() == world.now + 60
    world.now += 60
    assert world.admits() == ["u"]


def test_a_changed_priority_re_sorts_at_once() -> None:
    world = full_of(PRIORITY, 4)
    moving = a_unit("moving").asking(cpu="1").with_priority(10).submitted_at(1)
    arrives(world, moving, a_unit("other").asking(cpu="1").with_priority(15))
    moved = moving.with_priority(20).at_version(2)
    world.sees(moved)
    assert [item.name for item in items(world)] == ["moving", "other"]
    world.sees(moved.with_priority(5).at_version(3))
    assert [item.name for item in items(world)] == ["other", "moving"]
    world.ends("r1")
    assert world.admits() == ["other"]


def items(world: World) -> tuple[QueueItem, ...]:
    status = world.cache.queue_status("kube-queue/root-team")
    assert status is not None
    return status.items


def test_the_backoff_is_1_2_4_8_16_20_seconds() -> None:
    assert [backoff(failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 20, 20, 20]


def test_in_round_every_failed_try_makes_the_backoff_longer() -> None:
    world = full_of(ROUND, 1, cpu="4", each="4")
    arrives(world, a_unit("w").asking(cpu="4"))
    for size, seconds in (("8", 1), ("12", 2), ("16", 4)):
        # A larger quota asks for a try; a newcomer takes the room before the backoff is over.
        world.cache.tree_seen(one_quota(cpu=size))
        thief = f"thief{size}"
        world.sees(a_unit(thief).asking(cpu="4", memory="1").with_priority(9))
        assert world.admits() == [thief]
        assert world.cache.next_wake() == world.now + seconds
        world.now += seconds
        assert world.admits() == []


def test_in_round_a_larger_quota_waits_for_the_end_of_the_backoff() -> None:
    world = full_of(ROUND, 4)
    arrives(world, a_unit("w").asking(cpu="1"))
    world.cache.tree_seen(one_quota(cpu="8"))
    assert world.admits() == []
    assert world.why("w")[0] == "Backoff"
    assert world.cache.next_wake() == world.now + 1
    world.now += 1
    assert world.admits() == ["w"]


def test_in_round_a_release_ends_the_backoff() -> None:
    world = full_of(ROUND, 4)
    arrives(world, a_unit("w").asking(cpu="1"))
    world.cache.tree_seen(one_quota(cpu="8"))
    world.ends("r1")
    assert world.admits() == ["w"]


@pytest.mark.parametrize("policy", [PRIORITY, BLOCK])
def test_without_round_a_larger_quota_is_used_at_once(policy: Policy) -> None:
    world = full_of(policy, 4)
    arrives(world, a_unit("w").asking(cpu="1"))
    world.cache.tree_seen(one_quota(cpu="8"))
    assert world.admits() == ["w"]


def test_in_round_a_backoff_alone_causes_no_try() -> None:
    world = full_of(ROUND, 4)
    arrives(world, a_unit("w").asking(cpu="1"))
    assert world.cache.next_wake() is None


def test_an_unknown_policy_behaves_as_round_and_drops_nobody() -> None:
    world = World(one_quota(cpu="4"), BLOCK, queues=False)
    world.cache.queue_seen(a_queue("root-team", ROUND, policy_text="Lottery"))
    world.sees(a_unit("u").asking(cpu="1"))
    assert world.admits() == ["u"]
    status = world.cache.queue_status("kube-queue/root-team")
    assert status is not None
    assert "unknown" in status.notice


def test_a_policy_changed_live_loses_nobody() -> None:
    world = full_of(ROUND, 4)
    world.sees(*(a_unit(f"w{index:03}").asking(cpu="1") for index in range(100)))
    world.decides()
    for policy in (BLOCK, PRIORITY, ROUND, BLOCK):
        world.cache.queue_seen(a_queue("root-team", policy))
        world.decides()
    status = world.cache.queue_status("kube-queue/root-team")
    assert status is not None
    assert (status.pending, status.head) == (100, "default/w000")
    world.ends("r1", "r2")
    assert world.admits() == ["w000", "w001"]


def test_round_queue_that_becomes_blocking_stops_passing() -> None:
    world = full_of(ROUND, 4)
    arrives(world, a_unit("big").asking(cpu="3"), a_unit("small").asking(cpu="1").submitted_at(1))
    world.cache.queue_seen(a_queue("root-team", BLOCK))
    world.ends("r1")
    assert world.admits() == []


def test_the_same_releases_give_different_orders_under_round_and_priority() -> None:
    orders = {}
    for policy in (ROUND, PRIORITY):
        world = full_of(policy, 4)
        for priority, name in enumerate(("low", "middle", "high")):
            arrives(world, a_unit(name).asking(cpu="1").with_priority(priority))
        orders[policy] = []
        for name in ("r1", "r2", "r3"):
            world.ends(name)
            orders[policy] += world.admits()
    assert orders == {ROUND: ["middle", "low", "high"], PRIORITY: ["high", "middle", "low"]}


FIVE = pytest.mark.parametrize("policy", list(Policy))


@FIVE
def test_a_queue_that_names_no_policy_is_served_by_the_default(policy: Policy) -> None:
    world = World(one_quota(cpu="1"), policy)
    status = world.cache.queue_status("kube-queue/root-team")
    assert status is not None
    assert (status.policy, status.notice) == (policy, "")


@FIVE
def test_a_queue_that_names_a_policy_is_served_by_it(policy: Policy) -> None:
    world = World(one_quota(cpu="1"), ROUND, queues=False)
    world.cache.queue_seen(a_queue("root-team", policy))
    status = world.cache.queue_status("kube-queue/root-team")
    assert status is not None
    assert (status.policy, status.notice) == (policy, "")


@FIVE
@pytest.mark.parametrize("former", list(Policy))
def test_from_any_policy_to_any_other_nobody_is_lost(former: Policy, policy: Policy) -> None:
    world = full_of(former, 4)
    names = [f"w{index:03}" for index in range(60)]
    for index, name in enumerate(names):
        unit = a_unit(name).asking(cpu=str(1 + index % 3)).with_priority(index % 7)
        world.sees(unit.submitted_at(index))
    world.decides()
    world.cache.queue_seen(a_queue("root-team", policy))
    running, taken = ["r1", "r2", "r3", "r4"], list[str]()
    while running:
        world.ends(running.pop(0))
        admitted = world.admits()
        world.runs(*admitted)
        running += admitted
        taken += admitted
    assert sorted(taken) == names
