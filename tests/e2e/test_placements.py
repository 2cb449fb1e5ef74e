"""What is held against a scheduler is found in the order of events, and nothing else is."""

from typing import Any

import pytest

from e2e.gang_chaos import Limit
from e2e.invariants import Broken
from e2e.own_scheduler import Fault
from e2e.placements import Placements

Object = dict[str, Any]


def a_node(name: str, cpu: str) -> Object:
    return {"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "pods": "10"}}}


def a_pod(name: str, node: str = "", cpu: str = "2", phase: str = "Running", **more: Any) -> Object:
    container = {"resources": {"requests": {"cpu": cpu}}}
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name, **more},
        "spec": {"nodeName": node, "containers": [container]},
        "status": {"phase": phase},
    }


def placed(*pods: Object, cpu: str = "4") -> Placements:
    made = Placements()
    made.node_seen(None, a_node("one", cpu))
    made.node_seen(None, a_node("two", cpu))
    for pod in pods:
        made.pod_seen(None, pod)
    return made


def test_a_full_node_and_pods_that_wait_or_have_ended_break_nothing():
    done = a_pod("done", "one", phase="Succeeded")
    placed(a_pod("a", "one"), a_pod("b", "one"), a_pod("c"), done).check()


def test_one_pod_too_many_is_found_even_when_it_is_gone_again():
    made = placed(a_pod("a", "one"), a_pod("b", "one"), a_pod("c", "one"))
    made.pod_seen(a_pod("c", "one"), None)
    with pytest.raises(Broken, match="one had 6000 cpu with default/c"):
        made.check()


def test_a_node_whose_growth_was_seen_late_was_not_too_full():
    made = placed(a_pod("a", "one"), a_pod("b", "one"), a_pod("c", "one"))
    made.node_seen(None, a_node("one", "6"))
    made.check()


def test_a_pod_that_leaves_takes_its_room_until_it_is_gone():
    going = a_pod("a", "one", deletionTimestamp="2026-01-01T00:00:00Z")
    made = placed(going, a_pod("b", "one"), a_pod("c", "one"))
    assert made.evicted == {"a": "default/a"}
    with pytest.raises(Broken):
        made.check()


def test_a_pod_on_two_nodes_is_found():
    made = placed(a_pod("a", "one"))
    made.pod_seen(a_pod("a", "one"), a_pod("a", "two"))
    with pytest.raises(Broken, match="was on one and is on two"):
        made.check()


async def test_a_gang_gets_so_many_bindings_and_the_next_one_has_the_fault():
    limit = Limit("gang001", 2, Fault.UNANSWERED)
    others = [limit(0, "gang002-00"), limit(1, "gang001")]
    faults = [limit(index, f"gang001-{index:02}") for index in range(4)]
    assert others == [Fault.NONE] * 2
    assert faults == [Fault.NONE, Fault.NONE, Fault.UNANSWERED, Fault.LOST]
    assert limit.reached.is_set()
