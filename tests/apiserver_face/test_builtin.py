"""The data about built-in kinds."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from kube_queue.apiserver import builtin
from kube_queue.apiserver.kinds import KindRegistry
from kube_queue.apiserver.printers import PRINTERS

ROOT = Path(__file__).resolve().parents[2]


def _refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from _refs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _refs(inner)


def test_every_reference_between_definitions_leads_somewhere() -> None:
    names = {f"#/components/schemas/{name}" for name in builtin.definitions()}
    missing = set(_refs(dict(builtin.definitions()))) - names
    assert missing == set()


def test_no_description_is_carried_along() -> None:
    for name in ("definitions.json", "kinds.json", "protobuf.json"):
        text = files(builtin.__name__).joinpath(name).read_text()
        assert '"description":"' not in text


def test_the_data_stays_under_a_megabyte() -> None:
    folder = files(builtin.__name__)
    total = sum(len(entry.read_bytes()) for entry in folder.iterdir() if entry.is_file())
    assert total < 1_000_000


@pytest.mark.parametrize(
    ("group", "plural"),
    [
        ("", "namespaces"),
        ("", "nodes"),
        ("", "pods"),
        ("", "events"),
        ("", "resourcequotas"),
        ("", "limitranges"),
        ("batch", "jobs"),
        ("coordination.k8s.io", "leases"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
    ],
)
def test_the_kinds_a_queue_lives_on_are_there(
    registry: KindRegistry, group: str, plural: str
) -> None:
    kind = registry.find(group, "v1", plural)
    assert kind is not None
    assert {"get", "list", "watch", "create", "update", "patch", "delete"} <= kind.verbs
    assert kind.schema["properties"]["metadata"]


def test_merge_keys_stand_in_the_schemas() -> None:
    pod_spec = builtin.definitions()["io.k8s.api.core.v1.PodSpec"]["properties"]
    assert pod_spec["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert pod_spec["containers"]["x-kubernetes-patch-strategy"] == "merge"
    assert pod_spec["volumes"]["x-kubernetes-patch-strategy"] == "merge,retainKeys"


def test_a_kind_has_printer_columns_exactly_when_it_has_a_printer(registry: KindRegistry) -> None:
    with_columns = {(kind.group, kind.kind) for kind in registry if kind.columns}
    assert with_columns == set(PRINTERS) & {(kind.group, kind.kind) for kind in registry}


def test_no_protobuf_message_contains_itself() -> None:
    messages = builtin.protobuf_tables()["messages"]

    def walk(name: str, above: tuple[str, ...]) -> None:
        assert name not in above
        for _, type_name, _ in messages.get(name, {}).values():
            walk(type_name, (*above, name))

    for name in messages:
        walk(name, ())


@pytest.mark.long
@pytest.mark.skipif(shutil.which("go") is None, reason="needs the Go tool on PATH")
def test_the_data_is_what_the_generator_writes() -> None:
    done = subprocess.run(
        [sys.executable, "tools/generate_builtin.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
