"""The walk-through of capacity scheduling, step by step."""

from __future__ import annotations

from kube_queue.api.quota import QuotaTree
from tests.placement.builders import a_node
from tests.placement.quota_worlds import QuotaWorld, pod_in, quota, tree


def the_tree() -> QuotaTree:
    leaves = {f"namespace{n}": quota(f"namespace{n}", 10, 20) for n in range(1, 5)}
    return tree(
        quota("root.a", 20, 40, leaves["namespace1"], leaves["namespace2"]),
        quota("root.b", 20, 40, leaves["namespace3"], leaves["namespace4"]),
        cpu=40,
    )


def test_four_teams_end_with_what_their_min_guarantees() -> None:
    world = QuotaWorld(the_tree(), a_node("big").having(cpu="56"))
    ended = []
    for team in range(1, 5):
        namespace = f"namespace{team}"
        world.sees(*(pod_in(namespace, f"nginx{team}-{n}", 5) for n in range(5)))
        evictions = world.settles()
        counts = [world.running(f"namespace{n}") for n in range(1, team + 1)]
        ended.append((counts, evictions))
    assert ended == [([4], 0), ([4, 4], 0), ([3, 3, 2], 2), ([2, 2, 2, 2], 2)]
