"""Small lives of the cache in which a rule was once broken, held against the model."""

from __future__ import annotations

from dataclasses import replace

from kube_queue.api.lifecycle import Phase
from kube_queue.api.queues import Policy
from kube_queue.api.quota import QuotaTree
from tests.builders import START, UnitBuilder, a_unit
from tests.cache.test_cache_machine import CacheMachine
from tests.cache.trees import FULL, GUARANTEED, LENDING, QUEUES, SMALLER, TREES

Step = tuple[UnitBuilder, ...] | str | float
"""Units that arrive, the name of one that leaves, or seconds that pass; a cycle follows the
arrivals.
"""


def _plays(tree: QuotaTree, policy: Policy, rules: tuple[str, str], *steps: Step) -> set[str]:
    """Returns who was evicted."""
    machine = _played(tree, policy, rules, *steps)
    return {victim.removeprefix("uid-") for victim, _ in machine.promises.history}


def _passes(tree: QuotaTree, *steps: Step) -> set[str]:
    """Returns who holds quota at last under Backfill."""
    machine = _played(tree, Policy.BACKFILL, ("Never", "Never"), *steps)
    return {uid.removeprefix("uid-") for uid in machine.model.holders()}


def _played(tree: QuotaTree, policy: Policy, rules: tuple[str, str], *steps: Step) -> CacheMachine:
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
        if isinstance(step, float):
            machine.time_passes(step)
            continue
        for builder in step:
            machine.write(replace(builder.unit))
        machine.tell(True)
        machine.a_cycle_runs(0, True)
    return machine


def _unit(name: str, namespace: str, priority: int = 0, **asked: int) -> UnitBuilder:
    return a_unit(name).of_namespace(namespace).with_priority(priority).asking(**asked)


def _lasting(seconds: int, unit: UnitBuilder) -> UnitBuilder:
    """The unit with its owner's word that it runs so long."""
    return UnitBuilder(replace(unit.unit, expected_seconds=seconds))


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


def test_the_start_of_a_head_does_not_count_on_who_has_run_longer_than_expected() -> None:
    held = _passes(
        GUARANTEED,
        (
            _lasting(5, _unit("overdue", "a", cpu=1)),
            _lasting(40, _unit("runs", "b", cpu=1)),
            _unit("stays", "c", cpu=3),
        ),
        30.0,
        (
            _unit("head", "b", cpu=2).submitted_at(30),
            _lasting(11, _unit("ends-later", "b", cpu=1).submitted_at(31)),
            _lasting(10, _unit("ends-first", "b", cpu=1).submitted_at(32)),
        ),
    )
    assert held == {"overdue", "runs", "stays", "ends-first"}


def test_the_start_of_a_head_does_not_count_on_who_is_checked_or_evicted() -> None:
    checked = _unit("goes", "a", cpu=1).in_phase(Phase.RESERVED)
    evicted = _unit("goes", "a", cpu=1).in_phase(Phase.RUNNING)._with(evicted=True)
    for goes in (checked, evicted):
        held = _passes(
            GUARANTEED,
            (_lasting(5, goes),),
            (_lasting(40, _unit("runs", "b", cpu=1)), _unit("stays", "c", cpu=3)),
            (
                _unit("head", "b", cpu=2).submitted_at(1),
                _lasting(41, _unit("ends-later", "b", cpu=1).submitted_at(2)),
                _lasting(40, _unit("ends-first", "b", cpu=1).submitted_at(3)),
            ),
        )
        assert held == {"goes", "runs", "stays", "ends-first"}


def test_a_job_is_expected_to_end_by_when_it_began_and_not_by_when_it_was_admitted() -> None:
    started = UnitBuilder(
        replace(
            _unit("started", "b", cpu=5).in_phase(Phase.RUNNING).unit,
            expected_seconds=40,
            allocated=int(START * 1_000_000),
            started=int((START + 30) * 1_000_000),
        )
    )
    held = _passes(
        GUARANTEED,
        30.0,
        (started,),
        (
            _unit("head", "b", cpu=6).submitted_at(30),
            _lasting(41, _unit("ends-later", "b", cpu=1).submitted_at(31)),
            _lasting(40, _unit("ends-first", "b", cpu=1).submitted_at(32)),
        ),
    )
    assert held == {"started", "ends-first"}
