"""Plug-ins that look at a pod's spec and a node alone, in a built world."""

from __future__ import annotations

from kube_queue.placement.plugins.balanced_allocation import NodeResourcesBalancedAllocation
from kube_queue.placement.plugins.resources_fit import LeastAllocated
from tests.placement.builders import World, a_node, a_pod


def test_a_taint_keeps_pods_away_that_do_not_tolerate_it() -> None:
    world = World(a_node("free"), a_node("kept").tainted("for", "gpu"))
    assert world.feasible(a_pod("p")) == ["free"]
    assert world.feasible(a_pod("p").tolerating("for", "gpu")) == ["free", "kept"]
    assert world.feasible(a_pod("p").tolerating("for", "web")) == ["free"]
    assert world.feasible(a_pod("p").tolerating()) == ["free", "kept"]


def test_a_taint_is_told_with_its_key_and_value() -> None:
    world = World(a_node("kept").tainted("for", "gpu"))
    assert world.says(a_pod("p")) == (
        "0/1 nodes are available: 1 node(s) had untolerated taint {for: gpu}."
    )


def test_a_soft_taint_makes_a_node_a_worse_choice_and_no_more() -> None:
    world = World(a_node("a").tainted("slow", effect="PreferNoSchedule"), a_node("b"))
    assert world.chooses(a_pod("p")) == "b"
    assert world.feasible(a_pod("p")) == ["a", "b"]


def test_a_cordoned_node_takes_only_pods_that_tolerate_that() -> None:
    world = World(a_node("a").cordoned(), a_node("b"))
    assert world.feasible(a_pod("p")) == ["b"]
    cordon = "node.kubernetes.io/unschedulable"
    assert world.feasible(a_pod("p").tolerating(cordon, effect="NoSchedule")) == ["a", "b"]


def test_a_node_selector_asks_for_all_its_labels() -> None:
    world = World(a_node("a").labelled(disk="ssd", arch="arm"), a_node("b").labelled(disk="ssd"))
    assert world.feasible(a_pod("p").selecting_nodes(disk="ssd")) == ["a", "b"]
    assert world.feasible(a_pod("p").selecting_nodes(disk="ssd", arch="arm")) == ["a"]


def test_terms_of_node_affinity_are_alternatives() -> None:
    world = World(*(a_node(name).labelled(rack=name) for name in "abc"))
    pod = a_pod("p").requiring_nodes("rack", "In", "a").requiring_nodes("rack", "In", "c")
    assert world.feasible(pod) == ["a", "c"]


def test_preferred_nodes_are_chosen_while_they_are_free() -> None:
    world = World(a_node("a"), a_node("b").labelled(disk="ssd"), a_node("c"))
    assert world.chooses(a_pod("p").preferring_nodes(50, "disk", "In", "ssd")) == "b"


def test_a_host_port_is_taken_by_one_pod_of_a_node() -> None:
    world = World(a_node("a"), a_node("b"), a_pod("web").with_host_port(80).on("a"))
    assert world.feasible(a_pod("p").with_host_port(80)) == ["b"]
    assert world.feasible(a_pod("p").with_host_port(81)) == ["a", "b"]
    assert world.feasible(a_pod("p").with_host_port(80, "UDP")) == ["a", "b"]
    assert world.feasible(a_pod("p").with_host_port(80, ip="10.0.0.1")) == ["b"]


def test_host_ports_of_different_addresses_do_not_collide() -> None:
    world = World(a_node("a"), a_pod("web").with_host_port(80, ip="10.0.0.1").on("a"))
    assert world.feasible(a_pod("p").with_host_port(80, ip="10.0.0.2")) == ["a"]
    assert world.feasible(a_pod("p").with_host_port(80, ip="10.0.0.1")) == []


def test_a_node_that_has_the_image_is_chosen() -> None:
    image = "example.com/large:1"
    world = World(a_node("a"), a_node("b").with_image(image, 900), a_node("c"))
    assert world.chooses(a_pod("p").of_image(image)) == "b"


def test_resources_that_lack_are_each_told() -> None:
    world = World(a_node("a").having(cpu="1", memory="1Gi"), a_node("b").having(cpu="1"))
    assert world.says(a_pod("p").asking(cpu="2", memory="2Gi")) == (
        "0/2 nodes are available: 2 Insufficient cpu, 1 Insufficient memory."
    )


def test_nodes_that_are_too_small_and_nodes_that_are_full_are_told_in_one_number() -> None:
    world = World(a_node("a").having(cpu="1"), a_node("b"), a_pod("p").asking(cpu="8").on("b"))
    says = world.says(a_pod("q").asking(cpu="4"))
    assert says == "0/2 nodes are available: 2 Insufficient cpu."


def test_the_emptier_node_is_chosen() -> None:
    world = World(a_node("a"), a_node("b"), a_pod("there").asking(cpu="4").on("a"))
    assert world.chooses(a_pod("p").asking(cpu="1")) == "b"


def test_a_port_that_is_taken_is_told_before_room_that_lacks() -> None:
    world = World(a_node("a").having(cpu="1"), a_pod("web").with_host_port(80).on("a"))
    pod = a_pod("p").with_host_port(80).asking(cpu="2")
    reason = "node(s) didn't have free ports for the requested pod ports"
    assert world.says(pod) == f"0/1 nodes are available: 1 {reason}."
    refusal = world.refusal(pod, "a")
    assert refusal is not None
    assert refusal.reason == reason


def test_room_that_lacks_is_told_before_pods_that_keep_away() -> None:
    world = World(a_node("a").having(cpu="1"), a_pod("web").labelled(app="x").on("a"))
    pod = a_pod("p").away_from(app="x").asking(cpu="2")
    assert world.says(pod) == "0/1 nodes are available: 1 Insufficient cpu."


def test_a_node_that_the_pod_evens_out_is_chosen_before_one_that_it_sets_apart() -> None:
    world = World(
        a_node("a").having(cpu="8", memory="8Gi"),
        a_node("b").having(cpu="8", memory="8Gi"),
        a_pod("x").asking(cpu="4", memory="1Gi").on("a"),
        a_pod("y").asking(cpu="1", memory="4Gi").on("b"),
        plugins=[NodeResourcesBalancedAllocation],
    )
    assert world.chooses(a_pod("p").asking(cpu="1", memory="4Gi")) == "a"
    assert world.chooses(a_pod("p").asking(cpu="4", memory="1Gi")) == "b"


def test_pods_that_ask_for_nothing_are_not_drawn_to_an_even_node() -> None:
    world = World(*(a_node(name) for name in "ab"), plugins=[NodeResourcesBalancedAllocation])
    world.sees(a_pod("x").asking(cpu="4").on("a"))
    assert sorted(world.places(a_pod("p"), a_pod("q"))) == ["a", "b"]


def test_a_container_that_asks_for_nothing_counts_for_a_little_beside_one_that_asks() -> None:
    two = a_pod("x").of_image("example.com/a:1", "example.com/b:1").asking(cpu="1", memory="1Gi")
    assert two.pod.spec.weight == (1100, 1224 * 2**20)
    world = World(a_node("a"), a_node("b"), plugins=[LeastAllocated])
    world.sees(two.on("a"), a_pod("y").asking(cpu="1", memory="1Gi").on("b"))
    assert world.places(a_pod("p").asking(cpu="1", memory="1Gi")) == ["b"]
