"""Patches of the three kinds, and what each refuses."""

from __future__ import annotations

from typing import Any

from e2e.differential.case import (
    Case,
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
from e2e.differential.objects import config_map, container, pod, service, workload

MAP = config_map(data={"a": "1", "b": "2"}, labels={"l": "1"}, finalizers=["x.y/a", "x.y/b"])
POD = pod(
    "a",
    container("one", env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]),
    container("two"),
    meta={"finalizers": ["x.y/a", "x.y/b"], "labels": {"l": "1"}},
    tolerations=[{"key": "k", "operator": "Exists"}],
)


def _by(patch: Any, name: str, *bodies: Any) -> Case:
    steps = (patch("configmaps/a", body) for body in bodies)
    return case(name, post("configmaps", MAP), *steps)


def _ops(name: str, *ops: Any) -> Case:
    return case(name, post("configmaps", MAP), operations("configmaps/a", *ops))


def _op(op: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": op, "path": path, **more}


JSON = subject(
    "json patch",
    _ops("add", _op("add", "/data/c", value="3"), _op("add", "/metadata/labels/m", value="2")),
    _ops("add over a value", _op("add", "/data/a", value="9")),
    _ops("add to a list", _op("add", "/metadata/finalizers/-", value="x.y/c"),
         _op("add", "/metadata/finalizers/0", value="x.y/d")),
    _ops("add beyond a list", _op("add", "/metadata/finalizers/9", value="x.y/c")),
    _ops("add below nothing", _op("add", "/metadata/annotations/a", value="1")),
    _ops("add the whole", _op("add", "", value=config_map())),
    _ops("remove", _op("remove", "/data/a"), _op("remove", "/metadata/finalizers/0")),
    _ops("remove nothing", _op("remove", "/data/z")),
    _ops("remove from no list", _op("remove", "/metadata/finalizers/x")),
    _ops("remove what is beyond", _op("remove", "/metadata/finalizers/7")),
    _ops("replace", _op("replace", "/data/a", value="9")),
    _ops("replace in a list", _op("replace", "/metadata/finalizers/1", value="x.y/z")),
    _ops("replace nothing", _op("replace", "/data/z", value="9")),
    _ops("replace without a value", {"op": "replace", "path": "/data/a"}),
    _ops("move", {"op": "move", "from": "/data/a", "path": "/data/c"}),
    _ops("move nothing", {"op": "move", "from": "/data/z", "path": "/data/c"}),
    _ops("move into itself", {"op": "move", "from": "/data", "path": "/data/a"}),
    _ops("copy", {"op": "copy", "from": "/data/a", "path": "/data/c"}),
    _ops("copy nothing", {"op": "copy", "from": "/data/z", "path": "/data/c"}),
    _ops("test that holds", _op("test", "/data/a", value="1"), _op("remove", "/data/b")),
    _ops("test that fails", _op("test", "/data/a", value="2"), _op("remove", "/data/b")),
    _ops("test of nothing", _op("test", "/data/z", value="2")),
    _ops("test that nothing is null", _op("test", "/data/z", value=None)),
    _ops("an unknown operation", _op("paint", "/data/a")),
    _ops("no operation"),
    _ops("no path", {"op": "remove"}),
    _ops("a path that is none", _op("remove", "data/a")),
    _ops("escapes", _op("add", "/metadata/annotations", value={"a/b": "1", "c~d": "2"}),
         _op("replace", "/metadata/annotations/a~1b", value="3"),
         _op("remove", "/metadata/annotations/c~0d")),
    _ops("a null", _op("replace", "/data/a", value=None)),
    _ops("a name", _op("replace", "/metadata/name", value="b")),
    _ops("a kind", _op("replace", "/kind", value="Secret")),
    _ops("an old version", _op("replace", "/metadata/resourceVersion", value="1")),
    _ops("another uid", _op("replace", "/metadata/uid",
                            value="00000000-0000-4000-8000-000000000000")),
    _ops("a wrong type", _op("replace", "/data", value=[1])),
    case("not a list", post("configmaps", MAP),
         Step("PATCH", "configmaps/a", {}, "application/json-patch+json")),
    case("a missing object", operations("configmaps/a", _op("remove", "/data"))),
)  # fmt: skip

MERGE = subject(
    "merge patch",
    _by(merge, "values", {"data": {"a": "9", "c": "3"}}),
    _by(merge, "nulls", {"data": {"a": None}, "metadata": {"labels": None}}),
    _by(merge, "a list as a whole", {"metadata": {"finalizers": ["x.y/c"]}}),
    _by(merge, "nothing", {}, {"data": {"a": "1"}}),
    _by(merge, "an old version", {"metadata": {"resourceVersion": "1"}, "data": {"a": "9"}}),
    _by(merge, "its version", {"metadata": {"resourceVersion": "<1.metadata.resourceVersion>"}}),
    _by(merge, "a name", {"metadata": {"name": "b"}}),
    _by(merge, "a namespace", {"metadata": {"namespace": "b"}}),
    _by(merge, "a kind", {"kind": "Secret"}, {"apiVersion": "v2"}),
    _by(merge, "a wrong type", {"data": "x"}, {"data": {"a": 1}}),
    _by(merge, "a bad label", {"metadata": {"labels": {"a b": "c"}}}),
    _by(merge, "a list", ["x"]),
    _by(merge, "no metadata", {"metadata": None}),
    _by(merge, "fields of the server", {"metadata": {"creationTimestamp": None, "generation": 9}}),
    _by(merge, "a directive", {"data": {"$patch": "replace", "z": "1"}}),
    case("dry", post("configmaps", MAP), merge("configmaps/a?dryRun=All", {"data": {"a": "9"}}),
         get("configmaps/a")),
    case("a missing object", merge("configmaps/a", {"data": {}})),
)  # fmt: skip


def _pod(name: str, *bodies: Any) -> Case:
    steps = (strategic("pods/a", body) for body in bodies)
    return case(name, post("pods", POD), *steps)


def _template(name: str, *bodies: Any) -> Case:
    inner = {
        "containers": [
            container("one", env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]),
            container("two", ports=[{"containerPort": 80}, {"containerPort": 81}]),
        ],
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "nodeSelector": {"a": "b"},
        "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}],
    }
    steps = (strategic("deployments/a", {"spec": {"template": {"spec": body}}}) for body in bodies)
    return case(name, post("deployments", workload("Deployment", pod=inner)), *steps)


STRATEGIC = subject(
    "strategic patch",
    _by(strategic, "values and nulls", {"data": {"a": "9", "b": None}}),
    _by(strategic, "nothing", {}),
    _by(strategic, "a map replaced", {"data": {"$patch": "replace", "z": "1"}}),
    _by(strategic, "a map deleted", {"data": {"$patch": "delete"}}),
    _by(strategic, "a map merged", {"data": {"$patch": "merge", "z": "1"}}),
    _by(strategic, "an unknown directive", {"data": {"$patch": "paint"}}),
    _by(strategic, "retained keys", {"data": {"$retainKeys": ["a"], "a": "5"}}),
    _by(strategic, "finalizers joined", {"metadata": {"finalizers": ["x.y/c", "x.y/a"]}}),
    _by(strategic, "finalizers taken away",
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.y/a"]}}),
    _by(strategic, "finalizers in order", {"metadata": {
        "$setElementOrder/finalizers": ["x.y/b", "x.y/c", "x.y/a"], "finalizers": ["x.y/c"]}}),
    _by(strategic, "a wrong type", {"data": "x"}),
    _by(strategic, "an old version", {"metadata": {"resourceVersion": "1"}, "data": {"a": "9"}}),
    _by(strategic, "owners by uid",
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "A", "name": "a",
             "uid": "1"},
                                          {"apiVersion": "v1", "kind": "B", "name": "b",
                                           "uid": "2"}]}},
        {"metadata": {"ownerReferences": [{"uid": "1", "name": "z"}]}},
        {"metadata": {"ownerReferences": [{"uid": "1", "$patch": "delete"}]}}),
    _pod("a container by name", {"spec": {"containers": [{"name": "two", "image": "busybox:2"}]}}),
    _pod("a container that is new", {"spec": {"containers": [{"name": "three", "image": "b:1"}]}}),
    _pod("a container without its key", {"spec": {"containers": [{"image": "b:1"}]}}),
    _pod("a toleration joined", {"spec": {"tolerations": [
        {"key": "n", "operator": "Exists"}]}}),
    _pod("labels", {"metadata": {"labels": {"l": None, "m": "1"}}}),
    _template("containers by name", {"containers": [{"name": "two", "image": "busybox:2"},
                                               {"name": "three", "image": "b:1"}]}),
    _template("a container deleted", {"containers": [{"name": "two", "$patch": "delete"}]}),
    _template("containers replaced", {"containers": [{"$patch": "replace"},
                                                {"name": "x", "image": "b:1"}]}),
    _template("env by name", {"containers": [{"name": "one", "env": [
        {"name": "A", "value": "9"}, {"name": "B", "$patch": "delete"},
        {"name": "C", "value": "3"}]}]}),
    _template("ports by number", {"containers": [{"name": "two", "ports": [
        {"containerPort": 81, "name": "x"}, {"containerPort": 82}]}]}),
    _template("containers in order", {"$setElementOrder/containers": [{"name": "two"},
             {"name": "one"}],
                                 "containers": [{"name": "one", "image": "b:1"}]}),
    _template("a new one in order", {
        "$setElementOrder/containers": [{"name": "three"}, {"name": "one"}, {"name": "two"}],
        "containers": [{"name": "three", "image": "b:1"}]}),
    _template("tolerations as a whole", {"tolerations": [{"key": "n", "operator": "Exists"}]}),
    _template("a volume of another kind", {"volumes": [
        {"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]}),
    _template("a selector's key gone", {"nodeSelector": {"a": None, "c": "d"}}),
    case("ports of a service by number", post("services", service(
        clusterIP="None", ports=[{"port": 1, "name": "a"}, {"port": 2, "name": "b"}])),
         strategic("services/a", {"spec": {"ports": [{"port": 2, "targetPort": 9}]}})),
    case("a custom kind", strategic("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x",
                                    {"spec": {}})),
    case("conditions by type", post("pods", pod()), strategic("pods/a/status", {"status": {
        "conditions": [{"type": "Ready", "status": "True"}]}}), strategic("pods/a/status", {
            "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "R"}]}})),
    case("what apply sends", post("configmaps", MAP), strategic("configmaps/a", {
        "data": {"b": None, "c": "3"}, "metadata": {"annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}"}}}),
         put("configmaps/a", MAP)),
)  # fmt: skip

CASES = JSON + MERGE + STRATEGIC
