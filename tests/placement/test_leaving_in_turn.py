"""Those who were told to go leave one after another; who waits for one waits for that one only."""

from __future__ import annotations

from tests.placement.builders import NodeBuilder, a_node
from tests.placement.quota_worlds import QuotaWorld, again, pod_in, quota, tree


def a_world(*nodes: NodeBuilder) -> QuotaWorld:
    """``alpha`` has borrowed all of ``beta``; two pods of ``beta`` take back its min of two."""
    leaves = quota("alpha", 2, 4), quota("beta", 2, 4)
    world = QuotaWorld(tree(*leaves, cpu=4), *nodes)
    world.sees(*(pod_in("alpha", f"a{n}") for n in range(4)))
    assert len(world.places()) == 4
    world.later(5).sees(pod_in("beta", "b0"), pod_in("beta", "b1"))
    return world


def leaves_and_comes_again(world: QuotaWorld, name: str) -> None:
    former = world.pods[name]
    world.goes(name)
    world.sees(again(former, f"{name}r"))


def test_the_quota_of_a_pod_that_has_gone_is_free_while_another_is_still_on_its_way() -> None:
    world = a_world()
    first, second = world.evicts()
    world.sees(world.pods[first].terminating(), world.pods[second].terminating())
    leaves_and_comes_again(world, first)
    assert len(world.places()) == 1
    assert world.later(20).evicts() == []
    leaves_and_comes_again(world, second)
    assert len(world.places()) == 1
    assert (world.running("alpha"), world.running("beta")) == (2, 2)


def test_the_room_of_a_full_node_that_another_waits_for_causes_no_second_eviction() -> None:
    world = a_world(a_node("big").having(cpu="4"))
    first, second = world.evicts()
    world.sees(world.pods[first].terminating(), world.pods[second].terminating())
    leaves_and_comes_again(world, first)
    placed = world.places()
    assert world.later(20).evicts() == []
    leaves_and_comes_again(world, second)
    placed += world.places()
    placed += world.later(20).places()
    assert placed == ["b0", "b1"]
    assert (world.running("alpha"), world.running("beta")) == (2, 2)
