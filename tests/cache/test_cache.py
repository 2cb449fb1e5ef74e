"""The cache: level-based news, assumptions and their races, other trees, questions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kube_queue.admission import Admit
from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.queues import Policy
from tests.builders import World, a_queue, a_quota, a_tree, a_unit, one_quota

LEAF = "root/team"
QUEUE = "kube-queue/root-team"


def with_one_admitted() -> World:
    """Quota 4; ``u`` asks for 3, is decided at version 1 and its write is in flight."""
    world = World(one_quota(cpu="4"))
    world.sees(a_unit("u").asking(cpu="3"))
    assert world.admits() == ["u"]
    return world


class TestAssumptions:
    def test_a_decision_is_charged_at_once(self) -> None:
        world = with_one_admitted()
        assert world.used("root") == 3000
        world.sees(a_unit("v").asking(cpu="2"))
        assert world.admits() == []

    def test_a_decision_carries_the_version_it_was_made_at(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("u").asking(cpu="3").at_version(41))
        [decision] = world.decides()
        assert isinstance(decision, Admit)
        assert (decision.uid, decision.resource_version, decision.leaf) == ("uid-u", "41", LEAF)

    def test_the_same_state_seen_again_changes_nothing(self) -> None:
        world = with_one_admitted()
        world.sees(a_unit("u").asking(cpu="3"))
        assert world.used("root") == 3000
        assert world.admits() == []

    def test_seeing_it_confirms_it_without_a_second_charge(self) -> None:
        world = with_one_admitted().runs("u")
        assert world.used("root") == 3000
        assert not world.cache.assumed("uid-u")

    def test_a_failed_write_returns_the_quota_and_the_unit_waits_out_a_backoff(self) -> None:
        world = with_one_admitted()
        world.cache.forget("uid-u", world.now)
        assert world.used("root") == 0
        assert world.admits() == []
        assert world.why("u")[0] == "Backoff"
        assert world.cache.next_wake() == world.now + 1
        world.now += 1
        assert world.admits() == ["u"]

    def test_failures_in_a_row_wait_longer_until_one_write_succeeds(self) -> None:
        world = with_one_admitted()
        for seconds in (1, 2, 4, 8, 16, 20, 20):
            world.cache.forget("uid-u", world.now)
            assert world.cache.next_wake() == world.now + seconds
            world.now += seconds
            assert world.admits() == ["u"]
        world.runs("u")
        unit = world.known("u")
        world.cache.unit_seen(replace(unit, phase=Phase.ENQUEUED, resource_version="9"))
        assert world.admits() == ["u"]
        world.cache.forget("uid-u", world.now)
        assert world.cache.next_wake() == world.now + 1

    def test_quota_returned_by_a_failed_write_goes_to_the_next_unit(self) -> None:
        world = with_one_admitted()
        world.sees(a_unit("v").asking(cpu="4").submitted_at(1))
        assert world.admits() == []
        world.cache.forget("uid-u", world.now)
        assert world.admits() == ["v"]

    def test_a_release_does_not_end_the_backoff_of_a_failed_write(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("r").asking(cpu="1"), a_unit("u").asking(cpu="1").submitted_at(1))
        assert world.admits() == ["r", "u"]
        world.runs("r")
        world.cache.forget("uid-u", world.now)
        world.ends("r")
        assert world.admits() == []

    def test_under_block_a_unit_whose_write_failed_stays_the_head(self) -> None:
        world = World(one_quota(cpu="4"), Policy.BLOCK)
        world.sees(a_unit("u").asking(cpu="3"), a_unit("v").asking(cpu="3").submitted_at(1))
        assert world.admits() == ["u"]
        world.cache.forget("uid-u", world.now)
        assert world.admits() == []
        world.now += 1
        assert world.admits() == ["u"]

    def test_an_edit_while_the_write_is_in_flight_does_not_admit_a_second_time(self) -> None:
        world = with_one_admitted()
        world.sees(a_unit("u").asking(cpu="1").with_priority(7).at_version(2))
        assert world.admits() == []
        assert world.used("root") == 3000
        world.cache.forget("uid-u", world.now)
        assert world.used("root") == 0
        world.now += 1
        [decision] = world.decides()
        assert isinstance(decision, Admit)
        assert (decision.resource_version, decision.request["cpu"]) == ("2", 1000)

    def test_a_late_failure_of_a_write_that_was_seen_to_land_changes_nothing(self) -> None:
        world = with_one_admitted().runs("u")
        world.cache.forget("uid-u", world.now)
        assert world.used("root") == 3000
        assert world.admits() == []

    def test_a_write_whose_success_the_watch_skipped_is_settled_by_its_outcome(self) -> None:
        world = with_one_admitted()
        # Landed at 2, evicted back at 3; a relist shows only 3, then the write's answer comes.
        world.sees(a_unit("u").asking(cpu="3").at_version(3))
        assert world.used("root") == 3000
        world.cache.confirm("uid-u", "2")
        assert world.used("root") == 0
        assert world.admits() == ["u"]

    def test_an_outcome_heard_before_the_watch_keeps_the_charge(self) -> None:
        world = with_one_admitted()
        world.cache.confirm("uid-u", "2")
        assert world.used("root") == 3000
        world.sees(a_unit("u").asking(cpu="3"))
        assert world.used("root") == 3000
        world.sees(a_unit("u").asking(cpu="3").at_version(3))
        assert world.used("root") == 0

    def test_deletion_frees_what_was_assumed(self) -> None:
        world = with_one_admitted()
        world.cache.unit_gone("uid-u")
        assert world.used("root") == 0
        world.cache.forget("uid-u", world.now)
        assert world.admits() == []


class TestLevel:
    @pytest.mark.parametrize("phase", list(Phase))
    def test_a_unit_deleted_in_any_phase_leaves_nothing(self, phase: Phase) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("u").asking(cpu="3").in_phase(phase))
        world.cache.unit_gone("uid-u")
        world.cache.unit_gone("uid-u")
        assert world.used("root") == 0
        assert world.cache.quota_status()["root"].request == {}
        status = world.cache.queue_status(QUEUE)
        assert status is not None
        assert (status.pending, status.reserved, status.admitted) == (0, 0, 0)

    def test_what_holds_quota_is_charged_even_above_max(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("u").asking(cpu="1").holding(cpu="6"))
        assert world.used("root") == 6000
        world.sees(a_unit("v").asking(cpu="1"))
        assert world.admits() == []

    def test_a_shrinking_job_returns_the_difference(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("u").holding(cpu="4"), a_unit("v").asking(cpu="2"))
        assert world.admits() == []
        world.sees(a_unit("u").holding(cpu="2").at_version(2))
        assert world.admits() == ["v"]

    def test_a_requeued_unit_frees_its_quota_and_waits_again(self) -> None:
        world = with_one_admitted().runs("u")
        world.sees(a_unit("u").asking(cpu="3").at_version(5))
        assert world.used("root") == 0
        assert world.admits() == ["u"]

    def test_a_reason_written_on_a_unit_is_no_event(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("r").holding(cpu="4"), a_unit("u").asking(cpu="1"))
        world.decides()
        unit = world.known("u")
        world.cache.unit_seen(replace(unit, message="waits", resource_version="2"))
        assert not world.cache.has_work()

    def test_ten_of_twelve_jobs_run_under_max_jobs_ten_and_all_with_oversell(self) -> None:
        for rate, admitted in ((1.0, 10), (1.25, 12)):
            world = World(one_quota(jobs=10), oversell_rate=rate)
            world.sees(*(a_unit(f"u{index:02}") for index in range(12)))
            assert len(world.admits()) == admitted

    def test_max_jobs_reached_says_so(self) -> None:
        world = World(one_quota(jobs=1))
        world.sees(a_unit("a"), a_unit("b").submitted_at(1))
        world.decides()
        assert world.why("b")[0] == "MaxJobsReached"

    def test_a_unit_that_is_not_preemptible_runs_within_min_only(self) -> None:
        tree = a_tree(
            a_quota("root").over(a_quota("team").min(cpu="1").max(cpu="10").serving("default"))
        )
        world = World(tree)
        world.sees(
            a_unit("three").asking(cpu="3").not_preemptible(),
            a_unit("one").asking(cpu="1").not_preemptible().submitted_at(1),
            a_unit("soft").asking(cpu="3").submitted_at(2),
        )
        assert world.admits() == ["one", "soft"]


class TestWhatIsMissing:
    def test_without_a_tree_units_wait_for_one(self) -> None:
        world = World(None)
        world.sees(a_unit("u").asking(cpu="1"))
        assert world.admits() == []
        assert world.why("u")[0] == "NoTree"
        world.cache.queue_seen(a_queue("root-team"))
        world.cache.tree_seen(one_quota(cpu="4"))
        assert world.admits() == ["u"]

    def test_a_namespace_of_no_quota_waits_and_says_so(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("u").of_namespace("lost").asking(cpu="1"))
        assert world.admits() == []
        reason, message = world.why("u")
        assert reason == "NoQuota"
        assert message.startswith("namespace lost does not belong to any elastic quota")

    def test_the_quota_label_beats_the_namespace(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("u").of_namespace("lost").of_quota("team").asking(cpu="1"))
        assert world.admits() == ["u"]

    def test_a_unit_that_comes_before_its_queue_waits_for_it(self) -> None:
        world = World(one_quota(cpu="4"), queues=False)
        world.sees(a_unit("u").asking(cpu="1").in_queue("later"))
        assert world.admits() == []
        assert world.why("u")[0] == "NoQueue"
        world.cache.queue_seen(a_queue("later"))
        assert world.admits() == ["u"]

    def test_a_queue_of_another_namespace_serves_nobody(self) -> None:
        world = World(one_quota(cpu="4"), queues=False)
        world.cache.queue_seen(a_queue("root-team", namespace="default"))
        world.sees(a_unit("u").asking(cpu="1"))
        assert world.admits() == []

    def test_a_deleted_queue_keeps_its_units_for_its_return(self) -> None:
        world = World(one_quota(cpu="1"))
        world.sees(a_unit("r").holding(cpu="1"), a_unit("u").asking(cpu="1"))
        world.decides()
        world.cache.queue_gone("kube-queue", "root-team")
        world.ends("r")
        assert world.admits() == []
        world.cache.queue_seen(a_queue("root-team"))
        assert world.admits() == ["u"]


class TestOtherTrees:
    def test_a_smaller_tree_admits_nothing_until_usage_is_below(self) -> None:
        world = World(one_quota(cpu="4"), Policy.PRIORITY)
        world.sees(*(a_unit(f"r{index}").holding(cpu="1") for index in range(4)))
        world.cache.tree_seen(one_quota(cpu="2"))
        world.sees(a_unit("u").asking(cpu="1"))
        taken = []
        for index in range(4):
            world.ends(f"r{index}")
            taken.append(world.admits())
        assert taken == [[], [], ["u"], []]

    def test_charges_move_with_their_leaf(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("r").holding(cpu="3"))
        leaf = a_quota("other").max(cpu="9").serving("default")
        world.cache.tree_seen(a_tree(a_quota("root").over(a_quota("p").over(leaf))))
        assert world.used("root/p/other") == world.used("root/p") == world.used("root") == 3000

    def test_a_charge_without_leaf_is_kept_until_a_leaf_is_back(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("r").holding(cpu="3"))
        world.cache.tree_seen(a_tree(a_quota("root").over(a_quota("other"))))
        assert world.used("root") == 0
        world.cache.tree_seen(one_quota(cpu="4"))
        assert world.used("root") == 3000

    def test_a_running_write_survives_another_tree(self) -> None:
        world = with_one_admitted()
        world.cache.tree_seen(one_quota(cpu="9"))
        assert world.used("root") == 3000
        world.runs("u")
        assert world.used("root") == 3000

    def test_a_status_written_on_the_tree_is_no_event(self) -> None:
        tree = one_quota(cpu="4")
        world = World(tree)
        world.sees(a_unit("r").holding(cpu="4"), a_unit("u").asking(cpu="1"))
        world.decides()
        world.cache.tree_seen(replace(tree, resource_version="2"))
        assert not world.cache.has_work()


class TestQuestions:
    def test_explain_names_path_shortage_position_and_what_it_waits_for(self) -> None:
        world = World(one_quota(cpu="4", jobs="9"))
        world.sees(a_unit("r").holding(cpu="3"), a_unit("a").asking(cpu="2"))
        world.sees(a_unit("b").asking(cpu="2").submitted_at(1))
        world.decides()
        told = world.cache.explain("uid-b", world.now)
        assert told is not None
        assert (told.queue, told.policy, told.position) == ("root-team", Policy.ROUND, 2)
        assert (told.quota, told.reason) == (LEAF, "InsufficientQuota")
        assert [level.path for level in told.levels] == [LEAF, "root"]
        cpu, jobs = told.levels[0].resources
        assert (cpu.resource, cpu.requested, cpu.used, cpu.max, cpu.available) == (
            "cpu",
            2000,
            3000,
            4000,
            1000,
        )
        assert (jobs.resource, jobs.used, jobs.max) == (MAX_JOBS, 1, 9)
        assert [(short.path, short.missing) for short in told.shortages] == [
            (LEAF, 1000),
            ("root", 1000),
        ]
        assert told.waits_for == "waits until 1 cpu is released in root/team"

    def test_explain_names_the_head_a_unit_is_behind(self) -> None:
        world = World(one_quota(cpu="4"), Policy.BLOCK)
        world.sees(a_unit("r").holding(cpu="3"), a_unit("head").asking(cpu="2"))
        world.sees(a_unit("small").asking(cpu="1").submitted_at(1))
        world.decides()
        told = world.cache.explain("uid-small", world.now)
        assert told is not None
        assert told.reason == "BlockedByHead"
        assert "default/head" in told.message
        assert "cpu requested 2, used 3, max 4" in told.message

    def test_explain_of_a_unit_that_never_fits_names_the_limit(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("u").asking(cpu="5"))
        world.decides()
        told = world.cache.explain("uid-u", world.now)
        assert told is not None
        assert told.reason == "ExceedsMaxQuota"
        assert "requested 5, used 0, max 4" in told.message

    def test_explain_of_an_admitted_unit_says_so(self) -> None:
        world = with_one_admitted()
        told = world.cache.explain("uid-u", world.now)
        assert told is not None
        assert (told.phase, told.reason, told.position) == (Phase.DEQUEUED, "Admitted", 0)

    def test_explain_of_an_unknown_unit_is_none(self) -> None:
        assert World(one_quota(cpu="4")).cache.explain("nobody", 0.0) is None

    def test_quota_status_counts_held_and_asked(self) -> None:
        world = World(one_quota(cpu="4"))
        world.sees(a_unit("r").holding(cpu="3"), a_unit("u").asking(cpu="2"))
        status = world.cache.quota_status()
        assert status["root"].used["cpu"] == 3000
        assert status["root"].request == {"cpu": 5000}
        assert status["root"].used[MAX_JOBS] == 1

    def test_queue_status_counts_and_lists_the_first_hundred(self) -> None:
        world = World(one_quota(cpu="2"))
        world.sees(
            a_unit("r1").asking(cpu="1").in_phase(Phase.RESERVED),
            a_unit("r2").asking(cpu="1").in_phase(Phase.RUNNING),
            *(a_unit(f"w{index:03}").asking(cpu="1") for index in range(120)),
        )
        world.decides()
        status = world.cache.queue_status(QUEUE)
        assert status is not None
        assert (status.pending, status.reserved, status.admitted) == (120, 1, 1)
        assert status.head == "default/w000"
        assert len(status.items) == 100
        assert (status.items[99].position, status.items[99].name) == (100, "w099")

    def test_waiting_lists_everybody_with_reason_and_since_when(self) -> None:
        world = World(one_quota(cpu="1"))
        world.sees(a_unit("r").holding(cpu="1"), a_unit("u").asking(cpu="1").submitted_at(3))
        world.decides()
        [entry] = world.cache.waiting()
        assert (entry.uid, entry.reason) == ("uid-u", "InsufficientQuota")
        assert entry.since == world.now + 3


def test_restarted_from_the_api_state_it_goes_on_with_equal_sums() -> None:
    world = World(one_quota(cpu="10"), Policy.PRIORITY)
    world.sees(*(a_unit(f"u{index:03}").asking(cpu="1").submitted_at(index) for index in range(40)))
    names = world.admits()
    world.runs(*names).ends(*names[:3])
    again = World(one_quota(cpu="10"), Policy.PRIORITY)
    for unit in world.cache.units():
        again.cache.unit_seen(unit)
    assert again.cache.quota_status() == world.cache.quota_status()
    assert again.admits() == world.admits() == ["u010", "u011", "u012"]
