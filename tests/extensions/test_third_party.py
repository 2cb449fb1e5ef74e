"""A package from elsewhere adds its kind by one entry point, and its jobs are queued."""

from __future__ import annotations

import importlib
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kube_queue.api.errors import InvalidSetting
from kube_queue.api.lifecycle import Phase
from kube_queue.api.types import CRDS
from kube_queue.jobframework.conformance import Sample, check
from kube_queue.jobframework.extension import Hold, JobExtension
from kube_queue.jobframework.registry import load_extensions
from tests.controller.jobs.cluster import Cluster, play

SOURCE = Path(__file__).parent.parent / "third_party_extension"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as pip lays it down, made from its own pyproject.toml without a build."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    target = tmp_path_factory.mktemp("site")
    shutil.copy(SOURCE / "crunch_queue.py", target)
    facts = target / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    facts.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (facts / "METADATA").write_text(metadata, encoding="utf-8")
    points: list[str] = []
    for group, entries in project["entry-points"].items():
        points += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (facts / "entry_points.txt").write_text("\n".join(points), encoding="utf-8")
    return target


@pytest.fixture
def crunch(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobExtension]:
    monkeypatch.syspath_prepend(str(installed))
    importlib.invalidate_caches()
    (extension,) = load_extensions("CrunchJob")
    yield extension
    sys.modules.pop("crunch_queue", None)


def a_crunch_job(**spec: Any) -> dict[str, Any]:
    cruncher = {"containers": [{"name": "main", "resources": {"requests": {"cpu": "2"}}}]}
    return {
        "apiVersion": "example.com/v1",
        "kind": "CrunchJob",
        "metadata": {"name": "big", "namespace": "default", "uid": "u"},
        "spec": {"paused": True, "crunchers": 3, "cruncher": cruncher, **spec},
    }


def test_without_the_package_its_name_is_unknown() -> None:
    with pytest.raises(InvalidSetting, match="no job type is called crunchjob"):
        load_extensions("crunchjob")


def test_its_name_and_alias_are_found_by_entry_point(crunch: JobExtension) -> None:
    assert crunch.resource.kind == "CrunchJob"
    assert load_extensions("tfjob,crunch")[1].name == "crunchjob"


def test_it_keeps_the_rules_every_extension_keeps(crunch: JobExtension) -> None:
    free = a_crunch_job(paused=False)
    samples = (
        Sample(a_crunch_job(), Hold.SPEC, asks={"cpu": "6"}),
        Sample({**free, "status": {"stage": "Crunching"}}, running=True),
        Sample({**free, "status": {"stage": "Done"}}, succeeded=True),
        Sample({**free, "status": {"stage": "Broken"}}, succeeded=False),
    )
    assert check(crunch, samples) == ()


def test_its_jobs_are_queued_released_and_finished(crunch: JobExtension) -> None:
    async def story(cluster: Cluster) -> None:
        await cluster.client.create(CRDS, crd())
        await cluster.settle()
        cluster.start_jobs(crunch)
        await cluster.client.create(crunch.resource, a_crunch_job(), "default")
        unit = await cluster.until_phase("big-crunch-qu", Phase.ENQUEUED)
        assert unit.request.manifest() == {"cpu": "6"}
        await cluster.admit(unit.name)
        await cluster.settle()
        job = await cluster.client.get(crunch.resource, "default", "big")
        assert job["spec"]["paused"] is False
        await cluster.patch(crunch.resource, "big", {"status": {"stage": "Crunching"}})
        await cluster.until_phase("big-crunch-qu", Phase.RUNNING)
        await cluster.patch(crunch.resource, "big", {"status": {"stage": "Done"}})
        await cluster.until_phase("big-crunch-qu", Phase.SUCCEED)

    play(story, simulated=False)


def crd() -> dict[str, Any]:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "crunchjobs.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "crunchjobs", "singular": "crunchjob", "kind": "CrunchJob"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {**free, "properties": {"spec": free}}},
                }
            ],
        },
    }
