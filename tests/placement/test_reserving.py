"""A unit that found no room for long has nodes kept for it."""

from __future__ import annotations

from tests.placement.builders import ZONE, PodBuilder, a_node, a_pod
from tests.placement.playing import Scheduler, gang


def small(name: str) -> PodBuilder:
    return a_pod(name).asking(cpu="1")


def churn(scheduler: Scheduler, rounds: int, prefix: str = "s") -> None:
    """Every minute one of the small pods ends, and another comes."""
    for index in range(rounds):
        name = f"{prefix}{index}"
        scheduler.later(60).loses(name)
        scheduler.sees(small(f"{prefix}{index + 4}").created_at(1000 + index))
        scheduler.binds()


def test_a_large_pod_gets_its_node_in_spite_of_small_ones_that_keep_coming() -> None:
    large = a_pod("large").asking(cpu="4")
    scheduler = Scheduler(a_node("n1").having(cpu="4"), *(small(f"s{n}") for n in range(4)))
    scheduler.binds()
    scheduler.sees(large)
    scheduler.binds()
    churn(scheduler, 12)
    assert scheduler.pods["large"].pod.node == "n1"


def test_higher_priority_comes_in_all_the_same() -> None:
    scheduler = Scheduler(a_node("n1").having(cpu="4"), *(small(f"s{n}") for n in range(4)))
    scheduler.binds()
    scheduler.sees(a_pod("large").asking(cpu="4"))
    scheduler.binds()
    scheduler.later(400).loses("s0")
    scheduler.sees(small("low"), small("high").with_priority(5))
    assert scheduler.binds() == {"high": "n1"}


def test_a_gang_has_one_domain_kept_and_the_others_stay_open() -> None:
    zones = [
        a_node(f"{zone}-{n}").in_zone(zone).having(cpu="2") for zone in ("a", "b") for n in "01"
    ]
    running = [small(f"s{n}") for n in range(8)]
    scheduler = Scheduler(*zones, *running)
    scheduler.binds()
    text = '{"required":{"topologies":[{"key":"%s"}]}}'.replace("%s", ZONE)
    members = [
        each.annotated(**{"alibabacloud.com/topology-aware-constraint": text})
        for each in gang("g", 4, 4, cpu="1")
    ]
    scheduler.sees(*members)
    scheduler.binds()
    scheduler.later(400)
    scheduler.loses(*(f"s{n}" for n in range(8)))
    scheduler.sees(*(small(f"t{n}") for n in range(8)))
    bound = scheduler.binds()
    assert len({bound[f"g-{n}"][0] for n in range(4)}) == 1
    assert sum(name.startswith("t") for name in bound) == 4


def test_nothing_is_kept_for_what_no_node_could_ever_hold() -> None:
    scheduler = Scheduler(a_node("n1").having(cpu="4"), a_pod("large").asking(cpu="5"))
    scheduler.binds()
    scheduler.later(400).sees(small("s"))
    assert scheduler.binds() == {"s": "n1"}


def test_what_was_kept_is_open_again_when_the_unit_is_gone() -> None:
    scheduler = Scheduler(a_node("n1").having(cpu="4"), *(small(f"s{n}") for n in range(4)))
    scheduler.binds()
    scheduler.sees(a_pod("large").asking(cpu="4"))
    scheduler.binds()
    scheduler.later(400).loses("s0")
    scheduler.sees(small("t"))
    assert scheduler.binds() == {}
    scheduler.loses("large")
    assert scheduler.later(20).binds() == {"t": "n1"}
