"""Several programs at once, and programs that bring files or cannot tell their version."""

import asyncio
from pathlib import Path

import pytest

from kube_queue.controlplane import operator
from kube_queue.controlplane.__main__ import main
from kube_queue.controlplane.build import data_folder, obtain, obtain_all, spoken
from kube_queue.controlplane.errors import GoMissing, NotReady
from kube_queue.controlplane.files import signing_key, tokens
from kube_queue.controlplane.programs import Module, Program, program
from tests.controlplane.fake_go import FakeGo, write_program

KUBECTL, SCHEDULER = program("kubectl"), program("kube-scheduler")
SILENT_ONE = Program("quiet", Module("example.org/quiet", "v2.5.0"), "example.org/quiet/cmd", ())


def silent(line: str) -> None:
    del line


async def test_programs_are_built_one_after_another_with_the_time_left_for_all(
    go: FakeGo, tmp_path: Path
):
    lines: list[str] = []
    found = await obtain_all((KUBECTL, SCHEDULER), lines.append, tmp_path / "cache")
    assert list(found) == ["kubectl", "kube-scheduler"]
    assert all(path.is_file() for path in found.values())
    assert go.builds() == 2
    assert lines[0].startswith("2 programs to build: kubectl, kube-scheduler: ")
    assert lines[0].endswith(" left")


async def test_an_interrupted_build_goes_on_with_the_programs_that_are_missing(
    go: FakeGo, tmp_path: Path
):
    await obtain(KUBECTL, silent, tmp_path / "cache")
    lines: list[str] = []
    await obtain_all((KUBECTL, SCHEDULER), lines.append, tmp_path / "cache")
    assert go.builds() == 2
    assert not any("kubectl" in line for line in lines)


async def test_what_was_built_is_used_when_go_has_gone(
    go: FakeGo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    built = await obtain(KUBECTL, silent, tmp_path / "cache")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert await obtain(KUBECTL, silent, tmp_path / "cache") == built
    with pytest.raises(GoMissing, match="pip install"):
        await obtain_all((KUBECTL, SCHEDULER), silent, tmp_path / "cache")


def test_the_command_prints_a_path_for_each_program(go: FakeGo, capsys: pytest.CaptureFixture[str]):
    assert main(["build", "kube-scheduler", "kubectl"]) == 0
    names = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert names == ["kube-scheduler", "kubectl"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(20, "less than a minute left"), (61, "about 1 min left"), (600, "about 10 min left")],
)
def test_the_time_left_is_said_as_people_say_it(seconds: float, said: str):
    assert spoken(seconds) == said


@pytest.mark.parametrize(
    ("listed", "accepted"),
    [
        ("mod\texample.org/quiet\tv2.5.0\th1:abc", True),
        ("dep\texample.org/quiet\tv2.5.7\th1:abc", True),
        ("dep\texample.org/quiet\tv2.4.0\th1:abc", False),
        ("dep\texample.org/other\tv2.5.0\th1:abc", False),
        ("mod\texample.org/quiet\t(devel)\t", False),
    ],
)
def test_a_program_that_cannot_tell_its_version_is_known_by_its_list_of_modules(
    tmp_path: Path, listed: str, accepted: bool
):
    binary = write_program(tmp_path / "quiet", f"\0\0path\tx\n{listed}\n\0\0")
    assert SILENT_ONE.accepts(SILENT_ONE.listed_in(binary)) is accepted


async def test_the_files_a_program_needs_are_copied_once_and_stay_when_go_has_gone(
    go: FakeGo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    row = Program("quiet", SILENT_ONE.module, SILENT_ONE.package, (), data="manifests")
    source = go.home / "module" / "manifests"
    source.mkdir(parents=True)
    (source / "one.yaml").write_text("kind: One")
    (source / "one.yaml").chmod(0o444)
    folder = await data_folder(row, tmp_path / "cache")
    assert (folder / "one.yaml").read_text() == "kind: One"
    monkeypatch.setenv("PATH", "/nowhere")
    assert await data_folder(row, tmp_path / "cache") == folder


def test_tokens_stay_and_users_that_are_new_get_theirs(tmp_path: Path):
    first = tokens(tmp_path / "tokens.csv", ("admin",))
    both = tokens(tmp_path / "tokens.csv", ("admin", "kwok"))
    assert both["admin"] == first["admin"]
    assert len(set(both.values())) == 2
    assert tokens(tmp_path / "tokens.csv", ("admin", "kwok")) == both
    lines = (tmp_path / "tokens.csv").read_text().splitlines()
    assert [line.split(",", 2)[2] for line in lines] == [
        'admin,"system:masters"',
        'kwok,"system:masters"',
    ]


def test_a_signing_key_is_made_once_and_is_a_key_on_the_curve_p_256(tmp_path: Path):
    text = signing_key(tmp_path / "key").read_text()
    assert text.startswith("-----BEGIN EC PRIVATE KEY-----\n")
    assert signing_key(tmp_path / "key").read_text() == text
    assert signing_key(tmp_path / "another").read_text() != text


class SecretLater:
    """An API server on which the operator fills its Secret after a while."""

    def __init__(self) -> None:
        self.asked = 0

    async def get(self, path: str) -> dict[str, object]:
        self.asked += 1
        return {"data": {"tls.crt": "aGVyZQ=="}} if self.asked > 2 else {"data": None}


async def test_certificates_are_laid_where_the_operator_reads_them_once_it_has_made_them(
    tmp_path: Path,
):
    api = SecretLater()
    async with asyncio.timeout(20):
        await operator.mount_certificates(api, tmp_path / "certs")  # type: ignore[arg-type]
    assert (tmp_path / "certs" / "tls.crt").read_text() == "here"
    assert api.asked == 3


async def test_a_certificate_folder_of_somebody_else_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("os.getuid", lambda: -1)
    with pytest.raises(NotReady, match="remove that folder"):
        await operator.mount_certificates(SecretLater(), tmp_path)  # type: ignore[arg-type]
