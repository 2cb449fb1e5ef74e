"""The rules of order between queues and inside them."""

from __future__ import annotations

from kube_queue.api.lifecycle import Phase
from tests.builders import World, a_queue, a_quota, a_tree, a_unit, vector


def test_a_share_that_rose_by_pods_of_no_unit_counts_for_units_that_wait_already() -> None:
    tree = a_tree(
        a_quota("root").over(
            a_quota("a").min(cpu=2).serving("a"), a_quota("b").min(cpu=2).serving("b")
        )
    )
    world = World(tree).sees(a_unit("first").of_namespace("a"))
    world.cache.unmanaged_seen("", "a", vector(cpu=1))
    world.sees(a_unit("second").of_namespace("b").submitted_at(1))
    assert world.admits() == ["second", "first"]


def test_a_leaf_that_bounds_nothing_has_no_share_and_goes_first() -> None:
    tree = a_tree(
        a_quota("root").over(a_quota("a").min(cpu=2).serving("a"), a_quota("b").serving("b"))
    )
    world = World(tree).sees(
        a_unit("holds").asking(cpu=1).of_namespace("a").in_phase(Phase.RUNNING),
        a_unit("huge").asking(cpu=99).of_namespace("b").in_phase(Phase.RUNNING),
        a_unit("first").of_namespace("a"),
        a_unit("second").of_namespace("b").submitted_at(1),
    )
    assert world.admits() == ["second", "first"]


def test_a_share_that_rose_counts_for_every_queue_of_its_leaf() -> None:
    tree = a_tree(
        a_quota("root").over(
            a_quota("a").min(cpu=2).serving("a"), a_quota("b").min(cpu=2).serving("b")
        )
    )
    world = World(tree)
    world.cache.queue_seen(a_queue("shared"))
    world.sees(
        a_unit("first").asking(cpu=1).of_namespace("a"),
        a_unit("second").of_namespace("a").in_queue("shared").submitted_at(1),
        a_unit("third").of_namespace("b").submitted_at(2),
    )
    assert world.admits() == ["first", "third", "second"]
