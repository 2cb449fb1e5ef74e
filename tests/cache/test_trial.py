"""What would become of a unit that nobody has created, and that asking changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kube_queue.api.queues import Policy, StopPolicy
from kube_queue.cache import Cache
from tests.builders import START, UnitBuilder, World, a_queue, a_quota, a_tree, a_unit, one_quota

POLICIES = pytest.mark.parametrize("policy", list(Policy))


def tried(world: World | Cache, builder: UnitBuilder) -> tuple[bool, str, list[str]]:
    cache = world.cache if isinstance(world, World) else world
    trial = cache.trial(replace(builder.unit, uid="imagined"), START)
    return trial.runs_now, str(trial.explained.reason), [one.name for one in trial.evicts]


@POLICIES
def test_what_fits_would_run_now_and_is_nowhere_afterwards(policy: Policy) -> None:
    world = World(one_quota(cpu="4"), policy)
    assert tried(world, a_unit("u").asking(cpu="4")) == (True, "Enqueued", [])
    assert world.cache.unit("imagined") is None
    assert len(world.cache.pending) == 0
    assert world.decides() == []
    assert world.cache.quota_status(["root/team"])["root/team"].request == {}


@POLICIES
def test_what_does_not_fit_would_wait_for_the_shortage(policy: Policy) -> None:
    world = World(one_quota(cpu="4"), policy)
    world.sees(a_unit("r").asking(cpu="2"))
    assert world.admits() == ["r"]
    assert tried(world, a_unit("u").asking(cpu="3")) == (False, "InsufficientQuota", [])
    assert tried(world, a_unit("u").asking(cpu="5")) == (False, "ExceedsMaxQuota", [])
    assert tried(world, a_unit("u").asking(cpu="2")) == (True, "Enqueued", [])


def test_a_unit_behind_the_head_of_a_blocking_queue_would_wait_though_it_fits() -> None:
    world = World(one_quota(cpu="4"), Policy.BLOCK)
    world.sees(a_unit("r").asking(cpu="2"))
    assert world.admits() == ["r"]
    world.runs("r").sees(a_unit("head").asking(cpu="3"))
    assert world.admits() == []
    late = a_unit("u").asking(cpu="1").submitted_at(9)
    assert tried(world, late) == (False, "BlockedByHead", [])
    assert tried(world, late.with_priority(1)) == (True, "Enqueued", [])
    assert tried(world, late.with_priority(1).inactive()) == (False, "NotActive", [])
    # The head is where it was.
    world.ends("r")
    assert world.admits() == ["head"]


@POLICIES
def test_asking_in_between_decides_nothing_otherwise(policy: Policy) -> None:
    def played(ask: bool) -> list[list[str]]:
        world = World(one_quota(cpu="4"), policy)
        seen = []
        for second in range(12):
            world.sees(
                a_unit(f"u{second}")
                .asking(cpu=str(1 + second % 4))
                .with_priority(second % 3)
                .submitted_at(second)
            )
            if ask:
                for priority, cpu in ((0, "1"), (9, "1"), (9, "4"), (0, "9")):
                    tried(world, a_unit("x").asking(cpu=cpu).with_priority(priority))
            seen.append(world.admits())
            if second % 2:
                world.ends(*seen[second // 2])
        return seen

    assert played(ask=True) == played(ask=False)


def test_a_stopped_or_missing_queue_would_keep_it_waiting() -> None:
    world = World(one_quota(cpu="4"), Policy.ROUND)
    world.cache.queue_seen(replace(a_queue("root-team", Policy.ROUND), stop=StopPolicy.HOLD))
    assert tried(world, a_unit("u").asking(cpu="1")) == (False, "QueueStopped", [])
    assert tried(world, a_unit("u").in_queue("none")) == (False, "NoQueue", [])


def test_whom_it_would_take_its_min_back_from_is_named_and_nobody_is_evicted() -> None:
    leaves = (
        a_quota("team").min(cpu="2").max(cpu="2").serving("default"),
        a_quota("guest").max(cpu="2").serving("guests"),
    )
    cache = Cache()
    cache.tree_seen(a_tree(a_quota("root").max(cpu="2").over(*leaves)))
    for name in ("root-team", "root-guest"):
        cache.queue_seen(a_queue(name, Policy.ROUND))
    cache.unit_seen(a_unit("g").of_namespace("guests").asking(cpu="2").holding(cpu="2").unit)
    assert tried(cache, a_unit("u").asking(cpu="2")) == (False, "InsufficientQuota", ["g"])
    assert cache.cycle(START) == []
