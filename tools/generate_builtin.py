"""The facts about built-in kinds, written to kube_queue/apiserver/builtin/*.json.

Sources, fetched as Go modules through the Go module proxy: the OpenAPI v3 and discovery documents
and the printer columns of k8s.io/kubernetes, and generated.proto and types.go of k8s.io/api,
k8s.io/apimachinery. What is kept: field names, types, formats, required fields, merge keys and
strategies, list types, protobuf field numbers, resource names, verbs, column names. Descriptions
are left behind.

    python tools/generate_builtin.py            write the files
    python tools/generate_builtin.py --check    exit 1, naming the files that differ

Needs the Go tool on PATH, or named by the environment variable GO.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

KUBERNETES = "v1.36.3"
STAGING = "v0.36.3"
MODULES = {
    "k8s.io/kubernetes": KUBERNETES,
    "k8s.io/api": STAGING,
    "k8s.io/apimachinery": STAGING,
}
OUTPUT = Path(__file__).resolve().parent.parent / "kube_queue" / "apiserver" / "builtin"
MAX_BYTES = 1_000_000

# group, version -> the kinds served, and for each the subresources served
SERVED: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("", "v1"): {
        "Binding": (),
        "ConfigMap": (),
        "Endpoints": (),
        "Event": (),
        "LimitRange": (),
        "Namespace": ("status",),
        "Node": ("status",),
        "PersistentVolume": ("status",),
        "PersistentVolumeClaim": ("status",),
        "Pod": ("status", "binding", "eviction", "log"),
        "ReplicationController": ("scale", "status"),
        "ResourceQuota": ("status",),
        "Secret": (),
        "Service": ("status",),
        "ServiceAccount": (),
    },
    ("apiextensions.k8s.io", "v1"): {"CustomResourceDefinition": ("status",)},
    ("apps", "v1"): {
        "ControllerRevision": (),
        "DaemonSet": ("status",),
        "Deployment": ("scale", "status"),
        "ReplicaSet": ("scale", "status"),
        "StatefulSet": ("scale", "status"),
    },
    ("authentication.k8s.io", "v1"): {"SelfSubjectReview": ()},
    ("authorization.k8s.io", "v1"): {
        "SelfSubjectAccessReview": (),
        "SelfSubjectRulesReview": (),
    },
    ("batch", "v1"): {"CronJob": ("status",), "Job": ("status",)},
    ("coordination.k8s.io", "v1"): {"Lease": ()},
    ("events.k8s.io", "v1"): {"Event": ()},
    ("networking.k8s.io", "v1"): {"Ingress": ("status",)},
    ("policy", "v1"): {"PodDisruptionBudget": ("status",)},
    ("scheduling.k8s.io", "v1"): {"PriorityClass": ()},
    ("storage.k8s.io", "v1"): {"CSINode": (), "StorageClass": ()},
}
# kinds that only travel in bodies: (group, version, kind) known to OpenAPI and protobuf
IN_BODIES = (
    ("", "v1", "DeleteOptions"),
    ("", "v1", "Status"),
    ("autoscaling", "v1", "Scale"),
    ("policy", "v1", "Eviction"),
)
EXTRA_DEFINITIONS = (
    "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
)
KEPT_KEYWORDS = frozenset(
    {
        "$ref",
        "additionalProperties",
        "allOf",
        "anyOf",
        "enum",
        "format",
        "items",
        "nullable",
        "oneOf",
        "properties",
        "required",
        "type",
        "x-kubernetes-group-version-kind",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        "x-kubernetes-patch-merge-key",
        "x-kubernetes-patch-strategy",
        "x-kubernetes-preserve-unknown-fields",
    }
)
REF = "#/components/schemas/"
# proto package -> folder of its Go types
PROTO_PACKAGES = {
    "k8s.io.api.apps.v1": "k8s.io/api/apps/v1",
    "k8s.io.api.authentication.v1": "k8s.io/api/authentication/v1",
    "k8s.io.api.authorization.v1": "k8s.io/api/authorization/v1",
    "k8s.io.api.batch.v1": "k8s.io/api/batch/v1",
    "k8s.io.api.coordination.v1": "k8s.io/api/coordination/v1",
    "k8s.io.api.core.v1": "k8s.io/api/core/v1",
    "k8s.io.api.events.v1": "k8s.io/api/events/v1",
    "k8s.io.api.networking.v1": "k8s.io/api/networking/v1",
    "k8s.io.api.policy.v1": "k8s.io/api/policy/v1",
    "k8s.io.api.scheduling.v1": "k8s.io/api/scheduling/v1",
    "k8s.io.api.storage.v1": "k8s.io/api/storage/v1",
    "k8s.io.apimachinery.pkg.apis.meta.v1": "k8s.io/apimachinery/pkg/apis/meta/v1",
    "k8s.io.apimachinery.pkg.api.resource": "k8s.io/apimachinery/pkg/api/resource",
    "k8s.io.apimachinery.pkg.util.intstr": "k8s.io/apimachinery/pkg/util/intstr",
    "k8s.io.apimachinery.pkg.runtime": "k8s.io/apimachinery/pkg/runtime",
}
SCALARS = frozenset({"bool", "bytes", "double", "int32", "int64", "string", "uint32", "uint64"})

Json = dict[str, Any]


class SourceChanged(Exception):
    """A source does not look as this tool expects: the tool needs a change."""


# ------------------------------------------------------------------------------ modules


def fetch_modules() -> dict[str, Path]:
    """Each module of MODULES -> the folder that holds it, downloaded when it was not there."""
    go = os.environ.get("GO", "go")
    wanted = [f"{name}@{version}" for name, version in MODULES.items()]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [go, "mod", "download", "-json", *wanted],
            cwd=folder,
            env={**os.environ, "GOFLAGS": "-mod=mod"},
            capture_output=True,
            text=True,
            check=True,
        )
    decoder, text, folders = json.JSONDecoder(), done.stdout.strip(), {}
    while text:
        entry, end = decoder.raw_decode(text)
        folders[str(entry["Path"])] = Path(entry["Dir"])
        text = text[end:].lstrip()
    return folders


def folder_of(modules: dict[str, Path], import_path: str) -> Path:
    """The folder of a Go package."""
    for name, folder in modules.items():
        if import_path == name or import_path.startswith(name + "/"):
            return folder / import_path[len(name) + 1 :]
    raise SourceChanged(f"no module holds {import_path}")


# ---------------------------------------------------------------------------- definitions


def reduce_schema(schema: Any) -> Any:
    """The schema with its facts only.

    A reference wrapped in `allOf` for the sake of a description becomes the plain reference; when
    a merge strategy stands beside it, the wrapper stays.
    """
    if isinstance(schema, bool):
        return schema
    kept: Json = {}
    for keyword in sorted(set(schema) & KEPT_KEYWORDS):
        value = schema[keyword]
        if keyword == "properties":
            value = {name: reduce_schema(value[name]) for name in sorted(value)}
        elif keyword in ("items", "additionalProperties"):
            value = reduce_schema(value)
        elif keyword in ("allOf", "anyOf", "oneOf"):
            value = [reduce_schema(item) for item in value]
        kept[keyword] = value
    if schema.get("default") not in (None, {}, "", 0, False):
        kept["default"] = schema["default"]
    if list(kept) == ["allOf"] and len(kept["allOf"]) == 1:
        return kept["allOf"][0]
    return kept


def references(schema: Any) -> Iterator[str]:
    """Every definition name a schema refers to."""
    if isinstance(schema, dict):
        ref = schema.get("$ref")
        if isinstance(ref, str):
            yield ref.removeprefix(REF)
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def openapi_name(group: str, version: str) -> str:
    """The file name, without its ending, of a group-version in the documents' folders."""
    return f"apis__{group}__{version}" if group else f"api__{version}"


def load_json(path: Path) -> Json:
    """The document at path."""
    loaded: Json = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def read_schemas(kubernetes: Path) -> Json:
    """Every definition of the group-versions needed, unreduced."""
    group_versions = {*SERVED, *((group, version) for group, version, _ in IN_BODIES)}
    schemas: Json = {}
    for group, version in sorted(group_versions):
        name = f"{openapi_name(group, version)}_openapi.json"
        document = load_json(kubernetes / "api" / "openapi-spec" / "v3" / name)
        schemas.update(document["components"]["schemas"])
    return schemas


def definition_of(schemas: Json, group: str, version: str, kind: str) -> str:
    """The name of the definition that describes a kind."""
    wanted = {"group": group, "version": version, "kind": kind}
    for name, schema in schemas.items():
        if wanted in schema.get("x-kubernetes-group-version-kind", ()):
            return str(name)
    raise SourceChanged(f"no definition for {group}/{version} {kind}")


def closure(schemas: Json, roots: Iterable[str]) -> Json:
    """The reduced definitions reachable from the roots, sorted by name."""
    found: Json = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = reduce_schema(schemas[name])
            waiting.extend(references(found[name]))
    return dict(sorted(found.items()))


# ---------------------------------------------------------------------------------- kinds


def read_columns(printers: str, kind: str) -> list[list[Any]]:
    """Printer columns of a kind as [name, type, priority, format]; [] when it has no printer."""
    head = re.match(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]", kind)
    assert head is not None
    name = f"{head[0].lower()}{kind[head.end() :]}".removesuffix("s")
    variable = rf"\b{name}s?ColumnDefinitions? := \[\]"
    block = re.split(variable, printers, maxsplit=1)[1:]
    if not block:
        return []
    columns: list[list[Any]] = []
    for line in re.findall(r"\{Name: .*\}", block[0].partition("\n\t}\n")[0]):
        facts = dict(re.findall(r'(Name|Type|Format|Priority): "?([^",}]*)"?', line))
        columns.append(
            [facts["Name"], facts["Type"], int(facts.get("Priority", 0)), facts.get("Format", "")]
        )
    return columns


def read_kinds(kubernetes: Path, schemas: Json) -> list[Json]:
    """The served kinds with their names, verbs, subresources, definition and columns."""
    folder = kubernetes / "pkg" / "printers" / "internalversion"
    printers = (folder / "printers.go").read_text(encoding="utf-8")
    kinds = []
    for (group, version), served in SERVED.items():
        listed = load_json(
            kubernetes / "api" / "discovery" / f"{openapi_name(group, version)}.json"
        )["resources"]
        by_name = {resource["name"]: resource for resource in listed}
        for resource in listed:
            if resource["kind"] not in served or "/" in resource["name"]:
                continue
            kind, plural = resource["kind"], resource["name"]
            kinds.append(
                {
                    "group": group,
                    "version": version,
                    "kind": kind,
                    "plural": plural,
                    "singular": resource["singularName"],
                    "namespaced": resource["namespaced"],
                    "shortNames": resource.get("shortNames", []),
                    "categories": resource.get("categories", []),
                    "verbs": resource["verbs"],
                    "subresources": {
                        name: _subresource(by_name[f"{plural}/{name}"]) for name in served[kind]
                    },
                    "definition": definition_of(schemas, group, version, kind),
                    "columns": read_columns(printers, kind),
                }
            )
    return kinds


def _subresource(resource: Json) -> Json:
    keys = ("group", "version", "kind", "verbs")
    return {key: resource[key] for key in keys if key in resource}


# ------------------------------------------------------------------------------- protobuf


def read_go_fields(folder: Path) -> dict[str, dict[int, tuple[str, str]]]:
    """Go struct -> protobuf field number -> (JSON name, flags).

    Flags: `i` the field's own fields stand in its parent, `z` a zero is written out in JSON.
    """
    structs: dict[str, dict[int, tuple[str, str]]] = {}
    pattern = re.compile(
        r'^\s+(?:\w+[ \t]+)?(\S+)[ \t]+`json:"([^"]*)" protobuf:"\w+,(\d+),', re.MULTILINE
    )
    for path in sorted(folder.glob("*.go")):
        text = path.read_text(encoding="utf-8")
        for name, body in re.findall(r"^type (\w+) struct \{\n(.*?)^\}", text, re.S | re.M):
            for go_type, tag, number in pattern.findall(body):
                json_name, _, options = tag.partition(",")
                pointer = go_type.startswith("*")
                flags = "i" if "inline" in options else ""
                if pointer or "omitempty" not in options:
                    flags += "z"
                structs.setdefault(name, {})[int(number)] = (json_name, flags)
    return structs


def read_proto(modules: dict[str, Path]) -> dict[str, dict[str, list[str]]]:
    """Message -> field number -> [JSON name, type, flags], for every known package.

    Flags as in read_go_fields, and `r` repeated, `m` a map from strings.
    """
    messages: dict[str, dict[str, list[str]]] = {}
    field = re.compile(r"^  (optional|repeated|map<string, ?)\s*([.\w]+)>? (\w+) = (\d+);", re.M)
    for package, import_path in PROTO_PACKAGES.items():
        folder = folder_of(modules, import_path)
        go_fields = read_go_fields(folder)
        text = (folder / "generated.proto").read_text(encoding="utf-8")
        for message, body in re.findall(r"^message (\w+) \{\n(.*?)^\}", text, re.S | re.M):
            fields = {}
            for label, type_name, proto_name, number in field.findall(body):
                json_name, flags = go_fields.get(message, {}).get(int(number), (proto_name, ""))
                flags += {"repeated": "r", "optional": ""}.get(label, "m")
                full = type_name if type_name in SCALARS else _full_name(package, type_name)
                fields[number] = [json_name, full, flags]
            messages[f"{package}.{message}"] = fields
    return messages


def _full_name(package: str, type_name: str) -> str:
    return type_name[1:] if type_name.startswith(".") else f"{package}.{type_name}"


def needed_messages(modules: dict[str, Path], schemas: Json) -> Json:
    """The kinds a protobuf body may hold and the messages reachable from them."""
    messages = read_proto(modules)
    kinds: dict[str, str] = {}
    waiting = []
    bodies = [(g, v, kind) for (g, v), served in SERVED.items() for kind in served]
    for group, version, kind in (*bodies, *IN_BODIES):
        message = definition_of(schemas, group, version, kind).removeprefix("io.")
        message = f"k8s.io.{message.removeprefix('k8s.')}"
        if message in messages:
            kinds[f"{group}/{version}/{kind}"] = message
            waiting.append(message)
    found: Json = {}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name not in messages:
            raise SourceChanged(f"message {name} is in no known package")
        found[name] = messages[name]
        waiting.extend(type_name for _, type_name, _ in found[name].values() if "." in type_name)
    return {"kinds": kinds, "messages": dict(sorted(found.items()))}


# ------------------------------------------------------------------------------------ run


def generate() -> dict[str, bytes]:
    """File name -> content."""
    modules = fetch_modules()
    kubernetes = modules["k8s.io/kubernetes"]
    schemas = read_schemas(kubernetes)
    kinds = read_kinds(kubernetes, schemas)
    roots = [kind["definition"] for kind in kinds] + list(EXTRA_DEFINITIONS)
    roots += [definition_of(schemas, *body) for body in IN_BODIES]
    source = {
        "source": [f"{name} {version}" for name, version in MODULES.items()],
        "generator": "tools/generate_builtin.py",
    }
    files: dict[str, Json] = {
        "definitions.json": {"header": source, "definitions": closure(schemas, roots)},
        "kinds.json": {"header": source, "kinds": kinds},
        "protobuf.json": {"header": source, **needed_messages(modules, schemas)},
    }
    return {name: _compact(content) for name, content in files.items()}


def _compact(content: Json) -> bytes:
    """One line for each entry of each section, so that a change shows in a diff."""
    sections = []
    for name, section in content.items():
        if isinstance(section, list):
            lines = [json.dumps(entry, separators=(",", ":")) for entry in section]
            sections.append(f'"{name}":[\n' + ",\n".join(lines) + "\n]")
        else:
            lines = [
                f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}"
                for key, value in section.items()
            ]
            sections.append(f'"{name}":{{\n' + ",\n".join(lines) + "\n}")
    return ("{" + ",\n".join(sections) + "}\n").encode()


def main(arguments: list[str]) -> int:
    """0 when the files are written or match, 1 when --check found a difference."""
    parser = argparse.ArgumentParser(description="Generate the data about built-in kinds.")
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    check = parser.parse_args(arguments).check
    files = generate()
    total = sum(map(len, files.values()))
    if total > MAX_BYTES:
        print(f"the files would hold {total} bytes, more than {MAX_BYTES}")
        return 1
    stale = []
    for name, content in files.items():
        path = OUTPUT / name
        if check:
            if not path.exists() or path.read_bytes() != content:
                stale.append(name)
        else:
            path.write_bytes(content)
            print(f"{path.relative_to(OUTPUT.parent.parent.parent)}: {len(content)} bytes")
    if stale:
        print(f"stale: {', '.join(stale)}; run python tools/generate_builtin.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
