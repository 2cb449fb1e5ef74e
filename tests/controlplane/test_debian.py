"""What a node needs of the machine is found, or installed with a word about it."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from kube_queue.controlplane import debian
from kube_queue.controlplane.errors import NotInstalled
from tests.controlplane.fake_go import write_program

INSTALLER = """#!/bin/sh
echo "$@" >> {folder}/asked
[ "$1" = update ] && exit 0
[ -e {folder}/broken ] && {{ echo "E: Unable to locate package runc" >&2; exit 100; }}
printf '#!/bin/sh\\n' > {folder}/runc
/bin/chmod 755 {folder}/runc
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that lacks runc alone; what is asked of apt-get is in the file `asked`."""
    write_program(tmp_path / "apt-get", INSTALLER.format(folder=tmp_path))
    there = tmp_path / "there"
    there.write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(debian, "_runc", lambda: _file(tmp_path / "runc"))
    for part in ("_network", "_busybox", "_compiler"):
        monkeypatch.setattr(debian, part, lambda: there)
    return tmp_path


def _file(path: Path) -> Path | None:
    return path if path.is_file() else None


async def test_what_is_missing_is_named_then_installed_and_nothing_is_removed(machine: Path):
    said: list[str] = []
    tools = await debian.tools(said.append)
    assert tools.runc == machine / "runc"
    assert said == ["installing Debian packages: apt-get install runc"]
    (asked,) = (machine / "asked").read_text().splitlines()
    assert "--no-remove" in asked
    assert asked.endswith(" runc")


async def test_where_nothing_is_missing_nothing_is_said_or_installed(machine: Path):
    (machine / "runc").write_text("")
    said: list[str] = []
    await debian.tools(said.append)
    assert said == []
    assert not (machine / "asked").exists()


async def test_old_lists_are_renewed_once_and_a_failure_is_one_sentence(machine: Path):
    (machine / "broken").write_text("")
    with pytest.raises(NotInstalled, match=r"apt-get cannot install runc: .*Unable to locate"):
        await debian.tools(lambda line: None)
    verbs = [line.split()[0] for line in (machine / "asked").read_text().splitlines()]
    assert verbs == ["install", "update", "install"]


def test_a_user_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(debian, "_is_debian", lambda: True)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "needs root" in debian.unfit()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert debian.unfit() == ""


def test_another_system_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert debian.unfit() == "a real node needs Linux, this is darwin"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such programs")
def test_a_program_that_needs_libraries_is_not_static(tmp_path: Path):
    shell = shutil.which("sh")
    assert shell is not None
    assert not debian.is_static(Path(shell))
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    assert not debian.is_static(script)
