"""What a local cluster keeps beside its objects, and how its API server is told."""

from __future__ import annotations

import contextlib
import socket
import stat
from pathlib import Path

import pytest

from kube_queue.api.errors import InvalidSetting
from kube_queue.app.data_folder import Keepsakes, keep_ports, keepsakes
from kube_queue.app.local import LocalOptions, api_server
from kube_queue.controlplane.ports import HeldPorts


def chosen(folder: Path, port: int) -> Keepsakes:
    """What a cluster that has ended by now kept in the folder."""
    with contextlib.closing(HeldPorts()) as ports:
        return keepsakes(folder, port, ports)


def test_a_folder_keeps_its_token_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = chosen(folder, 0)
    assert len(first.token) >= 32
    assert chosen(folder, 0).token == first.token
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["token"]


def test_the_ports_are_the_folders_once_the_server_has_them(tmp_path: Path) -> None:
    first = chosen(tmp_path, 0)
    assert first.port != first.plain_port
    keep_ports(tmp_path, first)
    assert chosen(tmp_path, 0) == first


def test_a_port_that_another_program_has_taken_is_replaced(tmp_path: Path) -> None:
    first = chosen(tmp_path, 0)
    keep_ports(tmp_path, first)
    with socket.socket() as other:
        other.bind(("127.0.0.1", first.port))
        other.listen()
        again = chosen(tmp_path, 0)
    assert again.port != first.port
    assert again.plain_port == first.plain_port


def test_a_port_that_was_asked_for_beats_the_folders(tmp_path: Path) -> None:
    keep_ports(tmp_path, chosen(tmp_path, 0))
    assert chosen(tmp_path, 6443).port == 6443


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"port": "x", "plainPort": 70000}'])
def test_ports_that_cannot_be_read_are_chosen_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports").write_text(text)
    assert 0 < chosen(tmp_path, 0).port < 65536


def test_a_folder_that_cannot_be_used_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidSetting, match=r"--data-dir: .*file/data cannot be used: Not a dir"):
        chosen(tmp_path / "file" / "data", 0)
    (tmp_path / "token").touch()
    with pytest.raises(InvalidSetting, match="token is empty; remove it"):
        chosen(tmp_path, 0)


def test_only_a_server_that_keeps_its_objects_is_started_again(tmp_path: Path) -> None:
    keep = Keepsakes("secret", 6443, 8080)
    kept = api_server(LocalOptions(Path("/k"), data_dir=tmp_path), keep, Path("/t"))
    assert not kept.vital
    for words in (("--data-dir", str(tmp_path)), ("--port", "6443"), ("--plain-port", "8080")):
        at = kept.command.index(words[0])
        assert kept.command[at : at + 2] == words
    lost = api_server(LocalOptions(Path("/k")), keep, Path("/t"))
    assert lost.vital
    assert "--data-dir" not in lost.command
