"""The generated definitions are fresh, structural, and show what the documentation prints."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from kube_queue import manifests
from kube_queue.api.elastic_quota_tree import ElasticQuotaTree
from kube_queue.api.lifecycle import Phase
from kube_queue.api.queue import Queue
from kube_queue.api.queue_unit import QueueUnit
from kube_queue.api.queues import Policy
from kube_queue.api.types import ELASTIC_QUOTA_TREES, POD_GROUPS, QUEUE_UNITS, QUEUES, TFJOBS

ROOT = Path(__file__).resolve().parents[2]
CRDS = {crd["spec"]["names"]["kind"]: crd for crd in manifests.crds()}
ALL = {**CRDS, "TFJob": manifests.operator_crds()[0]}
FORBIDDEN = {"$ref", "$defs", "definitions", "title", "uniqueItems", "const", "patternProperties"}
INT_OR_STRING = "x-kubernetes-int-or-string"
OPEN = "x-kubernetes-preserve-unknown-fields"


def version_of(kind: str) -> dict[str, Any]:
    (version,) = ALL[kind]["spec"]["versions"]
    found: dict[str, Any] = version
    return found


def schema_of(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = version_of(kind)["schema"]["openAPIV3Schema"]
    return schema


def at(kind: str, path: str) -> dict[str, Any]:
    node = schema_of(kind)
    for name in path.split("."):
        node = node["items"] if name == "[]" else node["properties"][name]
    return node


def every_node(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from every_node(child, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            yield from every_node(node[keyword], f"{path}[{keyword}]")


def test_the_written_definitions_are_those_the_models_give() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "generate_crds.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", sorted(ALL))
def test_every_schema_is_structural(kind: str) -> None:
    for path, node in every_node(schema_of(kind)):
        assert not FORBIDDEN & node.keys(), path
        assert "type" in node or node.get(INT_OR_STRING), path
        if node.get(INT_OR_STRING):
            assert "type" not in node, path
            assert node.get("anyOf", [{"type": "integer"}, {"type": "string"}]) == [
                {"type": "integer"},
                {"type": "string"},
            ]
        else:
            assert not {"anyOf", "oneOf", "allOf", "not"} & node.keys(), path
        assert node.get("type") in {None, "object", "array", "string", "integer", "boolean"}
        if node.get("type") == "array":
            assert "items" in node, path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert set(node.get("required", ())) <= node.get("properties", {}).keys(), path
        if node.get("type") == "object":
            described = {"properties", "additionalProperties", OPEN} & node.keys()
            assert described or path == ".metadata", path


@pytest.mark.parametrize("kind", sorted(CRDS))
def test_lists_that_are_maps_require_their_keys(kind: str) -> None:
    for path, node in every_node(schema_of(kind)):
        for key in node.get("x-kubernetes-list-map-keys", ()):
            assert key in node["items"]["required"], path


def columns(kind: str) -> list[tuple[str, str, int]]:
    listed = version_of(kind)["additionalPrinterColumns"]
    return [(one["name"], one["jsonPath"], one.get("priority", 0)) for one in listed]


def test_units_print_the_columns_of_the_documentation() -> None:
    assert [name.upper() for name, _, priority in columns("QueueUnit") if not priority] == [
        "QUEUE",
        "PHASE",
        "PRIORITY",
        "KIND",
        "JOB",
        "REASON",
        "AGE",
    ]
    assert [name.upper() for name, _, priority in columns("QueueUnit") if priority] == ["MESSAGE"]


def test_a_tree_prints_its_name_and_age_alone() -> None:
    assert columns("ElasticQuotaTree") == [("Age", ".metadata.creationTimestamp", 0)]


def test_a_tfjob_prints_the_type_of_its_last_condition_as_state() -> None:
    assert columns("TFJob") == [
        ("State", ".status.conditions[-1:].type", 0),
        ("Age", ".metadata.creationTimestamp", 0),
    ]


@pytest.mark.parametrize("kind", sorted(CRDS))
def test_every_column_points_at_a_field_that_exists(kind: str) -> None:
    for _, path, _ in columns(kind):
        if not path.startswith(".metadata"):
            assert at(kind, path[1:])


@pytest.mark.parametrize("kind", sorted(ALL))
def test_every_kind_has_a_status_subresource(kind: str) -> None:
    assert version_of(kind)["subresources"] == {"status": {}}


@pytest.mark.parametrize("resource", [QUEUE_UNITS, QUEUES, ELASTIC_QUOTA_TREES, POD_GROUPS, TFJOBS])
def test_definitions_and_resource_types_agree(resource: Any) -> None:
    crd = ALL[resource.kind]
    spec = crd["spec"]
    assert crd["metadata"]["name"] == f"{resource.plural}.{resource.group}"
    assert (spec["group"], spec["names"]["plural"]) == (resource.group, resource.plural)
    assert spec["versions"][0]["name"] == resource.version
    assert (spec["scope"] == "Namespaced") == resource.namespaced


def test_only_the_protected_group_asks_for_approval() -> None:
    approved = {
        kind: crd["metadata"].get("annotations", {}).get("api-approved.kubernetes.io", "")
        for kind, crd in CRDS.items()
    }
    for kind in ("ElasticQuotaTree", "PodGroup"):
        assert approved[kind].startswith("unapproved, ")
    assert (approved["QueueUnit"], approved["Queue"]) == ("", "")


def test_the_short_names_of_a_unit_are_qu_and_qus() -> None:
    assert CRDS["QueueUnit"]["spec"]["names"]["shortNames"] == ["qu", "qus"]


def test_enums_bounds_and_defaults_are_in_the_schema() -> None:
    assert at("QueueUnit", "status.phase")["enum"] == ["", *(phase.value for phase in Phase)]
    assert at("Queue", "spec.queuePolicy")["enum"] == [policy.value for policy in Policy]
    pod_set = at("QueueUnit", "spec.podSet")
    assert (pod_set["minItems"], pod_set["maxItems"]) == (1, 32)
    assert pod_set["x-kubernetes-list-map-keys"] == ["name"]
    priority = at("QueueUnit", "spec.priority")
    assert (priority["format"], priority["default"]) == ("int32", 0)
    assert at("QueueUnit", "spec.active")["default"] is True
    assert at("QueueUnit", "status.phase")["default"] == "Enqueued"
    assert at("Queue", "status.queueItemDetails")["maxItems"] == 100


def test_a_trees_children_are_open_objects_and_may_be_null() -> None:
    for path in ("spec.root.children", "status.root.children"):
        children = at("ElasticQuotaTree", path)
        assert children["nullable"] is True
        assert children["items"] == {"type": "object", OPEN: True}
    assert at("ElasticQuotaTree", "spec.root.namespaces")["nullable"] is True
    assert at("ElasticQuotaTree", "spec.root.max")["additionalProperties"] == {INT_OR_STRING: True}


@pytest.mark.parametrize(
    ("quantity", "accepted"),
    [
        *(("1", True), ("500m", True), (3, True), (".5Gi", True), ("1e3", True)),
        *(("4Gb", False), ("-1", False), (-1, False), ("", False), (1.5, False), ("m", False)),
    ],
)
def test_a_units_quantities_are_checked_at_the_door(quantity: object, accepted: bool) -> None:
    schema = at("QueueUnit", "spec.resource")
    assert jsonschema_rs.is_valid(schema, {"cpu": quantity}) is accepted


def test_the_models_read_what_the_wire_holds() -> None:
    unit = QueueUnit.model_validate(
        {
            "spec": {
                "consumerRef": {"kind": "Job", "name": "j"},
                "podSet": [{"name": "w", "count": 2, "requests": {"cpu": 1}}],
                "resource": {"cpu": "2"},
            },
            "status": {"phase": "", "requeueState": {"count": 1}},
        }
    )
    assert unit.spec.consumer_ref is not None
    assert (unit.spec.consumer_ref.name, unit.spec.pod_set[0].count) == ("j", 2)
    assert unit.status.phase == ""
    queue = Queue.model_validate({"spec": {"queuePolicy": "Block"}})
    assert queue.spec.queue_policy is Policy.BLOCK
    (manifest,) = manifests.load("demo/elastic-quota-tree.yaml")
    root = ElasticQuotaTree.model_validate(manifest).spec.root
    assert root is not None
    assert root.children is not None
    assert root.children[0].children is None
