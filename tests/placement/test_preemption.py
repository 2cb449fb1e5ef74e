"""Priority preemption: kube-scheduler's, inside one quota, or among pods without one."""

from __future__ import annotations

from kube_queue.api.quota import QuotaTree
from tests.placement.builders import PodBuilder, a_node
from tests.placement.quota_worlds import QuotaWorld, a_budget, pod_in, queue_unit, quota, tree, two
from tests.placement.test_quota import firm, gang


def on_nodes(*cpus: int, found: QuotaTree | None = None, pods: int = 110) -> QuotaWorld:
    """Nodes n0, n1 ... of so many cpu."""
    nodes = [a_node(f"n{n}").having(cpu=cpu, pods=pods) for n, cpu in enumerate(cpus)]
    return QuotaWorld(found, *nodes)


def low(name: str, cpu: int = 1, priority: int = 0) -> PodBuilder:
    return pod_in("default", name, cpu, priority)


def test_a_lower_priority_makes_room() -> None:
    world = on_nodes(2).runs(low("l0"), low("l1"), node="n0")
    assert world.sees(low("h", 2, 1)).evicts() == ["l0", "l1"]
    assert world.goes("l0", "l1").places() == ["h"]


def test_an_equal_priority_does_not() -> None:
    assert on_nodes(2).runs(low("l", 2), node="n0").sees(low("h", 2)).evicts() == []


def test_nobody_leaves_a_node_that_is_kept_for_somebody_else() -> None:
    world = on_nodes(4, 4).runs(low("h", 4, 9), node="n1")
    world.runs(*(low(f"l{index}", 1, 3) for index in range(4)), node="n0")
    assert world.sees(low("waits", 4, 5).never_preempting()).evicts() == []
    # By now n0 is kept for it.
    assert world.later(400).sees(low("lower", 2, 4)).evicts() == []
    assert world.sees(low("higher", 2, 6)).evicts() == ["l0", "l1"]


def test_a_gang_evicts_only_where_nothing_is_kept_for_somebody_else() -> None:
    world = on_nodes(2, 2, 2)
    for node in range(3):
        world.runs(low(f"l{node}", 2, 3), node=f"n{node}")
    world.sees(low("waits", 2, 5).never_preempting()).decides()
    world.later(400).decides()
    (kept,) = world.brain.reservations.all()
    theirs = {f"l{row}" for row in range(3) if not kept.rows[row]}
    evicted = world.sees(*gang("g", 2, low("g0", 2, 4), low("g1", 2, 4))).evicts()
    assert len(theirs) == 2
    assert set(evicted) == theirs


def test_a_pod_that_never_preempts_evicts_nobody() -> None:
    world = on_nodes(2).runs(low("l", 2), node="n0")
    assert world.sees(low("h", 2, 1).never_preempting()).evicts() == []


def test_as_many_as_possible_stay_and_the_most_important_first() -> None:
    world = on_nodes(4).runs(low("l0", 1, 5), low("l1", 2, 3), low("l2", 1, 1), node="n0")
    assert world.sees(low("h", 2, 9)).evicts() == ["l1"]


def test_the_node_with_fewest_budget_violations_is_chosen() -> None:
    world = on_nodes(2, 2)
    world.runs(low("l0", 2).labelled(app="web"), node="n0").runs(low("l1", 2, 5), node="n1")
    world.protects(a_budget("web", "default", 0, app="web"))
    assert world.sees(low("h", 2, 9)).evicts() == ["l1"]


def test_a_budget_is_violated_where_nothing_else_helps() -> None:
    world = on_nodes(2).runs(low("l0", 2).labelled(app="web"), node="n0")
    world.protects(a_budget("web", "default", 0, app="web"))
    assert world.sees(low("h", 2, 9)).evicts() == ["l0"]


def test_of_one_node_those_without_a_budget_leave_first() -> None:
    world = on_nodes(4)
    world.runs(low("l0", 2).labelled(app="web"), low("l1", 2, 5), node="n0")
    world.protects(a_budget("web", "default", 0, app="web"))
    assert world.sees(low("h", 2, 9)).evicts() == ["l1"]


def test_the_node_whose_highest_victim_is_lowest_is_chosen() -> None:
    world = on_nodes(2, 2).runs(low("l0", 2, 5), node="n0")
    world.runs(low("l1", 1, 4), low("l2", 1, 4), node="n1")
    assert world.sees(low("h", 2, 9)).evicts() == ["l1", "l2"]


def test_of_equal_nodes_the_one_with_fewest_victims_is_chosen() -> None:
    world = on_nodes(2, 2).runs(low("l1"), low("l2"), node="n0").runs(low("l0", 2), node="n1")
    assert world.sees(low("h", 2, 9)).evicts() == ["l0"]


def test_of_equal_victims_those_that_started_last_go() -> None:
    world = on_nodes(2, 2).runs(low("old", 2).created_at(1), node="n0")
    world.runs(low("new", 2).created_at(2), node="n1")
    assert world.sees(low("h", 2, 9)).evicts() == ["new"]


def test_a_node_that_refuses_the_pod_whatever_stands_there_is_no_candidate() -> None:
    world = on_nodes(2).runs(low("l", 2), node="n0")
    assert world.sees(low("h", 2, 9).selecting_nodes(gpu="yes")).evicts() == []


def test_a_host_port_is_given_up_by_a_lower_priority() -> None:
    world = on_nodes(8).runs(low("l0").with_host_port(80), low("l1"), node="n0")
    assert world.sees(low("h", 1, 9).with_host_port(80)).evicts() == ["l0"]


def test_a_pod_with_a_quota_preempts_only_inside_its_leaf() -> None:
    world = on_nodes(4, found=two(cpu=100, low=0))
    world.runs(pod_in("beta", "b", 2), low("free", 1), node="n0")
    world.runs(pod_in("alpha", "a", 1), node="n0")
    assert world.sees(pod_in("alpha", "h", 2, 9)).evicts() == []
    assert world.sees(pod_in("alpha", "g", 1, 9)).evicts() == ["a"]


def test_a_pod_without_a_quota_preempts_only_pods_without() -> None:
    world = on_nodes(4, found=two(cpu=100)).runs(pod_in("beta", "b", 2), low("l", 2), node="n0")
    assert world.sees(low("h", 3, 9)).evicts() == []
    assert world.sees(low("g", 2, 9)).evicts() == ["l"]


def test_a_full_quota_is_shared_by_priority_as_full_nodes_are() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8))
    world.runs(*(pod_in("alpha", f"a{n}", 1, n) for n in range(3)))
    assert world.sees(pod_in("alpha", "h", 2, 9)).evicts() == ["a0", "a1"]
    assert world.goes("a0", "a1").places() == ["h"]


def test_pods_that_are_not_preemptible_are_never_victims() -> None:
    world = QuotaWorld(tree(quota("alpha", 3, 3), cpu=8)).runs(firm(pod_in("alpha", "a", 3)))
    assert world.sees(pod_in("alpha", "h", 1, 9)).evicts() == []


def test_without_a_quota_nobody_can_make_himself_unpreemptible() -> None:
    world = on_nodes(2).runs(firm(low("l", 2)), node="n0")
    assert world.sees(low("h", 2, 9)).evicts() == ["l"]


def test_a_gang_that_falls_below_its_minimum_goes_whole() -> None:
    world = on_nodes(2, 2)
    members = gang("g", 2, low("g0", 2), low("g1", 2))
    world.runs(members[0], node="n0").runs(members[1], node="n1")
    assert world.sees(low("h", 2, 9)).evicts() == ["g0", "g1"]


def test_a_gang_gives_what_it_can_spare_singly() -> None:
    world = on_nodes(3).runs(
        *gang("g", 2, *(low(f"g{n}").created_at(n) for n in range(3))), node="n0"
    )
    assert world.sees(low("h", 1, 9)).evicts() == ["g2"]
    assert world.sees(low("i", 2, 9)).evicts() == ["g0", "g1"]


def test_a_gang_with_a_member_of_higher_priority_is_not_broken() -> None:
    world = on_nodes(2, 2)
    members = gang("g", 2, low("g0", 2), low("g1", 2, 99))
    world.runs(members[0], node="n0").runs(members[1], node="n1")
    assert world.sees(low("h", 2, 9)).evicts() == []


def test_a_unit_that_holds_quota_goes_whole() -> None:
    world = on_nodes(2, 2, found=tree(quota("alpha", 0, 8), cpu=8))
    world.brain.queue_lives(True, world.now)
    world.holds(queue_unit("j", "alpha", 4))
    for n in (0, 1):
        world.runs(pod_in("alpha", f"p{n}", 2).owned_by("Job", "j", "j"), node=f"n{n}")
    (decision,) = world.sees(pod_in("alpha", "h", 2, 9)).preempts()
    assert decision.preemption.units == ("uid-j-unit",)
    assert len(decision.preemption.pods_of_units) == 2


def test_a_gang_preempts_whole_or_not_at_all() -> None:
    world = on_nodes(2, 2).runs(low("l0", 2), node="n0").runs(low("l1", 2, 99), node="n1")
    world.sees(*gang("g", 2, low("h0", 2, 9), low("h1", 2, 9)))
    assert world.evicts() == []
    world = on_nodes(2, 2).runs(low("l0", 2), node="n0").runs(low("l1", 2), node="n1")
    world.sees(*gang("g", 2, low("h0", 2, 9), low("h1", 2, 9)))
    assert world.evicts() == ["l0", "l1"]
    assert world.goes("l0", "l1").places() == ["h0", "h1"]


def test_a_gang_is_as_important_as_its_lowest_member() -> None:
    world = on_nodes(2, 2).runs(low("l0", 2, 5), node="n0").runs(low("l1", 2, 5), node="n1")
    world.sees(*gang("g", 2, low("h0", 2, 9), low("h1", 2, 1)))
    assert world.evicts() == []


def test_the_room_is_not_given_to_a_lower_priority_meanwhile() -> None:
    world = on_nodes(2).runs(low("l", 2), node="n0").sees(low("h", 2, 9))
    assert world.evicts() == ["l"]
    assert world.goes("l").sees(low("r", 2)).places() == ["h"]


def test_a_higher_priority_takes_the_room_of_a_lower_one_that_waits_for_it() -> None:
    world = on_nodes(2).runs(low("l", 2), node="n0").sees(low("h", 2, 9))
    assert world.evicts() == ["l"]
    assert world.goes("l").sees(low("top", 2, 99)).places() == ["top"]


def test_ten_preemptors_evict_ten_not_more() -> None:
    world = on_nodes(*[2] * 10)
    for n in range(10):
        world.runs(low(f"l{n}", 2), node=f"n{n}")
    world.sees(*(low(f"h{n}", 2, 9) for n in range(12)))
    assert world.evicts() == sorted(f"l{n}" for n in range(10))
    assert world.later(20).evicts() == []


def test_nodes_that_nobody_looked_at_are_when_the_best_of_the_others_are_used_up() -> None:
    world = on_nodes(*[2] * 170)
    for n in range(170):
        world.runs(low(f"l{n}", 2, 0 if n in (0, 160) else 3), node=f"n{n}")
    assert world.sees(low("h0", 2, 9)).evicts() == ["l0"]
    assert world.sees(low("h1", 2, 9)).evicts() == ["l160"]
