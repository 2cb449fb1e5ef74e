"""Units that are kept from their turns, and lanes that are asked to look again."""

from __future__ import annotations

import pytest

from kube_queue.admission.holds import Hold
from kube_queue.api.queues import Policy
from kube_queue.api.reasons import Reason
from tests.builders import World, a_queue, a_unit, one_quota

PROMISED = Hold(Reason.RECLAIM_PENDING, "its victims are leaving", "waits until they are gone")
PASSING = pytest.mark.parametrize("policy", [Policy.ROUND, Policy.PRIORITY])


def two_waiting(policy: Policy) -> World:
    world = World(one_quota(cpu="4"), policy)
    return world.sees(
        a_unit("first").asking(cpu="1"), a_unit("second").asking(cpu="1").submitted_at(1)
    )


@PASSING
def test_others_pass_a_unit_that_is_kept_from_its_turns(policy: Policy) -> None:
    world = two_waiting(policy)
    world.cache.pending.hold("uid-first", PROMISED)
    assert world.admits() == ["second"]
    assert world.why("first") == ("ReclaimPending", "its victims are leaving")
    world.cache.pending.unhold("uid-first")
    assert world.admits() == ["first"]


def test_a_kept_head_of_a_blocking_queue_is_passed_by_nobody() -> None:
    world = two_waiting(Policy.BLOCK)
    world.cache.pending.hold("uid-first", PROMISED)
    assert world.admits() == []
    assert world.why("first")[0] == "ReclaimPending"
    world.cache.pending.unhold("uid-first")
    assert world.admits() == ["first", "second"]


def test_a_kept_unit_stays_kept_through_edits_trees_and_policies() -> None:
    world = two_waiting(Policy.PRIORITY)
    world.cache.pending.hold("uid-first", PROMISED)
    world.sees(a_unit("first").asking(cpu="1").with_priority(9).at_version(2))
    world.cache.tree_seen(one_quota(cpu="1"))
    world.cache.queue_seen(a_queue("root-team", Policy.ROUND))
    world.cache.queue_seen(a_queue("root-team", Policy.PRIORITY))
    assert world.admits() == ["second"]
    assert world.why("first")[0] == "ReclaimPending"


@pytest.mark.parametrize("policy", [Policy.ROUND, Policy.PRIORITY, Policy.BLOCK])
def test_units_of_a_leaf_that_is_looked_at_again_are_tried_once_more(policy: Policy) -> None:
    world = World(one_quota(cpu="4"), policy)
    world.sees(a_unit("r").asking(cpu="4"))
    assert world.admits() == ["r"]
    world.runs("r").sees(a_unit("w").asking(cpu="1"))
    assert len(world.refuses()) == 1
    world.cache.pending.look_again("root/team", lambda group: not group.preemptible)
    assert world.decides() == []
    world.cache.pending.look_again("root/team")
    assert [refusal.uid for refusal in world.refuses()] == ["uid-w"]
    world.ends("r")
    assert world.admits() == ["w"]
