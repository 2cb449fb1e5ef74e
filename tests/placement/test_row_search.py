"""Only few rows are looked at closely; the answer is that of looking at all of them."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kube_queue.api.pods import Pod
from kube_queue.placement.gangs import Gangs, key_of
from kube_queue.placement.making_room import Room, Search
from kube_queue.placement.reclaim_rule import Reclaim
from kube_queue.placement.row_board import Board
from kube_queue.placement.row_search import MOST_ROWS, RowPlan, least_harmful
from tests.placement.builders import PodBuilder, a_node
from tests.placement.quota_worlds import QuotaWorld, a_budget, pod_in, quota, tree

PORT = 80
HIGH = 9

# --- the search itself ---------------------------------------------------------------------------


@st.composite
def harms(draw: st.DrawFn) -> list[tuple[int, int | None]]:
    """By row: the least its plan may cost, and what it costs; None: there is no plan."""
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        least = draw(st.integers(0, 5))
        rows.append((least, draw(st.none() | st.integers(least, 6))))
    return rows


def search(rows: list[tuple[int, int | None]], at_once: int) -> tuple[RowPlan | None, list[int]]:
    """What is found, and the rows that were looked at closely."""
    closely: list[int] = []

    def plan(row: int) -> RowPlan | None:
        closely.append(row)
        harm = rows[row][1]
        return RowPlan(row, (), (harm, row)) if harm is not None else None

    found = least_harmful(range(len(rows)), at_once, lambda row: (rows[row][0],), plan)
    return found, closely


@given(rows=harms(), at_once=st.integers(1, 14))
def test_the_plan_found_is_the_best_of_the_first_rows_of_which_one_has_any(
    rows: list[tuple[int, int | None]], at_once: int
) -> None:
    found, _ = search(rows, at_once)
    for begin in range(0, len(rows), at_once):
        window = range(begin, min(begin + at_once, len(rows)))
        costs = [(harm, row) for row in window if (harm := rows[row][1]) is not None]
        if costs:
            assert found is not None
            assert found.harm == min(costs)
            return
    assert found is None


def test_a_row_that_costs_more_in_any_case_is_not_looked_at_closely() -> None:
    found, closely = search([(3, 3), (1, 2), (3, 5), (4, 4)], 4)
    assert found is not None
    assert found.row == 1
    assert closely == [1]


def test_rows_behind_those_that_were_looked_at_have_their_turn_with_the_next_pod() -> None:
    board = Board(0)
    last = MOST_ROWS + 50

    def plan(row: int) -> RowPlan | None:
        board.keep(row, RowPlan(row, (), (1, row)) if row == last else None, grouped=False)
        return board.plan(row)

    def asked() -> RowPlan | None:
        return board.best(None, lambda: np.ones(last + 1, np.bool_), plan)

    assert asked() is None
    found = asked()
    assert found is not None
    assert found.row == last


# --- priority preemption -------------------------------------------------------------------------


@st.composite
def filled(draw: st.DrawFn) -> list[list[PodBuilder]]:
    """By node: pods of some sizes and priorities, of which some hold a port."""
    found, serial = [], 0
    for _ in range(draw(st.integers(1, 5))):
        pods: list[PodBuilder] = []
        for _ in range(draw(st.integers(0, 5))):
            serial += 1
            pod = pod_in("default", f"p{serial}", draw(st.integers(1, 3)), draw(st.integers(0, 3)))
            pod = pod.created_at(draw(st.integers(0, 3))).labelled(app=draw(st.sampled_from("ab")))
            if draw(st.booleans()) and not any(_port(each) for each in pods):
                pod = pod.with_host_port(PORT)
            pods.append(pod)
        found.append(pods)
    return found


def _port(pod: PodBuilder) -> bool:
    return bool(pod.manifest["spec"]["containers"][0].get("ports"))


def by_hand(nodes: list[list[PodBuilder]], pod: PodBuilder, cpu: int) -> tuple[int, set[str]]:
    """kube-scheduler's way on every node: all of lower priority leave, and from the most important
    on each stays that can. Returns the node and who leaves; -1: no node is helped.
    """
    best: tuple[tuple[int, ...], set[str]] = (), set()
    for row, pods in enumerate(nodes):
        lower = [each for each in pods if each.pod.priority < pod.pod.priority]
        stay = [each for each in pods if each.pod.priority >= pod.pod.priority]
        if not _fits(stay, pod, cpu):
            continue
        leave: list[Pod] = []
        for each in sorted(lower, key=lambda each: _importance(each.pod), reverse=True):
            if _fits([*stay, each], pod, cpu):
                stay.append(each)
            else:
                leave.append(each.pod)
        highest = max(each.priority for each in leave)
        latest = min(each.created for each in leave if each.priority == highest)
        total = sum(each.priority + 2**31 for each in leave)
        harm = (highest, total, len(leave), -latest, row)
        if not best[0] or harm < best[0]:
            best = harm, {each.name for each in leave}
    return (best[0][-1] if best[0] else -1), best[1]


def _fits(pods: list[PodBuilder], pod: PodBuilder, cpu: int) -> bool:
    taken = sum(each.pod.spec.request["cpu"] for each in (*pods, pod))
    return taken <= cpu * 1000 and not (_port(pod) and any(_port(each) for each in pods))


def _importance(pod: Pod) -> tuple[object, ...]:
    return pod.priority, -pod.created, pod.namespace, pod.name


@given(nodes=filled(), size=st.integers(1, 6), priority=st.integers(1, 4), port=st.booleans())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_lower_priorities_leave_the_node_that_kube_scheduler_would_choose_of_all(
    nodes: list[list[PodBuilder]], size: int, priority: int, port: bool
) -> None:
    world = QuotaWorld(None, *(a_node(f"n{row}").having(cpu=8) for row in range(len(nodes))))
    for row, pods in enumerate(nodes):
        world.runs(*pods, node=f"n{row}")
    # One after another, so that plans of rows that did not change are used again.
    for serial in range(3):
        pod = pod_in("default", f"h{serial}", size, priority)
        pod = pod.with_host_port(PORT) if port else pod
        free = any(_fits(pods, pod, 8) for pods in nodes)
        row, victims = (-1, set[str]()) if free else by_hand(nodes, pod, 8)
        plans = world.sees(pod).preempts()
        assert bool(plans) == (row >= 0)
        if row < 0:
            break
        (plan,) = (each.preemption for each in plans)
        assert {each.name for each in plan.leaving} == victims
        assert [node for _, node in plan.nominations] == [f"n{row}"]
        world.goes(*victims).places()
        nodes[row] = [each for each in nodes[row] if each.pod.name not in victims] + [pod]


# --- reclaim -------------------------------------------------------------------------------------

LEAVES = ("beta", "gamma", "delta")


@given(
    nodes=st.lists(
        st.lists(st.tuples(st.sampled_from(LEAVES), st.integers(1, 3)), max_size=5),
        min_size=1,
        max_size=6,
    ),
    size=st.integers(1, 6),
    lows=st.tuples(*(st.integers(0, 6) for _ in LEAVES)),
    allowed=st.none() | st.integers(0, 2),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_what_was_lent_is_taken_back_where_the_fewest_leave_of_all_nodes(
    nodes: list[list[tuple[str, int]]], size: int, lows: tuple[int, ...], allowed: int | None
) -> None:
    leaves = [quota(name, low, 200) for name, low in zip(LEAVES, lows, strict=True)]
    found = tree(quota("alpha", 6, 200), *leaves, cpu=200)
    world = QuotaWorld(found, *(a_node(f"n{row}").having(cpu=8) for row in range(len(nodes))))
    serial = 0
    for row, pods in enumerate(nodes):
        for leaf, cpu in pods:
            serial += 1
            pod = pod_in(leaf, f"p{serial}", cpu).created_at(serial).labelled(app="web")
            world.runs(pod, node=f"n{row}")
    if allowed is not None:
        world.protects(a_budget("web", "beta", allowed, app="web"))
    pod = pod_in("alpha", "a", size)
    everywhere = _every_plan(world, pod)
    plans = [each.preemption for each in world.sees(pod).preempts()]
    if any(sum(cpu for _, cpu in pods) + size <= 8 for pods in nodes):
        assert plans == []
        return
    assert bool(plans) == bool(everywhere)
    for plan in plans:
        best = min(everywhere, key=lambda each: each.harm)
        assert [node for _, node in plan.nominations] == [f"n{best.row}"]
        leaving = {each.uid for pick in best.picks for each in pick.pods}
        assert {each.uid for each in plan.leaving} == leaving


def _every_plan(world: QuotaWorld, pod: PodBuilder) -> list[RowPlan]:
    """What would have to leave each of the nodes for a pod that is not there yet."""
    gangs, capacity = Gangs(), world.brain.capacity
    gangs.pod_seen(None, pod.pod)
    unit = gangs.unit(key_of(pod.pod))
    assert unit is not None
    rule = Reclaim(capacity, {capacity.homes.of(pod.pod).leaf})
    tried = Search(Room(world.brain.cycle.placer, gangs), unit, [pod.pod], rule)
    rule.begin(tried, pod.pod)
    rows = range(len(world.brain.cluster.nodes))
    plans = [rule.row_plan(tried, pod.pod, row) for row in rows]
    return [plan for plan in plans if plan is not None]
