"""Room that is kept for pods which others were told to go for."""

from __future__ import annotations

from tests.placement.builders import a_node, a_pod
from tests.placement.playing import Scheduler


def test_room_of_a_nominated_pod_is_closed_to_equals_and_open_to_the_more_important() -> None:
    kept = a_pod("kept").asking(cpu="4").with_priority(5).nominated_to("n1")
    scheduler = Scheduler(a_node("n1").having(cpu="4"), kept.of_scheduler("another"))
    scheduler.sees(a_pod("equal").asking(cpu="1").with_priority(5))
    assert scheduler.binds() == {}
    scheduler.sees(a_pod("more").asking(cpu="1").with_priority(6))
    assert scheduler.binds() == {"more": "n1"}


def test_the_more_important_take_room_kept_for_others_only_where_there_is_no_other() -> None:
    kept = a_pod("kept").asking(cpu="4").with_priority(5).nominated_to("n1")
    nodes = [a_node("n1").having(cpu="64"), a_node("n2").having(cpu="4")]
    large = a_pod("large").asking(cpu="60").with_priority(5).on("n1")
    scheduler = Scheduler(*nodes, large, kept.of_scheduler("another"))
    scheduler.sees(a_pod("more").asking(cpu="4").with_priority(6))
    assert scheduler.binds() == {"more": "n2"}
    scheduler.sees(a_pod("again").asking(cpu="4").with_priority(6))
    assert scheduler.binds() == {"again": "n1"}


def test_a_pod_may_use_the_room_that_is_kept_for_it() -> None:
    kept = a_pod("kept").asking(cpu="4").nominated_to("n1")
    scheduler = Scheduler(a_node("n1").having(cpu="4"), kept)
    assert scheduler.binds() == {"kept": "n1"}
    assert scheduler.cache.cluster.columns.takes(0, "cpu") == 4000


def test_a_state_from_before_the_decision_does_not_undo_the_nomination() -> None:
    pod = a_pod("p").asking(cpu="4")
    other = a_pod("other").asking(cpu="4").on("n1")
    scheduler = Scheduler(a_node("n1").having(cpu="4"), other, pod)
    scheduler.binds()
    scheduler.cache.cluster.nominate(pod.pod, "n1")
    scheduler.sees(pod.at_version(2))
    assert scheduler.cache.cluster.nomination("uid-p") == "n1"


def test_a_trial_that_is_taken_back_leaves_what_was_kept() -> None:
    pods = [
        a_pod(f"g-{n}").of_gang("g", 2).asking(cpu="4").owned_by("Job", "g").nominated_to("n1")
        for n in range(2)
    ]
    scheduler = Scheduler(a_node("n1").having(cpu="4"), *pods)
    assert scheduler.binds() == {}
    assert scheduler.cache.cluster.columns.takes(0, "cpu") == 8000
    scheduler.loses("g-0", "g-1")
    assert scheduler.cache.cluster.columns.takes(0, "cpu") == 0


def test_room_kept_on_a_node_that_went_and_came_back_is_counted_once() -> None:
    pod = a_pod("p").asking(cpu="3").nominated_to("n1").gated()
    scheduler = Scheduler(a_node("n1").having(cpu="4"), pod)
    scheduler.cache.node_gone("n1", scheduler.now)
    scheduler.sees(a_node("n1").having(cpu="4").at_version(2))
    assert scheduler.cache.cluster.columns.takes(0, "cpu") == 3000
    scheduler.loses("p")
    assert scheduler.cache.cluster.columns.takes(0, "cpu") == 0
