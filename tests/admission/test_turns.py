"""Whose turn it is across queues, and what a release costs."""

from __future__ import annotations

import pytest

from kube_queue.api.queues import Policy
from kube_queue.api.quota import QuotaTree
from tests.builders import START, World, a_queue, a_quota, a_tree, a_unit

EVERY = pytest.mark.parametrize("policy", [Policy.ROUND, Policy.PRIORITY, Policy.BLOCK])


def two_teams(cpu: str = "4", **mins: str) -> QuotaTree:
    teams = [
        a_quota(name).max(cpu="100").min(cpu=mins.get(name, "0")).serving(name) for name in "ab"
    ]
    return a_tree(a_quota("root").max(cpu=cpu).over(*teams))


def world_of(tree: QuotaTree, policy: Policy, **priorities: int) -> World:
    world = World(tree, policy, queues=False)
    for name in "ab":
        world.cache.queue_seen(a_queue(f"root-{name}", priority=priorities.get(name, 0)))
    return world


@EVERY
def test_the_queue_of_higher_priority_goes_first(policy: Policy) -> None:
    world = world_of(two_teams("2"), policy, b=1)
    world.sees(
        a_unit("a1").of_namespace("a").asking(cpu="1"),
        a_unit("b1").of_namespace("b").asking(cpu="1").submitted_at(5),
        a_unit("b2").of_namespace("b").asking(cpu="1").submitted_at(6),
    )
    assert world.admits() == ["b1", "b2"]


@EVERY
def test_the_smallest_share_of_min_goes_first(policy: Policy) -> None:
    world = world_of(two_teams("6", a="1", b="2"), policy)
    for index in range(4):
        world.sees(
            a_unit(f"a{index}").of_namespace("a").asking(cpu="1").submitted_at(index),
            a_unit(f"b{index}").of_namespace("b").asking(cpu="1").submitted_at(index + 0.5),
        )
    # Shares before each pick: 0|0 (the older), 1|0, 1|.5, 1|1 (the older), 2|1, 2|1.5.
    assert world.admits() == ["a0", "b0", "b1", "a1", "b2", "b3"]


@EVERY
def test_a_leaf_without_min_is_measured_against_max(policy: Policy) -> None:
    teams = [a_quota("a").max(cpu="10").serving("a"), a_quota("b").max(cpu="2").serving("b")]
    world = world_of(a_tree(a_quota("root").max(cpu="4").over(*teams)), policy)
    for index in range(3):
        world.sees(
            a_unit(f"a{index}").of_namespace("a").asking(cpu="1").submitted_at(index),
            a_unit(f"b{index}").of_namespace("b").asking(cpu="1").submitted_at(index + 0.5),
        )
    assert world.admits() == ["a0", "b0", "a1", "a2"]


@EVERY
def test_with_equal_shares_the_oldest_head_goes_first(policy: Policy) -> None:
    world = world_of(two_teams("1"), policy)
    world.sees(
        a_unit("a1").of_namespace("a").asking(cpu="1").submitted_at(9),
        a_unit("b1").of_namespace("b").asking(cpu="1").submitted_at(2),
    )
    assert world.admits() == ["b1"]


@EVERY
def test_a_release_goes_to_the_smallest_share_among_sleepers(policy: Policy) -> None:
    world = world_of(two_teams("4", a="2", b="2"), policy)
    world.sees(*(a_unit(f"a{i}").of_namespace("a").asking(cpu="1") for i in range(6)))
    assert len(world.admits()) == 4
    world.runs("a0", "a1", "a2", "a3")
    world.sees(*(a_unit(f"b{i}").of_namespace("b").asking(cpu="1").submitted_at(i) for i in (1, 2)))
    assert world.admits() == []
    world.ends("a0")
    assert world.admits() == ["b1"]
    world.ends("a1")
    assert world.admits() == ["b2"]
    world.ends("a2")
    assert world.admits() == ["a4"]


@EVERY
def test_a_full_namespace_never_delays_another(policy: Policy) -> None:
    teams = [a_quota("a").max(cpu="1").serving("a"), a_quota("b").max(cpu="9").serving("b")]
    world = world_of(a_tree(a_quota("root").over(*teams)), policy)
    world.sees(*(a_unit(f"a{i}").of_namespace("a").asking(cpu="1") for i in range(5)))
    assert world.admits() == ["a0"]
    world.sees(a_unit("b0").of_namespace("b").asking(cpu="1").submitted_at(9))
    assert world.admits() == ["b0"]


@EVERY
def test_a_limit_ends_the_cycle_and_the_next_one_goes_on(policy: Policy) -> None:
    world = world_of(two_teams("9"), policy)
    world.sees(*(a_unit(f"a{i}").of_namespace("a").asking(cpu="1") for i in range(5)))
    taken = []
    while world.cache.has_work():
        names = world.admits(limit=2)
        assert len(names) <= 2
        taken += names
    assert taken == ["a0", "a1", "a2", "a3", "a4"]


def test_one_queue_of_two_quotas_keeps_its_own_order() -> None:
    world = World(two_teams("1", a="1", b="1"), queues=False)
    world.cache.queue_seen(a_queue("shared", Policy.PRIORITY))
    world.sees(a_unit("r").of_namespace("a").in_queue("shared").asking(cpu="1"))
    assert world.admits() == ["r"]
    world.runs("r").sees(
        a_unit("low").of_namespace("b").in_queue("shared").asking(cpu="1"),
        a_unit("high").of_namespace("a").in_queue("shared").asking(cpu="1").with_priority(5),
    )
    assert world.admits() == []
    world.ends("r")
    assert world.admits() == ["high"]


def many_leaves(policy: Policy, per_leaf: int) -> World:
    """100 leaves under a full root; each leaf has ``per_leaf`` waiting units of up to 8 shapes."""
    leaves = [a_quota(f"q{i}").max(cpu="50").min(cpu="1").serving(f"n{i}") for i in range(100)]
    world = World(a_tree(a_quota("root").max(cpu="200").over(*leaves)), policy)
    runners = [
        a_unit(f"r{leaf}.{index}").of_namespace(f"n{leaf}").asking(cpu="1")
        for leaf in range(100)
        for index in range(2)
    ]
    world.sees(*runners)
    names = world.admits()
    assert len(names) == 200
    world.runs(*names)
    for leaf in range(100):
        for index in range(per_leaf):
            shape = 1 + (index * 7 + leaf) % 8
            unit = a_unit(f"w{leaf}.{index}").of_namespace(f"n{leaf}").asking(cpu=shape)
            world.sees(unit.submitted_at(index))
    assert world.admits() == []
    return world


@EVERY
def test_what_a_release_examines_does_not_grow_with_what_waits(policy: Policy) -> None:
    examined = []
    for per_leaf in (8, 80):
        world = many_leaves(policy, per_leaf)
        before = world.cache.pending.examined
        for leaf in range(50):
            world.ends(f"r{leaf}.0")
            world.decides()
        examined.append((world.cache.pending.examined - before) / 50)
    assert examined[1] <= 1.5 * examined[0]
    assert examined[1] <= 4


@EVERY
def test_a_release_elsewhere_examines_nothing(policy: Policy) -> None:
    teams = [a_quota("a").max(cpu="1").serving("a"), a_quota("b").max(cpu="1").serving("b")]
    world = world_of(a_tree(a_quota("root").over(*teams)), policy)
    world.sees(
        a_unit("ra").of_namespace("a").asking(cpu="1"),
        a_unit("rb").of_namespace("b").asking(cpu="1"),
    )
    world.admits()
    world.runs("ra", "rb")
    world.sees(*(a_unit(f"w{i}").of_namespace("a").asking(cpu="1") for i in range(9)))
    world.decides()
    before = world.cache.pending.examined
    world.ends("rb")
    assert world.decides() == []
    assert world.cache.pending.examined == before


@EVERY
def test_distinct_shapes_in_one_leaf_cost_no_more_than_those_that_fit(policy: Policy) -> None:
    leaf = a_quota("team").max(cpu="400").serving("default")
    world = World(a_tree(a_quota("root").over(leaf)), policy)
    world.sees(a_unit("r1").asking(cpu="399"), a_unit("r2").asking(cpu="1"))
    world.admits()
    world.runs("r1", "r2")
    world.sees(
        *(a_unit(f"w{i:03}").asking(cpu=f"{400_000 - i}m").submitted_at(i) for i in range(300))
    )
    world.sees(a_unit("z").asking(cpu="1").submitted_at(999))
    world.decides()
    before = world.cache.pending.examined
    world.ends("r2")
    expected = [] if policy is Policy.BLOCK else ["z"]
    assert world.admits() == expected
    assert world.cache.pending.examined - before <= 1


def test_hundreds_of_groups_with_room_are_admitted_in_order() -> None:
    leaf = a_quota("team").max(cpu="100").serving("default")
    world = World(a_tree(a_quota("root").over(leaf)), Policy.PRIORITY)
    world.sees(a_unit("r").asking(cpu="100"))
    world.admits()
    world.runs("r").sees(
        *(a_unit(f"w{i:03}").asking(cpu=f"{200 + i}m").submitted_at(i) for i in range(200))
    )
    assert world.admits() == []
    world.ends("r")
    assert world.admits() == [f"w{i:03}" for i in range(200)]
    assert world.now == START


@EVERY
def test_a_deleted_head_gives_its_age_to_nobody(policy: Policy) -> None:
    world = world_of(two_teams("1"), policy)
    world.sees(
        a_unit("oldest").of_namespace("a").asking(cpu="1"),
        a_unit("a1").of_namespace("a").asking(cpu="1").submitted_at(9),
        a_unit("b1").of_namespace("b").asking(cpu="1").submitted_at(2),
    )
    world.cache.unit_gone("uid-oldest")
    assert world.admits() == ["b1"]


@EVERY
def test_a_release_wakes_units_that_wait_for_min(policy: Policy) -> None:
    leaf = a_quota("team").min(cpu="1").max(cpu="9").serving("default")
    world = World(a_tree(a_quota("root").over(leaf)), policy)
    world.sees(a_unit("r").asking(cpu="1").not_preemptible())
    assert world.admits() == ["r"]
    world.runs("r").sees(a_unit("u").asking(cpu="1").not_preemptible())
    assert world.admits() == []
    assert world.why("u")[0] == "InsufficientMin"
    world.ends("r")
    assert world.admits() == ["u"]


def test_inside_a_queue_a_sleeper_with_room_goes_before_a_lower_newcomer() -> None:
    world = World(two_teams("1", a="1", b="1"), queues=False)
    world.cache.queue_seen(a_queue("shared", Policy.PRIORITY))
    world.sees(a_unit("r").of_namespace("a").in_queue("shared").asking(cpu="1"))
    assert world.admits() == ["r"]
    high = a_unit("high").of_namespace("a").in_queue("shared").asking(cpu="1").with_priority(5)
    world.runs("r").sees(high.submitted_at(5))
    assert world.admits() == []
    world.ends("r")
    world.sees(a_unit("low").of_namespace("b").in_queue("shared").asking(cpu="1"))
    assert world.admits() == ["high"]


@EVERY
def test_a_release_for_a_unit_that_left_meanwhile_wakes_nobody_else(policy: Policy) -> None:
    leaf = a_quota("team").max(cpu="4", memory="4").serving("default")
    world = World(a_tree(a_quota("root").over(leaf)), policy)
    world.sees(
        a_unit("c1").asking(cpu="2"),
        a_unit("c2").asking(cpu="2"),
        a_unit("m").asking(memory="4"),
    )
    world.admits()
    world.runs("c1", "c2", "m")
    world.sees(a_unit("waits-cpu").asking(cpu="2"))
    assert world.admits() == []
    world.sees(a_unit("waits-memory").asking(memory="2").submitted_at(1))
    assert world.admits() == []
    world.cache.unit_gone("uid-waits-cpu")
    world.decides()
    before = world.cache.pending.examined
    world.ends("c1")
    assert world.admits() == []
    assert world.cache.pending.examined == before
    world.ends("m")
    assert world.admits() == ["waits-memory"]
