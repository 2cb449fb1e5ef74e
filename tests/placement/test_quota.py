"""What pods are charged to the quota tree, and what it lets in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kube_queue.api.lifecycle import Phase
from kube_queue.api.names import LEND_LIMIT_ATTRIBUTE
from kube_queue.api.quota import parse_tree
from kube_queue.placement.decisions import Bind, Wait
from tests.builders import START, a_quota, a_tree
from tests.placement.builders import PodBuilder, a_node
from tests.placement.quota_worlds import QuotaWorld, pod_in, queue_unit, quota, tree, two


def firm(pod: PodBuilder) -> PodBuilder:
    return pod.labelled(**{"quota.scheduling.alibabacloud.com/preemptible": "false"})


def gang(name: str, least: int, *pods: PodBuilder) -> list[PodBuilder]:
    return [pod.of_gang(name, least) for pod in pods]


# --- the leaf of a pod ---------------------------------------------------------------------------


def test_the_label_of_a_pod_names_its_leaf() -> None:
    world = QuotaWorld(two()).runs(pod_in("alpha", "p", 2).of_quota("beta"))
    assert (world.used("root/alpha"), world.used("root/beta")) == (0, 2)


def test_the_koordinator_twin_of_the_label_names_it_as_well() -> None:
    pod = pod_in("alpha", "p").labelled(**{"quota.scheduling.koordinator.sh/name": "beta"})
    assert QuotaWorld(two()).runs(pod).used("root/beta") == 1


def test_the_label_of_the_unit_in_the_owner_chain_names_it_next() -> None:
    world = QuotaWorld(two())
    world.holds(replace(queue_unit("job", "alpha", 0), quota="beta"))
    world.brain.owner_seen("uid-rs", "job", START)
    world.runs(pod_in("alpha", "p").owned_by("ReplicaSet", "rs"))
    assert (world.used("root/alpha"), world.used("root/beta")) == (0, 1)


def test_a_pod_moves_when_its_owner_becomes_known_later() -> None:
    world = QuotaWorld(two()).runs(pod_in("alpha", "p").owned_by("ReplicaSet", "rs"))
    world.holds(replace(queue_unit("job", "alpha", 0), quota="beta"))
    assert (world.used("root/alpha"), world.used("root/beta")) == (1, 0)
    world.brain.owner_seen("uid-rs", "job", START)
    assert (world.used("root/alpha"), world.used("root/beta")) == (0, 1)


def test_the_namespace_names_it_else() -> None:
    assert QuotaWorld(two()).runs(pod_in("alpha", "p", 3)).used("root/alpha") == 3


def test_a_pod_of_no_quota_is_bound_by_none() -> None:
    world = QuotaWorld(two(cpu=1)).sees(pod_in("elsewhere", "p", 100))
    assert world.places() == ["p"]


def test_a_label_that_names_no_leaf_keeps_the_pod_waiting() -> None:
    world = QuotaWorld(two()).sees(pod_in("alpha", "p").of_quota("gamma"))
    assert world.says() == "no elastic quota is called gamma"


def test_an_owner_chain_that_is_a_circle_leads_nowhere() -> None:
    world = QuotaWorld(two()).holds(queue_unit("job", "beta", 1))
    world.brain.owner_seen("a", "b", START)
    world.brain.owner_seen("b", "a", START)
    assert world.runs(pod_in("alpha", "p").owned_by("Job", "x", "a")).used("root/alpha") == 1


# --- admission -----------------------------------------------------------------------------------


def test_no_node_of_the_tree_goes_above_its_max() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), quota("beta", 0, 8), cpu=5))
    world.sees(*(pod_in("alpha", f"a{n}") for n in range(5)))
    assert world.places() == ["a0", "a1", "a2"]
    world.sees(*(pod_in("beta", f"b{n}") for n in range(5)))
    assert world.places() == ["b0", "b1"]


def test_a_refusal_names_path_resource_requested_used_and_max() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8)).runs(pod_in("alpha", "a", 2))
    world.sees(pod_in("alpha", "b", 2))
    assert world.says() == "quota root/alpha has not enough cpu: requested 2, used 2, max 3"


def test_pods_of_every_scheduler_count() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8))
    world.runs(pod_in("alpha", "a", 2).of_scheduler("default-scheduler"))
    assert world.sees(pod_in("alpha", "b", 2)).places() == []


def test_a_pod_on_a_node_that_is_not_known_counts() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8)).runs(pod_in("alpha", "a", 2), node="?")
    assert world.used("root/alpha") == 2


def test_what_is_terminating_counts_until_it_is_gone() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8))
    world.runs(pod_in("alpha", "a", 2).terminating()).sees(pod_in("alpha", "b", 2))
    assert world.places() == []
    assert world.goes("a").later(2).places() == ["b"]


def test_a_resource_that_no_max_lists_is_unlimited() -> None:
    world = QuotaWorld(two()).sees(pod_in("alpha", "a").asking(memory="1000Gi"))
    world.brain.node_seen(a_node("huge").having(memory="2000Gi").node, START)
    assert world.places() == ["a"]


def test_a_zero_max_allows_nothing() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 0), cpu=8)).sees(pod_in("alpha", "a"))
    assert world.places() == []


def test_a_max_can_bound_the_number_of_pods() -> None:
    leaf = a_quota("alpha").max(pods=2).serving("alpha")
    world = QuotaWorld(a_tree(a_quota("root").over(leaf)))
    assert world.sees(*(pod_in("alpha", f"a{n}", 0) for n in range(3))).places() == ["a0", "a1"]


def test_a_max_that_cannot_be_read_lets_no_pod_in() -> None:
    root = {"name": "root", "children": [{"name": "a", "namespaces": ["alpha"], "max": "much"}]}
    found, _ = parse_tree({"spec": {"root": root}})
    world = QuotaWorld(found).sees(pod_in("alpha", "a"))
    assert "allows nothing" in world.says()


def test_a_tree_that_cannot_be_used_lets_no_pod_in() -> None:
    world = QuotaWorld(two()).sees(pod_in("elsewhere", "p"))
    world.brain.tree_seen(None, START, problem="ElasticQuotaTree: the root node is missing")
    assert world.says() == "ElasticQuotaTree: the root node is missing"


def test_the_oversell_rate_multiplies_max_and_min_rounded_down() -> None:
    world = QuotaWorld(tree(quota("alpha", 3, 3), cpu=100), rate=1.5)
    usage = world.brain.capacity.usage()["root/alpha"]
    assert (usage.max["cpu"], usage.min["cpu"]) == (4500, 4500)
    assert len(world.sees(*(pod_in("alpha", f"a{n}") for n in range(6))).places()) == 4


def test_siblings_are_charged_what_a_lend_limit_keeps_of_their_min() -> None:
    keeping = {
        "name": "alpha",
        "namespaces": ["alpha"],
        "min": {"cpu": 4},
        "max": {"cpu": 8},
        "attributes": {LEND_LIMIT_ATTRIBUTE: '{"cpu": 1}'},
    }
    other = {"name": "beta", "namespaces": ["beta"], "max": {"cpu": 8}}
    root = {"name": "root", "max": {"cpu": 8}, "children": [keeping, other]}
    found, _ = parse_tree({"spec": {"root": root}})
    world = QuotaWorld(found).sees(*(pod_in("beta", f"b{n}") for n in range(8)))
    assert len(world.places()) == 5
    world.sees(*(pod_in("alpha", f"a{n}") for n in range(8)))
    assert world.places() == ["a0", "a1", "a2"]


def test_pods_that_are_not_preemptible_use_only_min() -> None:
    world = QuotaWorld(two(cpu=8, low=2)).sees(
        *(firm(pod_in("alpha", f"a{n}")) for n in range(3)), pod_in("alpha", "b", 6)
    )
    assert world.places() == ["a0", "a1", "b"]
    told = world.later(60).brain.told
    waiting = [told(key) for key in world.brain.waiting.asleep()]
    assert [next(iter(each.why.values())).message for each in waiting if each] == [
        "quota root/alpha has not enough cpu: requested 1, used 2, min 2, "
        "and pods that are not preemptible get no more"
    ]


def test_a_gang_is_charged_as_a_whole_before_it_is_placed() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8))
    world.sees(*gang("g", 4, *(pod_in("alpha", f"a{n}") for n in range(4))))
    (decision,) = world.decides()
    assert isinstance(decision, Wait)
    assert decision.never
    assert world.used("root/alpha") == 0


def test_members_above_the_minimum_have_their_own_quota_check() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8))
    world.sees(*gang("g", 2, *(pod_in("alpha", f"a{n}") for n in range(5))))
    assert world.places() == ["a0", "a1", "a2"]


def test_a_gang_whose_smallest_requests_exceed_a_max_is_never_schedulable() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 4), cpu=8))
    sizes = (3, 2, 3, 2)
    world.sees(*gang("g", 2, *(pod_in("alpha", f"a{n}", size) for n, size in enumerate(sizes))))
    (decision,) = world.decides()
    assert isinstance(decision, Wait | Bind)
    assert not (isinstance(decision, Wait) and decision.never)
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8))
    world.sees(*gang("g", 2, *(pod_in("alpha", f"a{n}", size) for n, size in enumerate(sizes))))
    (decision,) = world.decides()
    assert isinstance(decision, Wait)
    assert decision.never
    assert next(iter(decision.why.values())).message == (
        "can never be scheduled as it is: "
        "quota root/alpha has not enough cpu: requested 4, used 0, max 3"
    )


def test_a_unit_that_can_never_be_scheduled_keeps_nobody_waiting_and_wakes_with_the_tree() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8))
    world.sees(pod_in("alpha", "big", 4, priority=9), pod_in("alpha", "small", 1))
    assert world.places() == ["small"]
    world.brain.tree_seen(tree(quota("alpha", 0, 5), cpu=8), world.now)
    assert world.later(60).places() == ["big"]


# --- a tree that changes -------------------------------------------------------------------------


def test_a_new_tree_charges_everybody_anew() -> None:
    world = QuotaWorld(two()).runs(pod_in("alpha", "a", 2), pod_in("beta", "b", 3))
    world.brain.tree_seen(tree(quota("beta", 0, 8), quota("alpha", 0, 8), cpu=9), START)
    assert [world.used(path) for path in ("root", "root/alpha", "root/beta")] == [5, 2, 3]
    world.brain.tree_seen(None, START)
    assert world.brain.capacity.paths() == ()
    world.brain.tree_seen(two(), START)
    assert [world.used(path) for path in ("root", "root/alpha", "root/beta")] == [5, 2, 3]


def test_a_larger_tree_lets_in_who_waits() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 1), cpu=8))
    world.sees(pod_in("alpha", "a"), pod_in("alpha", "b"))
    assert world.places() == ["a"]
    world.brain.tree_seen(tree(quota("alpha", 0, 2), cpu=8), START)
    assert world.later(2).places() == ["b"]


# --- units of the queue --------------------------------------------------------------------------


def with_unit(cpu: int, phase: Phase = Phase.DEQUEUED) -> QuotaWorld:
    world = QuotaWorld(tree(quota("alpha", 0, 4), cpu=8))
    world.brain.queue_lives(True, START)
    return world.holds(queue_unit("job", "alpha", cpu, phase))


def test_what_a_unit_holds_counts_for_pods_of_no_unit_before_its_pods_are_there() -> None:
    world = with_unit(3).sees(pod_in("alpha", "x", 2), pod_in("alpha", "y", 1))
    assert world.places() == ["y"]
    assert world.used("root/alpha") == 4


def test_what_a_unit_holds_is_free_for_its_own_pods() -> None:
    world = with_unit(4).sees(
        *(pod_in("alpha", f"p{n}", 2).owned_by("Job", "j", "job") for n in (0, 1))
    )
    assert world.places() == ["p0", "p1"]
    assert world.used("root/alpha") == 4


@pytest.mark.parametrize("phase", [Phase.ENQUEUED, Phase.SUCCEED, Phase.FAILED])
def test_a_unit_that_holds_nothing_keeps_nothing(phase: Phase) -> None:
    assert with_unit(4, phase).sees(pod_in("alpha", "x", 4)).places() == ["x"]


def test_without_a_live_queue_controller_nothing_is_kept_for_units() -> None:
    world = with_unit(4).sees(pod_in("alpha", "x", 4))
    assert world.places() == []
    world.brain.queue_lives(False, START)
    assert world.later(2).places() == ["x"]


# --- status --------------------------------------------------------------------------------------


def test_request_is_what_is_used_and_what_waits() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8))
    world.sees(*(pod_in("alpha", f"a{n}") for n in range(5))).decides()
    usage = world.brain.capacity.usage()["root"]
    assert (usage.used["cpu"], usage.request["cpu"]) == (3000, 5000)
    world.goes("a0", "a4")
    usage = world.brain.capacity.usage()["root/alpha"]
    assert (usage.used["cpu"], usage.request["cpu"]) == (2000, 3000)


def test_nominations_are_not_in_used_but_keep_others_out() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8))
    world.brain.cluster.nominate(pod_in("alpha", "n", 3).pod, "big")
    assert world.used("root/alpha") == 0
    assert world.sees(pod_in("alpha", "a")).places() == []


def test_a_nomination_does_not_count_against_its_own_pod() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8))
    world.brain.cluster.nominate(pod_in("alpha", "n", 3).pod, "big")
    assert world.sees(pod_in("alpha", "n", 3).nominated_to("big")).places() == ["n"]


def test_a_nomination_does_not_count_against_a_higher_priority_of_its_leaf() -> None:
    world = QuotaWorld(tree(quota("alpha", 0, 3), cpu=8))
    world.brain.cluster.nominate(pod_in("alpha", "n", 3).pod, "big")
    assert world.sees(pod_in("alpha", "high", 3, priority=1)).places() == ["high"]
