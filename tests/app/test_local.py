"""What the processes of a local cluster are told on their command lines."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from pathlib import Path

import pytest

from kube_queue.app.local import LocalCluster, LocalOptions, controllers, run_local
from kube_queue.app.supervisor import ChildFailed
from kube_queue.cli import local
from kube_queue.controlplane.ports import HeldPorts

PLUGIN = ("--queue-group-plugin", "resourcequota")


def commands_of(options: LocalOptions) -> dict[str, tuple[str, ...]]:
    """The command lines by name."""
    with contextlib.closing(HeldPorts()) as ports:
        found = controllers(options, "/kubeconfig", ports)
    return {child.name: child.command for child in found}


def ours(options: LocalOptions) -> dict[str, tuple[str, ...]]:
    """The command lines of the controller and the job side by name."""
    children = commands_of(options)
    return {name: children[name] for name in children.keys() - {"simulator", "scheduler"}}


@pytest.mark.parametrize("wanted", [True, False])
def test_the_co_scheduler_runs_unless_it_is_not_wanted(wanted: bool, tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    options = LocalOptions(Path("/k"), shared_flags=PLUGIN, config=config, scheduler=wanted)
    children = commands_of(options)
    assert ("scheduler" in children) is wanted
    if wanted:
        words = children["scheduler"]
        assert words[words.index("--config") + 1] == str(config)
        assert words[words.index("--kubeconfig") + 1] == "/kubeconfig"
        assert not set(words) & set(PLUGIN)


@pytest.mark.parametrize(("split", "processes"), [(False, 1), (True, 2)])
def test_every_process_of_ours_is_told_where_quotas_come_from(split: bool, processes: int) -> None:
    options = LocalOptions(Path("/k"), shared_flags=PLUGIN, split=split)
    commands = ours(options)
    assert len(commands) == processes
    for command in commands.values():
        at = command.index(PLUGIN[0])
        assert command[at : at + 2] == PLUGIN


def test_the_flag_of_local_up_reaches_both_and_the_controllers_own_only_the_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[LocalOptions] = []

    async def start(options: LocalOptions, **_: object) -> LocalCluster | None:
        asked.append(options)
        return None

    monkeypatch.setattr(local, "_starter", lambda control_plane: start)
    local.up_verb(
        kubeconfig=tmp_path / "kubeconfig",
        port=0,
        nodes=None,
        profile="default",
        enabled_extensions=None,
        flags={"--queue-group-plugin": "resourcequota", "--tree-validation": "strict"},
        processes=local.Processes(split=True),
        control_plane="embedded",
    )
    (options,) = asked
    assert options.shared_flags == PLUGIN
    assert options.controller_flags == ("--tree-validation", "strict")


@pytest.mark.parametrize(("operators_only", "nodes"), [(False, True), (True, False)])
def test_where_nodes_are_real_the_simulator_plays_operators_only(
    operators_only: bool, nodes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[frozenset[str]] = []

    def process(*_: object, parts: frozenset[str], child: bool) -> None:
        played.append(parts)

    monkeypatch.setattr(local, "simulator_process", process)
    local.simulator_verb(
        None, None, profile="default", nodes=None, operators_only=operators_only, child=True
    )
    (parts,) = played
    assert ({"nodes", "scheduler", "job"} <= parts) is nodes
    assert {"rayjob", "sparkapp", "workflow", "jaxjob"} <= parts


async def test_a_cluster_that_did_not_start_leaves_its_logs_and_nothing_that_opened_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = LocalOptions(tmp_path / "config", port=taken.getsockname()[1])
        with pytest.raises(ChildFailed):
            await run_local(options, say=lambda _: None, up=lambda _: None)
    (folder,) = tmp_path.glob("kube-queue-local-*")
    assert [path.name for path in folder.iterdir()] == ["api-server.log"]
