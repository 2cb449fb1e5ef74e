"""Pods of a kind spread evenly over the domains of a label."""

from __future__ import annotations

from collections import Counter

from tests.placement.builders import HOST, ZONE, World, a_node, a_pod, nodes

SKEWED = "node(s) didn't match pod topology spread constraints"


def test_a_domain_takes_no_more_than_skew_above_the_emptiest() -> None:
    world = World(*nodes(2, zones=2), a_pod("w0").labelled(app="web").on("n0"))
    assert world.feasible(a_pod("p").labelled(app="web").spread_over(ZONE)) == ["n1"]
    assert world.feasible(a_pod("p").labelled(app="web").spread_over(ZONE, 2)) == ["n0", "n1"]


def test_replicas_are_dealt_out_evenly() -> None:
    world = World(*nodes(6, zones=3))
    pods = [a_pod(f"p{n}").labelled(app="web").spread_over(ZONE) for n in range(9)]
    zones = Counter(int(node[1:]) % 3 for node in world.places(*pods))
    assert zones == {0: 3, 1: 3, 2: 3}


def test_a_node_without_the_label_takes_none_and_counts_for_nothing() -> None:
    world = World(*nodes(2, zones=2), a_node("bare"))
    pod = a_pod("p").labelled(app="web").spread_over(ZONE)
    assert world.feasible(pod) == ["n0", "n1"]
    refusal = world.refusal(pod, "bare")
    assert refusal is not None
    assert refusal.reason == f"{SKEWED} (missing required label)"
    assert refusal.unresolvable


def test_too_few_domains_count_as_an_empty_one() -> None:
    world = World(
        *nodes(2, zones=2), *(a_pod(f"w{n}").labelled(app="web").on(f"n{n}") for n in "01")
    )
    pod = a_pod("p").labelled(app="web")
    assert world.feasible(pod.spread_over(ZONE)) == ["n0", "n1"]
    assert world.feasible(pod.spread_over(ZONE, minDomains=3)) == []
    assert world.says(pod.spread_over(ZONE, minDomains=3)) == (
        f"0/2 nodes are available: 2 {SKEWED}."
    )


def test_nodes_the_pod_does_not_select_do_not_count_unless_it_says_so() -> None:
    world = World(
        a_node("a").in_zone("z0").labelled(disk="ssd"),
        a_node("b").in_zone("z1"),
        a_pod("w").labelled(app="web").on("a"),
    )
    pod = a_pod("p").labelled(app="web").selecting_nodes(disk="ssd")
    assert world.feasible(pod.spread_over(ZONE)) == ["a"]
    assert world.feasible(pod.spread_over(ZONE, nodeAffinityPolicy="Ignore")) == []


def test_tainted_nodes_count_unless_the_pod_says_otherwise() -> None:
    world = World(
        a_node("a").in_zone("z0"),
        a_node("b").in_zone("z1").tainted("kept"),
        a_pod("w").labelled(app="web").on("a"),
    )
    pod = a_pod("p").labelled(app="web")
    assert world.feasible(pod.spread_over(ZONE)) == []
    assert world.feasible(pod.spread_over(ZONE, nodeTaintsPolicy="Honor")) == ["a"]


def test_a_taint_that_goes_makes_its_node_count() -> None:
    world = World(
        a_node("a").in_zone("z0"),
        a_node("b").in_zone("z1").tainted("kept"),
        a_pod("w").labelled(app="web").on("a"),
    )
    pod = a_pod("p").labelled(app="web").spread_over(ZONE, nodeTaintsPolicy="Honor")
    assert world.feasible(pod) == ["a"]
    world.sees(a_node("b").in_zone("z1"))
    assert world.feasible(pod) == ["b"]


def test_pods_that_end_do_not_count() -> None:
    world = World(*nodes(2, zones=2), a_pod("w").labelled(app="web").on("n0").terminating())
    assert world.feasible(a_pod("p").labelled(app="web").spread_over(ZONE)) == ["n0", "n1"]


def test_match_label_keys_spread_each_revision_by_itself() -> None:
    old = a_pod("w").labelled(app="web", rev="1").on("n0")
    world = World(*nodes(2, zones=2), old)
    pod = a_pod("p").labelled(app="web", rev="2")
    by_app = {"labelSelector": {"matchLabels": {"app": "web"}}}
    assert world.feasible(pod.spread_over(ZONE, **by_app)) == ["n1"]
    assert world.feasible(pod.spread_over(ZONE, **by_app, matchLabelKeys=["rev"])) == ["n0", "n1"]


def test_pods_of_other_namespaces_do_not_count() -> None:
    world = World(*nodes(2, zones=2), a_pod("w").of_namespace("b").labelled(app="web").on("n0"))
    assert world.feasible(a_pod("p").labelled(app="web").spread_over(ZONE)) == ["n0", "n1"]


def test_a_pod_that_does_not_match_its_own_selector_may_go_where_skew_is_reached() -> None:
    world = World(*nodes(2, zones=2), a_pod("w").labelled(app="web").on("n0"))
    others = {"labelSelector": {"matchLabels": {"app": "web"}}}
    assert world.feasible(a_pod("p").spread_over(ZONE, **others)) == ["n0", "n1"]
    world.sees(a_pod("w2").labelled(app="web").on("n0"))
    assert world.feasible(a_pod("p").spread_over(ZONE, **others)) == ["n1"]


def test_soft_constraints_only_choose() -> None:
    world = World(*nodes(2, zones=2), a_pod("w").labelled(app="web").on("n0"))
    pod = a_pod("p").labelled(app="web").spread_over(ZONE, soft=True)
    assert world.feasible(pod) == ["n0", "n1"]
    assert world.chooses(pod) == "n1"


def test_two_constraints_have_to_hold_together() -> None:
    world = World(*nodes(4, zones=2), a_pod("w").labelled(app="web").on("n0"))
    pod = a_pod("p").labelled(app="web").spread_over(ZONE, 2).spread_over(HOST)
    assert world.feasible(pod) == ["n1", "n2", "n3"]


def test_a_domain_without_a_node_is_no_empty_domain() -> None:
    there = [a_pod(f"w{n}").labelled(app="web").on(f"n{n}") for n in "01"]
    world = World(*nodes(3, zones=3), *there)
    pod = a_pod("p").labelled(app="web").spread_over(ZONE)
    assert world.feasible(pod) == ["n2"]
    world.cluster.node_gone("n2")
    assert world.feasible(pod) == ["n0", "n1"]
    world.sees(a_node("n2").in_zone("z1"))
    assert world.feasible(pod) == ["n0", "n1", "n2"]
