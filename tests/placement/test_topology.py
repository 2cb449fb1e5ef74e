"""Topology-aware constraint: one domain holds the whole gang."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.placement.builders import HOST, ZONE, NodeBuilder, PodBuilder, a_node
from tests.placement.playing import Scheduler, gang


def constrained(count: int, key: str = ZONE, **selector: str) -> list[PodBuilder]:
    required: dict[str, Any] = {"topologies": [{"key": key}]}
    if selector:
        required["nodeSelectors"] = [{"matchLabels": selector, "matchExpressions": {}}]
    return with_annotation(count, json.dumps({"name": "test", "required": required}))


def with_annotation(count: int, text: str) -> list[PodBuilder]:
    return [
        each.annotated(**{"alibabacloud.com/topology-aware-constraint": text})
        for each in gang("g", count, count, cpu="1")
    ]


def zone(name: str, *cpus: int) -> list[NodeBuilder]:
    return [
        a_node(f"{name}-{index}").in_zone(name).having(cpu=str(cpu))
        for index, cpu in enumerate(cpus)
    ]


def test_a_gang_goes_to_the_only_zone_that_holds_it() -> None:
    scheduler = Scheduler(*zone("z1", 1, 1), *zone("z2", 2, 2), *constrained(4))
    assert {node[:2] for node in scheduler.binds().values()} == {"z2"}


def test_room_in_two_zones_that_neither_holds_alone_is_no_room() -> None:
    scheduler = Scheduler(*zone("z1", 3), *zone("z2", 3), *constrained(4))
    assert scheduler.binds() == {}
    assert scheduler.why("g-0") == (
        f"no domain of {ZONE} holds all pods that are needed: z1 has room for 3; z2 has room for 3"
    )


def test_of_domains_that_fit_the_tightest_is_taken() -> None:
    scheduler = Scheduler(*zone("a", 8), *zone("b", 4), *zone("c", 5), *constrained(4))
    assert set(scheduler.binds().values()) == {"b-0"}


def test_a_domain_that_has_room_only_on_paper_is_passed_over_for_the_next() -> None:
    """Two nodes of 1.5 have 3 cpu and take no more than two pods of 1."""
    half = [a_node(f"a-{n}").in_zone("a").having(cpu="1500m") for n in range(2)]
    scheduler = Scheduler(*half, *zone("b", 8), *constrained(3))
    assert set(scheduler.binds().values()) == {"b-0"}


def test_only_nodes_of_the_selector_are_used() -> None:
    """Seed 002: key hostname, selector test=abc, one of the nodes has room for all five."""
    nodes = [a_node(f"n{n}").having(cpu="4").labelled(test="abc") for n in range(2)]
    large = a_node("n2").having(cpu="5").labelled(test="abc")
    elsewhere = a_node("n3").having(cpu="50")
    scheduler = Scheduler(*nodes, large, elsewhere, *constrained(5, HOST, test="abc"))
    assert set(scheduler.binds().values()) == {"n2"}


def test_members_that_stand_already_pin_the_domain() -> None:
    members = constrained(2)
    scheduler = Scheduler(*zone("z1", 1), *zone("z2", 8), members[0].on("z1-0"), members[1])
    assert scheduler.binds() == {}
    scheduler.later(20).sees(a_node("z1-1").in_zone("z1").having(cpu="1"))
    assert scheduler.binds() == {"g-1": "z1-1"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{not json", "no JSON"),
        ("[]", "an object with the field required is expected"),
        ('{"required":{"topologies":[]}}', "a list of {key: ...} is expected"),
        ('{"required":{"topologies":[{"key":7}]}}', "7 is no label of a node"),
        (
            '{"required":{"topologies":[{"key":"a"}],"nodeSelectors":[{"matchLabels":3}]}}',
            "a map of labels is expected",
        ),
        (
            '{"required":{"topologies":[{"key":"a"}],'
            '"nodeSelectors":[{"matchExpressions":[{"key":"a","operator":"Near"}]}]}}',
            "key or operator cannot be read",
        ),
    ],
)
def test_a_constraint_that_cannot_be_read_is_never_placed_as_if_there_were_none(
    text: str, problem: str
) -> None:
    scheduler = Scheduler(*zone("z1", 8), *with_annotation(1, text))
    assert scheduler.binds() == {}
    assert "InvalidTopologyConstraint" in scheduler.why("g-0")
    assert problem in scheduler.why("g-0")


def test_an_empty_selector_allows_every_node() -> None:
    required = {"topologies": [{"key": ZONE}], "nodeSelectors": [{"matchLabels": {}}]}
    text = json.dumps({"required": required})
    scheduler = Scheduler(*zone("z1", 8), *with_annotation(2, text))
    assert len(scheduler.binds()) == 2


def test_a_label_that_no_node_has_is_named() -> None:
    scheduler = Scheduler(a_node("n1"), *constrained(1, "rack"))
    assert scheduler.binds() == {}
    assert scheduler.why("g-0") == "no node has the labels of the constraint: rack"
