"""The reference pages say what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from kube_queue.api.reasons import Reason
from kube_queue.config import switches
from kube_queue.observability.catalogue import METRICS

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "generate_reference", ROOT / "tools" / "generate_reference.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_page_is_stale(generator: ModuleType) -> None:
    assert generator.stale() == [], "run python tools/generate_reference.py"


def test_a_page_that_differs_by_a_letter_is_stale(generator: ModuleType, tmp_path: Path) -> None:
    generator.write(tmp_path)
    assert generator.stale(tmp_path) == []
    page = tmp_path / "settings.md"
    page.write_text(page.read_text().replace("oversell", "undersell", 1))
    (tmp_path / "metrics.md").unlink()
    assert generator.stale(tmp_path) == ["settings.md", "metrics.md"]


def test_every_setting_flag_metric_and_reason_is_on_its_page(generator: ModuleType) -> None:
    pages = generator.pages()
    for switch in switches():
        assert f"`{switch.path}`" in pages["settings.md"]
        assert f"`{switch.flag}`" in pages["settings.md"] or not switch.flag
        assert f"`{switch.env}`" in pages["settings.md"] or not switch.env
    for metric in METRICS:
        assert f"`{metric.name}`" in pages["metrics.md"]
    for reason in Reason:
        assert f"`{reason.value}`" in pages["reasons.md"]


def test_the_names_of_the_ack_kube_queue_documentation_are_on_the_page(
    generator: ModuleType,
) -> None:
    page = generator.pages()["labels.md"]
    for name in (
        "scheduling.x-k8s.io/suspend",
        "kube-queue/min-resources",
        "kube-queue/max-jobs",
        "quota.scheduling.alibabacloud.com/name",
        "QueueGroupPlugin",
        "StrictPriority",
        "StrictConsistency",
    ):
        assert f"`{name}`" in page


def test_every_setting_is_read_by_somebody() -> None:
    rooms = [path for path in (ROOT / "kube_queue").rglob("*.py") if path.parent.name != "config"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in rooms)
    derived = {"strict_priority": "default_policy", "strict_consistency": "default_policy"}
    # Legal values of this one beyond the default are refused when settings are loaded.
    settled = {"queue_group_plugin"}
    unread = [
        switch.path
        for switch in switches()
        if (name := switch.path.partition(".")[2]) not in settled
        and f".{derived.get(name, name)}" not in code
    ]
    assert unread == []
