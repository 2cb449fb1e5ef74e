"""Which pods of a ReplicaSet go first, and whose pods they are."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.simulator.replica_set import (
    claim,
    next_available,
    next_status,
    set_spec,
    to_delete,
)
from kube_queue.simulator.views import PodView, pod_view

NOW = 1_767_225_600.0
HOUR = 3600


def a_view(name: str, **changes: Any) -> PodView:
    """A ready pod on node-1, an hour old and ready as long."""
    born = int((NOW - HOUR) * 1_000_000)
    view = pod_view({"metadata": {"name": name, "uid": name, "labels": {"app": "web"}}})
    plain: dict[str, Any] = {
        "node": "node-1",
        "phase": "Running",
        "ready": True,
        "created": born,
        "ready_since": born,
    }
    return replace(view, **{**plain, **changes})


def a_set(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "uid": "u-web", "generation": 3},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web", "tier": "front"}}},
            **spec,
        },
    }


def ago(seconds: float) -> int:
    return int((NOW - seconds) * 1_000_000)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"node": "", "ready": False}, {"deletion_cost": -5}, id="no node"),
        pytest.param({"phase": "Pending", "ready": False}, {"ready": False}, id="pending"),
        pytest.param({"ready": False}, {"deletion_cost": -5}, id="not ready"),
        pytest.param({"deletion_cost": -5}, {"ready_since": ago(1)}, id="cheaper"),
        pytest.param({"ready_since": ago(1)}, {"restarts": 9}, id="ready for less long"),
        pytest.param({"restarts": 2}, {"created": ago(1)}, id="restarted more often"),
        pytest.param({"created": ago(1)}, {}, id="younger"),
    ],
)
def test_of_two_pods_this_one_goes_first(first: dict[str, Any], second: dict[str, Any]):
    one, other = a_view("z", **first), a_view("a", **second)
    assert to_delete([other, one], [other, one], 1, NOW) == [one]


def test_the_pod_whose_node_has_more_pods_of_the_same_owner_goes_first():
    alone, crowded = a_view("a", node="node-1"), a_view("z", node="node-2")
    sibling = a_view("of-another-set", node="node-2")
    assert to_delete([alone, crowded], [alone, crowded, sibling], 1, NOW) == [crowded]


def test_pods_of_about_the_same_age_are_not_told_apart_by_it():
    old, young = a_view("a", created=ago(4000)), a_view("z", created=ago(3900))
    assert to_delete([old, young], [], 1, NOW) == [old]


@given(st.permutations([a_view(name, deletion_cost=cost) for cost, name in enumerate("abcde")]))
def test_the_order_of_deletion_does_not_depend_on_the_order_of_the_pods(pods: list[PodView]):
    assert [pod.name for pod in to_delete(pods, pods, 3, NOW)] == ["a", "b", "c"]


def test_a_set_keeps_adopts_and_lets_go_by_its_selector():
    stranger = a_view("stranger", labels={"app": "other"})
    own, lost, ended = a_view("own"), stranger, a_view("ended", phase="Failed")
    going = a_view("going", deletion=ago(-30))
    orphan, other = a_view("orphan"), a_view("other", labels={"app": "db"})
    claimed = claim(set_spec(a_set()), [own, lost, ended, going], [orphan, other])
    assert claimed.active == (own,)
    assert claimed.terminating == (going,)
    assert claimed.release == (lost,)
    assert claimed.adopt == (orphan,)


def test_a_set_that_is_being_deleted_adopts_nobody():
    leaving = a_set()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert claim(set_spec(leaving), [], [a_view("orphan")]).adopt == ()


def test_a_set_that_would_select_everything_selects_nothing():
    claimed = claim(set_spec(a_set(selector={})), [a_view("a")], [a_view("b")])
    assert (claimed.active, claimed.adopt, claimed.release) == ((), (), ())


def test_a_pod_is_available_once_it_was_ready_for_the_seconds_asked_for():
    manifest = a_set(minReadySeconds=60)
    spec = set_spec(manifest)
    pods = [a_view("a"), a_view("b", ready_since=ago(20))]
    status = next_status(manifest, spec, claim(spec, pods, []), "", NOW)
    assert (status["replicas"], status["readyReplicas"], status["availableReplicas"]) == (2, 2, 1)
    assert "fullyLabeledReplicas" not in status
    assert status["observedGeneration"] == 3
    assert next_available(pods, 60, NOW) == 40


def test_a_problem_is_told_until_it_is_over_and_the_first_one_stays():
    manifest = a_set()
    spec = set_spec(manifest)
    nobody = claim(spec, [], [])
    manifest["status"] = next_status(manifest, spec, nobody, "quota of a", NOW)
    (told,) = manifest["status"]["conditions"]
    assert (told["reason"], told["message"]) == ("FailedCreate", "quota of a")
    assert next_status(manifest, spec, nobody, "quota of b", NOW + 9) == manifest["status"]
    assert "conditions" not in next_status(manifest, spec, nobody, "", NOW + 9)


@pytest.mark.parametrize("written", ["", "x", "1.5", "+1", "9999999999", "٣"])
def test_a_deletion_cost_that_is_none_counts_as_none_given(written: str):
    key = "controller.kubernetes.io/pod-deletion-cost"
    assert pod_view({"metadata": {"annotations": {key: written}}}).deletion_cost == 0
    assert pod_view({"metadata": {"annotations": {key: "-7"}}}).deletion_cost == -7
