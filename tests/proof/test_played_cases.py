"""Small lives of the cache in which a rule was once broken, held against the model."""

from __future__ import annotations

from dataclasses import replace

from kube_queue.api.lifecycle import Phase
from kube_queue.api.queues import Policy
from kube_queue.api.quota import QuotaTree
from tests.builders import UnitBuilder, a_unit
from tests.cache.test_cache_machine import CacheMachine
from tests.cache.trees import FULL, LENDING, QUEUES, SMALLER, TREES

Step = tuple[UnitBuilder, ...] | str
"""Units that arrive, or the name of one that leaves; a cycle follows the arrivals."""


def _plays(tree: QuotaTree, policy: Policy, rules: tuple[str, str], *steps: Step) -> set[str]:
    """Returns who was evicted."""
    machine = CacheMachine()
    machine._fresh(policy, rules)
    machine.sees_tree(TREES.index(tree))
    for name in QUEUES:
        machine.sees_queue(name, None, 0)
    for step in steps:
        if isinstance(step, str):
            unit = machine.objects[f"uid-{step}"]
            machine._leaves(unit, Phase.ENQUEUED if unit.evicted else Phase.SUCCEED)
            machine.tell(True)
            continue
        for builder in step:
            machine.write(replace(builder.unit))
        machine.tell(True)
        machine.a_cycle_runs(0, True)
    return {victim.removeprefix("uid-") for victim, _ in machine.promises.history}


def _unit(name: str, namespace: str, priority: int = 0, **asked: int) -> UnitBuilder:
    return a_unit(name).of_namespace(namespace).with_priority(priority).asking(**asked)


def test_a_promise_within_what_a_leaf_does_not_lend_counts_once() -> None:
    _plays(
        LENDING,
        Policy.ROUND,
        ("Any", "LowerPriority"),
        (_unit("u2", "b", cpu=2),),
        (
            _unit("u5", "a", cpu=1, memory=3).submitted_at(1),
            _unit("u7", "b", 1, cpu=3).submitted_at(1),
            _unit("u9", "b", 2, cpu=1, memory=1).submitted_at(1).not_preemptible(),
        ),
        (_unit("u10", "a", 1, cpu=2).submitted_at(1).not_preemptible(),),
        "u2",
        (),
    )


def test_a_leaf_gives_what_it_borrowed_of_a_resource_that_others_used_up() -> None:
    evicted = _plays(
        FULL,
        Policy.ROUND,
        ("Any", "Never"),
        (
            _unit("u1", "b", 1, memory=3).in_phase(Phase.RUNNING),
            _unit("u2", "b", memory=4).in_phase(Phase.RUNNING),
        ),
        (_unit("u3", "a", cpu=1),),
        "u2",
        (),
    )
    assert evicted == {"u2"}


def test_a_leaf_above_its_min_takes_nothing_back_of_what_is_scarce() -> None:
    evicted = _plays(
        SMALLER,
        Policy.ROUND,
        ("Any", "Never"),
        (
            _unit("u1", "c", cpu=2).in_phase(Phase.RUNNING),
            _unit("u2", "c", cpu=3).in_phase(Phase.RUNNING),
            _unit("u3", "a", cpu=1).in_phase(Phase.RUNNING),
        ),
        (_unit("u4", "a", memory=1),),
        "u2",
        (),
    )
    assert evicted == set()


def test_the_smallest_share_goes_first_among_sleepers_where_reclaim_is_on() -> None:
    _plays(
        FULL,
        Policy.ROUND,
        ("Any", "LowerPriority"),
        (
            _unit("u5", "a", cpu=3, memory=1),
            _unit("u7", "a", 5, cpu=1, memory=3).in_queue("root-c"),
        ),
        (
            _unit("u13", "c", 1, cpu=2, memory=1),
            _unit("u15", "a", 2, cpu=1),
            _unit("u18", "c", cpu=3, memory=3),
            _unit("u19", "a", 1, memory=3).in_queue("shared").submitted_at(1),
        ),
        "u5",
        (),
    )
