"""Gangs: all that are needed or none."""

from __future__ import annotations

import pytest

from kube_queue.api.gangs import GangSource
from kube_queue.placement.decisions import Bind
from tests.placement.builders import PodBuilder, a_node, a_pod
from tests.placement.playing import Scheduler, gang

GROUP = "pod-group.scheduling.sigs.k8s.io"


def test_a_gang_that_fits_is_bound_whole() -> None:
    scheduler = Scheduler(a_node("n1").having(cpu="4"), *gang("g", 4, 4, cpu="1"))
    assert scheduler.binds() == {f"g-{index}": "n1" for index in range(4)}


def test_nothing_of_a_gang_is_bound_where_one_needed_member_does_not_fit() -> None:
    scheduler = Scheduler(a_node("n1").having(cpu="3"), *gang("g", 4, 4, cpu="1"))
    assert scheduler.binds() == {}
    assert scheduler.why("g-0").startswith("rejected by podgroup g: g-3:")
    assert "1 Insufficient cpu" in scheduler.why("g-3")


def test_a_node_that_arrives_lets_the_whole_gang_in() -> None:
    """The example of spec 2: 4 GPUs, one PS and four workers of 2 GPUs, all five needed."""
    ps = a_pod("ps").of_gang("tf", 5).asking(cpu="1").owned_by("TFJob", "tf")
    workers = [
        a_pod(f"worker-{index}")
        .of_gang("tf", 5)
        .asking(**{"nvidia.com/gpu": 2})
        .owned_by("TFJob", "tf")
        for index in range(4)
    ]
    first = a_node("n1").having(**{"nvidia.com/gpu": 4})
    scheduler = Scheduler(first, ps, *workers)
    assert scheduler.binds() == {}
    scheduler.later(20).sees(a_node("n2").having(**{"nvidia.com/gpu": 4}))
    bound = scheduler.binds()
    assert len(bound) == 5
    assert sorted(bound[f"worker-{index}"] for index in range(4)) == ["n1", "n1", "n2", "n2"]


def test_without_labels_each_worker_is_on_its_own() -> None:
    workers = [a_pod(f"w{index}").asking(**{"nvidia.com/gpu": 2}) for index in range(4)]
    scheduler = Scheduler(a_node("n1").having(**{"nvidia.com/gpu": 4}), *workers)
    assert len(scheduler.binds()) == 2


def test_a_gang_waits_until_its_minimum_exists() -> None:
    members = gang("g", 3, 3, cpu="1")
    scheduler = Scheduler(a_node("n1"), *members[:2])
    assert scheduler.binds() == {}
    assert scheduler.why("g-0") == "rejected by podgroup g: 2 of at least 3 pods are there"
    scheduler.sees(members[2])
    assert len(scheduler.binds()) == 3


def test_members_above_the_minimum_follow_as_far_as_they_fit() -> None:
    scheduler = Scheduler(a_node("n1").having(cpu="3"), *gang("g", 5, 2, cpu="1"))
    (decision, *_) = scheduler.decides()
    assert isinstance(decision, Bind)
    assert decision.together == 2
    assert len(decision.placements) == 3


def test_a_member_that_does_not_fit_is_passed_over_while_others_make_the_minimum() -> None:
    large = a_pod("large").of_gang("g", 2).asking(cpu="100").owned_by("Job", "g").with_priority(9)
    scheduler = Scheduler(a_node("n1").having(cpu="4"), large, *gang("g", 2, 2, cpu="1"))
    assert set(scheduler.binds()) == {"g-0", "g-1"}


def test_a_satisfied_gang_asks_for_no_minimum_again() -> None:
    members = gang("g", 3, 3, cpu="1")
    scheduler = Scheduler(a_node("n1").having(cpu="3"), *members)
    assert len(scheduler.binds()) == 3
    scheduler.sees(members[0].on("n1").finished("Failed"), members[1].on("n1").finished("Failed"))
    again = a_pod("g-again").of_gang("g", 3).asking(cpu="1").owned_by("Job", "g")
    scheduler.later(20).sees(again)
    assert scheduler.binds() == {"g-again": "n1"}


def test_a_job_that_is_created_again_is_a_new_gang() -> None:
    scheduler = Scheduler(a_node("n1").having(cpu="3"), *gang("g", 2, 2, cpu="1"))
    assert len(scheduler.binds()) == 2
    scheduler.loses("g-0", "g-1")
    again = a_pod("g-2").of_gang("g", 2).asking(cpu="1").owned_by("Job", "g", uid="another")
    scheduler.later(20).sees(again)
    assert scheduler.binds() == {}


@pytest.mark.parametrize(
    ("policy", "bound"),
    [
        ("only-waiting", set()),
        ("waiting-and-running", set()),
        ("waiting-running-succeed", {"g-2"}),
        ("once-satisfied", {"g-2"}),
    ],
)
def test_the_match_policy_says_who_counts_beside_those_that_wait(
    policy: str, bound: set[str]
) -> None:
    """Of three one has succeeded, one has failed, and one waits that replaces it."""
    label = {f"{GROUP}/match-policy": policy}
    members = [each.labelled(**label) for each in gang("g", 3, 2, cpu="1")]
    scheduler = Scheduler(a_node("n1"), *members[:2])
    scheduler.binds()
    scheduler.sees(members[0].on("n1").finished(), members[1].on("n1").finished("Failed"))
    scheduler.later(20).sees(members[2])
    assert set(scheduler.binds()) == bound


def test_members_that_disagree_on_the_minimum_follow_the_largest() -> None:
    small = a_pod("g-0").of_gang("g", 1).asking(cpu="1").owned_by("Job", "g")
    large = a_pod("g-1").of_gang("g", 3).asking(cpu="1").owned_by("Job", "g")
    scheduler = Scheduler(a_node("n1"), small, large)
    assert scheduler.binds() == {}
    (found,) = scheduler.cache.gangs.gangs()
    assert (
        scheduler.cache.gangs.disagreement(found)
        == "members name different minimums (1, 3): 3 counts"
    )


def test_a_minimum_that_is_no_number_is_never_placed_as_if_there_were_none() -> None:
    pod = a_pod("p").labelled(**{f"{GROUP}/name": "g", f"{GROUP}/min-available": "two"})
    scheduler = Scheduler(a_node("n1"), pod)
    assert scheduler.binds() == {}
    assert "InvalidGang" in scheduler.why("p")
    assert "'two' is no number of pods" in scheduler.why("p")


def test_a_gang_of_a_pod_group_waits_for_the_object_and_takes_its_minimum() -> None:
    members = [a_pod(f"p{n}").labelled(**{GROUP: "g"}).asking(cpu="1") for n in range(2)]
    scheduler = Scheduler(a_node("n1"), *members)
    assert scheduler.binds() == {}
    assert "PodGroup default/g of scheduling.sigs.k8s.io does not exist" in scheduler.why("p0")
    scheduler.sees_group("g", 2)
    assert len(scheduler.binds()) == 2


def test_of_several_sources_the_strongest_counts() -> None:
    pod = a_pod("p").of_gang("by-labels", 1).labelled(**{"scheduling.x-k8s.io/pod-group": "g"})
    assert pod.pod.gang is not None
    assert (pod.pod.gang.name, pod.pod.gang.source) == ("g", GangSource.X_POD_GROUP)


def test_gangs_of_one_group_start_together_or_not_at_all() -> None:
    together = {f"{GROUP}/groups": '["default/a","default/b"]'}
    a = [each.annotated(**together) for each in gang("a", 2, 2, cpu="1")]
    b = [each.annotated(**together) for each in gang("b", 2, 2, cpu="1")]
    scheduler = Scheduler(a_node("n1").having(cpu="3"), *a)
    assert scheduler.binds() == {}
    assert "gang default/b, which has to start together, has no pods yet" in scheduler.why("a-0")
    scheduler.sees(*b)
    assert scheduler.binds() == {}
    scheduler.later(20).sees(a_node("n2").having(cpu="1"))
    assert len(scheduler.binds()) == 4


def test_two_gangs_of_which_one_fits_never_hold_parts_of_the_room() -> None:
    scheduler = Scheduler(
        a_node("n1").having(cpu="3"), *gang("a", 3, 3, cpu="1"), *gang("b", 3, 3, cpu="1")
    )
    first = scheduler.binds()
    assert len({name[0] for name in first}) == 1
    assert len(first) == 3


def test_a_gated_member_is_not_there_yet() -> None:
    members = gang("g", 2, 2, cpu="1")
    scheduler = Scheduler(a_node("n1"), members[0], members[1].gated())
    assert scheduler.binds() == {}
    assert scheduler.why("g-0").endswith(
        "1 of at least 2 pods are there, 1 more are held by a scheduling gate"
    )
    scheduler.sees(members[1])
    assert len(scheduler.binds()) == 2


def test_a_gang_half_bound_goes_on_before_everybody() -> None:
    """What a crash in the middle of a commit leaves behind."""
    members = gang("g", 3, 3, cpu="1")
    other = a_pod("other").asking(cpu="1").with_priority(1000)
    scheduler = Scheduler(a_node("n1").having(cpu="3"), other, members[0].on("n1"), *members[1:])
    assert set(scheduler.binds()) == {"g-1", "g-2"}


def test_a_gang_half_bound_goes_on_under_every_match_policy() -> None:
    label = {f"{GROUP}/match-policy": "only-waiting"}
    members = [each.labelled(**label) for each in gang("g", 3, 3, cpu="1")]
    bound = members[0].on("n1").annotated(**{"kube-queue/gang-commit": "abc/3"})
    scheduler = Scheduler(a_node("n1").having(cpu="3"), bound, *members[1:])
    assert set(scheduler.binds()) == {"g-1", "g-2"}


def bare(count: int, least: int, *, created: float = 10) -> list[PodBuilder]:
    """Members of gang g that no controller made."""
    return [
        a_pod(f"g-{index}").of_gang("g", least).asking(cpu="1").created_at(created)
        for index in range(count)
    ]


def ended(pod: PodBuilder, *, bound: float, phase: str = "Succeeded") -> PodBuilder:
    """The member was bound in a commit of which others were not, and has ended."""
    commit = {"kube-queue/gang-commit": "abc/4"}
    return pod.on("n1").bound_at(bound).annotated(**commit).finished(phase)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_bare_pods_whose_fellows_ended_before_a_broken_commit_went_on_are_placed(
    phase: str,
) -> None:
    members = bare(4, 4)
    over = [ended(pod, bound=12, phase=phase) for pod in members[:2]]
    scheduler = Scheduler(a_node("n1"), *over, *members[2:])
    assert set(scheduler.binds()) == {"g-2", "g-3"}


def test_bare_pods_that_were_created_after_others_ended_are_another_gang() -> None:
    former = [ended(pod, bound=12) for pod in bare(2, 4)]
    members = bare(6, 4, created=60)[2:]
    scheduler = Scheduler(a_node("n1"), *former, *members[:3])
    assert scheduler.binds() == {}
    assert scheduler.why("g-2") == "rejected by podgroup g: 3 of at least 4 pods are there"
    scheduler.sees(members[3])
    assert len(scheduler.binds()) == 4


def test_a_bare_pod_that_ended_is_no_member_of_a_jobs_gang() -> None:
    scheduler = Scheduler(a_node("n1"), ended(a_pod("old").of_gang("g", 2), bound=12))
    scheduler.sees(*gang("g", 1, 2, cpu="1"))
    assert scheduler.binds() == {}


def of_group(name: str, group: str) -> PodBuilder:
    return a_pod(name).asking(cpu="1").labelled(**{GROUP: group})


def test_bare_pods_of_a_pod_group_are_one_gang_as_long_as_it_is_the_same_object() -> None:
    over = [of_group(name, "g").on("n1").finished() for name in ("a", "b")]
    scheduler = Scheduler(a_node("n1"), *over)
    scheduler.sees_group("g", 3)
    # One that has its minimum with them, and one that is created again later.
    scheduler.sees(of_group("c", "g"))
    assert scheduler.binds() == {"c": "n1"}
    scheduler.sees(of_group("c", "g").on("n1"))
    scheduler.decides()
    scheduler.sees(of_group("c", "g").on("n1").finished(), of_group("d", "g"))
    assert scheduler.binds() == {"d": "n1"}


def test_a_pod_group_that_is_created_again_under_its_name_is_not_satisfied() -> None:
    scheduler = Scheduler(a_node("n1"), *[of_group(name, "g") for name in ("a", "b")])
    scheduler.sees_group("g", 2)
    assert len(scheduler.binds()) == 2
    scheduler.decides()
    scheduler.loses("a", "b")
    scheduler.sees(of_group("c", "g"))
    scheduler.sees_group("g", 2, uid="another")
    assert scheduler.binds() == {}
    scheduler.sees(of_group("d", "g"))
    assert len(scheduler.binds()) == 2


def test_a_binding_that_is_refused_leaves_the_others_and_is_tried_again() -> None:
    members = gang("g", 2, 2, cpu="1")
    scheduler = Scheduler(a_node("n1").having(cpu="2"), *members)
    (decision,) = scheduler.decides()
    assert isinstance(decision, Bind)
    scheduler.sees(members[0].on("n1"))
    scheduler.cache.bind_failed(members[1].pod, scheduler.now)
    assert scheduler.later(5).binds() == {"g-1": "n1"}


def test_a_condition_that_was_written_is_no_reason_to_try_again() -> None:
    pod = a_pod("p").asking(cpu="100")
    scheduler = Scheduler(a_node("n1"), pod)
    scheduler.decides()
    scheduler.later(60).sees(pod.at_version(2))
    assert scheduler.decides() == []
