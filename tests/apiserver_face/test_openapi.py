"""The OpenAPI documents kubectl reads before it applies, patches or explains."""

import json
from typing import Any

import pytest

from kube_queue.apiserver import openapi
from kube_queue.apiserver.kinds import KindRegistry
from tests.apiserver_face.conftest import custom_kind

WIDGET = {"type": "object", "properties": {"spec": {"type": "object"}}}


def ask(registry: KindRegistry, path: str) -> Any:
    answer = openapi.respond(path, (), registry)
    assert answer is not None
    assert answer[0] == 200
    return json.loads(answer[2])


def index(registry: KindRegistry) -> dict[str, str]:
    paths = ask(registry, "/openapi/v3")["paths"]
    return {name: entry["serverRelativeURL"] for name, entry in paths.items()}


def test_the_index_leads_to_a_document_of_each_group_version(registry: KindRegistry) -> None:
    registry.add(custom_kind(schema=WIDGET))
    urls = index(registry)
    assert set(urls) == {
        f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}" for kind in registry
    }
    for url in urls.values():
        path, _, hash_ = url.partition("?hash=")
        answer = openapi.respond(path, (("hash", hash_),), registry)
        assert answer is not None
        assert "immutable" in answer[3]["Cache-Control"]
        assert answer[3]["ETag"] == f'"{hash_}"'


def test_a_document_stands_on_its_own(registry: KindRegistry) -> None:
    registry.add(custom_kind(schema=WIDGET))
    for url in index(registry).values():
        document = ask(registry, url.partition("?")[0])
        schemas = document["components"]["schemas"]
        text = json.dumps(document)
        named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
        assert named <= set(schemas)


def test_only_the_hash_of_a_changed_group_changes(registry: KindRegistry) -> None:
    kind = custom_kind(schema=WIDGET)
    registry.add(kind)
    before = index(registry)
    registry.add(custom_kind(schema={**WIDGET, "description": "A changed widget."}))
    after = index(registry)
    assert {name for name in before if before[name] != after[name]} == {"apis/example.com/v1"}


@pytest.mark.parametrize("parameter", ["fieldValidation", "dryRun", "fieldManager"])
def test_every_kind_that_can_be_patched_says_which_parameters_a_patch_takes(
    registry: KindRegistry, parameter: str
) -> None:
    registry.add(custom_kind(schema=WIDGET))
    for kind in registry:
        if "patch" not in kind.verbs:
            continue
        root = f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"
        gvk = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        patches = [
            path["patch"]
            for path in ask(registry, f"/openapi/v3/{root}")["paths"].values()
            if "patch" in path and path["patch"]["x-kubernetes-group-version-kind"] == gvk
        ]
        assert patches
        for patch in patches:
            assert parameter in {entry["name"] for entry in patch["parameters"]}


def test_merge_strategies_are_published(registry: KindRegistry) -> None:
    schemas = ask(registry, "/openapi/v3/api/v1")["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"


def test_a_custom_schema_is_published_with_its_group_version_kind(registry: KindRegistry) -> None:
    registry.add(custom_kind(schema=WIDGET))
    schemas = ask(registry, "/openapi/v3/apis/example.com/v1")["components"]["schemas"]
    widget = schemas["com.example.v1.Widget"]
    assert widget["x-kubernetes-group-version-kind"] == [
        {"group": "example.com", "version": "v1", "kind": "Widget"}
    ]
    assert set(widget["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert schemas["com.example.v1.WidgetList"]["properties"]["items"]["type"] == "array"


def test_a_kind_that_can_only_be_created_offers_nothing_else(registry: KindRegistry) -> None:
    paths = ask(registry, "/openapi/v3/api/v1")["paths"]
    assert set(paths["/api/v1/namespaces/{namespace}/bindings"]) == {"post", "parameters"}
    assert "/api/v1/bindings" not in paths


@pytest.mark.parametrize("path", ["/openapi/v1", "/openapi", "/openapi/v3/apis/none/v1", "/api"])
def test_other_paths_are_left_to_others(registry: KindRegistry, path: str) -> None:
    assert openapi.respond(path, (), registry) is None


def test_version_two_is_an_empty_document_in_the_form_asked_for(registry: KindRegistry) -> None:
    plain = openapi.respond("/openapi/v2", (), registry, "application/json")
    assert plain is not None
    assert json.loads(plain[2])["swagger"] == "2.0"
    asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
    encoded = openapi.respond("/openapi/v2", (), registry, asked)
    assert encoded is not None
    assert encoded[1].endswith("+protobuf")
    assert encoded[2].startswith(b"\x0a\x032.0\x12")
