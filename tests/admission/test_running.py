"""Who holds quota, and in which order a leaf would give units up."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest

from kube_queue.admission.running import Held, Running
from kube_queue.api.lifecycle import Phase
from tests.builders import UnitBuilder, World, a_unit, one_quota

LEAF = "root/team"


def runs(name: str, priority: int = 0, since: float = 100.0) -> UnitBuilder:
    return a_unit(name).asking(cpu="1").with_priority(priority).in_phase(Phase.RUNNING)


def held(builder: UnitBuilder, since: float = 100.0, leaf: str | None = LEAF) -> Held:
    return Held(builder.unit, leaf, builder.unit.request, since)


def names(running: Running) -> list[str]:
    return [one.unit.name for one in running.victims(LEAF)]


def test_the_lowest_priority_leaves_first_and_the_newest_of_equals() -> None:
    units = [held(runs("old", 1), 5.0), held(runs("new", 1), 9.0), held(runs("low", 0), 1.0)]
    for order in permutations(units):
        running = Running()
        for one in order:
            running.put(one)
        assert names(running) == ["low", "new", "old"]


def test_of_units_granted_in_one_second_the_later_submission_is_the_newer() -> None:
    running = Running()
    running.put(held(runs("early").submitted_at(1), 100.0))
    running.put(held(runs("late").submitted_at(2), 100.0))
    assert names(running) == ["late", "early"]


@pytest.mark.parametrize(
    "change",
    [
        {"preemptible": False},
        {"evictable": False},
        {"evicted": True},
        {"active": False},
        {"phase": Phase.ENQUEUED},
    ],
)
def test_what_cannot_or_need_not_be_told_to_go_is_no_victim(change: dict[str, object]) -> None:
    running = Running()
    one = held(runs("u"))
    running.put(one._replace(unit=replace(one.unit, **change)))  # type: ignore[arg-type]
    assert names(running) == []
    assert len(running) == 1
    running.put(one)
    assert names(running) == ["u"]


def test_a_unit_that_is_being_evicted_is_no_victim_until_that_came_to_nothing() -> None:
    running = Running()
    running.put(held(runs("u")))
    running.leaving("uid-u", True)
    running.put(held(runs("u", priority=3)))
    assert names(running) == []
    running.leaving("uid-u", False)
    assert names(running) == ["u"]
    running.leaving("uid-u", True)
    running.remove("uid-u")
    running.put(held(runs("u")))
    assert names(running) == ["u"]


def test_a_unit_that_changes_its_leaf_or_leaves_is_found_nowhere_else() -> None:
    running = Running()
    running.put(held(runs("u")))
    running.put(held(runs("u"), leaf="root/other"))
    assert list(running.in_leaf(LEAF)) == []
    assert [one.unit.name for one in running.in_leaf("root/other")] == ["u"]
    running.remove("uid-u")
    running.remove("uid-u")
    assert list(running) == []


def test_the_cache_keeps_who_runs_from_the_decision_to_the_end() -> None:
    world = World(one_quota(cpu="4")).sees(a_unit("u").asking(cpu="1"))
    assert world.admits() == ["u"]
    running = world.cache.running
    found = running.get("uid-u")
    assert found is not None
    assert (found.leaf, found.since) == (LEAF, world.now)
    assert names(running) == []
    world.runs("u")
    assert names(running) == ["u"]
    found = running.get("uid-u")
    assert found is not None
    assert found.since == world.now
    world.ends("u")
    assert len(running) == 0


def test_what_runs_without_a_leaf_is_kept_and_counts_again_when_the_tree_is_back() -> None:
    world = World(one_quota(cpu="4")).sees(runs("u"))
    world.cache.tree_seen(None)
    assert names(world.cache.running) == []
    assert world.cache.running.get("uid-u") is not None
    world.cache.tree_seen(one_quota(cpu="2"))
    assert names(world.cache.running) == ["u"]
