"""A node's cgroup is made in every hierarchy, and goes with all that is in it."""

from pathlib import Path

import pytest

from kube_queue.controlplane import cgroups


@pytest.fixture
def hierarchies(tmp_path: Path) -> Path:
    """Two hierarchies as the first version of cgroups has them, one under a second name."""
    for name in ("cpuset", "memory"):
        (tmp_path / name).mkdir()
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-1\n")
    (tmp_path / "cpuset" / "cpuset.mems").write_text("0\n")
    (tmp_path / "again").symlink_to("memory")
    return tmp_path


def test_the_group_of_a_cpuset_has_the_cpus_without_which_nothing_runs(hierarchies: Path):
    cgroups.make("node", hierarchies)
    assert (hierarchies / "cpuset" / "node" / "cpuset.cpus").read_text() == "0-1\n"
    assert (hierarchies / "memory" / "node").is_dir()


def test_in_the_unified_hierarchy_every_controller_is_handed_on(tmp_path: Path):
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    cgroups.make("node", tmp_path)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +memory"
    assert (tmp_path / "node").is_dir()


async def test_inner_groups_go_first_and_others_stay(hierarchies: Path):
    for name in ("node/pods/one", "node/pods/two", "others"):
        (hierarchies / "memory" / name).mkdir(parents=True)
    assert await cgroups.remove("node", hierarchies) == []
    assert not (hierarchies / "memory" / "node").exists()
    assert (hierarchies / "memory" / "others").is_dir()


async def test_a_group_that_stays_busy_is_named(hierarchies: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroups, "_GONE_WITHIN", 0.05)
    group = hierarchies / "memory" / "node"
    group.mkdir()
    # A file cannot be removed with its folder, as a group with a process in it cannot.
    (group / "busy").write_text("")
    assert await cgroups.remove("node", hierarchies) == [group]


def test_groups_are_found_by_how_they_begin(hierarchies: Path):
    for name in ("node-1-a", "node-2-b", "others"):
        (hierarchies / "memory" / name).mkdir()
    assert cgroups.of_prefix("node-", hierarchies) == {"node-1-a", "node-2-b"}
