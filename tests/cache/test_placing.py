"""What the memory of the scheduler makes of a binding that failed."""

from __future__ import annotations

from kube_queue.placement.decisions import Bind
from tests.placement.builders import a_node, a_pod
from tests.placement.playing import Scheduler


def test_a_pod_whose_binding_was_refused_is_tried_again_only_after_its_backoff() -> None:
    pod = a_pod("p").asking(cpu="1")
    played = Scheduler(a_node("n"), pod)
    (decision,) = played.decides()
    assert isinstance(decision, Bind)
    played.cache.bind_failed(pod.pod, played.now)
    assert played.cache.cluster.placed(pod.pod.uid) is None
    assert played.decides() == []
    assert played.cache.next_wake(played.now) == played.now + 1.0
    assert played.later(1.0).binds() == {"p": "n"}


def test_others_may_have_the_room_of_a_pod_whose_binding_was_refused_at_once() -> None:
    pod, other = a_pod("p").asking(cpu="8"), a_pod("q").asking(cpu="8000m", memory="1")
    played = Scheduler(a_node("n"), pod)
    played.decides()
    played.sees(other)
    assert played.binds() == {}
    played.later(2.0).cache.bind_failed(pod.pod, played.now)
    assert played.binds() == {"q": "n"}


def test_an_assumed_pod_is_refused_once_somebody_else_took_its_room() -> None:
    pod = a_pod("p").asking(cpu="5")
    played = Scheduler(a_node("n"), pod)
    played.decides()
    assert played.cache.still_refused(pod.pod) is None
    played.sees(a_pod("foreign").of_scheduler("default-scheduler").asking(cpu="5").on("n"))
    refusal = played.cache.still_refused(pod.pod)
    assert refusal is not None
    assert refusal.reason == "Insufficient cpu"
    # Asking changes nothing.
    placed = played.cache.cluster.placed(pod.pod.uid)
    assert placed is not None
    assert placed.assumed


def test_an_assumed_pod_is_refused_once_its_node_is_gone_or_cordoned() -> None:
    pod = a_pod("p")
    played = Scheduler(a_node("n"), pod)
    played.decides()
    played.sees(a_node("n").cordoned())
    assert played.cache.still_refused(pod.pod) is not None
    played.cache.node_gone("n", played.now)
    refusal = played.cache.still_refused(pod.pod)
    assert refusal is not None
    assert refusal.reason == "node(s) are gone"


def test_a_gang_whose_podgroup_comes_after_its_pods_has_not_had_its_minimum_before() -> None:
    members = [a_pod(name).labelled(**{"pod-group.scheduling.sigs.k8s.io": "g"}) for name in "ab"]
    played = Scheduler(a_node("n"), *members)
    assert played.binds() == {}
    played.sees_group("g", 3)
    assert played.later(20.0).binds() == {}
    played.sees(a_pod("c").labelled(**{"pod-group.scheduling.sigs.k8s.io": "g"}))
    assert sorted(played.later(20.0).binds()) == ["a", "b", "c"]
