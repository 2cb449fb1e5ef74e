"""Why a unit waits: who holds what, what wakes it, whom it is behind, when it may start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kube_queue.admission import Explanation, estimate, holders
from kube_queue.api.lifecycle import Phase
from kube_queue.api.preemption import ReclaimPolicy
from kube_queue.api.queues import Policy
from tests.builders import START, UnitBuilder, World, a_quota, a_tree, a_unit, one_quota, vector


def explained(world: World, name: str) -> Explanation:
    world.decides()
    told = world.cache.explain(f"uid-{name}", world.now)
    assert told is not None
    return told


def since(builder: UnitBuilder, second: float) -> UnitBuilder:
    moment = int((START + second) * 1_000_000)
    return UnitBuilder(replace(builder.unit, allocated=moment, started=moment))


class TestHolders:
    def test_the_five_who_hold_most_are_named_and_the_others_counted(self) -> None:
        world = World(one_quota(cpu="20"))
        for number in range(7):
            held = since(a_unit(f"r{number}").holding(cpu=str(number % 4 + 1)), -number)
            world.sees(held)
        world.sees(a_unit("memory").holding(memory="1Gi"), a_unit("w").asking(cpu="9"))
        told = explained(world, "w").holders
        assert told is not None
        assert (told.path, told.resource) == ("root/team", "cpu")
        named = [(holder.unit.name, holder.amount, holder.since) for holder in told.top]
        assert named == [
            ("r3", 4000, START - 3),
            ("r6", 3000, START - 6),
            ("r2", 3000, START - 2),
            ("r5", 2000, START - 5),
            ("r1", 2000, START - 1),
        ]
        assert (told.more, told.more_amount) == (2, 2000)

    def test_holders_are_those_of_the_node_that_blocks_with_what_their_leaf_borrows(self) -> None:
        teams = [a_quota(name).min(cpu=2).max(cpu=6).serving(name) for name in ("a", "b")]
        root = a_quota("root").min(cpu=4).max(cpu=6).over(*teams)
        world = World(a_tree(root))
        world.sees(a_unit("own").of_namespace("a").holding(cpu="1"))
        world.sees(a_unit("other").of_namespace("b").holding(cpu="5"))
        world.sees(a_unit("w").of_namespace("a").asking(cpu="4"))
        told = explained(world, "w").holders
        assert told is not None
        assert told.path == "root"
        assert [(h.unit.name, h.quota, h.borrowed) for h in told.top] == [
            ("other", "root/b", 3000),
            ("own", "root/a", 0),
        ]

    def test_a_unit_that_is_not_preemptible_is_kept_out_by_others_of_its_kind_alone(self) -> None:
        leaf = a_quota("team").min(cpu=2).max(cpu=9).serving("default")
        world = World(a_tree(a_quota("root").over(leaf)))
        world.sees(a_unit("free").holding(cpu="5"))
        world.sees(a_unit("fixed").not_preemptible().holding(cpu="1"))
        world.sees(a_unit("w").not_preemptible().asking(cpu="2"))
        told = explained(world, "w")
        assert told.holders is not None
        assert [holder.unit.name for holder in told.holders.top] == ["fixed"]
        assert told.next_try.startswith(
            "on a release of cpu in root/team by a unit that is not preemptible"
        )
        level = told.levels[0].resources[0]
        assert (level.min_used, level.min_available) == (1000, 1000)

    def test_pods_of_no_unit_are_told_apart(self) -> None:
        world = World(one_quota(cpu="4"))
        world.cache.unmanaged_seen("", "default", vector(cpu=3))
        world.sees(a_unit("r").holding(cpu="1"), a_unit("w").asking(cpu="2"))
        told = explained(world, "w")
        assert told.holders is not None
        assert ([h.unit.name for h in told.holders.top], told.holders.unmanaged) == (["r"], 3000)
        assert told.estimate is not None
        assert told.estimate.unknown == (
            "what holds quota root/team is not given back by any job of the queue"
        )

    def test_an_admission_that_was_only_decided_is_among_the_holders(self) -> None:
        world = World(one_quota(cpu="4"), Policy.PRIORITY)
        world.sees(a_unit("new").asking(cpu="4"), a_unit("w").asking(cpu="1").submitted_at(1))
        told = explained(world, "w").holders
        assert told is not None
        assert [(holder.unit.name, holder.since) for holder in told.top] == [("new", world.now)]


class TestOrder:
    def test_behind_a_head_the_heads_own_wait_and_its_holders_are_told(self) -> None:
        world = World(one_quota(cpu="4"), Policy.BLOCK)
        world.sees(a_unit("r").holding(cpu="3"), a_unit("head").asking(cpu="2"))
        world.sees(a_unit("w").asking(cpu="1").submitted_at(1))
        told = explained(world, "w")
        assert told.head is not None
        assert (told.head.unit.name, told.head.reason) == ("head", "InsufficientQuota")
        assert told.head.waits_for == "waits until 1 cpu is released in root/team"
        assert told.holders is not None
        assert [holder.unit.name for holder in told.holders.top] == ["r"]
        assert told.next_try.endswith("it would fit now")

    def test_low_units_of_an_intelligent_queue_are_behind_the_first_high_one(self) -> None:
        world = World(one_quota(cpu="4"), Policy.INTELLIGENT)
        world.sees(a_unit("r").holding(cpu="3"), a_unit("high").asking(cpu="2").with_priority(9))
        world.sees(a_unit("w").asking(cpu="1"))
        told = explained(world, "w")
        assert (told.reason, told.head and told.head.unit.name) == ("BlockedByHead", "high")

    def test_a_unit_that_backfill_keeps_back_would_delay_the_head(self) -> None:
        world = World(one_quota(cpu="4"), Policy.BACKFILL)
        world.sees(a_unit("r").holding(cpu="3"), a_unit("head").asking(cpu="4"))
        world.sees(a_unit("w").asking(cpu="1").submitted_at(1))
        told = explained(world, "w")
        assert told.reason == "BlockedByHead"
        assert told.message.startswith(
            "would delay default/head, the head of queue root-team in quota root/team (quota"
        )
        assert "cannot delay" in told.next_try

    @pytest.mark.parametrize(
        ("policy", "order"),
        [
            (Policy.ROUND, "Round goes on behind the unit it tried last"),
            (Policy.PRIORITY, "Priority tries those before it first"),
            (Policy.BLOCK, "it is the head"),
        ],
    )
    def test_the_next_try_names_the_event_and_whose_turn_it_is_then(
        self, policy: Policy, order: str
    ) -> None:
        world = World(one_quota(cpu="4"), policy)
        world.sees(a_unit("r").holding(cpu="3"), a_unit("w").asking(cpu="2"))
        told = explained(world, "w")
        assert told.next_try.startswith(f"on a release of cpu in root/team; {order}")

    def test_who_waits_for_a_job_to_end_is_tried_when_one_does(self) -> None:
        world = World(one_quota(jobs=1))
        world.sees(a_unit("r").holding(cpu="3"), a_unit("w").asking(cpu="2"))
        told = explained(world, "w")
        assert told.next_try.startswith("on the end of a job in root/team; ")
        assert told.holders is not None
        assert [(h.unit.name, h.amount) for h in told.holders.top] == [("r", 1)]

    def test_a_unit_that_never_fits_is_told_what_would_have_to_change(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("r").holding(cpu="3"), a_unit("w").asking(cpu="5"))
        told = explained(world, "w")
        assert told.next_try.startswith("when its request")
        assert told.holders is None


class TestOthers:
    def test_a_unit_that_holds_quota_is_told_by_its_status(self) -> None:
        world = World(one_quota(cpu="4"))
        unit = a_unit("r").holding(cpu="3").unit
        world.sees(UnitBuilder(replace(unit, reason="PodsReady", message="3 pods run")))
        told = explained(world, "r")
        assert (told.reason, told.message) == ("PodsReady", "3 pods run")
        assert (told.waits_for, told.next_try, told.estimate) == ("", "", None)

    def test_an_evicted_unit_waits_for_the_end_of_its_pods(self) -> None:
        world = World(one_quota(cpu="4"))
        unit = replace(a_unit("r").holding(cpu="3").unit, evicted=True, reason="Preempted")
        world.sees(UnitBuilder(unit))
        told = explained(world, "r")
        assert (told.phase, told.reason) == (Phase.RUNNING, "Preempted")
        assert told.waits_for == "waits until the pods of its job are gone"

    def test_a_unit_that_never_had_words_says_what_its_phase_means(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("done").in_phase(Phase.SUCCEED), a_unit("r").holding(cpu="1"))
        assert explained(world, "done").message == "the job ended well"
        assert explained(world, "r").reason == "Admitted"


def test_a_unit_others_leave_for_says_which() -> None:
    teams = [a_quota(name).min(cpu=2).max(cpu=4).serving(name) for name in ("a", "b")]
    root = a_quota("root").min(cpu=4).max(cpu=4).over(*teams)
    world = World(a_tree(root))
    leaving = a_unit("victim").of_namespace("b").holding(cpu="4").unit
    world.sees(UnitBuilder(replace(leaving, evicted=True, preemptor="uid-w")))
    world.sees(a_unit("w").of_namespace("a").asking(cpu="2"))
    told = explained(world, "w")
    assert [unit.name for unit in told.leaving] == ["victim"]
    assert told.estimate is not None
    assert told.estimate.latest is None


class TestBounds:
    def test_holders_beyond_the_bound_are_counted_and_not_looked_at(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(holders, "READ", 4)
        teams = [a_quota(name).max(cpu=9).serving(name) for name in ("a", "b")]
        world = World(a_tree(a_quota("root").max(cpu=9).over(*teams)))
        for number in range(6):
            world.sees(a_unit(f"r{number}").of_namespace("ab"[number % 2]).holding(cpu="1"))
        world.sees(a_unit("w").of_namespace("a").asking(cpu="5"))
        told = explained(world, "w").holders
        assert told is not None
        assert (len(told.top), told.more, told.unread) == (4, 0, 2)

    def test_a_start_is_not_looked_for_among_more_units_than_the_bound(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(estimate, "WAITERS_PASSED", 3)
        teams = [a_quota(name).max(cpu=4).serving(name) for name in ("a", "b")]
        world = World(a_tree(a_quota("root").over(*teams)))
        for number in range(4):
            world.sees(a_unit(f"w{number}").of_namespace("b").asking(cpu="5"))
        world.sees(a_unit("r").of_namespace("a").holding(cpu="4"))
        world.sees(a_unit("w").of_namespace("a").asking(cpu="2"))
        told = explained(world, "w").estimate
        assert told is not None
        assert (told.latest, told.unknown) == (None, "more than 3 units wait")


class TestBorrowers:
    def a_full_root(self, reclaim: ReclaimPolicy = ReclaimPolicy.ANY) -> World:
        """Team a has a min of 4 cpu; nobody borrows, and the root is full."""
        a = a_quota("a").min(cpu=4).max(cpu=8).serving("a")
        b = a_quota("b").min(cpu=4).max(cpu=8).serving("b")
        world = World(a_tree(a_quota("root").max(cpu=5).over(a, b)), reclaim=reclaim)
        world.sees(a_unit("other").of_namespace("b").holding(cpu="3"))
        return world

    def test_a_unit_within_its_min_is_tried_when_others_start_to_borrow(self) -> None:
        world = self.a_full_root()
        world.sees(a_unit("w").of_namespace("a").asking(cpu="4"))
        assert explained(world, "w").next_try.startswith(
            "on a release of cpu in root, or when others in root start to borrow cpu: "
            "it is within the min of root/a; "
        )

    def test_nobody_is_told_of_borrowers_above_its_min_or_where_nothing_is_taken_back(
        self,
    ) -> None:
        over, never = self.a_full_root(), self.a_full_root(ReclaimPolicy.NEVER)
        over.sees(a_unit("w").of_namespace("a").asking(cpu="5"))
        never.sees(a_unit("w").of_namespace("a").asking(cpu="4"))
        for world in (over, never):
            assert "borrow" not in explained(world, "w").next_try
