"""Whose turn it is across queues, beside a brute-force order of whole cycles."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.queues import Policy
from tests.builders import World, a_queue, a_quota, a_tree, a_unit


@dataclass(frozen=True)
class Team:
    """One leaf with its queue: (cpu, submitted, priority) of the units that wait."""

    priority: int
    min: int
    max: int
    units: tuple[tuple[int, int, int], ...]


teams = st.builds(
    Team,
    st.sampled_from([0, 1]),
    st.sampled_from([2, 1, 4, 0]),
    st.integers(4, 9),
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 9), st.sampled_from([0, 1])),
        min_size=2,
        max_size=5,
    ).map(tuple),
)


def expected(order: list[Team], room: int, policy: Policy) -> list[str]:
    """The best queue that has somebody to admit has every turn, by looking at all of them."""
    used = [0] * len(order)
    waiting = [
        sorted((-priority, at, f"u{team}.{index}", cpu) for index, (cpu, at, priority) in listed)
        for team, listed in ((team, enumerate(one.units)) for team, one in enumerate(order))
    ]
    taken: list[str] = []
    while True:
        turns = []
        for team, one in enumerate(order):
            queue = waiting[team]
            looked_at = queue[:1] if policy is Policy.BLOCK else queue
            free = min(one.max - used[team], room - sum(used))
            found = next((unit for unit in looked_at if unit[3] <= free), None)
            if found is not None:
                share = Fraction(used[team], one.min or one.max)
                head = queue[0]
                turns.append((-one.priority, share, head[1], head[2], team, found))
        if not turns:
            return taken
        *_, team, unit = min(turns)
        waiting[team].remove(unit)
        used[team] += unit[3]
        taken.append(unit[2])


@given(st.lists(teams, min_size=2, max_size=4), st.integers(5, 14))
def test_queue_priority_then_smallest_share_then_oldest_head(order: list[Team], room: int) -> None:
    leaves = [
        a_quota(f"t{team}").max(cpu=one.max).min(cpu=one.min).serving(f"t{team}")
        for team, one in enumerate(order)
    ]
    tree = a_tree(a_quota("root").max(cpu=room).over(*leaves))
    for policy in (Policy.BLOCK, Policy.PRIORITY):
        world = World(tree, policy, queues=False)
        for team, one in enumerate(order):
            world.cache.queue_seen(a_queue(f"root-t{team}", priority=one.priority))
            for index, (cpu, at, priority) in enumerate(one.units):
                unit = a_unit(f"u{team}.{index}").of_namespace(f"t{team}").asking(cpu=cpu)
                world.sees(unit.submitted_at(at).with_priority(priority))
        assert world.admits() == expected(order, room, policy)
