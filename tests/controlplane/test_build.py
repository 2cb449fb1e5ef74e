"""A program is built once, whole, by one builder at a time."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from kube_queue.controlplane.build import obtain
from kube_queue.controlplane.cache import cache_folder
from kube_queue.controlplane.errors import BuildFailed, ControlPlaneError
from kube_queue.controlplane.programs import program
from tests.controlplane.fake_go import FakeGo, write_program

KUBECTL = program("kubectl")


def silent(line: str) -> None:
    del line


async def until_exists(path: Path) -> None:
    async with asyncio.timeout(20):
        while not path.exists() or not path.read_text():
            await asyncio.sleep(0.01)


async def test_the_built_binary_is_the_one_that_is_printed_and_runs(go: FakeGo, tmp_path: Path):
    path = await obtain(KUBECTL, silent, tmp_path / "cache")
    assert path.name == "kubectl"
    assert os.access(path, os.X_OK)
    assert "v1.36.3" in path.read_text()


async def test_a_second_request_builds_nothing(go: FakeGo, tmp_path: Path):
    first = await obtain(KUBECTL, silent, tmp_path / "cache")
    second = await obtain(KUBECTL, silent, tmp_path / "cache")
    assert first == second
    assert go.builds() == 1


async def test_the_module_file_names_a_published_version_for_staged_modules_only(
    go: FakeGo, tmp_path: Path
):
    await obtain(KUBECTL, silent, tmp_path / "cache")
    text = (go.home / "go.mod").read_text()
    assert "require k8s.io/kubernetes v1.36.3" in text
    assert "replace k8s.io/api => k8s.io/api v0.36.3" in text
    assert "example.org" not in text
    assert 'import _ "k8s.io/kubernetes/cmd/kubectl"' in (go.home / "tools.go").read_text()


async def test_the_version_is_stamped_into_the_binary(go: FakeGo, tmp_path: Path):
    await obtain(KUBECTL, silent, tmp_path / "cache")
    (build,) = [line for line in go.asked() if line.startswith("build ")]
    assert "-X k8s.io/component-base/version.gitVersion=v1.36.3" in build
    assert "-X k8s.io/component-base/version.gitMinor=36" in build


async def test_what_another_version_of_go_built_is_used_again(go: FakeGo, tmp_path: Path):
    first = await obtain(KUBECTL, silent, tmp_path / "cache")
    go.tell("version", "go1.26.9")
    assert await obtain(KUBECTL, silent, tmp_path / "cache") == first
    assert go.builds() == 1


async def test_what_was_built_for_another_machine_is_not_used(go: FakeGo, tmp_path: Path):
    first = await obtain(KUBECTL, silent, tmp_path / "cache")
    there = first.parent
    there.rename(there.with_name(there.name.replace("-linux-", "-plan9-")))
    assert (await obtain(KUBECTL, silent, tmp_path / "cache")).is_file()
    assert go.builds() == 2


async def test_two_builders_at_once_build_once(go: FakeGo, tmp_path: Path):
    lines: list[str] = []
    go.tell("hold")
    both = [
        asyncio.create_task(obtain(KUBECTL, lines.append, tmp_path / "cache")) for _ in range(2)
    ]
    async with asyncio.timeout(20):
        while not any("another build" in line for line in lines):
            await asyncio.sleep(0.01)
    await until_exists(go.home / "building")
    (go.home / "hold").unlink()
    first, second = await asyncio.gather(*both)
    assert first == second
    assert go.builds() == 1


async def test_a_builder_killed_in_the_middle_leaves_no_binary_and_blocks_nobody(
    go: FakeGo, tmp_path: Path
):
    go.tell("hold")
    killed = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kube_queue.controlplane",
        "build",
        "kubectl",
        stderr=asyncio.subprocess.DEVNULL,
    )
    await until_exists(go.home / "building")
    os.kill(killed.pid, signal.SIGKILL)
    await killed.wait()
    (half,) = cache_folder().rglob("kubectl")
    assert ".work-" in str(half)
    (go.home / "building").unlink()
    (go.home / "hold").unlink()

    path = await obtain(KUBECTL, silent)
    assert "half" not in path.read_text()
    assert not list(cache_folder().glob("*.work-*"))


async def test_a_cancelled_build_ends_its_compiler_and_leaves_nothing(go: FakeGo, tmp_path: Path):
    go.tell("hold")
    building = asyncio.create_task(obtain(KUBECTL, silent, tmp_path / "cache"))
    await until_exists(go.home / "building")
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    with pytest.raises(ProcessLookupError):
        os.kill(int((go.home / "building").read_text()), 0)
    assert not list((tmp_path / "cache").rglob("kubectl"))


async def test_an_unreachable_module_is_one_sentence_with_the_reason(go: FakeGo, tmp_path: Path):
    go.tell("unreachable", "dial tcp: no route to host")
    with pytest.raises(BuildFailed) as refusal:
        await obtain(KUBECTL, silent, tmp_path / "cache")
    text = str(refusal.value)
    assert "k8s.io/kubernetes@v1.36.3" in text
    assert "no route to host" in text
    assert "GOPROXY" in text
    assert "\n" not in text


async def test_a_compile_error_is_told_with_the_compilers_last_words(go: FakeGo, tmp_path: Path):
    go.tell("error", "no space left on device")
    with pytest.raises(BuildFailed, match="go build failed for kubectl: no space left on device"):
        await obtain(KUBECTL, silent, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("kubectl"))


async def test_a_binary_that_answers_another_version_is_not_kept(go: FakeGo, tmp_path: Path):
    go.tell("prints", "v0.0.0-master")
    with pytest.raises(BuildFailed, match="asked for its version"):
        await obtain(KUBECTL, silent, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("kubectl"))


@pytest.mark.parametrize(("printed", "taken"), [("v1.36.0", True), ("v1.35.9", False)])
async def test_assets_are_preferred_when_their_version_will_do(
    go: FakeGo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, taken: bool
):
    assets = tmp_path / "assets"
    given = write_program(assets / "kubectl", f"#!/bin/sh\necho Client Version: {printed}\n")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    path = await obtain(KUBECTL, silent, tmp_path / "cache")
    assert (path == given) is taken
    assert go.builds() == (0 if taken else 1)


async def test_a_file_of_the_right_name_that_does_not_run_is_passed_over(
    go: FakeGo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_program(tmp_path / "assets" / "kubectl", "#!/nonexistent/interpreter\n")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
    await obtain(KUBECTL, silent, tmp_path / "cache")
    assert go.builds() == 1


def test_a_program_that_is_not_in_the_table_is_refused_with_the_names_that_are():
    with pytest.raises(ControlPlaneError, match=r"kube-proxy.*choose one of kubectl"):
        program("kube-proxy")
