"""Custom resource definitions and the objects of their kinds."""

from __future__ import annotations

from typing import Any

from e2e.differential.case import (
    METADATA,
    TABLE,
    Case,
    case,
    delete,
    get,
    gone,
    merge,
    operations,
    post,
    put,
    strategic,
    subject,
    watch,
)
from e2e.differential.objects import (
    OPEN,
    WIDGETS,
    config_map,
    definition,
    owner,
    schema,
    version,
    widget,
)

CRDS = "customresourcedefinitions"
CRD = f"{CRDS}/{WIDGETS}"
TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
SIZED = schema(
    size={**NUMBER, "minimum": 1, "maximum": 9, "default": 3},
    colour={**TEXT, "enum": ["red", "blue"]},
    name={**TEXT, "pattern": "^[a-z]+$", "maxLength": 5, "minLength": 2},
    parts={
        "type": "array",
        "maxItems": 2,
        "items": {"type": "object", "required": ["id"], "properties": {"id": TEXT, "n": NUMBER}},
    },
    empty={**TEXT, "nullable": True},
    port={"x-kubernetes-int-or-string": True},
    extra={"type": "object", "additionalProperties": NUMBER},
    inner={"type": "object", "default": {}, "properties": {"deep": {**TEXT, "default": "d"}}},
    when={**TEXT, "format": "date-time"},
)
SUB: dict[str, Any] = {"subresources": {"status": {}, "scale": {
    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".status.selector"}}}  # fmt: skip
OLD = "/apis/{g}/v1beta1/namespaces/{ns}/widgets"


def defined(*versions: Any, **spec: Any) -> tuple[Any, ...]:
    """Four requests: the definition is there and its kind is served."""
    established = "status.conditions[type=Established].status=True"
    return (
        post(CRDS, definition(*versions, **spec), only="metadata.name"),
        get(CRD, until=established, only="status.acceptedNames status.storedVersions"),
        get("widgets", until=200, only="kind apiVersion items"),
        get("/apis/{g}/v1", until=200),
    )


def _refused(name: str, *versions: Any, **spec: Any) -> Case:
    return case(name, post(CRDS, definition(*versions, **spec)))


def _shape(name: str, **properties: Any) -> Case:
    return _refused(name, version(shape=schema(**properties)))


def _sized(name: str, *specs: Any) -> Case:
    posts = (post("widgets", widget(f"w{n}", spec=spec)) for n, spec in enumerate(specs))
    return case(name, *defined(version(shape=SIZED)), *posts)


DEFINING = subject(
    "definitions",
    case("whole", post(CRDS, definition()),
         get(CRD, until="status.conditions[type=Established].status=True")),
    case("twice", post(CRDS, definition()), post(CRDS, definition())),
    case("dry", post(f"{CRDS}?dryRun=All", definition()), get(CRD)),
    _refused("a name that is not its plural", names={"plural": "gadgets"}),
    _refused("a group without a dot", group="plain"),
    _refused("a protected group", group="x.k8s.io"),
    _refused("no versions", versions=[]),
    _refused("no storage version", version(storage=False)),
    _refused("two storage versions", version(), version("v2")),
    _refused("a version twice", version(), version("v1", storage=False)),
    _refused("a bad version", version("1.0")),
    _refused("a bad scope", scope="World"),
    _refused("no kind", names={"kind": ""}),
    _refused("a kind of odd letters", names={"kind": "wid_get"}),
    _refused("no schema", {"name": "v1", "served": True, "storage": True}),
    _refused("a bad column", version(additionalPrinterColumns=[
        {"name": "A", "type": "string", "jsonPath": "spec["}])),
    _refused("a column of an unknown type", version(additionalPrinterColumns=[
        {"name": "A", "type": "colour", "jsonPath": ".spec.a"}])),
    _refused("a bad scale", version(subresources={"scale": {"specReplicasPath": "replicas"}})),
    _refused("a webhook without its address", conversion={"strategy": "Webhook"}),
    _shape("no type", a={}),
    _shape("an unknown type", a={"type": "colour"}),
    _shape("a list without items", a={"type": "array"}),
    _shape("both kinds of properties", a={"type": "object", "properties": {"b": TEXT},
                                          "additionalProperties": TEXT}),
    _shape("closed objects", a={"type": "object", "additionalProperties": False}),
    _shape("unique items", a={"type": "array", "items": TEXT, "uniqueItems": True}),
    _shape("a reference", a={"$ref": "#/definitions/x"}),
    _shape("types inside anyOf", a={"type": "object", "anyOf": [{"type": "string"}]}),
    _shape("int-or-string with a type", a={"type": "string", "x-kubernetes-int-or-string": True}),
    _shape("a default of the wrong type", a={**NUMBER, "default": "x"}),
    _shape("a default that is out of bounds", a={**NUMBER, "minimum": 5, "default": 1}),
    _shape("a bad pattern", a={**TEXT, "pattern": "("}),
    _shape("a map by a missing key", a={"type": "array", "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["z"], "items": {
                                            "type": "object", "properties": {"k": TEXT}}}),
    _shape("a map without keys", a={"type": "array", "items": TEXT,
                                    "x-kubernetes-list-type": "map"}),
    _shape("a set of objects", a={"type": "array", "x-kubernetes-list-type": "set",
                                  "items": {"type": "object", "properties": {"a": TEXT}}}),
    case("a root that is no object", post(CRDS, definition(version(shape={"type": "string"})))),
    case("metadata that is restricted", post(CRDS, definition(version(shape={
        "type": "object", "properties": {"metadata": {"type": "object", "properties": {
            "labels": {"type": "object"}}}}})))),
    case("what may not change", *defined(), merge(CRD, {"spec": {"scope": "Cluster"}}),
         merge(CRD, {"spec": {"names": {"kind": "Gadget"}}}),
         merge(CRD, {"spec": {"group": "other.example.com"}})),
    case("short names and categories", *defined(names={"shortNames": ["wd"],
                                                       "categories": ["all"]})),
    case("a name that is taken", *defined(), post(CRDS, {
        **definition(names={"plural": "gadgets", "singular": "gadget"}),
        "metadata": {"name": "gadgets.{g}"}}),
         get(f"{CRDS}/gadgets.{{g}}", until="status.conditions[type=NamesAccepted].status=False",
             only="status.conditions status.acceptedNames")),
    case("its status through its object", *defined(), merge(CRD, {"status": {
        "storedVersions": ["v9"]}})),
    case("a table", *defined(), get(f"{CRD}", accept=TABLE)),
)  # fmt: skip

OBJECTS = subject(
    "custom objects",
    case("without rules", *defined(), post("widgets", widget(spec={"a": [1, {"b": None}]})),
         get("widgets/a"), get("widgets")),
    case("without a kind", *defined(), post("widgets", {"metadata": {"name": "a"}})),
    case("of another kind", *defined(), post("widgets", config_map())),
    case("of a bad name", *defined(), post("widgets", widget("A_b"))),
    case("without a name", *defined(), post("widgets", widget(""))),
    _sized("defaults", {}, {"inner": {}}, {"inner": {"deep": "x"}}, {"size": 5}),
    _sized("no spec"),
    case("nothing but a name", *defined(version(shape=SIZED)), post("widgets", widget())),
    _sized("pruning", {"unknown": 1, "inner": {"other": 2}, "parts": [{"id": "a", "z": 1}]}),
    _sized("nulls", {"size": None, "empty": None, "colour": None}),
    _sized("bounds", {"size": 0}, {"size": 10}),
    _sized("an enumeration", {"colour": "green"}),
    _sized("a pattern", {"name": "A1"}, {"name": "abcdef"}, {"name": "a"}),
    _sized("types", {"size": "5"}, {"size": 1.5}, {"colour": 1}, {"parts": {}}, {"inner": []}),
    _sized("lists", {"parts": [{}]}, {"parts": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}),
    _sized("int or string", {"port": 80}, {"port": "http"}, {"port": 1.5}),
    _sized("maps of numbers", {"extra": {"a": 1}}, {"extra": {"a": "b"}}),
    _sized("times", {"when": "2026-01-01T00:00:00Z"}, {"when": "noon"}),
    _sized("several at once", {"size": 0, "colour": "green", "name": "A1", "parts": [{}]}),
    case("strict about fields", *defined(version(shape=SIZED)),
         post("widgets?fieldValidation=Strict", widget(spec={"unknown": 1})),
         post("widgets?fieldValidation=Warn", widget(spec={"unknown": 1}))),
    case("a root that is text", *defined(version(shape=SIZED)),
         post("widgets", widget(spec="x"))),
    case("required fields", *defined(version(shape={"type": "object", "required": ["spec"],
                                                    "properties": {"spec": OPEN}})),
         post("widgets", widget())),
    case("sets and maps", *defined(version(shape=schema(
        s={"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"},
        m={"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
           "items": {"type": "object", "required": ["k"], "properties": {"k": TEXT}}}))),
         post("widgets", widget(spec={"s": ["a", "a"], "m": [{"k": "x"}, {"k": "x"}]}))),
    case("any of", *defined(version(shape=schema(a={"type": "object", "properties": {
        "b": TEXT, "c": TEXT}, "oneOf": [{"required": ["b"]}, {"required": ["c"]}]}))),
         post("widgets", widget(spec={"a": {}})),
         post("widgets", widget(spec={"a": {"b": "1", "c": "2"}}))),
    case("replaced", *defined(), post("widgets", widget(spec={"a": 1})),
         put("widgets/a", widget(spec={"a": 2})),
         put("widgets/a", widget(spec={"a": 2}, meta={
             "resourceVersion": "<5.metadata.resourceVersion>"})),
         put("widgets/a", widget(spec={"a": 3}, meta={
             "resourceVersion": "<5.metadata.resourceVersion>"}))),
    case("patched", *defined(), post("widgets", widget(spec={"a": 1})),
         merge("widgets/a", {"spec": {"b": 2}}), merge("widgets/a", {"spec": {"b": 2}}),
         operations("widgets/a", {"op": "remove", "path": "/spec/a"}),
         strategic("widgets/a", {"spec": {"b": 3}})),
    case("a patch that breaks the schema", *defined(version(shape=SIZED)),
         post("widgets", widget(spec={})), merge("widgets/a", {"spec": {"size": 99}}),
         merge("widgets/a", {"spec": {"unknown": 1}})),
    case("generation", *defined(), post("widgets", widget(spec={"a": 1})),
         merge("widgets/a", {"metadata": {"labels": {"a": "b"}}}),
         merge("widgets/a", {"spec": {"a": 2}}), merge("widgets/a", {"status": {"x": 1}})),
    case("generation with a status", *defined(version(**SUB)),
         post("widgets", widget(spec={"a": 1}, status={"x": 1})),
         merge("widgets/a", {"spec": {"a": 2}, "status": {"x": 2}}),
         merge("widgets/a/status", {"spec": {"a": 3}, "status": {"x": 3}, "metadata": {
             "labels": {"l": "m"}}}), get("widgets/a"), get("widgets/a/status"),
         put("widgets/a/status", widget(status={"x": 4}))),
    case("no status", *defined(), post("widgets", widget()),
         merge("widgets/a/status", {"status": {"x": 1}}), get("widgets/a/scale")),
    case("scale", *defined(version(**SUB)), post("widgets", widget(spec={"replicas": 2})),
         get("widgets/a/scale"), merge("widgets/a/scale", {"spec": {"replicas": 4}}),
         put("widgets/a/scale", {"metadata": {"name": "a", "namespace": "{ns}"},
                                 "spec": {"replicas": 6}}), get("widgets/a"),
         merge("widgets/a/scale", {"spec": {"replicas": -1}}),
         merge("widgets/a/status", {"status": {"replicas": 6, "selector": "a=b"}}),
         get("widgets/a/scale")),
    case("scale of nothing", *defined(version(**SUB)), post("widgets", widget()),
         get("widgets/a/scale"), get("widgets/z/scale")),
    case("columns", *defined(version(additionalPrinterColumns=[
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Words", "type": "string", "jsonPath": ".spec.words"},
        {"name": "First", "type": "string", "jsonPath": ".spec.list[0]", "priority": 1},
        {"name": "Ready", "type": "string",
         "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
        {"name": "On", "type": "boolean", "jsonPath": ".spec.on"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}])),
         post("widgets", widget(spec={"size": 3, "words": ["a", "b"], "list": ["x"], "on": True},
                                status={"conditions": [{"type": "Ready", "status": "True"}]})),
         post("widgets", widget("b", spec={"size": "x", "words": {"a": 1}})),
         get("widgets", accept=TABLE), get("widgets/a", accept=TABLE)),
    case("a table without columns", *defined(), post("widgets", widget()),
         get("widgets", accept=TABLE), get("widgets/a", accept=METADATA)),
    case("selectable fields", *defined(version(shape=schema(colour=TEXT), selectableFields=[
        {"jsonPath": ".spec.colour"}])), post("widgets", widget("a", spec={"colour": "red"})),
         post("widgets", widget("b", spec={"colour": "blue"})),
         get("widgets?fieldSelector=spec.colour=red"), get("widgets?fieldSelector=spec.size=1")),
    case("deleted", *defined(), post("widgets", widget()), post("widgets", widget(
        "b", meta={"finalizers": ["x.y/a"]})), delete("widgets/a"), delete("widgets/b"),
         get("widgets/b"), merge("widgets/b", {"metadata": {"finalizers": []}}), get("widgets/b")),
    case("a collection", *defined(), post("widgets", widget()), post("widgets", widget("b")),
         delete("widgets?fieldSelector=metadata.name=a"), get("widgets"), delete("widgets")),
    case("watched", *defined(), post("widgets", widget(spec={"a": 1})),
         merge("widgets/a", {"spec": {"a": 2}}), delete("widgets/a"),
         watch("widgets?resourceVersion=<5.metadata.resourceVersion>", 2)),
    case("names in pages", *defined(), *(post("widgets", widget(name)) for name in "abc"),
         get("widgets?limit=2"), get("widgets?limit=2&continue=<8.metadata.continue>")),
    case("in the cluster", post(CRDS, definition(scope="Cluster")),
         get("/apis/{g}/v1/widgets", until=200, only="kind"),
         post("/apis/{g}/v1/widgets", widget()), get("/apis/{g}/v1/widgets/a"),
         post("widgets", widget("b"))),
)  # fmt: skip

LIFE = subject(
    "versions and ends",
    case("two versions", *defined(version(), version("v1beta1", storage=False)),
         get("/apis/{g}"), post("widgets", widget(spec={"a": 1})), get(f"{OLD}/a"),
         merge(f"{OLD}/a", {"spec": {"b": 2}}), get("widgets/a"), get(OLD, until=200),
         post(OLD, widget("b", served="v1beta1")), get("widgets/b")),
    case("the versions' own schemas", *defined(
        version(shape=SIZED), version("v1beta1", schema(size={**NUMBER, "default": 1}),
                                      storage=False)), post(OLD, widget(served="v1beta1", spec={})),
         get("widgets/a"), get(f"{OLD}/a")),
    case("a version that is not served", *defined(version(), version(
        "v1beta1", storage=False, served=False)), get(OLD)),
    case("a deprecated version", *defined(version(), version(
        "v1beta1", storage=False, deprecated=True)), get(OLD, until=200)),
    case("a deprecated version with words", *defined(version(), version(
        "v1beta1", storage=False, deprecated=True, deprecationWarning="use v1")),
         get(OLD, until=200)),
    case("a version that is new", *defined(), merge(CRD, {"spec": {"versions": [
        version(), version("v1beta1", storage=False)]}}), get(OLD, until=200,
             only="kind apiVersion")),
    case("a stricter schema", *defined(), post("widgets", widget(spec={"size": 50})),
         merge(CRD, {"spec": {"versions": [version(shape=SIZED)]}}),
         get("widgets/a", until="spec.inner.deep=d"),
         merge("widgets/a", {"metadata": {"labels": {"a": "b"}}}),
         merge("widgets/a", {"spec": {"colour": "red"}})),
    case("deleted with its objects", *defined(), post("widgets", widget()), delete(CRD),
         gone(CRD), gone("widgets")),
    case("deleted while an object is held", *defined(), post("widgets", widget(
        meta={"finalizers": ["x.y/a"]})), delete(CRD),
         get(CRD, only="metadata.finalizers"),
         get("widgets/a", until="metadata.deletionGracePeriodSeconds=0"),
         post("widgets", widget("b")), merge("widgets/a", {"metadata": {"finalizers": None}}),
         gone(CRD)),
    case("made again", *defined(), post("widgets", widget()), delete(CRD), gone(CRD),
         gone("widgets"), *defined()),
    case("an owner and its widget", *defined(), post("configmaps", config_map()),
         post("widgets", widget(meta={"ownerReferences": [
             owner("ConfigMap", "a", "<5.metadata.uid>")]})), get("widgets/a")),
)  # fmt: skip

CASES = DEFINING + OBJECTS + LIFE
