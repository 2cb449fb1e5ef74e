"""What is worked out per row, one row or all of them at a time, is the same."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.resources import ResourceVector
from kube_queue.placement.columns import LARGEST, Columns
from kube_queue.placement.plugins import BASE
from kube_queue.placement.plugins.resources_fit import LeastAllocated, MostAllocated
from tests.placement.builders import World, a_node, a_pod

AMOUNTS = st.integers(0, 40)
STANDING = st.lists(
    st.tuples(st.integers(0, 11), AMOUNTS, AMOUNTS), max_size=40, unique_by=lambda each: each
)


def a_world(standing: list[tuple[int, int, int]], plugins: tuple[object, ...] = BASE) -> World:
    nodes = [a_node(f"n{n}").having(cpu=str(n), memory=f"{3 * n}Gi") for n in range(12)]
    pods = [
        a_pod(f"s{index}").asking(cpu=f"{cpu}00m", memory=f"{memory}Mi").on(f"n{row}")
        for index, (row, cpu, memory) in enumerate(standing)
    ]
    return World(*nodes, *pods, plugins=plugins)  # type: ignore[arg-type]


@given(STANDING, AMOUNTS, AMOUNTS)
def test_scores_of_one_row_are_those_of_the_column(
    standing: list[tuple[int, int, int]], cpu: int, memory: int
) -> None:
    spec = a_pod("p").asking(cpu=f"{cpu}00m", memory=f"{memory}Mi").pod.spec
    for strategy in (LeastAllocated, MostAllocated):
        world = a_world(standing, (strategy, BASE[5]))
        for scorer in world.profile.resource_scores:
            column = scorer.resource_scores(spec, slice(None))
            assert [scorer.resource_score(spec, row) for row in range(12)] == list(column)
            assert column.min() >= 0
            assert column.max() <= 100


@given(STANDING, STANDING)
def test_a_view_that_followed_the_changes_is_one_that_was_made_anew(
    first: list[tuple[int, int, int]], then: list[tuple[int, int, int]]
) -> None:
    world = a_world(first)
    spec = a_pod("p").asking(cpu="1", memory="64Mi").pod.spec
    world.placer.views.of(spec)
    for index, (row, cpu, memory) in enumerate(then):
        pod = a_pod(f"t{index}").asking(cpu=f"{cpu}00m", memory=f"{memory}Mi")
        world.sees(pod.on(f"n{row}"))
        if index % 3 == 0:
            world.cluster.forget(f"uid-s{index}")
        if index % 5 == 0:
            world.sees(a_node(f"n{row}").having(cpu=str(index)))
        world.placer.views.of(spec)
    followed = world.placer.views.of(spec)
    fresh = type(world.placer.views)(world.cluster, world.profile).of(spec)
    assert np.array_equal(followed.feasible, fresh.feasible)
    assert np.array_equal(followed.score, fresh.score)
    assert np.array_equal(followed.rank, fresh.rank)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**63)), max_size=30))
def test_sums_of_any_size_come_back_to_nothing(adds: list[tuple[int, int]]) -> None:
    columns = Columns()
    for _ in range(4):
        columns.add_row()
    exact = [0] * 4
    for row, amount in adds:
        columns.add(row, ResourceVector.of({"memory": amount}))
        exact[row] += amount
        assert columns.takes(row, "memory") == exact[row]
        assert int(columns.used("memory")[row]) == min(exact[row], LARGEST)
    for row, amount in adds:
        columns.add(row, ResourceVector.of({"memory": amount}), -1)
    assert [columns.takes(row, "memory") for row in range(4)] == [0] * 4
    assert not columns.used("memory").any()


def test_a_request_that_no_column_can_hold_is_refused_by_name() -> None:
    world = World(a_node("n1"))
    said = world.says(a_pod("p").asking(memory=str(2**63)))
    assert "memory, which cannot be counted exactly" in said


def test_equal_nodes_are_filled_in_turn() -> None:
    world = World(*(a_node(f"n{n}") for n in range(3)))
    pods = [a_pod(f"p{n}").asking(cpu="1", memory="4Gi") for n in range(6)]
    assert sorted(world.places(*pods)) == ["n0", "n0", "n1", "n1", "n2", "n2"]
