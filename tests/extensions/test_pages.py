"""The page of every kind: its example is a held job, and asks for what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_queue.api.resources import ResourceVector
from kube_queue.api.units import unit_name
from kube_queue.jobframework.decisions import CreateUnit
from kube_queue.jobframework.extension import Grouped, Hold, JobExtension, MadeFromTemplates
from kube_queue.jobframework.joining import joined
from kube_queue.jobframework.registry import load_extensions
from tests.extensions.asking import asks
from tests.extensions.test_conformance import SAMPLES
from tests.jobframework.builders import World

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted((DOCS / "jobs").glob("*.md"))
ROW = re.compile(r"^\| (\S+) \| (\d+) \| (.*) \|$", re.MULTILINE)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def examples(page: Path) -> list[dict[str, Any]]:
    blocks = re.findall(r"```yaml\n(.*?)```", text_of(page), re.DOTALL)
    return [document for block in blocks for document in yaml.safe_load_all(block)]


def name_of(page: Path) -> str:
    found = re.search(r"Names? for `--enabled-extensions`: `(\w+)`", text_of(page))
    assert found
    return found[1]


def job_of(page: Path, extension: JobExtension) -> dict[str, Any]:
    """The page's example, or a job as its example makes them."""
    example, *others = examples(page)
    if isinstance(extension, Grouped) and example["kind"] == extension.resource.kind:
        name = extension.group(example)
        return joined(extension, extension, name, [example, *others])
    assert not others
    if example["kind"] == extension.resource.kind:
        return example
    assert isinstance(extension, MadeFromTemplates)
    names = {(maker.api_version, maker.kind) for maker in extension.makers}
    assert (example["apiVersion"], example["kind"]) in names
    return dict(extension.made(example))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_example_is_queued_and_asks_for_what_the_page_says(page: Path) -> None:
    (extension,) = load_extensions(name_of(page))
    job = job_of(page, extension)
    assert (job["apiVersion"], job["kind"]) == (
        extension.resource.api_version,
        extension.resource.kind,
    )
    assert extension.state(job).hold is not Hold.NONE
    said = {
        name: (int(count), ResourceVector.parse(dict(each.split() for each in asked.split(", "))))
        for name, count, asked in ROW.findall(text_of(page).partition("\n## ")[0])
    }
    found = {
        name: (count, ResourceVector.parse(asked))
        for name, (count, asked) in asks(extension, job).items()
    }
    assert found == said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_names_the_unit(page: Path) -> None:
    (extension,) = load_extensions(name_of(page))
    assert f"-{extension.suffix}-qu`" in text_of(page)
    job = job_of(page, extension)
    job["metadata"] |= {"namespace": "default", "name": "it", "uid": "u"}
    (create, *_) = World(job, extension).plan()
    assert isinstance(create, CreateUnit)
    assert create.manifest["metadata"]["name"] == unit_name("it", extension.suffix)


def test_every_kind_has_a_page_that_the_overview_links() -> None:
    assert {load_extensions(name_of(page))[0].name for page in PAGES} == set(SAMPLES)
    assert len(set(map(name_of, PAGES))) == len(PAGES)
    overview = (DOCS / "jobs.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert f"(jobs/{page.name})" in overview
