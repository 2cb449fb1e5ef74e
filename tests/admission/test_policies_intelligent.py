"""Intelligent: high units block their quota, the rest passes while no high one waits for it."""

from __future__ import annotations

import pytest

from kube_queue.api.queues import Policy
from kube_queue.cache import QueueStatus
from tests.builders import UnitBuilder, World, a_queue, a_quota, a_tree, a_unit, one_quota

INTELLIGENT = Policy.INTELLIGENT


def full(cpu: str = "4") -> World:
    """A full quota of ``cpu`` with running units r1, r2, … of 1 cpu."""
    world = World(one_quota(cpu=cpu), INTELLIGENT)
    names = [f"r{index}" for index in range(1, int(cpu) + 1)]
    world.sees(*(a_unit(name).asking(cpu="1") for name in names))
    assert world.admits() == names
    return world.runs(*names)


def high(name: str, cpu: str) -> UnitBuilder:
    return a_unit(name).asking(cpu=cpu).with_priority(4)


def low(name: str, cpu: str) -> UnitBuilder:
    return a_unit(name).asking(cpu=cpu).with_priority(3)


def status_of(world: World) -> QueueStatus:
    status = world.cache.queue_status("kube-queue/root-team")
    assert status is not None
    return status


def test_a_high_unit_that_does_not_fit_keeps_high_ones_behind_it_waiting() -> None:
    world = full()
    world.sees(high("first", "2"), high("second", "1").submitted_at(1))
    world.ends("r1")
    assert world.admits() == []
    assert world.why("second")[0] == "BlockedByHead"
    world.ends("r2")
    assert world.admits() == ["first"]


def test_low_units_wait_while_a_high_one_waits_for_their_quota() -> None:
    world = full()
    world.sees(high("high", "2"), low("low", "1"))
    world.ends("r1")
    assert world.admits() == []
    world.ends("r2", "r3")
    assert world.admits() == ["high", "low"]


def test_low_units_pass_each_other() -> None:
    world = full()
    world.sees(low("big", "2"), low("small", "1").submitted_at(1))
    world.ends("r1")
    assert world.admits() == ["small"]


def test_low_units_are_tried_from_the_first_on_every_release() -> None:
    world = full()
    for index in range(3):
        world.sees(low(f"l{index}", "1").submitted_at(5 - index))
        assert world.admits() == []
    taken = []
    for name in ("r1", "r2", "r3"):
        world.ends(name)
        taken += world.admits()
    assert taken == ["l2", "l1", "l0"]


def test_a_high_unit_that_arrives_stops_low_ones_that_sleep() -> None:
    world = full()
    world.sees(low("low", "1"))
    assert world.admits() == []
    world.sees(high("high", "3"))
    assert world.admits() == []
    world.ends("r1")
    assert world.admits() == []
    world.cache.unit_gone("uid-high")
    assert world.admits() == ["low"]


@pytest.mark.parametrize(
    "passed",
    [
        high("high", "5"),
        high("high", "3").inactive(),
        high("high", "3").requeued_until(60),
        high("high", "3").invalid("spec.resource.cpu: no quantity"),
    ],
    ids=["exceeds max", "inactive", "too early", "invalid"],
)
def test_a_high_unit_that_is_passed_over_holds_nobody_up(passed: UnitBuilder) -> None:
    world = full()
    world.sees(passed, low("low", "1"), high("other", "1").submitted_at(1))
    world.ends("r1", "r2")
    assert world.admits() == ["other", "low"]


def test_a_high_unit_holds_low_ones_up_in_its_own_quota_only() -> None:
    tree = a_tree(
        a_quota("root").over(
            a_quota("a").max(cpu="1").serving("a"), a_quota("b").max(cpu="1").serving("b")
        )
    )
    world = World(tree, queues=False)
    world.cache.queue_seen(a_queue("shared", INTELLIGENT))
    world.sees(a_unit("r").of_namespace("a").in_queue("shared").asking(cpu="1"))
    assert world.admits() == ["r"]
    world.runs("r").sees(
        high("stuck", "1").of_namespace("a").in_queue("shared"),
        low("behind", "0").of_namespace("a").in_queue("shared"),
        low("free", "1").of_namespace("b").in_queue("shared"),
    )
    assert world.admits() == ["free"]


def test_low_units_of_two_quotas_keep_the_order_of_their_queue() -> None:
    teams = [a_quota(name).max(cpu="9").min(cpu="1").serving(name) for name in "ab"]
    world = World(a_tree(a_quota("root").max(cpu="2").over(*teams)), queues=False)
    world.cache.queue_seen(a_queue("shared", INTELLIGENT))
    for index, namespace in enumerate("aab"):
        unit = low(f"{namespace}{index}", "1").of_namespace(namespace).in_queue("shared")
        world.sees(unit.submitted_at(index))
    assert world.admits() == ["a0", "a1"]


def test_the_threshold_can_be_changed_live_and_loses_nobody() -> None:
    world = full()
    world.sees(high("big", "2"), low("small", "1"), low("other", "1").submitted_at(1))
    world.ends("r1")
    assert world.admits() == []
    world.cache.queue_seen(a_queue("root-team", INTELLIGENT, threshold=5))
    assert world.admits() == ["small"]
    world.cache.queue_seen(a_queue("root-team", INTELLIGENT, threshold=3))
    world.ends("r2")
    assert world.admits() == []
    assert status_of(world).pending == 2
    world.ends("r3")
    assert world.admits() == ["big"]


def test_a_unit_whose_priority_rises_over_the_threshold_stops_the_others() -> None:
    world = full()
    rising = low("rising", "2")
    world.sees(rising, low("small", "1").submitted_at(1))
    assert world.admits() == []
    world.sees(rising.with_priority(9).at_version(2))
    world.ends("r1")
    assert world.admits() == []
    world.sees(rising.with_priority(0).at_version(3))
    assert world.admits() == ["small"]


def test_a_threshold_that_cannot_be_read_is_four_and_is_noticed() -> None:
    world = full()
    world.cache.queue_seen(a_queue("root-team", INTELLIGENT, threshold_unread="'urgent'"))
    assert "'urgent' is no integer" in status_of(world).notice
    world.cache.queue_seen(a_queue("root-team", Policy.BLOCK, threshold_unread="'urgent'"))
    assert status_of(world).notice == ""


def test_a_high_unit_whose_write_failed_still_goes_first() -> None:
    world = World(one_quota(cpu="4"), INTELLIGENT)
    world.sees(high("high", "1"))
    assert world.admits() == ["high"]
    world.cache.forget("uid-high", world.now)
    world.sees(low("low", "1"))
    assert world.admits() == []
    world.now += 1
    assert world.admits() == ["high", "low"]


@pytest.mark.parametrize(("threshold", "like"), [(-99, Policy.BLOCK), (99, Policy.PRIORITY)])
def test_at_its_extremes_it_is_block_or_priority(threshold: int, like: Policy) -> None:
    taken = []
    for queue in (
        a_queue("root-team", INTELLIGENT, threshold=threshold),
        a_queue("root-team", like),
    ):
        world = full("6")
        world.cache.queue_seen(queue)
        for index in range(12):
            unit = a_unit(f"w{index:02}").asking(cpu=str(1 + index * 5 % 3))
            world.sees(unit.with_priority(index * 7 % 8).submitted_at(index))
        names = []
        for running in range(1, 7):
            world.ends(f"r{running}")
            names += [world.admits()]
        taken.append(names)
    assert taken[0] == taken[1]
    assert any(taken[0])
