"""The wheel: what pip installs is whole, and nothing more.

To build it takes the package registry and ten seconds, so the quick suite looks at its source only.
"""

import importlib
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
JOB_TYPES = PROJECT["entry-points"]["kube_queue.job_extensions"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # A copy of what git tracks: the checkout's own build folder must not leak into the wheel.
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        target = source / name
        if (ROOT / name).is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    subprocess.run([*pip, str(folder), str(source)], check=True, timeout=120)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    target = wheel.parent / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*pip, str(target), str(wheel)], check=True, timeout=120)
    return target


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=site.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("name", sorted(JOB_TYPES))
def test_every_entry_point_names_a_class_that_is_there(name: str) -> None:
    module, _, attribute = JOB_TYPES[name].partition(":")
    assert isinstance(getattr(importlib.import_module(module), attribute), type)


@pytest.mark.parametrize("package", ["kube_queue", "kube_queue_extensions"])
def test_both_packages_have_the_mark_that_they_are_typed(package: str) -> None:
    (folder,) = importlib.import_module(package).__path__
    assert (Path(folder) / "py.typed").is_file()


@pytest.mark.long
def test_the_wheel_ships_the_two_packages_and_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    packages = {top for top in tops if not top.endswith(".dist-info")}
    assert packages == {"kube_queue", "kube_queue_extensions"}


@pytest.mark.long
def test_both_packages_say_that_they_are_typed(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"kube_queue/py.typed", "kube_queue_extensions/py.typed"} <= set(names)


@pytest.mark.long
def test_the_folder_extensions_is_no_package(site: Path) -> None:
    assert PathFinder.find_spec("kube_queue", [str(site)]) is not None
    assert PathFinder.find_spec("extensions", [str(site)]) is None


@pytest.mark.long
def test_the_installed_job_types_are_found_by_their_entry_points(site: Path) -> None:
    code = (
        "import json, importlib.metadata as m\n"
        "found = m.distribution('kube-queue').entry_points\n"
        "print(json.dumps([e.name for e in found if e.group == 'kube_queue.job_extensions']))"
    )
    assert sorted(json.loads(python(site, "-c", code).stdout)) == sorted(JOB_TYPES)


@pytest.mark.long
def test_the_demo_of_the_installed_wheel_plays_both_jobs_and_the_gang_to_their_ends(
    site: Path,
) -> None:
    done = python(site, "-m", "kube_queue", "demo", "--seconds", "1")
    assert done.returncode == 0, done.stderr
    printed = [line.split() for line in done.stdout.splitlines()]
    states = [line[:2] for line in printed if line and line[0] in {"job1", "job2"}]
    assert ["job2", "Queuing"] in states
    assert states[-2:] == [["job1", "Succeeded"], ["job2", "Succeeded"]]
    workers = [line[2] for line in printed if line and line[0].startswith("worker-")]
    assert workers[:4] == ["Pending"] * 4
    # On a slow machine one may have ended before the last of them is seen to run.
    assert len(workers) == 8 and set(workers[4:]) <= {"Running", "Completed"}
