"""What the judge of two schedulers reads, and the worlds it makes."""

from __future__ import annotations

import json

from e2e.scheduling_judge import counts_of
from e2e.scheduling_storage import Disks
from e2e.scheduling_worlds import Chance


def test_the_nodes_of_each_reason_are_read_from_the_sentence() -> None:
    said = (
        "0/9 nodes are available: 1 node(s) had untolerated taint(s), 8 Insufficient cpu. no new "
        "claims to deallocate, preemption: 0/9 nodes are available: 9 Preemption is not helpful "
        "for scheduling."
    )
    assert counts_of(said) == {"node(s) had untolerated taint(s)": 1, "Insufficient cpu": 8}


def test_a_reason_with_an_apostrophe_and_brackets_is_read_whole() -> None:
    reason = "node(s) didn't match pod topology spread constraints (missing required label)"
    assert counts_of(f"0/2 nodes are available: 2 {reason}.") == {reason: 2}


def test_a_sentence_about_no_node_counts_none() -> None:
    assert counts_of('persistentvolumeclaim "c" not found') == {}


def test_equal_seeds_make_equal_worlds() -> None:
    def world(seed: int) -> str:
        chance = Chance(seed)
        pods = [chance.pod(f"p{index}") for index in range(20)]
        return json.dumps([chance.node("n"), pods])

    assert world(1) == world(1)
    assert world(1) != world(2)


def test_equal_seeds_make_equal_volumes_and_another_seed_names_them_otherwise() -> None:
    def world(seed: int) -> str:
        disks, nodes = Disks(seed), ["n0", "n1"]
        made = [disks.classes(), disks.drivers(nodes), disks.volumes(nodes), disks.claims()]
        pods = [Chance(seed).pod(f"p{index}") for index in range(10)]
        return json.dumps([made, [disks.mounting(pod) for pod in pods]])

    assert world(1) == world(1)
    assert "s2-" not in world(1)
    assert '"s2-c0"' in world(2)


def test_some_pods_of_a_world_mount_claims_and_some_do_not() -> None:
    disks = Disks(1)
    known = {each["metadata"]["name"] for each in disks.claims()}
    pods = [disks.mounting(Chance(1).pod(f"p{index}")) for index in range(40)]
    mounted = [
        {each["persistentVolumeClaim"]["claimName"] for each in pod["spec"].get("volumes", ())}
        for pod in pods
    ]
    assert 0 < sum(bool(names) for names in mounted) < 40
    assert any(len(names) > 1 for names in mounted)
    assert set().union(*mounted) <= known | {disks.named("none")}
