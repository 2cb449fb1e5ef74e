"""Pods that stand near others, or away from them."""

from __future__ import annotations

from kube_queue.api.pods import shared_labels
from tests.placement.builders import ZONE, World, a_node, a_pod, nodes, term

NOT_NEAR = "node(s) didn't match pod affinity rules"
NOT_AWAY = "node(s) didn't match pod anti-affinity rules"
NOT_WANTED = "node(s) didn't satisfy existing pods anti-affinity rules"


def test_a_pod_stands_in_the_domain_of_the_pods_it_wants_to_be_near() -> None:
    world = World(*nodes(4, zones=2), a_pod("db").labelled(app="db").on("n1"))
    assert world.feasible(a_pod("web").near(ZONE, app="db")) == ["n1", "n3"]
    assert world.feasible(a_pod("web").near(app="db")) == ["n1"]


def test_all_required_terms_have_to_hold_of_the_same_pods() -> None:
    world = World(
        *nodes(2),
        a_pod("x").labelled(app="db", tier="fast").on("n0"),
        a_pod("y").labelled(app="db").on("n1"),
    )
    assert world.feasible(a_pod("web").near(app="db").near(tier="fast")) == ["n0"]


def test_the_first_of_a_group_that_wants_to_be_together_may_stand_anywhere() -> None:
    world = World(*nodes(3))
    first, second = (a_pod(name).labelled(app="x").near(app="x") for name in ("p0", "p1"))
    assert world.feasible(first) == ["n0", "n1", "n2"]
    assert world.places(first, second) == ["n0", "n0"]


def test_the_first_of_a_group_needs_the_label_of_the_domain() -> None:
    world = World(a_node("bare"), a_node("zoned").in_zone("z"))
    pod = a_pod("p").labelled(app="x").near(ZONE, app="x")
    assert world.feasible(pod) == ["zoned"]


def test_a_pod_that_wants_others_near_waits_for_the_first_of_them() -> None:
    world = World(*nodes(2))
    pod = a_pod("p").labelled(app="web").near(app="db")
    assert world.says(pod) == f"0/2 nodes are available: 2 {NOT_NEAR}."
    world.sees(a_pod("db").labelled(app="db").on("n1"))
    assert world.feasible(pod) == ["n1"]


def test_a_pod_stands_away_from_those_it_does_not_want() -> None:
    world = World(*nodes(4, zones=2), a_pod("db").labelled(app="db").on("n0"))
    assert world.feasible(a_pod("p").away_from(app="db")) == ["n1", "n2", "n3"]
    assert world.feasible(a_pod("p").away_from(ZONE, app="db")) == ["n1", "n3"]


def test_who_is_there_keeps_away_whom_it_does_not_want() -> None:
    world = World(*nodes(2), a_pod("calm").away_from(app="loud").on("n0"))
    loud = a_pod("p").labelled(app="loud")
    assert world.feasible(loud) == ["n1"]
    refusal = world.refusal(loud, "n0")
    assert refusal is not None
    assert refusal.reason == NOT_WANTED
    assert world.feasible(a_pod("q")) == ["n0", "n1"]


def test_replicas_that_want_no_other_beside_them_take_a_node_each() -> None:
    world = World(*nodes(3))
    replicas = [a_pod(f"p{index}").labelled(app="x").away_from(app="x") for index in range(4)]
    assert sorted(world.places(*replicas)) == ["", "n0", "n1", "n2"]
    assert world.says(replicas[3]) == f"0/3 nodes are available: 3 {NOT_AWAY}."


def test_pods_of_other_namespaces_are_nobodys_business_unless_they_are_named() -> None:
    world = World(*nodes(2), a_pod("db").of_namespace("a").labelled(app="db").on("n0"))
    pod = a_pod("p").of_namespace("b")
    assert world.feasible(pod.away_from(app="db")) == ["n0", "n1"]
    named = term("kubernetes.io/hostname", {"app": "db"}, namespaces=["a"])
    assert world.feasible(pod.related("podAntiAffinity", named)) == ["n1"]


def test_namespaces_are_selected_by_labels_they_have_now() -> None:
    world = World(*nodes(2), a_pod("db").of_namespace("a").labelled(app="db").on("n0"))
    by_team = {"namespaceSelector": {"matchLabels": {"team": "red"}}}
    away = term("kubernetes.io/hostname", {"app": "db"}, **by_team)
    pod = a_pod("p").of_namespace("b").related("podAntiAffinity", away)
    assert world.feasible(pod) == ["n0", "n1"]
    world.cluster.namespace_seen("a", shared_labels({"team": "red"}))
    assert world.feasible(pod) == ["n1"]
    world.cluster.namespace_seen("a", shared_labels({}))
    assert world.feasible(pod) == ["n0", "n1"]


def test_an_empty_namespace_selector_selects_all() -> None:
    world = World(*nodes(2), a_pod("db").of_namespace("a").labelled(app="db").on("n0"))
    away = term("kubernetes.io/hostname", {"app": "db"}, namespaceSelector={})
    assert world.feasible(a_pod("p").related("podAntiAffinity", away)) == ["n1"]


def test_preferences_of_both_sides_choose_among_equal_nodes() -> None:
    there = a_pod("cache").labelled(app="cache").on("n1")
    world = World(*nodes(3), there)
    assert world.chooses(a_pod("p").rather_near(100, app="cache")) == "n1"
    world = World(*nodes(3), there.rather_near(100, app="web"))
    assert world.chooses(a_pod("p").labelled(app="web")) == "n1"
    world = World(*nodes(2), a_pod("shy").rather_away_from(100, app="web").on("n0"))
    assert world.places(*(a_pod(f"p{n}").labelled(app="web") for n in "ab")) == ["n1", "n1"]


def test_what_is_there_for_good_counts_until_it_has_gone() -> None:
    world = World(*nodes(2))
    ending = a_pod("db").labelled(app="db").on("n0").terminating()
    world.sees(ending)
    assert world.feasible(a_pod("p").away_from(app="db")) == ["n1"]
    world.sees(ending.finished())
    assert world.feasible(a_pod("p").away_from(app="db")) == ["n0", "n1"]


def test_a_node_that_moves_to_another_zone_takes_its_pods_along() -> None:
    world = World(*nodes(3, zones=3), a_pod("db").labelled(app="db").on("n0"))
    pod = a_pod("p").away_from(ZONE, app="db")
    assert world.feasible(pod) == ["n1", "n2"]
    world.sees(a_node("n0").in_zone("z1"))
    assert world.feasible(pod) == ["n2"]
