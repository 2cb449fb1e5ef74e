"""kind is refused with one sentence where it cannot be, and asked for clusters where it can."""

from pathlib import Path

import pytest

from e2e import __main__
from e2e.backends.kind import KindPlane, check_machine
from kube_queue.controlplane.cluster import Binaries, Shape
from kube_queue.controlplane.errors import NotReady
from tests.controlplane.fake_go import write_program

KIND = """#!/bin/sh
echo "$@" >> {folder}/asked
[ "$1" = create ] && {{ echo "ERROR: failed to create cluster: no space left" >&2; exit 1; }}
exit 0
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of programs."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.argv", ["e2e", "--backend", "kind"])
    assert __main__.main() == 2
    (line,) = capsys.readouterr().out.splitlines()
    return line


def test_without_docker_or_kind_the_run_is_refused_and_says_which(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert "there is no `docker` on PATH" in refusal(capsys, monkeypatch)
    write_program(path / "docker", "#!/bin/sh\nexit 0\n")
    assert "there is no `kind` on PATH" in refusal(capsys, monkeypatch)


def test_a_docker_without_its_engine_is_refused(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    write_program(path / "docker", "#!/bin/sh\necho no daemon >&2\nexit 1\n")
    write_program(path / "kind", "#!/bin/sh\n")
    assert "no Docker engine answers" in refusal(capsys, monkeypatch)
    write_program(path / "docker", "#!/bin/sh\necho 28.2.2\n")
    check_machine()


async def test_a_cluster_that_kind_made_in_part_is_deleted_and_its_complaint_is_told(path: Path):
    write_program(path / "kind", KIND.format(folder=path))
    plane = KindPlane(path / "plane", Shape(), Binaries({}), lambda line: None)
    with pytest.raises(NotReady, match="no space left"):
        await plane.serve()
    await plane.delete()
    verbs = [line.split()[0] for line in (path / "asked").read_text().splitlines()]
    assert verbs == ["create", "delete"]
