"""A Queue that is stopped admits nothing, whatever happens, and goes on where it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kube_queue.api.queues import Policy, Queue, StopPolicy, project_queue
from kube_queue.cache import Cache
from tests.builders import START, World, a_queue, a_quota, a_tree, a_unit, one_quota

STOPS = pytest.mark.parametrize("stop", [StopPolicy.HOLD, StopPolicy.HOLD_AND_DRAIN])
POLICIES = pytest.mark.parametrize("policy", list(Policy))


def stopped(policy: Policy, stop: StopPolicy = StopPolicy.HOLD) -> Queue:
    return replace(a_queue("root-team", policy), stop=stop)


@STOPS
@POLICIES
def test_a_stopped_queue_admits_nothing_and_says_so(policy: Policy, stop: StopPolicy) -> None:
    world = World(one_quota(cpu="4"), policy)
    world.cache.queue_seen(stopped(policy, stop))
    world.sees(a_unit("first").asking(cpu="1"))
    assert world.admits() == []
    assert world.why("first") == (
        "QueueStopped",
        f"Queue root-team is stopped (spec.stopPolicy: {stop})",
    )


@POLICIES
def test_a_queue_that_is_started_again_admits_in_its_old_order(policy: Policy) -> None:
    world = World(one_quota(cpu="2"), policy)
    world.cache.queue_seen(stopped(policy))
    world.sees(
        a_unit("late").asking(cpu="1").submitted_at(2),
        a_unit("first").asking(cpu="1").submitted_at(0),
        a_unit("urgent").asking(cpu="1").submitted_at(3).with_priority(9),
    )
    assert world.admits() == []
    world.cache.queue_seen(a_queue("root-team", policy))
    assert world.admits() == ["urgent", "first"]


@POLICIES
def test_units_stay_stopped_through_releases_edits_trees_and_backoffs(policy: Policy) -> None:
    world = World(one_quota(cpu="2"), policy)
    world.sees(a_unit("r").asking(cpu="2"))
    assert world.admits() == ["r"]
    world.runs("r").sees(a_unit("w").asking(cpu="1"))
    assert world.admits() == []
    world.cache.queue_seen(stopped(policy))
    world.ends("r")
    world.sees(a_unit("w").asking(cpu="1").with_priority(5).at_version(2))
    world.cache.tree_seen(one_quota(cpu="8"))
    assert world.cache.cycle(START + 100) == []
    assert world.why("w")[0] == "QueueStopped"
    world.cache.queue_seen(a_queue("root-team", policy))
    assert world.admits() == ["w"]


def test_the_other_queues_of_a_stopped_ones_quota_go_on() -> None:
    world = World(one_quota(cpu="1"), Policy.BLOCK)
    world.cache.queue_seen(a_queue("other", Policy.BLOCK))
    world.cache.queue_seen(stopped(Policy.BLOCK))
    world.sees(
        a_unit("held").asking(cpu="1").with_priority(9),
        a_unit("free").asking(cpu="1").in_queue("other"),
    )
    assert world.admits() == ["free"]


def test_nobody_is_evicted_for_a_unit_of_a_stopped_queue() -> None:
    tree = a_tree(
        a_quota("root")
        .max(cpu="2")
        .over(
            a_quota("team").min(cpu="2").max(cpu="2").serving("default"),
            a_quota("guest").max(cpu="2").serving("guests"),
        )
    )
    cache = Cache()
    cache.tree_seen(tree)
    cache.queue_seen(a_queue("root-guest", Policy.ROUND))
    cache.queue_seen(stopped(Policy.ROUND))
    cache.unit_seen(a_unit("g").of_namespace("guests").asking(cpu="2").holding(cpu="2").unit)
    cache.unit_seen(a_unit("w").asking(cpu="2").unit)
    assert cache.cycle(START) == []
    cache.queue_seen(a_queue("root-team", Policy.ROUND))
    assert [type(one).__name__ for one in cache.cycle(START)] == ["Evict"]
    # Stopped while its victim leaves: it has to let go of what was kept for it.
    cache.queue_seen(stopped(Policy.ROUND))
    cache.unit_gone("uid-g")
    cache.unit_seen(a_unit("g2").of_namespace("guests").asking(cpu="2").unit)
    assert [getattr(one, "name", "") for one in cache.cycle(START + 1)] == ["g2"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (None, StopPolicy.NONE),
        ("", StopPolicy.NONE),
        ("None", StopPolicy.NONE),
        ("Hold", StopPolicy.HOLD),
        ("HoldAndDrain", StopPolicy.HOLD_AND_DRAIN),
        ("Stop", StopPolicy.HOLD),
        (True, StopPolicy.HOLD),
    ],
)
def test_a_word_nobody_knows_holds_the_queue(written: object, read: StopPolicy) -> None:
    obj = {"metadata": {"name": "q", "namespace": "kube-queue"}, "spec": {"stopPolicy": written}}
    assert project_queue(obj).stop is read
