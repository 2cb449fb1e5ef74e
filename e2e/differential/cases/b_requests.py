"""Requests as such: methods, media types, broken bodies, field validation."""

from __future__ import annotations

from e2e.differential.case import (
    METADATA,
    METADATA_LIST,
    TABLE,
    Step,
    case,
    get,
    merge,
    operations,
    post,
    put,
    strategic,
    subject,
)
from e2e.differential.objects import config_map, container, job, pod, workload

DEEP = b'{"metadata":{"name":"a"},"data":' + b'{"a":' * 300 + b"1" + b"}" * 301
TWICE = b'{"metadata":{"name":"a"},"data":{"k":"1","k":"2"}}'
LARGE = b'{"metadata":{"name":"a"},"data":{"k":"' + b"x" * (3 * 1024 * 1024 + 1) + b'"}}'
FULL = b'{"metadata":{"name":"a"},"data":{"k":"' + b"x" * (1024 * 1024 + 1) + b'"}}'


def unknown(name: str = "a") -> dict[str, object]:
    """A ConfigMap with a field that there is not."""
    return {**config_map(name), "colour": "red"}


METHODS = subject(
    "methods",
    case("post to an object", post("configmaps", config_map()), post("configmaps/a", config_map())),
    case("patch a collection", merge("configmaps", {})),
    case("an unknown method", Step("BREW", "configmaps")),
    case("options", Step("OPTIONS", "configmaps")),
    case("delete a status", post("jobs", job(suspend=True)), Step("DELETE", "jobs/a/status")),
    case("get a binding", post("pods", pod()), get("pods/a/binding")),
    case("get an eviction", post("pods", pod()), get("pods/a/eviction")),
    case("post to discovery", post("/apis", {}), post("/api/v1", {})),
    case("list what can only be created",
             get("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")),
    case("a trailing slash", post("configmaps", config_map()), get("configmaps/")),
)  # fmt: skip

BODIES = subject(
    "bodies",
    case("broken JSON", post("configmaps", b'{"metadata":')),
    case("no body", post("configmaps", None)),
    case("text", post("configmaps", b"hello")),
    case("an array", post("configmaps", [1])),
    case("null", post("configmaps", b"null")),
    case("bad UTF-8", post("configmaps", b'{"metadata":{"name":"a"},"data":{"k":"\xff"}}')),
    case("too large", Step("POST", "configmaps", LARGE)),
    case("a map that is too large", post("configmaps", FULL)),
    case("two values", post("configmaps", b'{"metadata":{"name":"a"}} {}')),
    case("an unknown type", post("configmaps", config_map(), media="text/plain")),
    case("YAML", post("configmaps", b"metadata:\n  name: a\n", media="application/yaml")),
    case("no type", post("configmaps", config_map(), media="")),
    case("a type with a charset", post("configmaps", config_map(),
                                       media="application/json; charset=utf-8")),
    case("a patch of an unknown type", post("configmaps", config_map()),
         Step("PATCH", "configmaps/a", {}, "application/json")),
    case("a broken patch", post("configmaps", config_map()),
         Step("PATCH", "configmaps/a", b"{", "application/merge-patch+json"),
         Step("PATCH", "configmaps/a", b"[", "application/json-patch+json"),
         Step("PATCH", "configmaps/a", b"{", "application/strategic-merge-patch+json")),
    case("a name that is a number", post("configmaps", b'{"metadata":{"name":1}}')),
    case("labels that are a list", post("configmaps", config_map(labels=["a"]))),
    case("a label that is a number", post("configmaps", config_map(labels={"a": 1}))),
    case("a label that is null", post("configmaps", config_map(labels={"a": None}))),
    case("data that is text", post("configmaps", config_map(data="x"))),
    case("data of numbers", post("configmaps", config_map(data={"k": 1}))),
    case("nulls", post("configmaps", {**config_map(), "data": None, "immutable": None})),
    case("metadata that is null", post("configmaps", {"metadata": None})),
    case("metadata that is text", post("configmaps", {"metadata": "x"})),
    case("a time that is none", post("configmaps", config_map(creationTimestamp="noon"))),
    case("replicas that are text", post("jobs", job(parallelism="two"))),
    case("containers that are a map", post("pods", {"metadata": {"name": "a"},
                                                    "spec": {"containers": {}}})),
    case("a number that is too big", post("jobs", job(parallelism=2**40))),
    case("a fraction", post("jobs", job(parallelism=1.5))),
    case("a bad quantity", post("pods", pod("a", container(
        resources={"requests": {"cpu": "much"}})))),
    case("a quantity that is a number", post("pods", pod("a", container(
        resources={"requests": {"cpu": 1, "memory": 0.5}})))),
)  # fmt: skip

VALIDATION = subject(
    "field validation",
    case("warns", post("configmaps", unknown())),
    case("warns when asked", post("configmaps?fieldValidation=Warn", unknown())),
    case("refuses", post("configmaps?fieldValidation=Strict", unknown())),
    case("ignores", post("configmaps?fieldValidation=Ignore", unknown())),
    case("bad value", post("configmaps?fieldValidation=Loud", unknown())),
    case("twice a field", post("configmaps", TWICE),
         post("configmaps?fieldValidation=Strict", TWICE)),
    case("deep in a pod", post("pods?fieldValidation=Strict", pod("a", container(color="red")))),
    case("deep in a pod, warned", post("pods", pod("a", container(color="red"), shape="round"))),
    case("in an update", post("configmaps", config_map()),
         put("configmaps/a?fieldValidation=Strict", unknown()), put("configmaps/a", unknown())),
    case("in a merge patch", post("configmaps", config_map()),
         merge("configmaps/a?fieldValidation=Strict", {"colour": "red"}),
         merge("configmaps/a", {"colour": "red"})),
    case("in a strategic patch", post("configmaps", config_map()),
         strategic("configmaps/a?fieldValidation=Strict", {"colour": "red"}),
         strategic("configmaps/a", {"colour": "red"})),
    case("in operations", post("configmaps", config_map()),
         operations("configmaps/a?fieldValidation=Strict",
                    {"op": "add", "path": "/colour", "value": "red"})),
    case("in metadata", post("configmaps?fieldValidation=Strict", config_map(colour="red")),
         post("configmaps", config_map(colour="red"))),
    case("the case of letters", post("configmaps?fieldValidation=Strict",
                                     {**config_map(), "Immutable": True})),
)  # fmt: skip

FORMS = subject(
    "forms",
    case("a table of one", post("configmaps", config_map()), get("configmaps/a", accept=TABLE)),
    case("a table of some", post("configmaps", config_map()), post("configmaps", config_map("b")),
         get("configmaps", accept=TABLE), get("configmaps?limit=1", accept=TABLE)),
    case("a table of none", get("secrets", accept=TABLE)),
    case("a table with objects", post("configmaps", config_map()),
         get("configmaps?includeObject=Object", accept=TABLE),
         get("configmaps?includeObject=None", accept=TABLE),
         get("configmaps?includeObject=Some", accept=TABLE)),
    case("a table of pods", post("pods", pod()), get("pods", accept=TABLE)),
    case("a table of jobs", post("jobs", job(suspend=True)), get("jobs", accept=TABLE)),
    case("a table of a scale", post("deployments", workload("Deployment")),
         get("deployments/a/scale", accept=TABLE)),
    case("a table of a created object", post("configmaps", config_map(), accept=TABLE)),
    case("a table, or JSON if not", get("configmaps/absent", accept=f"{TABLE},application/json")),
    case("metadata of one", post("configmaps", config_map(labels={"a": "b"})),
         get("configmaps/a", accept=METADATA)),
    case("metadata of some", post("configmaps", config_map()),
         get("configmaps", accept=METADATA_LIST)),
    case("metadata of a pod", post("pods", pod()), get("pods/a", accept=METADATA)),
    case("an unknown form", get("configmaps",
             accept="application/json;as=Chart;v=v1;g=meta.k8s.io")),
    case("text", post("configmaps", config_map()), get("configmaps/a", accept="text/plain")),
    case("anything", post("configmaps", config_map()), get("configmaps/a", accept="*/*"),
         get("configmaps/a", accept="application/*")),
    case("the first that is known", post("configmaps", config_map()),
         get("configmaps/a", accept="text/plain, application/json;q=0.5")),
)  # fmt: skip

CASES = METHODS + BODIES + VALIDATION + FORMS
