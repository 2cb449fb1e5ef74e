"""The guide "Add your own job type" is followed to the letter, outside of this repository."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_queue.api.lifecycle import Phase
from kube_queue.api.types import CRDS
from kube_queue.jobframework.extension import JobExtension
from kube_queue.jobframework.registry import load_extensions
from tests.controller.jobs.cluster import Cluster, play

ROOT = Path(__file__).parent.parent.parent
GUIDE = (ROOT / "docs" / "add-a-job-type.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(render-queue/[\w.-]+)`:\n\n```\w+\n(.*?)^```", GUIDE, re.M | re.S))
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", GUIDE, re.M | re.S)
    for line in block.split("\n")
]
ENTRY_POINT = "render_queue"


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file of the guide and, in `site`, what its `pip install` installs."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (install,) = [line for line in COMMANDS if line.startswith("pip ")]
    if builds_wheels():
        # The same command, kept from the network and from this environment.
        apart = ["--target", "site", "--no-deps", "--no-index", "--no-build-isolation", "--quiet"]
        python(folder, "-m", *install.split(), *apart)
    else:
        # The build backend without pip: it lays down the same module and the same entry point.
        site = str(folder / "site")
        (folder / "site").mkdir()
        build = "import setuptools; setuptools.setup()"
        words = ("-c", build, "--quiet", "egg_info", "-e", site, "build_py", "-d", site)
        python(folder, *words, at=install.split()[-1])
    return folder


def builds_wheels() -> bool:
    """Whether the build backend that is installed here can do so without a network."""
    own = tuple(map(int, version("setuptools").split(".")[:2])) >= (70, 1)
    return importlib.util.find_spec("pip") is not None and (
        own or importlib.util.find_spec("wheel") is not None
    )


def python(folder: Path, *words: str, at: str = ".") -> str:
    """What the command prints."""
    paths = [folder / "site", ROOT, ROOT / "extensions"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder / at,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def extension(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobExtension]:
    """The kind, found as the command of the guide finds it."""
    monkeypatch.syspath_prepend(str(elsewhere / "site"))
    importlib.invalidate_caches()
    (command,) = [line for line in COMMANDS if line.startswith("kube-queue ")]
    names = command.partition("--enabled-extensions ")[2]
    yield load_extensions(names)[-1]
    sys.modules.pop(ENTRY_POINT, None)


def test_every_file_of_the_guide_is_read() -> None:
    assert sorted(FILES) == [
        "render-queue/definition.yaml",
        "render-queue/film.yaml",
        "render-queue/pyproject.toml",
        "render-queue/render_queue.py",
        "render-queue/rights.yaml",
        "render-queue/test_render_queue.py",
    ]
    applied = {line.split()[-1] for line in COMMANDS if line.startswith("kubectl apply -f ")}
    assert applied <= FILES.keys() and len(applied) == 3


def test_the_package_passes_the_test_it_is_given(elsewhere: Path) -> None:
    (command,) = [line for line in COMMANDS if line.startswith("python ")]
    said = python(elsewhere, *command.split()[1:], "-p", "no:cacheprovider")
    assert "1 passed" in said


def test_the_rights_are_those_the_job_side_has_of_its_own_kinds() -> None:
    role, binding = yaml.safe_load_all(FILES["render-queue/rights.yaml"])
    assert role["rules"][0]["verbs"] == ["get", "list", "watch", "patch"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    ours = list(yaml.safe_load_all((ROOT / "kube_queue/manifests/rbac.yaml").read_text()))
    accounts = {
        (each["metadata"]["name"], each["metadata"]["namespace"])
        for each in ours
        if each["kind"] == "ServiceAccount"
    }
    (subject,) = binding["subjects"]
    assert (subject["name"], subject["namespace"]) in accounts


def test_its_jobs_are_queued_released_evicted_and_finished(extension: JobExtension) -> None:
    film: dict[str, Any] = yaml.safe_load(FILES["render-queue/film.yaml"])
    definition: dict[str, Any] = yaml.safe_load(FILES["render-queue/definition.yaml"])
    unit, resource = "film-render-qu", extension.resource

    async def story(cluster: Cluster) -> None:
        cluster.start_jobs(extension)
        await cluster.settle(20)
        await cluster.client.create(CRDS, definition)
        await cluster.settle()
        await cluster.client.create(resource, film, "default")
        waiting = await cluster.until_phase(unit, Phase.ENQUEUED)
        assert waiting.request.manifest() == {"cpu": "6", "memory": "3Gi"}

        async def until_paused(paused: bool) -> None:
            async def holds() -> bool:
                job = await cluster.client.get(resource, "default", "film")
                return job["spec"]["paused"] is paused

            await cluster.until(holds, f"paused is {paused}")

        async def says(stage: str, phase: Phase) -> None:
            await cluster.patch(resource, "film", {"status": {"stage": stage}}, "status")
            await cluster.until_phase(unit, phase)

        await cluster.admit(unit)
        await until_paused(False)
        await says("Rendering", Phase.RUNNING)
        await cluster.evict(unit)
        await until_paused(True)
        await says("Paused", Phase.ENQUEUED)
        await cluster.admit(unit)
        await until_paused(False)
        await says("Rendering", Phase.RUNNING)
        await says("Done", Phase.SUCCEED)

    play(story, simulated=False)
