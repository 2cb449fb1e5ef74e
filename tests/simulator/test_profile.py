"""Named sets of nodes."""

import pytest

from kube_queue.api.errors import InvalidSetting
from kube_queue.simulator.profile import PROFILES, Profile, profile_named


def test_the_default_profile_is_three_nodes_of_eight_cpu():
    profile = profile_named("default")
    assert (profile.nodes, profile.cpu, profile.memory, profile.gpus) == (3, "8", "32Gi", None)


def test_the_number_of_nodes_can_be_another():
    assert profile_named("gpu", nodes=5).node_names() == [f"node-{n}" for n in range(1, 6)]


def test_an_unknown_profile_is_refused_with_the_names_that_are():
    with pytest.raises(InvalidSetting) as refusal:
        profile_named("huge")
    assert all(name in str(refusal.value) for name in PROFILES)


def test_fewer_nodes_than_none_are_refused():
    with pytest.raises(InvalidSetting, match="--nodes"):
        profile_named("default", nodes=-1)


def test_nodes_are_dealt_to_the_zones_in_turn():
    profile = Profile(nodes=4, zones=("a", "b"))
    assert [profile.zone(name) for name in profile.node_names()] == ["a", "b", "a", "b"]


def test_nodes_of_every_profile_but_the_small_one_are_in_three_zones():
    for profile in PROFILES.values():
        zones = {
            profile.labels(name)["topology.kubernetes.io/zone"]
            for name in ["node-1", "node-2", "node-3"]
        }
        assert len(zones) == (1 if profile.name == "small" else 3), profile.name


def test_a_node_says_what_cards_it_has_in_capacity_and_labels():
    profile = profile_named("gpu")
    labels = profile.labels("node-2")
    assert profile.capacity()["nvidia.com/gpu"] == labels["nvidia.com/gpu.count"] == "8"
    assert labels["nvidia.com/gpu.product"] == labels["aliyun.accelerator/nvidia_name"]
    assert labels["kubernetes.io/hostname"] == "node-2"
    assert labels["node.kubernetes.io/instance-type"] == "simulated.gpu"
    assert "nvidia.com/gpu" not in profile_named("default").capacity()
