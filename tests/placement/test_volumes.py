"""Pods stand where their volumes are, or can be bound or made."""

from __future__ import annotations

from kube_queue.placement.plugins.volume_binding import VolumeBinding
from kube_queue.placement.storage import Storage
from tests.placement.builders import ZONE, PodBuilder, World, a_node, a_pod, nodes
from tests.placement.volumes import (
    LOCAL,
    a_claim,
    a_class,
    a_volume,
    drivers_of,
    store,
)

NO_VOLUME = "node(s) didn't find available persistent volumes to bind"


def a_world(count: int = 3) -> World:
    world = World(*nodes(count, zones=count))
    store(world, a_class(LOCAL))
    return world


def bindings(world: World, pod: PodBuilder) -> list[tuple[str, str]]:
    """(claim, volume) of what is to be bound for the pod."""
    (plugin,) = (each for each in world.profile.plugins if isinstance(each, VolumeBinding))
    found = plugin.volume_bindings(pod.pod)
    return [(one.claim.name, one.volume.name if one.volume else "made") for one in found]


def test_a_claim_that_does_not_exist_is_told_and_looked_for_nowhere() -> None:
    world = a_world()
    assert world.says(a_pod("p").mounting("c")) == 'persistentvolumeclaim "c" not found'
    verdict = world.placer.verdict(a_pod("p").mounting("c").pod)
    assert verdict.unresolvable


def test_a_claim_that_is_lost_or_going_takes_no_pod() -> None:
    world = a_world()
    store(world, a_claim("a").bound_to("v").lost(), a_claim("b").deleted())
    assert world.says(a_pod("p").mounting("a")) == (
        'persistentvolumeclaim "a" bound to non-existent persistentvolume "v"'
    )
    assert world.says(a_pod("p").mounting("b")) == 'persistentvolumeclaim "b" is being deleted'


def test_a_claim_that_others_bind_is_waited_for() -> None:
    world = a_world()
    store(world, a_class("now", "csi.example.com", waits=False), a_claim("c").of_class("now"))
    waiting = "pod has unbound immediate PersistentVolumeClaims"
    assert world.says(a_pod("p").mounting("c")) == waiting
    store(world, a_claim("c").of_class("now").bound_to("v"), a_volume("v"))
    assert world.feasible(a_pod("p").mounting("c")) == ["n0", "n1", "n2"]


def test_a_bound_claim_holds_its_pod_to_the_nodes_that_reach_the_volume() -> None:
    world = a_world()
    store(world, a_claim("c").bound_to("v"), a_volume("v").on_node("n1"))
    pod = a_pod("p").mounting("c")
    assert world.feasible(pod) == ["n1"]
    refusal = world.refusal(pod, "n0")
    assert refusal is not None
    assert refusal.reason == "node(s) didn't match PersistentVolume's node affinity"


def test_a_claim_bound_to_a_volume_that_is_gone_is_told() -> None:
    world = a_world()
    store(world, a_claim("c").bound_to("v"))
    assert world.says(a_pod("p").mounting("c")) == (
        "0/3 nodes are available: 3 node(s) unavailable due to one or more pvc(s) bound to "
        "non-existent pv(s)."
    )


def test_a_waiting_claim_gets_the_smallest_volume_that_the_node_reaches() -> None:
    world = a_world()
    store(
        world,
        a_claim("c").asking("5Gi"),
        a_volume("large").of("20Gi").on_node("n1"),
        a_volume("fits").of("5Gi").on_node("n1"),
        a_volume("small").of("1Gi").on_node("n2"),
    )
    pod = a_pod("p").mounting("c")
    assert world.feasible(pod) == ["n1"]
    assert world.places(pod) == ["n1"]
    assert bindings(world, pod) == [("c", "fits")]


def test_what_was_chosen_for_one_pod_is_kept_from_the_others() -> None:
    world = a_world()
    store(world, a_claim("a"), a_claim("b"), a_claim("c"))
    store(world, a_volume("v1").on_node("n1"), a_volume("v2").on_node("n2"))
    pods = [a_pod(f"p{name}").mounting(name) for name in "abc"]
    assert sorted(world.places(*pods)) == ["", "n1", "n2"]
    assert world.says(pods[2]) == f"0/3 nodes are available: 3 {NO_VOLUME}."
    world.cluster.forget(pods[0].pod.uid)
    assert world.chooses(pods[2]) != ""


def test_two_claims_of_a_pod_get_a_volume_each_on_one_node() -> None:
    world = a_world()
    store(world, a_claim("a"), a_claim("b"))
    store(world, a_volume("v1").on_node("n1"), a_volume("v2").on_node("n2"))
    store(world, a_volume("v3").on_node("n2"))
    pod = a_pod("p").mounting("a", "b")
    assert world.feasible(pod) == ["n2"]
    assert world.refusal(pod, "n1") is not None
    assert world.places(pod) == ["n2"]
    assert bindings(world, pod) == [("a", "v2"), ("b", "v3")]


def test_a_node_that_reaches_no_bound_volume_and_has_no_free_one_is_counted_for_both() -> None:
    world = a_world(4)
    store(world, a_claim("bound").bound_to("v1"), a_volume("v1").on_node("n1").kept_for("bound"))
    store(world, a_claim("waits"), a_volume("v2").on_node("n2"))
    pod = a_pod("p").mounting("bound", "waits")
    # n1 has the one, n2 the other, the rest neither.
    assert world.says(pod) == (
        "0/4 nodes are available: "
        f"3 {NO_VOLUME}, 3 node(s) didn't match PersistentVolume's node affinity."
    )


def test_three_claims_that_fit_the_same_volumes_need_three_on_one_node() -> None:
    world = a_world(3)
    store(
        world,
        *[
            a_claim(name).asking(size)
            for name, size in zip("abc", ("1Gi", "1Gi", "2Gi"), strict=True)
        ],
    )
    for node, sizes in (("n0", "11"), ("n1", "111"), ("n2", "112")):
        for index, size in enumerate(sizes):
            store(world, a_volume(f"{node}-{index}").of(f"{size}Gi").on_node(node))
    assert world.feasible(a_pod("p").mounting("a", "b", "c")) == ["n2"]
    assert world.feasible(a_pod("q").mounting("a", "b")) == ["n0", "n1", "n2"]


def test_pods_that_share_a_waiting_claim_go_where_its_volume_is() -> None:
    world = a_world()
    store(world, a_claim("c"), a_volume("v").on_node("n1"))
    pods = [a_pod(f"p{n}").mounting("c") for n in "ab"]
    assert world.places(*pods) == ["n1", "n1"]
    assert bindings(world, pods[1]) == [("c", "v")]


def test_a_volume_bound_beforehand_is_the_only_one_for_its_claim_and_for_no_other() -> None:
    world = a_world()
    store(world, a_claim("a"), a_claim("b"))
    store(world, a_volume("v1").on_node("n1").kept_for("a"), a_volume("v2").on_node("n2"))
    assert world.feasible(a_pod("p").mounting("a")) == ["n1"]
    assert world.feasible(a_pod("p").mounting("b")) == ["n2"]


def test_volumes_that_do_not_suit_the_claim_are_not_taken() -> None:
    world = a_world(6)
    store(
        world,
        a_claim("c").selecting(speed="fast"),
        a_volume("v0").on_node("n0"),
        a_volume("v1").on_node("n1").labelled(speed="fast").of_class("other"),
        a_volume("v2").on_node("n2").labelled(speed="fast").of_modes("ReadOnlyMany"),
        a_volume("v3").on_node("n3").labelled(speed="fast").kept_for("other"),
        a_volume("v4").on_node("n4").labelled(speed="fast").of("500Mi"),
        a_volume("v5").on_node("n5").labelled(speed="fast"),
    )
    assert world.feasible(a_pod("p").mounting("c")) == ["n5"]


def test_a_volume_is_made_where_the_class_allows_it() -> None:
    world = a_world()
    store(world, a_class("made", "csi.example.com", **{ZONE: "z1"}))
    store(world, a_claim("c").of_class("made"))
    pod = a_pod("p").mounting("c")
    assert world.places(pod) == ["n1"]
    assert bindings(world, pod) == [("c", "made")]


def test_a_claim_whose_volume_is_being_made_keeps_its_node() -> None:
    world = a_world()
    store(world, a_class("made", "csi.example.com"), a_claim("c").of_class("made").made_for("n2"))
    assert world.feasible(a_pod("p").mounting("c")) == ["n2"]


def test_nothing_is_to_be_bound_for_a_claim_that_was_bound_meanwhile() -> None:
    world = a_world()
    store(world, a_claim("c"), a_volume("v").on_node("n1"))
    pod = a_pod("p").mounting("c")
    world.places(pod)
    store(world, a_claim("c").bound_to("v"), a_volume("v").on_node("n1").kept_for("c", "uid-c"))
    assert bindings(world, pod) == []


def test_an_ephemeral_claim_has_to_be_the_pods_own() -> None:
    world = a_world()
    pod = a_pod("p").with_own_volume("scratch")
    assert world.says(pod) == (
        'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-scratch"'
    )
    store(world, a_claim("p-scratch").bound_to("v"), a_volume("v"))
    assert world.says(pod) == (
        "PVC default/p-scratch was not created for pod default/p (pod is not owner)"
    )
    store(world, a_claim("p-scratch").bound_to("v").of_pod("uid-p"))
    assert world.feasible(pod) == ["n0", "n1", "n2"]


def test_a_zoned_volume_is_reached_from_its_zones_only() -> None:
    world = a_world()
    zoned = a_volume("v").labelled(**{ZONE: "z0__z2"})
    store(world, a_claim("c").bound_to("v"), zoned)
    pod = a_pod("p").mounting("c")
    assert world.feasible(pod) == ["n0", "n2"]
    assert world.says(pod.asking(cpu="9")) == "0/3 nodes are available: 3 Insufficient cpu."
    refusal = world.refusal(pod, "n1")
    assert refusal is not None
    assert refusal.reason == "node(s) had no available volume zone"
    world.sees(a_node("plain"))
    assert world.feasible(pod) == ["n0", "n2", "plain"]


def test_old_names_of_zone_labels_are_compared_with_the_new_ones() -> None:
    world = a_world()
    old = a_volume("v").labelled(**{"failure-domain.beta.kubernetes.io/zone": "z1"})
    store(world, a_claim("c").bound_to("v"), old)
    assert world.feasible(a_pod("p").mounting("c")) == ["n1"]


def test_a_claim_for_one_pod_is_mounted_by_one_pod() -> None:
    world = a_world()
    store(world, a_claim("c").bound_to("v").of_modes("ReadWriteOncePod"), a_volume("v"))
    first, second = a_pod("p0").mounting("c"), a_pod("p1").mounting("c")
    assert world.places(first, second)[1] == ""
    refusal = world.refusal(second, "n0")
    assert refusal is not None
    assert refusal.plugin == "VolumeRestrictions"
    assert not refusal.unresolvable
    world.cluster.forget(first.pod.uid)
    assert world.feasible(second) == ["n0", "n1", "n2"]


def test_a_node_attaches_no_more_volumes_than_its_driver_allows() -> None:
    world = a_world(2)
    store(world, drivers_of("n0", csi=1))
    for name in "abc":
        store(world, a_claim(name).bound_to(f"v{name}"), a_volume(f"v{name}").of_driver("csi"))
    world.sees(a_pod("p0").mounting("a").on("n0"))
    assert world.feasible(a_pod("p1").mounting("b")) == ["n1"]
    # The volume that is there already is attached once for both.
    assert world.feasible(a_pod("p2").mounting("a")) == ["n0", "n1"]
    store(world, drivers_of("n0", csi=2))
    assert world.feasible(a_pod("p1").mounting("b")) == ["n0", "n1"]
    assert world.feasible(a_pod("p1").mounting("b", "c")) == ["n1"]


def test_what_is_gone_from_the_storage_is_not_counted_on() -> None:
    world = a_world()
    storage = world.cluster.shared(Storage)
    volume = a_volume("v").on_node("n1")
    store(world, a_claim("c"), volume)
    pod = a_pod("p").mounting("c")
    assert world.feasible(pod) == ["n1"]
    storage.gone(volume.thing)
    assert world.feasible(pod) == []
    storage.seen(volume.thing)
    storage.gone(a_class(LOCAL).thing)
    assert world.says(pod) == "pod has unbound immediate PersistentVolumeClaims"


def test_a_node_that_is_labelled_anew_reaches_other_volumes() -> None:
    world = a_world()
    store(world, a_claim("c"), a_volume("v").reached_from(ZONE, "z9"))
    pod = a_pod("p").mounting("c")
    assert world.feasible(pod) == []
    world.sees(a_node("n0").in_zone("z9"))
    assert world.feasible(pod) == ["n0"]


def test_of_two_claims_the_first_that_does_not_suit_a_node_is_told() -> None:
    world = a_world(2)
    store(world, a_claim("a").bound_to("va"), a_volume("va").on_node("n1"))
    store(world, a_claim("b").bound_to("gone"))
    assert world.says(a_pod("p").mounting("a", "b")) == (
        "0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 1 "
        "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)."
    )
