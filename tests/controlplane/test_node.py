"""What the programs of a real node are told."""

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kube_queue.controlplane import cgroups, node
from kube_queue.controlplane.cluster import Binaries, Shape
from kube_queue.controlplane.debian import Tools
from kube_queue.controlplane.errors import NotReady
from kube_queue.controlplane.node import NodeKit, NodePlane, node_count
from kube_queue.controlplane.programs import NODE_PROGRAMS, PROGRAMS

FOLDER = Path("/opt/kit")
KIT = NodeKit(
    {row.name: FOLDER / row.name / row.name for row in NODE_PROGRAMS},
    Tools(Path("/usr/sbin/runc"), Path("/usr/lib/cni"), Path("/bin/busybox"), Path("/bin/gcc")),
    [FOLDER / "busybox.tar"],
)


def told(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The plan of a room, the kubelet's settings and the runtime's."""
    room = node._Room(KIT, folder, "node-0", "192.0.2.1", "group")
    daemon = room.daemon(6443, Path("/kubeconfig"))
    assert daemon.vital
    plan = json.loads(Path(daemon.command[-1]).read_text())
    kubelet = json.loads((folder / "kubelet.json").read_text())
    return plan, kubelet, tomllib.loads((folder / "containerd.toml").read_text())


def test_kubelet_and_runtime_meet_at_one_socket_and_one_cgroup(tmp_path: Path):
    plan, kubelet, runtime = told(tmp_path)
    assert kubelet["containerRuntimeEndpoint"] == f"unix://{plan['socket']}"
    assert kubelet["cgroupRoot"] == "/group"
    assert kubelet["cgroupDriver"] == "cgroupfs"
    pods = runtime["plugins"]["io.containerd.cri.v1.runtime"]
    assert pods["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is False


def test_the_sandbox_is_the_image_that_was_packed_and_is_never_thrown_away(tmp_path: Path):
    plan, _, runtime = told(tmp_path)
    images = runtime["plugins"]["io.containerd.cri.v1.images"]
    assert images["pinned_images"]["sandbox"] == node.PAUSE
    assert [words[-1] for words in plan["then"]] == [str(FOLDER / "busybox.tar")]


def test_the_runtime_finds_its_shim(tmp_path: Path):
    plan, _, _ = told(tmp_path)
    shim = str(FOLDER / "containerd-shim-runc-v2")
    assert shim in plan["environment"]["PATH"].split(":")


def test_pods_get_addresses_from_the_plug_ins_that_there_are(tmp_path: Path):
    _, _, runtime = told(tmp_path)
    network = runtime["plugins"]["io.containerd.cri.v1.runtime"]["cni"]
    assert network["bin_dirs"] == ["/usr/lib/cni"]
    (conf,) = Path(network["conf_dir"]).iterdir()
    assert json.loads(conf.read_text())["plugins"][0]["type"] == "bridge"


@pytest.mark.parametrize(("cpus", "nodes"), [(1, 4), (2, 2), (3, 2), (4, 1), (64, 1)])
def test_as_many_nodes_as_have_four_cpus(cpus: int, nodes: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    assert node_count(4) == nodes


def test_building_all_programs_builds_none_of_a_node():
    assert not {row.name for row in PROGRAMS} & {row.name for row in NODE_PROGRAMS}


async def test_pods_can_trust_the_api_server(tmp_path: Path):
    programs = {name: tmp_path / name for name in Shape(operator=False).programs()}
    plane = NodePlane(tmp_path, Shape(), Binaries(programs), lambda line: None)
    flags = [str(word) for word in plane._controller_manager().command]
    assert f"--root-ca-file={tmp_path / 'pki' / 'apiserver.crt'}" in flags


def test_what_lies_where_the_room_is_empty_is_refused_before_anything_starts():
    with pytest.raises(NotReady, match=r"/var/lib/ci/plane: nothing of it may lie below"):
        node._check_places(Path("/var/lib/ci/plane"), KIT)
    node._check_places(Path("/tmp/plane"), KIT)


async def test_groups_of_a_killed_parent_are_swept_and_those_of_a_living_one_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    swept: list[str] = []

    async def remove(name: str) -> list[Path]:
        swept.append(name)
        return []

    left, ours = (f"{node.CGROUP_PREFIX}{pid}-x-node-0" for pid in (2**22 + 1, os.getpid()))
    monkeypatch.setattr(cgroups, "of_prefix", lambda prefix: {left, ours})
    monkeypatch.setattr(cgroups, "remove", remove)
    await node._sweep()
    assert swept == [left]
