"""Reclaim of min: who takes back what was lent, and from whom."""

from __future__ import annotations

from dataclasses import replace

from kube_queue.api.quota import QuotaTree
from kube_queue.placement.decisions import Bind, Preempt, Wait
from kube_queue.placement.row_search import MOST_ROWS
from tests.builders import a_quota, a_tree
from tests.placement.builders import PodBuilder, a_node
from tests.placement.quota_worlds import QuotaWorld, a_budget, pod_in, queue_unit, quota, tree, two
from tests.placement.test_quota import firm, gang


def borrowed(*pods: PodBuilder, found: QuotaTree | None = None) -> QuotaWorld:
    """Beta has borrowed with these pods."""
    return QuotaWorld(found or two()).runs(*pods)


def eight(**fields: int) -> list[PodBuilder]:
    return [pod_in("beta", f"b{n}", **fields).created_at(n) for n in range(8)]


# --- rights --------------------------------------------------------------------------------------


def test_a_unit_within_the_min_of_its_leaf_takes_back_what_others_borrowed() -> None:
    world = borrowed(*eight())
    assert world.sees(pod_in("alpha", "a", 2)).evicts() == ["b6", "b7"]


def test_a_unit_beyond_the_min_of_its_leaf_takes_nothing_back() -> None:
    assert borrowed(*eight()).sees(pod_in("alpha", "a", 5)).evicts() == []


def test_the_whole_needed_gang_has_to_be_within_min() -> None:
    world = borrowed(*eight())
    world.sees(*gang("g", 5, *(pod_in("alpha", f"a{n}") for n in range(5))))
    assert world.evicts() == []
    world = borrowed(*eight())
    world.sees(*gang("g", 4, *(pod_in("alpha", f"a{n}") for n in range(5))))
    assert world.evicts() == ["b4", "b5", "b6", "b7"]


def test_an_ancestor_below_its_min_gives_no_right() -> None:
    found = tree(quota("a", 4, 8, quota("alpha", 1, 8)), quota("beta", 4, 8), cpu=8)
    assert borrowed(*eight(), found=found).sees(pod_in("alpha", "a", 2)).evicts() == []


def test_what_leaves_the_own_leaf_already_does_not_count_against_the_right() -> None:
    world = borrowed(*eight()[:4]).runs(pod_in("alpha", "old", 4).terminating())
    world.sees(pod_in("alpha", "a", 4))
    assert world.evicts() == []
    world.runs(*eight()[4:6])
    assert world.later(60).goes().sees(pod_in("alpha", "z", 4)).evicts() == ["b4", "b5"]


# --- victims -------------------------------------------------------------------------------------


def test_the_leaf_with_the_largest_excess_gives_first() -> None:
    found = tree(quota("alpha", 2, 9), quota("beta", 2, 9), quota("gamma", 2, 9), cpu=9)
    world = borrowed(*(pod_in("beta", f"b{n}") for n in range(4)), found=found)
    world.runs(*(pod_in("gamma", f"g{n}") for n in range(5)))
    assert world.sees(pod_in("alpha", "a")).evicts() == ["g0"]


def test_the_excess_is_recomputed_after_each_pick_and_ties_go_by_name() -> None:
    found = tree(quota("alpha", 4, 12), quota("beta", 2, 12), quota("gamma", 2, 12), cpu=12)
    world = borrowed(*(pod_in("beta", f"b{n}").created_at(n) for n in range(5)), found=found)
    world.runs(*(pod_in("gamma", f"g{n}").created_at(n) for n in range(7)))
    # gamma 7, 6, 5; then beta 5 = gamma 5: beta.
    assert world.sees(pod_in("alpha", "a", 3)).evicts() == ["b4", "g5", "g6"]


def test_the_excess_is_a_share_of_the_max_that_blocks() -> None:
    leaves = [
        a_quota(name).min(cpu=1, memory="1").max(cpu=100, memory="1000").serving(name)
        for name in ("alpha", "beta", "gamma")
    ]
    root = a_quota("root").min(cpu=10, memory="1000").max(cpu=10, memory="1000").over(*leaves)
    world = QuotaWorld(a_tree(root))
    # Beta took half of the cpu and a tenth of the memory, gamma most of the memory.
    world.runs(*(pod_in("beta", f"b{n}", 3).asking(memory="50") for n in range(2)))
    world.runs(*(pod_in("gamma", f"g{n}", 2).asking(memory="450") for n in range(2)))
    assert world.sees(pod_in("alpha", "a", 1).asking(memory="1")).evicts() == ["g0"]


def test_no_node_below_the_common_ancestor_gives_unless_it_is_above_its_min() -> None:
    # b1 borrowed from its sibling, but b as a whole is within its min.
    b = quota("b", 6, 8, quota("b1", 1, 8), quota("b2", 5, 8))
    found = tree(quota("alpha", 2, 8), b, quota("c", 0, 8), cpu=8)
    world = QuotaWorld(found).runs(*(pod_in("b1", f"b{n}") for n in range(5)))
    world.runs(*(pod_in("c", f"c{n}").created_at(n) for n in range(3)))
    assert world.sees(pod_in("alpha", "a", 2)).evicts() == ["c1", "c2"]


def test_the_common_ancestor_itself_may_be_within_its_min() -> None:
    b = quota("b", 8, 8, quota("b1", 1, 8), quota("b2", 5, 8))
    world = QuotaWorld(tree(b, cpu=8)).runs(
        *(pod_in("b1", f"b{n}").created_at(n) for n in range(8))
    )
    assert world.sees(pod_in("b2", "a", 2)).evicts() == ["b6", "b7"]


def test_only_pods_that_request_a_deficient_resource_go() -> None:
    world = borrowed(*(pod_in("beta", f"b{n}", 2) for n in range(4)))
    world.runs(*(pod_in("beta", f"m{n}", 0).asking(memory="1Gi") for n in range(4)))
    assert world.sees(pod_in("alpha", "a")).evicts() == ["b0"]


def test_lower_priority_goes_first() -> None:
    pods = [pod_in("beta", f"b{n}", priority=abs(n - 3)).created_at(n) for n in range(8)]
    assert borrowed(*pods).sees(pod_in("alpha", "a", 3)).evicts() == ["b2", "b3", "b4"]


def test_not_ready_goes_before_ready() -> None:
    world = QuotaWorld(two()).runs(*eight()[1:])
    world.sees(pod_in("beta", "b0").created_at(0).on("big"))
    assert world.sees(pod_in("alpha", "a")).evicts() == ["b0"]


def test_the_newest_goes_first() -> None:
    assert borrowed(*eight()).sees(pod_in("alpha", "a")).evicts() == ["b7"]


def test_members_that_leave_their_gang_at_its_minimum_are_preferred() -> None:
    world = borrowed(*gang("g", 4, *eight()[:4]))
    world.runs(*gang("h", 3, *(pod_in("beta", f"h{n}") for n in range(4))))
    (evicted,) = world.sees(pod_in("alpha", "a")).evicts()
    assert evicted.startswith("h")


def test_else_the_whole_gang_goes() -> None:
    world = borrowed(*gang("g", 8, *eight()))
    assert world.sees(pod_in("alpha", "a")).evicts() == [f"b{n}" for n in range(8)]


def test_picks_that_do_not_undershoot_the_min_of_their_leaf_come_first() -> None:
    world = borrowed(pod_in("beta", "old", 2).created_at(0), pod_in("beta", "new", 6).created_at(9))
    assert world.sees(pod_in("alpha", "a", 2)).evicts() == ["old"]


def test_the_last_pick_may_undershoot_the_min_of_its_leaf() -> None:
    world = borrowed(pod_in("beta", "huge", 8))
    assert world.sees(pod_in("alpha", "a", 2)).evicts() == ["huge"]


def test_pods_that_are_not_preemptible_are_never_victims() -> None:
    world = QuotaWorld(two()).runs(*(firm(pod) for pod in eight()))
    assert world.sees(pod_in("alpha", "a", 2)).evicts() == []


def test_reclaim_looks_at_no_priority() -> None:
    world = borrowed(*eight(priority=1000))
    assert world.sees(pod_in("alpha", "a").never_preempting()).evicts() == ["b7"]


def test_budgets_are_strict() -> None:
    world = borrowed(*(pod.labelled(app="web") for pod in eight()))
    world.protects(a_budget("web", "beta", 1, app="web"))
    assert world.sees(pod_in("alpha", "a", 2)).evicts() == []
    assert world.sees(pod_in("alpha", "small", 1)).evicts() == ["b7"]
    # The one that may go has gone: the budget does not let a second one go.
    assert world.sees(pod_in("alpha", "next", 1)).evicts() == []


def test_a_pod_of_two_budgets_cannot_be_evicted() -> None:
    world = borrowed(*(pod.labelled(app="web") for pod in eight()))
    world.protects(a_budget("one", "beta", 9, app="web"))
    world.protects(a_budget("two", "beta", 9, app="web"))
    assert world.sees(pod_in("alpha", "a")).evicts() == []


# --- full nodes and domains ----------------------------------------------------------------------


def test_with_full_nodes_pods_leave_the_node_where_fewest_have_to() -> None:
    nodes = [a_node(name).having(cpu="4") for name in ("n1", "n2")]
    world = QuotaWorld(two(cpu=100, low=4), *nodes)
    world.runs(*(pod_in("beta", f"x{n}") for n in range(4)), node="n1")
    world.runs(*(pod_in("beta", f"y{n}", 2) for n in range(2)), node="n2")
    (decision,) = world.sees(pod_in("alpha", "a", 2)).preempts()
    assert [pod.name for pod in decision.preemption.victims] in (["y0"], ["y1"])
    assert [node for _, node in decision.preemption.nominations] == ["n2"]


def test_with_full_nodes_only_leaves_above_their_min_give() -> None:
    world = QuotaWorld(two(cpu=100, low=4), a_node("n1").having(cpu="4"))
    world.runs(*(pod_in("beta", f"x{n}") for n in range(4)), node="n1")
    assert world.sees(pod_in("alpha", "a", 2)).evicts() == []


def test_a_gang_gets_room_on_several_nodes_or_none() -> None:
    nodes = [a_node(name).having(cpu="4") for name in ("n1", "n2")]
    world = QuotaWorld(two(cpu=100, low=4), *nodes)
    world.runs(*(pod_in("beta", f"x{n}") for n in range(4)), node="n1")
    world.runs(*(pod_in("beta", f"y{n}") for n in range(4)), node="n2")
    world.sees(*gang("g", 2, pod_in("alpha", "a0", 2), pod_in("alpha", "a1", 2)))
    (decision,) = world.preempts()
    assert len(decision.preemption.victims) == 4
    world = QuotaWorld(two(cpu=100, low=9), *nodes)
    world.runs(*(pod_in("beta", f"x{n}") for n in range(4)), node="n1")
    world.runs(*(pod_in("beta", f"y{n}") for n in range(4)), node="n2")
    world.sees(*gang("g", 3, *(pod_in("alpha", f"a{n}", 3) for n in range(3))))
    assert world.evicts() == []


def test_a_gang_with_a_constraint_gets_the_domain_where_fewest_have_to_leave() -> None:
    nodes = [a_node(f"n{n}").having(cpu="4").in_zone(f"z{n // 2}") for n in range(4)]
    world = QuotaWorld(two(cpu=100, low=4), *nodes)
    for n in range(4):
        size = 1 if n < 2 else 2
        world.runs(*(pod_in("beta", f"x{n}{k}", size) for k in range(4 // size)), node=f"n{n}")
    text = '{"required": {"topologies": [{"key": "topology.kubernetes.io/zone"}]}}'
    members = [
        pod_in("alpha", f"a{n}", 2).annotated(
            **{"alibabacloud.com/topology-aware-constraint": text}
        )
        for n in (0, 1)
    ]
    (decision,) = world.sees(*gang("g", 2, *members)).preempts()
    assert len(decision.preemption.victims) == 2
    assert {node for _, node in decision.preemption.nominations} <= {"n2", "n3"}


def test_whoever_turned_out_unnecessary_is_given_back() -> None:
    # The quota pass takes the newest, on n1; the pod only fits on n2, whose pods cover both.
    nodes = [a_node("n1").having(cpu="4"), a_node("n2").having(cpu="4").labelled(gpu="yes")]
    world = QuotaWorld(two(cpu=8), *nodes)
    world.runs(*(pod_in("beta", f"x{n}").created_at(9) for n in range(4)), node="n1")
    world.runs(*(pod_in("beta", f"y{n}").created_at(1) for n in range(4)), node="n2")
    world.sees(pod_in("alpha", "a", 2).selecting_nodes(gpu="yes"))
    assert [name[0] for name in world.evicts()] == ["y", "y"]


def test_nobody_leaves_for_a_unit_that_is_placed_nowhere_afterwards() -> None:
    world = borrowed(*eight()).sees(pod_in("alpha", "a").selecting_nodes(gpu="yes"))
    assert world.evicts() == []


# --- nominations ---------------------------------------------------------------------------------


def test_the_nomination_claims_the_room_of_the_terminating() -> None:
    world = borrowed(*eight())
    (decision,) = world.sees(pod_in("alpha", "a", 2)).preempts()
    victims = [pod.name for pod in decision.preemption.victims]
    replacements = (pod_in("beta", f"r{n}", priority=99).never_preempting() for n in range(2))
    assert world.goes(*victims).sees(*replacements).places() == ["a"]


def test_the_victims_do_not_win_back_the_room_of_full_nodes_whatever_their_priority() -> None:
    world = QuotaWorld(two(cpu=100, low=4), a_node("n1").having(cpu="8"))
    world.runs(*eight(priority=99), node="n1").sees(pod_in("alpha", "a", 2))
    (decision,) = world.preempts()
    victims = [pod.name for pod in decision.preemption.victims]
    replacements = (pod_in("beta", f"r{n}", priority=99).never_preempting() for n in range(2))
    assert world.goes(*victims).sees(*replacements).places() == ["a"]


def test_there_is_no_second_wave_while_the_first_leaves() -> None:
    world = borrowed(*eight()).sees(pod_in("alpha", "a", 2))
    assert len(world.evicts()) == 2
    world.sees(pod_in("alpha", "a", 2).labelled(more="yes"))
    assert world.later(20).evicts() == []


def test_nobody_is_evicted_while_enough_leaves_anyway() -> None:
    world = borrowed(*eight()[:6]).runs(pod_in("beta", "old", 2).terminating())
    assert world.sees(pod_in("alpha", "a", 2)).evicts() == []
    assert world.goes("old").later(2).places() == ["a"]


def test_who_never_ends_is_not_waited_for_for_ever() -> None:
    world = borrowed(*eight()[:6]).runs(pod_in("beta", "stuck", 2).terminating())
    assert world.sees(pod_in("alpha", "a", 2)).evicts() == []
    assert world.later(95).evicts() == ["b4", "b5"]


def test_the_excess_of_a_leaf_is_what_stays_of_it() -> None:
    # Two of beta's leave already, so it is within its min and gives nothing.
    world = borrowed(*eight()[:4]).runs(*(pod_in("beta", f"t{n}").terminating() for n in range(2)))
    world.runs(pod_in("alpha", "a0", 2)).sees(pod_in("alpha", "a1", 2))
    assert world.evicts() == []


def test_on_a_refusal_of_a_budget_the_nomination_stays_and_the_remainder_is_planned() -> None:
    world = borrowed(*eight())
    (decision,) = world.sees(pod_in("alpha", "a", 2)).preempts()
    assert sorted(pod.name for pod in decision.preemption.victims) == ["b6", "b7"]
    world.goes("b6").brain.eviction_refused("uid-b7", world.now)
    assert world.brain.cluster.nomination("uid-a") == "big"
    (decision,) = world.preempts()
    assert [pod.name for pod in decision.preemption.victims] == ["b5"]
    assert world.goes("b5").later(2).places() == ["a"]


def test_a_nomination_lapses_a_minute_after_the_longest_grace_period() -> None:
    world = borrowed(*eight()).sees(pod_in("alpha", "a", 2))
    assert len(world.evicts()) == 2
    assert world.later(89).decides() == []
    assert world.brain.cluster.nomination("uid-a") == "big"
    world.later(2)
    assert world.evicts() == []
    assert world.brain.cluster.nomination("uid-a") == ""
    assert [pod.name for pod in world.brain.unnominated()] == ["a"]
    # Backoff, then it may ask again.
    assert len(world.later(10).evicts()) == 2


def test_room_that_another_scheduler_took_holds_the_unit_back_longer_each_time() -> None:
    world = QuotaWorld(two(cpu=100, low=4), a_node("n1").having(cpu="8"))
    world.runs(*eight(), node="n1").sees(pod_in("alpha", "a", 2))
    for minutes in (1, 2, 4):
        (decision,) = world.preempts()
        victims = [pod.name for pod in decision.preemption.victims]
        world.goes(*victims)
        thief = pod_in("beta", f"thief{minutes}", 2).of_scheduler("default-scheduler")
        world.runs(thief, node="n1")
        (decision,) = world.later(15).decides()
        assert decision.note.startswith("RoomTakenByAnotherScheduler")
        assert world.brain.unnominated()[0].name == "a"
        assert world.later(minutes * 60 - 1).evicts() == []
        world.later(2)


def binding_fails(world: QuotaWorld, number: int, *, taken: bool) -> None:
    """The victims of ``a`` have gone, it is about to be bound, and somebody is faster."""
    (decision,) = world.preempts()
    world.goes(*(pod.name for pod in decision.preemption.victims))
    assert isinstance(world.brain.decide(world.now, 1)[0], Bind)
    thief = pod_in("beta", f"thief{number}", 2).of_scheduler("default-scheduler")
    world.runs(thief, node="n1")
    world.brain.bind_failed(world.pods["a"].pod, world.now, taken=taken)


def test_room_that_is_taken_while_the_unit_is_bound_holds_it_back_like_any_that_is_taken() -> None:
    world = QuotaWorld(two(cpu=100, low=4), a_node("n1").having(cpu="8"))
    world.runs(*eight(), node="n1").sees(pod_in("alpha", "a", 2))
    for minutes in (1, 2, 4):
        binding_fails(world, minutes, taken=True)
        (decision,) = world.later(15).decides()
        assert isinstance(decision, Wait)
        assert decision.note.startswith("RoomTakenByAnotherScheduler")
        assert world.later(minutes * 60 - 16).evicts() == []
        world.later(2)


def test_a_binding_that_fails_otherwise_does_not_hold_the_unit_back() -> None:
    world = QuotaWorld(two(cpu=100, low=4), a_node("n1").having(cpu="8"))
    world.runs(*eight(), node="n1").sees(pod_in("alpha", "a", 2))
    binding_fails(world, 1, taken=False)
    assert len(world.later(15).evicts()) == 2


def test_a_nomination_of_an_earlier_scheduler_is_kept_and_lapses() -> None:
    world = borrowed(*eight()[:6]).runs(*(pod_in("beta", f"t{n}").terminating() for n in range(2)))
    world.sees(pod_in("alpha", "a", 2).nominated_to("big"))
    world.sees(*(pod_in("beta", f"r{n}", priority=9).never_preempting() for n in range(2)))
    assert world.places() == []
    assert world.goes("t0", "t1").later(20).places() == ["a"]


# --- units of the queue --------------------------------------------------------------------------


def jobs(world: QuotaWorld, *, alive: bool) -> QuotaWorld:
    """Beta's pods are those of two jobs, whose units hold their quota."""
    world.brain.queue_lives(alive, world.now)
    for job in ("j1", "j2"):
        world.holds(queue_unit(job, "beta", 4))
        world.runs(
            *(
                pod_in("beta", f"{job}-{n}").owned_by("Job", job, job).created_at(int(job[1]))
                for n in range(4)
            )
        )
    return world


def test_pods_of_a_unit_that_holds_quota_leave_only_as_the_whole_unit() -> None:
    world = jobs(QuotaWorld(two()), alive=True)
    (decision,) = world.sees(pod_in("alpha", "a", 2)).preempts()
    assert decision.preemption.victims == ()
    assert decision.preemption.units == ("uid-j2-unit",)
    assert sorted(pod.name for pod in decision.preemption.pods_of_units) == [
        f"j2-{n}" for n in range(4)
    ]
    world.goes(*(f"j2-{n}" for n in range(4)))
    assert world.later(2).places() == ["a"]


def test_without_a_live_queue_controller_they_are_ordinary_victims() -> None:
    world = jobs(QuotaWorld(two()), alive=False)
    (decision,) = world.sees(pod_in("alpha", "a", 2)).preempts()
    assert decision.preemption.units == ()
    assert len(decision.preemption.victims) == 2


def test_a_unit_whose_job_cannot_be_stopped_is_no_victim() -> None:
    world = jobs(QuotaWorld(two()), alive=True)
    for unit in list(world.units.values()):
        world.holds(replace(unit, evictable=False))
    assert world.sees(pod_in("alpha", "a", 2)).evicts() == []


def test_a_plan_is_made_on_the_cluster_and_taken_back() -> None:
    world = borrowed(*gang("g", 8, *eight())).sees(pod_in("alpha", "a", 2))
    before = {row: dict(pods) for row, pods in enumerate(world.brain.cluster.pods)}
    used = world.brain.cluster.columns.takes(0, "cpu")
    found = [each for each in world.decides() if isinstance(each, Preempt)]
    assert len(found) == 1
    assert {row: dict(pods) for row, pods in enumerate(world.brain.cluster.pods)} == before
    assert world.brain.cluster.columns.takes(0, "cpu") == used + 2000


def test_nodes_that_were_not_looked_at_are_after_a_while_though_nothing_happens() -> None:
    count = MOST_ROWS + 50
    nodes = [a_node(f"n{n:03}").having(cpu=2, pods=110) for n in range(count)]
    world = QuotaWorld(two(cpu=9 * count, low=count), *nodes)
    for n in range(count):
        label = "kept" if n < count - 1 else "free"
        world.runs(pod_in("beta", f"b{n:03}", 2).labelled(app=label), node=f"n{n:03}")
    world.protects(a_budget("kept", "beta", 0, app="kept"))
    assert world.sees(pod_in("alpha", "a", 2)).evicts() == []
    assert world.brain.next_wake(world.now) is not None
    assert world.later(1).evicts() == [f"b{count - 1:03}"]


def test_a_unit_that_nobody_can_leave_for_is_tried_again_only_when_something_happens() -> None:
    world = QuotaWorld(two(cpu=40, low=4), a_node("n").having(cpu=8))
    world.runs(*(pod_in("beta", f"b{n}", 2).labelled(app="kept") for n in range(4)), node="n")
    world.protects(a_budget("kept", "beta", 0, app="kept"))
    assert world.sees(pod_in("alpha", "a", 2)).evicts() == []
    assert world.brain.next_wake(world.now) == world.brain.reservations.next_due()
