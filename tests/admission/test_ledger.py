"""The ledger's arithmetic: exact sums, bounds on every ancestor, trials."""

from __future__ import annotations

import pytest

from kube_queue.admission import QuotaLedger
from kube_queue.admission.decisions import Bound
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.quota import QuotaTree
from kube_queue.api.reasons import Reason
from tests.builders import a_quota, a_tree, one_quota, vector

LEAF = "root/team"


def ledger_of(tree: QuotaTree, rate: float = 1.0) -> QuotaLedger:
    ledger = QuotaLedger()
    ledger.set_tree(tree, rate)
    return ledger


def three_levels() -> QuotaTree:
    return a_tree(
        a_quota("root")
        .max(cpu="10")
        .over(
            a_quota("left")
            .max(cpu="6")
            .over(a_quota("l1").max(cpu="5"), a_quota("l2").max(cpu="5")),
            a_quota("right").max(cpu="8"),
        )
    )


def test_a_charge_counts_on_its_leaf_and_on_every_node_above() -> None:
    ledger = ledger_of(three_levels())
    ledger.charge("u", "root/left/l1", vector(cpu="2"))
    used = {path: ledger.usage(path).used.get("cpu", 0) for path in ledger.paths()}
    assert used == {
        "root": 2000,
        "root/left": 2000,
        "root/left/l1": 2000,
        "root/left/l2": 0,
        "root/right": 0,
    }


def test_max_holds_on_every_ancestor() -> None:
    ledger = ledger_of(three_levels())
    ledger.charge("u", "root/left/l1", vector(cpu="4"))
    short = ledger.shortage("root/left/l2", vector(cpu="3"))
    assert short is not None
    assert (short.path, short.used, short.limit, short.missing) == ("root/left", 4000, 6000, 1000)
    assert ledger.shortage("root/left/l2", vector(cpu="2")) is None


def test_a_resource_without_max_is_unlimited_and_zero_max_allows_nothing() -> None:
    ledger = ledger_of(one_quota(cpu="0"))
    assert ledger.shortage(LEAF, vector(memory="100Ti")) is None
    assert ledger.never_fits(LEAF, vector(cpu="1m")) is not None


def test_memory_above_two_gibibytes_is_exact() -> None:
    ledger = ledger_of(one_quota(memory="1Ei"))
    ledger.charge("u", LEAF, vector(memory=str(2**60 - 1)))
    assert ledger.shortage(LEAF, vector(memory="1")) is None
    assert ledger.shortage(LEAF, vector(memory="2")) is not None


def test_a_decision_is_exact_beyond_64_bits() -> None:
    ledger = ledger_of(one_quota(memory=str(2**64 + 10)))
    ledger.charge("u", LEAF, vector(memory=str(2**64)))
    assert ledger.shortage(LEAF, vector(memory="10")) is None
    short = ledger.shortage(LEAF, vector(memory="11"))
    assert short is not None
    assert (short.used, short.limit, short.missing) == (2**64, 2**64 + 10, 1)


def test_max_jobs_counts_units_of_the_whole_subtree() -> None:
    tree = a_tree(a_quota("root").max(jobs="2").over(a_quota("a"), a_quota("b")))
    ledger = ledger_of(tree)
    ledger.charge("u1", "root/a", vector())
    ledger.charge("u2", "root/b", vector())
    short = ledger.shortage("root/a", vector())
    assert short is not None
    assert (short.reason, short.used, short.limit) == (Reason.MAX_JOBS_REACHED, 2, 2)


def test_growing_an_admitted_job_does_not_count_as_another() -> None:
    ledger = ledger_of(one_quota(jobs="2", cpu="9"))
    ledger.charge("u", LEAF, vector(cpu="1"))
    ledger.charge("u", LEAF, vector(cpu="3"))
    assert ledger.usage("root").used == {"cpu": 3000, MAX_JOBS: 1}


def test_charging_and_releasing_twice_changes_nothing() -> None:
    ledger = ledger_of(one_quota(cpu="4"))
    ledger.charge("u", LEAF, vector(cpu="1"))
    assert ledger.charge("u", LEAF, vector(cpu="1")) is None
    assert ledger.usage(LEAF).used["cpu"] == 1000
    assert ledger.release("u") is not None
    assert ledger.release("u") is None
    assert ledger.usage(LEAF).used == {}


@pytest.mark.parametrize(
    ("limit", "rate", "expected"),
    [(10, 1.25, 12), (10, 0.7, 7), (3, 1.1, 3), (10, 0.0, 0), (10, 1.1, 11)],
)
def test_oversell_rounds_down_exactly(limit: int, rate: float, expected: int) -> None:
    ledger = ledger_of(one_quota(jobs=limit), rate)
    assert ledger.usage(LEAF).max[MAX_JOBS] == expected


def test_oversell_is_exact_for_large_amounts() -> None:
    ledger = ledger_of(one_quota(memory=str(10**18)), 1.3)
    assert ledger.usage(LEAF).max["memory"] == 13 * 10**17


def test_a_node_above_max_admits_nothing_until_it_is_below() -> None:
    ledger = ledger_of(one_quota(cpu="4", memory="4Gi"))
    ledger.charge("u", LEAF, vector(cpu="4"))
    ledger.set_tree(one_quota(cpu="2", memory="4Gi"))
    short = ledger.shortage(LEAF, vector(memory="1Gi"))
    assert short is not None
    assert (short.resource, short.requested, short.missing) == ("cpu", 0, 2000)
    ledger.charge("u", LEAF, vector(cpu="2"))
    assert ledger.shortage(LEAF, vector(memory="1Gi")) is None


def test_a_charge_whose_leaf_vanishes_is_kept_and_counts_again_when_it_is_back() -> None:
    ledger = ledger_of(one_quota(cpu="4"))
    ledger.charge("u", LEAF, vector(cpu="3"))
    homes = {True: LEAF, False: None}
    for there in (False, True):
        tree = one_quota(cpu="4") if there else a_tree(a_quota("root").over(a_quota("other")))
        ledger.set_tree(
            tree, 1.0, lambda uid, charge, there=there: charge._replace(leaf=homes[there])
        )
        assert ledger.usage("root").used.get("cpu", 0) == (3000 if there else 0)
        assert "u" in ledger.charges


class TestUnitsThatAreNotPreemptible:
    def test_they_fit_only_into_min(self) -> None:
        tree = a_tree(a_quota("root").over(a_quota("team").min(cpu="1").max(cpu="10")))
        ledger = ledger_of(tree)
        assert ledger.shortage(LEAF, vector(cpu="1"), preemptible=False) is None
        assert ledger.never_fits(LEAF, vector(cpu="3"), preemptible=False) is not None
        assert ledger.shortage(LEAF, vector(cpu="3"), preemptible=True) is None

    def test_only_their_own_kind_uses_up_min(self) -> None:
        tree = a_tree(a_quota("root").over(a_quota("team").min(cpu="2").max(cpu="10")))
        ledger = ledger_of(tree)
        ledger.charge("soft", LEAF, vector(cpu="5"), preemptible=True)
        assert ledger.shortage(LEAF, vector(cpu="2"), preemptible=False) is None
        ledger.charge("hard", LEAF, vector(cpu="1"), preemptible=False)
        short = ledger.shortage(LEAF, vector(cpu="2"), preemptible=False)
        assert short is not None
        assert (short.bound, short.reason) == (Bound.MIN, Reason.INSUFFICIENT_MIN)
        assert (short.used, short.limit) == (1000, 2000)

    def test_their_min_counts_with_the_oversell_rate(self) -> None:
        tree = a_tree(a_quota("root").over(a_quota("team").min(cpu="2").max(cpu="10")))
        ledger = ledger_of(tree, 1.5)
        assert ledger.shortage(LEAF, vector(cpu="3"), preemptible=False) is None
        ledger.charge("hard", LEAF, vector(cpu="3"), preemptible=False)
        short = ledger.shortage(LEAF, vector(cpu="1m"), preemptible=False)
        assert short is not None
        assert (short.bound, short.limit) == (Bound.MIN, 3000)

    def test_max_holds_for_them_as_well(self) -> None:
        tree = a_tree(a_quota("root").over(a_quota("team").min(cpu="2").max(cpu="3")))
        ledger = ledger_of(tree)
        ledger.charge("soft", LEAF, vector(cpu="2"), preemptible=True)
        short = ledger.shortage(LEAF, vector(cpu="2"), preemptible=False)
        assert short is not None
        assert short.bound is Bound.MAX

    def test_a_node_without_min_guarantees_what_its_children_do(self) -> None:
        tree = a_tree(a_quota("root").over(a_quota("a").min(cpu="2"), a_quota("b").min(cpu="1")))
        ledger = ledger_of(tree)
        assert ledger.shortage("root/a", vector(cpu="2"), preemptible=False) is None

    def test_a_declared_min_above_holds(self) -> None:
        tree = a_tree(a_quota("root").min(cpu="0").over(a_quota("a").min(cpu="2")))
        assert ledger_of(tree).never_fits("root/a", vector(cpu="1"), preemptible=False) is not None

    def test_a_resource_min_does_not_list_is_not_guaranteed(self) -> None:
        tree = a_tree(a_quota("root").over(a_quota("a").min(cpu="2").max(cpu="2", memory="9Gi")))
        short = ledger_of(tree).never_fits("root/a", vector(memory="1Gi"), preemptible=False)
        assert short is not None
        assert short.bound is Bound.MIN

    def test_max_jobs_is_held_against_min_only_where_min_lists_it(self) -> None:
        tree = a_tree(
            a_quota("root").over(a_quota("a").min(cpu="2"), a_quota("b").min(cpu="2", jobs="1"))
        )
        ledger = ledger_of(tree)
        for uid in ("u1", "u2"):
            assert ledger.shortage("root/a", vector(cpu="1"), preemptible=False) is None
            ledger.charge(uid, "root/a", vector(cpu="1"), preemptible=False)
        ledger.charge("u3", "root/b", vector(cpu="1"), preemptible=False)
        short = ledger.shortage("root/b", vector(cpu="1"), preemptible=False)
        assert short is not None
        assert short.resource == MAX_JOBS


def test_the_tree_label_bounds_preemptible_jobs() -> None:
    ledger = ledger_of(
        a_tree(a_quota("root").over(a_quota("a").min(cpu="9")), max_preemptible_jobs="1")
    )
    ledger.charge("u", "root/a", vector(cpu="1"))
    short = ledger.shortage("root/a", vector(cpu="1"))
    assert short is not None
    assert short.bound is Bound.PREEMPTIBLE_JOBS
    assert ledger.shortage("root/a", vector(cpu="1"), preemptible=False) is None


def test_messages_name_path_resource_amounts_and_what_is_waited_for() -> None:
    ledger = ledger_of(one_quota(cpu="4", jobs="1"))
    ledger.charge("u", LEAF, vector(cpu="3"))
    messages = [short.message for short in ledger.shortages(LEAF, vector(cpu="2500m"))]
    assert messages[:2] == [
        "quota root/team: cpu requested 2500m, used 3, max 4; "
        "waits until 1500m cpu is released in root/team",
        "quota root/team: 1 job of max 1 is admitted; waits until 1 job in root/team ends",
    ]
