"""Server-side apply and metadata.managedFields."""

from __future__ import annotations

from typing import Any

from e2e.differential.case import Case, Step, apply, case, get, merge, operations, post, put
from e2e.differential.case import subject as _subject
from e2e.differential.cases.f_custom import SIZED, defined
from e2e.differential.objects import (
    config_map,
    container,
    job,
    pod,
    schema,
    service,
    version,
    widget,
    workload,
)


def data(name: str = "a", **values: Any) -> dict[str, Any]:
    """A ConfigMap of those values."""
    return config_map(name, data=values)


def _of(name: str, *steps: Step) -> Case:
    return case(name, *steps, fields=True)


APPLYING = _subject(
    "apply",
    _of("creates", apply("configmaps/a", data(x="1"))),
    _of("again, with nothing new", apply("configmaps/a", data(x="1")),
        apply("configmaps/a", data(x="1"))),
    _of("changes and adds", apply("configmaps/a", data(x="1")),
        apply("configmaps/a", data(x="2", y="1"))),
    _of("removes what is left out", apply("configmaps/a", data(x="1", y="1")),
        apply("configmaps/a", data(y="1"))),
    _of("keeps what others set", apply("configmaps/a", data(x="1")),
        merge("configmaps/a?fieldManager=two", {"data": {"z": "1"}}),
        apply("configmaps/a", data())),
    _of("conflicts", apply("configmaps/a", data(x="1")),
        apply("configmaps/a", data(x="2"), manager="two"), get("configmaps/a")),
    _of("conflicts with an update", post("configmaps?fieldManager=made", data(x="1")),
        apply("configmaps/a", data(x="2"))),
    _of("several conflicts", apply("configmaps/a", data(x="1", y="1")),
        apply("configmaps/a", data(x="2", y="2"), manager="two")),
    _of("forces", apply("configmaps/a", data(x="1")),
        apply("configmaps/a", data(x="2"), manager="two", force=True)),
    _of("agrees", apply("configmaps/a", data(x="1")),
        apply("configmaps/a", data(x="1"), manager="two"),
        apply("configmaps/a", data(), manager="two")),
    _of("gives up what it shares", apply("configmaps/a", data(x="1")),
        apply("configmaps/a", data(x="1"), manager="two"), apply("configmaps/a", data())),
    _of("dry", apply("configmaps/a?dryRun=All", data(x="1")), get("configmaps/a")),
    _of("without a manager", Step("PATCH", "configmaps/a", data(x="1"),
                                  "application/apply-patch+yaml")),
    _of("YAML", Step("PATCH", "configmaps/a?fieldManager=one", b"apiVersion: v1\nkind: ConfigMap\n"
                     b"metadata:\n  name: a\ndata:\n  x: \"1\"\n", "application/apply-patch+yaml")),
    _of("broken YAML", Step("PATCH", "configmaps/a?fieldManager=one", b"a: [",
                            "application/apply-patch+yaml")),
    _of("without a kind", apply("configmaps/a", {"data": {"x": "1"}})),
    _of("another name", apply("configmaps/a", data("b", x="1"))),
    _of("another kind", apply("configmaps/a", {**data(x="1"), "kind": "Secret"})),
    _of("managed fields", apply("configmaps/a", config_map(managedFields=[
        {"manager": "x", "operation": "Apply"}]))),
    _of("a version that is old", apply("configmaps/a", data(x="1")),
        apply("configmaps/a", config_map(resourceVersion="1"))),
    _of("unknown fields", apply("configmaps/a", {**data(x="1"), "colour": "red"}),
        apply("configmaps/a?fieldValidation=Strict", {**data(x="1"), "colour": "red"})),
    _of("labels and finalizers", apply("configmaps/a", config_map(
        labels={"a": "b"}, annotations={"c": "d"}, finalizers=["x.y/a"])),
        apply("configmaps/a", config_map(finalizers=["x.y/b"]), manager="two")),
    _of("a pod", apply("pods/a", pod("a", container(env=[{"name": "A", "value": "1"}],
                                                    ports=[{"containerPort": 80}])))),
    _of("a job", apply("jobs/a", job(suspend=True)), apply("jobs/a", job(suspend=False))),
    _of("a service's ports", apply("services/a", service(clusterIP="None", ports=[
        {"port": 80, "name": "x"}])), apply("services/a", service(clusterIP="None", ports=[
            {"port": 81, "name": "y"}]), manager="two")),
    _of("a deployment and its scale", apply("deployments/a", workload("Deployment", spec={
        "replicas": 1})), merge("deployments/a/scale?fieldManager=two", {"spec": {"replicas": 3}}),
        apply("deployments/a", workload("Deployment", spec={"replicas": 1}))),
    _of("a status", post("jobs", job(suspend=True)), apply("jobs/a/status", {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"},
        "status": {"active": 1}})),
    _of("a custom object", *defined(version(shape=SIZED)),
        apply("widgets/a", widget(spec={"size": 5, "parts": [{"id": "x"}]})),
        apply("widgets/a", widget(spec={"size": 6}), manager="two")),
    _of("lists of a custom object", *defined(version(shape=schema(
        s={"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        m={"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
           "items": {"type": "object", "required": ["k"], "properties": {
               "k": {"type": "string"}, "v": {"type": "string"}}}}))),
        apply("widgets/a", widget(spec={"s": ["a"], "m": [{"k": "x", "v": "1"}]})),
        apply("widgets/a", widget(spec={"s": ["b"], "m": [{"k": "y", "v": "1"}]}), manager="two"),
        apply("widgets/a", widget(spec={"m": [{"k": "x", "v": "2"}]}))),
)  # fmt: skip

MANAGED = _subject(
    "managed fields",
    _of("of a create", post("configmaps?fieldManager=one", data(x="1"))),
    _of("of an update", post("configmaps?fieldManager=one", data(x="1")),
        put("configmaps/a?fieldManager=two", data(x="1", y="2"))),
    _of("of patches", post("configmaps?fieldManager=one", data(x="1", y="1")),
        merge("configmaps/a?fieldManager=two", {"data": {"x": "2"}}),
        operations("configmaps/a?fieldManager=three", {"op": "remove", "path": "/data/y"})),
    _of("of a status", post("jobs?fieldManager=one", job(suspend=True)),
        merge("jobs/a/status?fieldManager=two", {"status": {"active": 1}})),
    _of("taken away", post("configmaps?fieldManager=one", data(x="1")),
        merge("configmaps/a", {"metadata": {"managedFields": [{}]}})),
    _of("a manager with a long name", post(f"configmaps?fieldManager={'m' * 129}", data(x="1"))),
    _of("by operations", post("configmaps?fieldManager=one", data(x="1")),
        operations("configmaps/a", {"op": "replace", "path": "/metadata/managedFields",
                                    "value": [{}]})),
)  # fmt: skip

CASES = APPLYING + MANAGED
