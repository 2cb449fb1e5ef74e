"""What clients learn about the served kinds."""

import json
from typing import Any

import pytest

from kube_queue.apiserver import discovery
from kube_queue.apiserver.kinds import KindRegistry
from tests.apiserver_face.conftest import custom_kind

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"


def ask(registry: KindRegistry, path: str, accept: str = "application/json") -> Any:
    answer = discovery.respond(path, accept, registry)
    assert answer is not None
    assert answer[0] == 200
    return json.loads(answer[2])


def names(resources: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {resource["name"]: resource for resource in resources}


def test_the_version_is_one_that_clients_can_compare(registry: KindRegistry) -> None:
    version = ask(registry, "/version")
    assert (version["major"], version["minor"]) == ("1", "36")
    assert version["gitVersion"].startswith("v1.36.")


def test_the_core_group_lists_its_resources_with_names_and_verbs(registry: KindRegistry) -> None:
    assert ask(registry, "/api")["versions"] == ["v1"]
    served = names(ask(registry, "/api/v1")["resources"])
    assert served["pods"]["shortNames"] == ["po"]
    assert served["pods"]["categories"] == ["all"]
    assert served["pods"]["singularName"] == "pod"
    assert served["pods"]["namespaced"] is True
    assert served["nodes"]["namespaced"] is False
    assert "watch" in served["pods"]["verbs"]
    assert served["bindings"]["verbs"] == ["create"]


def test_subresources_are_listed_with_the_kind_they_take(registry: KindRegistry) -> None:
    served = names(ask(registry, "/api/v1")["resources"])
    assert served["pods/status"]["verbs"] == ["get", "patch", "update"]
    assert served["pods/binding"]["kind"] == "Binding"
    eviction = served["pods/eviction"]
    assert (eviction["group"], eviction["version"], eviction["kind"]) == (
        "policy",
        "v1",
        "Eviction",
    )


def test_a_custom_kind_appears_at_once_and_is_gone_at_once(registry: KindRegistry) -> None:
    before = ask(registry, "/apis")
    kind = custom_kind()
    registry.add(kind)
    groups = [group["name"] for group in ask(registry, "/apis")["groups"]]
    assert groups[-1] == "example.com"
    served = names(ask(registry, "/apis/example.com/v1")["resources"])
    assert set(served) == {"widgets", "widgets/status", "widgets/scale"}
    assert served["widgets"]["shortNames"] == ["wd"]
    assert served["widgets/scale"]["group"] == "autoscaling"
    registry.remove(kind)
    assert ask(registry, "/apis") == before
    assert discovery.respond("/apis/example.com", "", registry) is None


def test_the_preferred_version_is_the_most_stable_and_newest(registry: KindRegistry) -> None:
    for version in ("v1alpha1", "v1", "v2beta2", "v2", "v10", "experiment"):
        registry.add(custom_kind(version=version))
    group = ask(registry, "/apis/example.com")
    assert [entry["version"] for entry in group["versions"]] == [
        "v10",
        "v2",
        "v1",
        "v2beta2",
        "v1alpha1",
        "experiment",
    ]
    assert group["preferredVersion"]["groupVersion"] == "example.com/v10"


def test_the_aggregated_form_is_given_only_to_those_who_accept_it(registry: KindRegistry) -> None:
    for accept in ("application/json", "*/*", "", V2BETA1):
        assert ask(registry, "/apis", accept)["kind"] == "APIGroupList"
    answer = discovery.respond("/apis", f"{V2},{V2BETA1},application/json", registry)
    assert answer is not None
    assert answer[1] == V2
    content = json.loads(answer[2])
    assert content["kind"] == "APIGroupDiscoveryList"
    assert content["apiVersion"] == "apidiscovery.k8s.io/v2"


def test_the_aggregated_form_holds_every_resource_of_every_group(registry: KindRegistry) -> None:
    registry.add(custom_kind())
    items = ask(registry, "/api", V2)["items"] + ask(registry, "/apis", V2)["items"]
    listed = {
        (item["metadata"].get("name", ""), version["version"], resource["resource"])
        for item in items
        for version in item["versions"]
        for resource in version["resources"]
    }
    assert listed == {kind.gvr for kind in registry}
    pods = next(
        resource
        for resource in items[0]["versions"][0]["resources"]
        if resource["resource"] == "pods"
    )
    assert {entry["subresource"] for entry in pods["subresources"]} >= {"status", "binding"}
    assert pods["scope"] == "Namespaced"


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/api/v2", "/apis/nowhere", "/apis/batch/v2", "/api/v1/pods"]
)
def test_other_paths_are_left_to_others(registry: KindRegistry, path: str) -> None:
    assert discovery.respond(path, "", registry) is None
