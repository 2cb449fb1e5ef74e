"""A stand-in Go tool on PATH."""

import sys
from pathlib import Path

import pytest

from tests.controlplane.fake_go import FAKE_GO, FakeGo, write_program


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGo:
    """The only Go on PATH; no other program of ours is on it, and no cache of this user is used."""
    home = tmp_path / "go-home"
    home.mkdir()
    folder = tmp_path / "go-bin"
    write_program(folder / "go", FAKE_GO.format(python=sys.executable, home=str(home)))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    return FakeGo(home)
