"""What wakes pods that wait for other pods, namespaces or volumes, and who is tried beside whom."""

from __future__ import annotations

from kube_queue.api.pods import shared_labels
from tests.placement.builders import HOST, ZONE, PodBuilder, a_node, a_pod, nodes, term
from tests.placement.playing import Scheduler
from tests.placement.volumes import LOCAL, StorageBuilder, a_claim, a_class, a_volume


def stores(scheduler: Scheduler, *things: StorageBuilder) -> None:
    for thing in things:
        scheduler.cache.storage_seen(thing.thing, scheduler.now)


def member(name: str) -> PodBuilder:
    return a_pod(name).of_gang("g", 2).owned_by("Job", "g")


def test_a_pod_that_wants_another_near_is_tried_when_that_came() -> None:
    scheduler = Scheduler(*nodes(2), a_pod("web").near(app="db"))
    assert scheduler.binds() == {}
    scheduler.later(20).sees(a_pod("db").of_scheduler("other").labelled(app="db").on("n1"))
    assert scheduler.binds() == {"web": "n1"}


def test_a_pod_that_wants_another_near_is_tried_when_we_placed_that_one() -> None:
    scheduler = Scheduler(*nodes(2), a_pod("web").near(app="db"))
    assert scheduler.binds() == {}
    scheduler.later(20).sees(a_pod("db").labelled(app="db"))
    bound = scheduler.binds()
    assert bound["web"] == bound["db"]


def test_a_pod_that_its_spread_kept_out_is_tried_when_we_placed_one_elsewhere() -> None:
    there = a_pod("there").of_scheduler("other").labelled(app="x").on("n0")
    small = a_node("n1").in_zone("z1").having(cpu=1)
    large = a_pod("large").asking(cpu=4).labelled(app="x").spread_over()
    scheduler = Scheduler(a_node("n0").in_zone("z0"), small, there, large)
    assert scheduler.binds() == {}
    even = a_pod("even").labelled(app="x").selecting_nodes(**{HOST: "n1"})
    scheduler.later(20).sees(even)
    assert scheduler.binds() == {"even": "n1", "large": "n0"}


def test_a_pod_that_others_keep_away_is_tried_when_their_namespace_is_no_longer_meant() -> None:
    calm = term(ZONE, {"app": "loud"}, namespaceSelector={"matchLabels": {"team": "red"}})
    scheduler = Scheduler(*nodes(1))
    scheduler.cache.namespace_seen("default", shared_labels({"team": "red"}), scheduler.now)
    scheduler.sees(a_pod("calm").of_scheduler("other").related("podAntiAffinity", calm).on("n0"))
    scheduler.sees(a_pod("loud").labelled(app="loud"))
    assert scheduler.binds() == {}
    scheduler.later(20).cache.namespace_seen("default", shared_labels({}), scheduler.now)
    assert scheduler.binds() == {"loud": "n0"}


def test_a_replica_that_nobody_keeps_away_does_not_wait_behind_one_that_is_kept_away() -> None:
    full = a_pod("full").of_scheduler("other").asking(cpu="8").on("n0")
    scheduler = Scheduler(a_node("n0"), full)
    scheduler.sees(a_pod("calm").of_scheduler("other").away_from(app="loud").on("n0"))
    scheduler.sees(a_pod("loud").labelled(app="loud").asking(cpu="1"))
    assert scheduler.binds() == {}
    scheduler.later(1).sees(a_pod("quiet").labelled(app="quiet").asking(cpu="1"))
    assert scheduler.binds() == {}
    scheduler.later(20).loses("full")
    assert scheduler.binds() == {"quiet": "n0"}


def test_a_pod_is_tried_when_its_claim_is_there() -> None:
    scheduler = Scheduler(*nodes(2), a_pod("p").mounting("c"))
    assert scheduler.binds() == {}
    assert scheduler.why("p") == 'persistentvolumeclaim "c" not found'
    stores(scheduler.later(20), a_class(LOCAL), a_claim("c"), a_volume("v").on_node("n1"))
    assert scheduler.binds() == {"p": "n1"}
    pod = scheduler.pods["p"].pod
    (binding,) = scheduler.cache.volume_bindings(pod)
    assert (binding.claim.name, binding.node) == ("c", "n1")
    assert binding.volume is not None
    assert binding.volume.name == "v"
    assert not scheduler.cache.claims_bound(pod)
    stores(scheduler, a_claim("c").bound_to("v"))
    assert scheduler.cache.claims_bound(pod)
    assert scheduler.cache.volume_bindings(pod) == ()


def test_a_member_whose_claim_finds_nothing_does_not_speak_for_its_siblings() -> None:
    scheduler = Scheduler(*nodes(2))
    stores(scheduler, a_class(LOCAL), a_claim("lost").asking("1Ti"), a_claim("a"), a_claim("b"))
    stores(scheduler, a_volume("va"), a_volume("vb"))
    scheduler.sees(member("g-0").mounting("lost"))
    scheduler.sees(member("g-1").mounting("a"), member("g-2").mounting("b"))
    assert sorted(scheduler.binds()) == ["g-1", "g-2"]


def test_volumes_of_a_gang_that_is_not_placed_are_kept_for_nobody() -> None:
    scheduler = Scheduler(*nodes(2))
    stores(scheduler, a_class(LOCAL), a_claim("a"), a_claim("b"), a_claim("c"), a_volume("v"))
    scheduler.sees(member("g-0").mounting("a"), member("g-1").mounting("b"))
    assert scheduler.binds() == {}
    scheduler.sees(a_pod("alone").mounting("c"))
    assert list(scheduler.binds()) == ["alone"]
