"""Who takes quota back from whom: a guarantee from those who borrowed, a priority in its quota."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kube_queue.admission import Admit
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy, preemptor_in
from kube_queue.api.queues import Policy
from tests.admission.storms import Storm, leaf, two, under, unit
from tests.builders import a_quota, a_tree, a_unit, vector

ANY, LOWER, NEVER = ReclaimPolicy.ANY, ReclaimPolicy.LOWER_PRIORITY, ReclaimPolicy.NEVER
INSIDE = PreemptionPolicy.LOWER_PRIORITY


# --- who may take back ---------------------------------------------------------------------------


def test_a_unit_within_its_min_takes_back_what_others_borrowed() -> None:
    world = two().running(unit("beta-1", 3), unit("beta-2", 3))
    assert world.sees(unit("alpha-1", 3)).evicts() == ["beta-2"]
    assert world.leave("beta-2").admits() == ["alpha-1"]


def test_the_last_victim_may_be_larger_than_what_its_leaf_borrowed() -> None:
    world = two().running(unit("beta-1", 6))
    assert world.sees(unit("alpha-1", 3)).evicts() == ["beta-1"]
    assert world.leave("beta-1").admits() == ["alpha-1"]


def test_a_unit_beyond_its_min_waits_and_nobody_is_evicted() -> None:
    world = two().running(unit("beta-1", 3), unit("beta-2", 3))
    assert world.sees(unit("alpha-1", 4)).evicts() == []
    assert world.why("alpha-1")[0] == "InsufficientQuota"


def test_what_min_does_not_list_is_guaranteed_to_nobody() -> None:
    tree = a_tree(a_quota("root").max(cpu=6, memory="9").over(leaf("alpha", 3), leaf("beta", 3)))
    world = Storm(tree).running(unit("beta-1", 3), unit("beta-2", 3))
    assert world.sees(unit("alpha-1", 3).asking(cpu=3, memory=1)).evicts() == []


def test_what_no_quota_bounds_does_not_count_against_min() -> None:
    world = two().running(unit("beta-1", 3), unit("beta-2", 3))
    assert world.sees(unit("alpha-1", 3).asking(cpu=3, memory=1)).evicts() == ["beta-2"]


@pytest.mark.parametrize(("low", "evicts"), [(0, []), (2, ["beta-1"])])
def test_a_leaf_above_its_min_takes_nothing_back_of_what_its_unit_does_not_ask_for(
    low: int, evicts: list[str]
) -> None:
    world = Storm(under(6, leaf("alpha", low), leaf("beta", 0)))
    world.running(unit("alpha-1", 2), unit("beta-1", 5))
    asks = a_unit("alpha-2").of_namespace("alpha").asking(memory=1)
    assert world.sees(asks).evicts() == evicts


def test_the_own_max_of_a_leaf_is_no_matter_of_what_others_borrowed() -> None:
    tree = under(6, leaf("alpha", 3, cpu=2), leaf("beta", 3))
    world = Storm(tree).running(unit("alpha-0", 1), unit("beta-1", 5))
    assert world.sees(unit("alpha-1", 2)).evicts() == []


def test_never_means_that_a_guarantee_is_waited_for() -> None:
    world = two(reclaim=NEVER).running(unit("beta-1", 6))
    assert world.sees(unit("alpha-1", 3)).evicts() == []


def test_lower_priority_takes_back_only_from_units_of_lower_priority() -> None:
    world = two(reclaim=LOWER).running(unit("beta-1", 3, 5), unit("beta-2", 3, 4))
    assert world.sees(unit("alpha-1", 3, 4)).evicts() == []
    assert world.sees(unit("alpha-2", 3, 5)).evicts() == ["beta-2"]


def test_a_unit_that_is_not_preemptible_takes_back_within_min_and_the_min_of_its_kind() -> None:
    world = Storm(under(6, leaf("alpha", 3), leaf("beta", 1)))
    world.running(unit("alpha-0", 1), unit("beta-1", 5))
    assert world.sees(unit("alpha-1", 2).not_preemptible()).evicts() == ["beta-1"]
    world = Storm(under(6, leaf("alpha", 3), leaf("beta", 1)))
    world.running(unit("alpha-0", 2), unit("beta-1", 4))
    assert world.sees(unit("alpha-1", 2).not_preemptible()).evicts() == []
    world = Storm(under(6, leaf("alpha", 3), leaf("beta", 1)))
    world.running(unit("alpha-0", 2).not_preemptible(), unit("beta-1", 4))
    assert world.sees(unit("alpha-1", 2).not_preemptible()).evicts() == []


def test_places_among_jobs_are_taken_back_where_min_lists_them() -> None:
    def world(low: dict[str, int]) -> Storm:
        leaves = [a_quota(name).min(**low).serving(name) for name in ("alpha", "beta")]
        tree = a_tree(a_quota("root").max(jobs=2).over(*leaves))
        return Storm(tree).running(unit("beta-1", 0), unit("beta-2", 0))

    assert world({"jobs": 1}).sees(unit("alpha-1", 0)).evicts() == ["beta-2"]
    assert world({}).sees(unit("alpha-1", 0)).evicts() == []


@pytest.mark.parametrize("policy", list(Policy))
def test_every_policy_lets_its_choice_take_back(policy: Policy) -> None:
    world = two(policy=policy).running(unit("beta-1", 3), unit("beta-2", 3))
    assert world.sees(unit("alpha-1", 3)).evicts() == ["beta-2"]
    assert world.leave("beta-2").admits() == ["alpha-1"]


def test_under_block_only_the_head_takes_back_and_nobody_passes_it_meanwhile() -> None:
    world = two(policy=Policy.BLOCK).running(unit("beta-1", 3), unit("beta-2", 3))
    world.sees(unit("alpha-1", 3), unit("alpha-2", 0).submitted_at(1))
    assert world.evicts() == ["beta-2"]
    assert world.evicts() == []
    assert world.leave("beta-2").admits() == ["alpha-1", "alpha-2"]


# --- from whom, in which order -------------------------------------------------------------------


def test_the_leaf_that_borrowed_most_gives_first() -> None:
    tree = under(9, leaf("alpha", 1), leaf("beta", 2), leaf("gamma", 1))
    world = Storm(tree).running(*(unit(f"beta-{n}", 1) for n in range(4)))
    world.running(*(unit(f"gamma-{n}", 1) for n in range(5)))
    assert world.sees(unit("alpha-1", 1)).evicts() == ["gamma-4"]


def test_the_lowest_priority_goes_first_then_the_newest() -> None:
    world = Storm(under(3, leaf("alpha", 2), leaf("beta", 0)))
    world.running(unit("beta-low", 1, 1), unit("beta-old", 1, 2), unit("beta-new", 1, 2))
    assert world.sees(unit("alpha-1", 2)).evicts() == ["beta-low", "beta-new"]


def test_of_equals_one_that_leaves_its_leaf_at_or_above_min_goes_first() -> None:
    world = Storm(under(6, leaf("alpha", 1), leaf("beta", 3)))
    world.running(unit("beta-small", 2), unit("beta-large", 4))
    assert world.sees(unit("alpha-1", 1)).evicts() == ["beta-small"]


def test_a_leaf_gives_only_while_it_is_above_its_min() -> None:
    world = Storm(under(5, leaf("alpha", 3), leaf("beta", 3)))
    world.running(*(unit(f"beta-{n}", 1) for n in range(5)))
    assert world.sees(unit("alpha-1", 3)).evicts() == []
    assert world.sees(unit("alpha-2", 2)).evicts() == ["beta-4", "beta-3"]


def test_nobody_is_evicted_for_nothing() -> None:
    world = Storm(under(7, leaf("alpha", 3), leaf("beta", 3)))
    world.running(unit("beta-large", 6, 1), unit("beta-small", 1))
    assert world.sees(unit("alpha-1", 3)).evicts() == ["beta-large"]


def test_all_or_nothing() -> None:
    world = Storm(under(6, leaf("alpha", 3), leaf("beta", 0)))
    world.running(unit("beta-1", 1), unit("beta-2", 2), unit("beta-3", 3).not_preemptible())
    world.sees(unit("alpha-0", 3))
    assert world.evicts() == ["beta-2", "beta-1"]
    world = Storm(under(6, leaf("alpha", 3), leaf("beta", 0)))
    world.running(unit("beta-2", 2), unit("beta-3", 4).not_preemptible())
    assert world.sees(unit("alpha-0", 3)).evicts() == []


@pytest.mark.parametrize(
    "change",
    [{"preemptible": False}, {"evictable": False}, {"evicted": True}, {"active": False}],
)
def test_some_are_never_victims(change: dict[str, bool]) -> None:
    world = two()
    base = unit("beta-1", 6).in_phase(Phase.RUNNING).unit
    world.cache.unit_seen(replace(base, **change))  # type: ignore[arg-type]
    assert world.sees(unit("alpha-1", 3)).evicts() == []


def test_a_unit_that_is_admitted_and_not_seen_to_be_is_no_victim_until_it_is() -> None:
    world = two().sees(unit("beta-1", 6))
    assert world.admits() == ["beta-1"]
    assert world.sees(unit("alpha-1", 3)).evicts() == []
    assert world.runs("beta-1").evicts() == ["beta-1"]


def test_a_unit_whose_checks_run_may_be_a_victim() -> None:
    world = two()
    world.cache.unit_seen(unit("beta-1", 6).in_phase(Phase.RESERVED).unit)
    assert world.sees(unit("alpha-1", 3)).evicts() == ["beta-1"]


# --- in the own quota ----------------------------------------------------------------------------


def three(preemption: PreemptionPolicy) -> Storm:
    tree = under(6, leaf("alpha", 2), leaf("beta", 2), leaf("gamma", 2))
    world = Storm(tree, preemption=preemption)
    return world.running(unit("alpha-low", 1, 1), unit("beta-mid", 1, 5), unit("beta-high", 4, 9))


def test_own_units_go_where_the_leaf_is_within_min_only_without_them() -> None:
    world = three(INSIDE)
    assert world.sees(unit("alpha-mid", 2, 5)).evicts() == ["alpha-low", "beta-mid"]
    assert [str(one.reason) for one in world.evictions] == ["Preempted", "Reclaimed"]
    world.leave("alpha-low", "beta-mid")
    assert world.admits() == ["alpha-mid"]
    world.runs("alpha-mid").ends("alpha-mid")
    assert sorted(world.admits()) == ["alpha-low", "beta-mid"]


def test_without_preemption_in_a_quota_nobody_of_it_goes() -> None:
    world = three(PreemptionPolicy.NEVER)
    assert world.sees(unit("alpha-mid", 2, 5)).evicts() == []


def test_a_higher_priority_goes_first_in_its_own_quota_whatever_its_min() -> None:
    tree = under(9, leaf("alpha", 0, cpu=2), leaf("beta", 0))
    world = Storm(tree, preemption=INSIDE, reclaim=NEVER)
    world.running(unit("alpha-old", 1, 1), unit("alpha-new", 1, 1), unit("beta-1", 2))
    assert world.sees(unit("alpha-1", 1, 1)).evicts() == []
    assert world.sees(unit("alpha-2", 1, 2)).evicts() == ["alpha-new"]


# --- when to look again --------------------------------------------------------------------------


def test_it_is_looked_at_again_when_its_own_leaf_gives_back() -> None:
    world = two(8).running(unit("alpha-0", 1), unit("alpha-9", 1), unit("beta-1", 6))
    assert world.sees(unit("alpha-1", 3)).evicts() == []
    assert world.ends("alpha-0").decides() == []
    world.ends("alpha-9")
    assert world.evicts() == ["beta-1"]


def test_it_is_looked_at_again_when_somebody_borrows() -> None:
    tree = under(6, leaf("alpha", 3), leaf("beta", 3), leaf("gamma", 0))
    world = Storm(tree).running(unit("beta-1", 3).not_preemptible(), unit("gamma-1", 1))
    world.running(unit("gamma-2", 2).not_preemptible())
    assert world.sees(unit("alpha-1", 3)).evicts() == []
    world.ends("gamma-2").running(unit("gamma-3", 2))
    assert world.evicts() == ["gamma-3", "gamma-1"]


def test_it_is_looked_at_again_when_a_unit_becomes_evictable() -> None:
    world = two()
    runs = unit("beta-1", 6).in_phase(Phase.RUNNING).unit
    world.cache.unit_seen(replace(runs, evictable=False))
    assert world.sees(unit("alpha-1", 3)).evicts() == []
    world.cache.unit_seen(runs)
    assert world.evicts() == ["beta-1"]


def test_it_is_looked_at_again_when_the_tree_changes() -> None:
    world = Storm(under(6, leaf("alpha", 2), leaf("beta", 3))).running(unit("beta-1", 6))
    assert world.sees(unit("alpha-1", 3)).evicts() == []
    world.cache.tree_seen(under(6, leaf("alpha", 3), leaf("beta", 3)))
    assert world.evicts() == ["beta-1"]


def test_a_higher_priority_among_units_alike_looks_for_victims_of_its_own() -> None:
    world = two(reclaim=LOWER).running(unit("beta-1", 6, 3))
    assert world.sees(unit("alpha-1", 3, 3)).evicts() == []
    assert world.sees(unit("alpha-2", 3, 4)).evicts() == ["beta-1"]


# --- what is said --------------------------------------------------------------------------------


def test_the_message_names_the_preemptor_both_quotas_and_why() -> None:
    world = two().running(unit("beta-1", 6)).sees(unit("alpha-1", 3))
    world.evicts()
    (told,) = world.evictions
    assert told.message == (
        "quota root/beta has borrowed (cpu used 6, min 3), and quota root/alpha takes back what "
        "its min guarantees for QueueUnit alpha/alpha-1 (uid uid-alpha-1)"
    )
    assert told.preemptor == preemptor_in(told.message) == "uid-alpha-1"
    assert (told.reason, told.name, told.namespace) == ("Reclaimed", "beta-1", "beta")


def test_the_message_of_a_preemption_names_both_priorities() -> None:
    tree = under(2, leaf("alpha", 0))
    world = Storm(tree, preemption=INSIDE).running(unit("alpha-1", 2, 1))
    assert world.sees(unit("alpha-2", 2, 7)).evicts() == ["alpha-1"]
    assert world.evictions[0].message == (
        "has priority 1 and makes room in quota root/alpha for QueueUnit alpha/alpha-2 "
        "(uid uid-alpha-2) of priority 7"
    )


# --- exact numbers -------------------------------------------------------------------------------


def test_amounts_beyond_64_bits_are_taken_back_exactly() -> None:
    most = 2**70
    half = most // 2
    leaves = [a_quota(name).min(memory=half).serving(name) for name in ("alpha", "beta")]
    world = Storm(a_tree(a_quota("root").max(memory=most).over(*leaves)))
    world.running(unit("beta-1", 0).asking(memory=half), unit("beta-2", 0).asking(memory=half - 1))
    assert world.sees(unit("alpha-1", 0).asking(memory=1)).admits() == ["alpha-1"]
    world.runs("alpha-1").sees(unit("alpha-2", 0).asking(memory=half))
    assert world.evicts() == []
    world.sees(unit("alpha-3", 0).asking(memory=half - 1))
    assert world.evicts() == ["beta-2"]


def test_min_counts_with_the_oversell_rate() -> None:
    world = two(6, oversell_rate=1.5).running(unit("beta-1", 5), unit("beta-2", 4))
    assert world.sees(unit("alpha-1", 4)).evicts() == ["beta-2"]
    assert vector(jobs=1)[MAX_JOBS] == 1
    assert not any(isinstance(one, Admit) for one in world.decides())
