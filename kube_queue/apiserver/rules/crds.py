"""CustomResourceDefinition: names, structural schemas, and when its kinds are served."""

import re
from collections.abc import Iterable
from typing import Any

import orjson

from kube_queue.apiserver.kinds import Column, Kind
from kube_queue.apiserver.meta import LABEL_RULE, is_label, is_subdomain
from kube_queue.apiserver.rules.base import Rules
from kube_queue.apiserver.schema import compile_custom, settle
from kube_queue.apiserver.status import (
    FieldError,
    field_invalid,
    field_required,
    field_unsupported,
)
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.structural import schema_errors
from kube_queue.apiserver.table import check_columns
from kube_queue.apiserver.validation import SchemaError, Validator
from kube_queue.apiserver.world import World

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_VERSION = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_UNEVALUATED = "x-kubernetes-validations"


class CustomResourceDefinitionRules(Rules):
    """Rules of customresourcedefinitions.apiextensions.k8s.io."""

    counts_spec_only = True

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        spec = obj["spec"]
        names = spec["names"]
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")
        spec.setdefault("conversion", {"strategy": "None"})
        metadata = obj["metadata"]
        if old is None:
            metadata["finalizers"] = [
                *(name for name in metadata.get("finalizers", ()) if name != CLEANUP),
                CLEANUP,
            ]
        if "deletionTimestamp" not in metadata:
            obj["status"] = accept(world, obj)

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        spec, names = obj["spec"], obj["spec"]["names"]
        found = _name_errors(obj, spec, names)
        versions = spec.get("versions", [])
        if not versions:
            found.append(field_required("spec.versions", "must have at least one version"))
        storing = [version for version in versions if version.get("storage")]
        if versions and len(storing) != 1:
            found.append(
                field_invalid(
                    "spec.versions",
                    [version["name"] for version in versions],
                    "must have exactly one version marked as storage version",
                )
            )
        if len({version["name"] for version in versions}) != len(versions):
            found.append(field_invalid("spec.versions", "", "must contain unique version names"))
        if spec["conversion"].get("strategy") != "None":
            found.append(
                field_unsupported(
                    "spec.conversion.strategy", spec["conversion"].get("strategy"), ["None"]
                )
            )
        for place, version in enumerate(versions):
            found += _version_errors(version, f"spec.versions[{place}]")
        if old is not None:
            found += _frozen(obj["spec"], old["spec"])
        return found

    def warnings(self, obj: Object) -> Iterable[str]:
        for place, version in enumerate(obj["spec"]["versions"]):
            if _mentions(version.get("schema"), _UNEVALUATED):
                yield f"spec.versions[{place}]: this server does not evaluate {_UNEVALUATED}"


def _mentions(value: Any, name: str) -> bool:
    if isinstance(value, dict):
        return name in value or any(_mentions(item, name) for item in value.values())
    if isinstance(value, list):
        return any(_mentions(item, name) for item in value)
    return False


def _name_errors(obj: Object, spec: Object, names: Object) -> list[FieldError]:
    found = []
    group, plural = spec.get("group", ""), names.get("plural", "")
    if not is_subdomain(group) or "." not in group:
        found.append(field_invalid("spec.group", group, "should be a domain with at least one dot"))
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        found.append(field_unsupported("spec.scope", spec.get("scope"), ["Cluster", "Namespaced"]))
    if not is_label(plural):
        found.append(field_invalid("spec.names.plural", plural, LABEL_RULE))
    for key in ("kind", "listKind"):
        if not names.get(key):
            found.append(field_required(f"spec.names.{key}"))
        elif not is_label(names[key].lower()):
            problem = f"may have mixed case, but should otherwise match: {LABEL_RULE}"
            found.append(field_invalid(f"spec.names.{key}", names[key], problem))
    name = obj["metadata"]["name"]
    if name != f"{plural}.{group}":
        found.append(
            field_invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
        )
    if group.endswith((".k8s.io", ".kubernetes.io")) or group in ("k8s.io", "kubernetes.io"):
        approval = "api-approved.kubernetes.io"
        if not obj["metadata"].get("annotations", {}).get(approval):
            found.append(
                field_required(
                    f"metadata.annotations[{approval}]",
                    "protected groups must have approval annotation "
                    '"api-approved.kubernetes.io", see '
                    "https://github.com/kubernetes/enhancements/pull/1111",
                )
            )
    return found


def _frozen(spec: Object, old: Object) -> list[FieldError]:
    pairs = (
        ("spec.scope", spec.get("scope"), old.get("scope")),
        ("spec.group", spec.get("group"), old.get("group")),
        ("spec.names.plural", spec["names"].get("plural"), old["names"].get("plural")),
        ("spec.names.kind", spec["names"].get("kind"), old["names"].get("kind")),
    )
    return [
        field_invalid(path, new, "field is immutable") for path, new, was in pairs if new != was
    ]


def _version_errors(version: Object, path: str) -> list[FieldError]:
    found = []
    if not _VERSION.fullmatch(version["name"]):
        found.append(field_invalid(f"{path}.name", version["name"], LABEL_RULE))
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    where = f"{path}.schema.openAPIV3Schema"
    if not isinstance(schema, dict):
        return [*found, field_required(where, "schemas are required")]
    found += schema_errors(schema, where)
    if not found:
        try:
            Validator(schema)
        except SchemaError as problem:
            found.append(field_invalid(where, "", str(problem)))
        else:
            found += _default_errors(schema, where, _Effort())
    for place, column in enumerate(version.get("additionalPrinterColumns", ())):
        if column["type"] not in _COLUMN_TYPES:
            where = f"{path}.additionalPrinterColumns[{place}].type"
            found.append(field_unsupported(where, column["type"], _COLUMN_TYPES))
        wrong = check_columns([Column(column["name"], column["type"], column["jsonPath"])])
        if wrong:
            found.append(
                field_invalid(
                    f"{path}.additionalPrinterColumns[{place}].jsonPath", column["jsonPath"], wrong
                )
            )
    return found


class _Effort:
    """How much of one schema may be compiled again for the sake of its defaults."""

    def __init__(self) -> None:
        self.left = 16 << 20

    def allows(self, schema: Object) -> bool:
        """Whether there is enough left for this part of it, which is spent."""
        self.left -= len(orjson.dumps(schema)) + 2000
        return self.left >= 0


_PLAIN = {"type", "default", "description", "title", "nullable"}
_PLAIN_TYPES = {"string": str, "boolean": bool, "integer": int}


def _plainly_fits(schema: Object) -> bool:
    """Whether the default fits without a look at anything but its type."""
    wanted = _PLAIN_TYPES.get(schema.get("type", ""))
    return schema.keys() <= _PLAIN and type(schema["default"]) is wanted


def _default_errors(schema: Object, path: str, effort: _Effort) -> list[FieldError]:
    """Every default fits its own place in the schema."""
    found = []
    if schema.get("default") is not None and not _plainly_fits(schema):
        value = schema["default"]
        if not effort.allows(schema):
            return [field_invalid(f"{path}.default", "", "there are too many defaults to check")]
        box = {"type": "object", "properties": {"value": schema}}
        settled = {"value": value}
        if settle(settled, compile_custom(box)):
            found.append(field_invalid(f"{path}.default", value, "has unknown fields"))
        elif not Validator(box).fits(settled):
            problem = Validator(box).errors(settled)[0]
            found.append(field_invalid(f"{path}.default", value, problem.message))
    for key, child in (schema.get("properties") or {}).items():
        found += _default_errors(child, f"{path}.properties[{key}]", effort)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found += _default_errors(schema[key], f"{path}.{key}", effort)
    return found


def accept(world: World, obj: Object) -> dict[str, Any]:
    """The definition's status: whether its names are free, and so whether it is established."""
    spec, status = obj["spec"], obj.get("status") or {}
    names, wording = _names(world, spec, status.get("acceptedNames") or {})
    accepted = wording[0] == "NoConflicts"
    now = world.now()
    before = {c["type"]: c for c in status.get("conditions", ())}
    established = ("InitialNamesAccepted", "the initial names have been accepted")
    if not accepted:
        established = ("NotAccepted", "not all names are accepted")
    conditions = [
        _condition(type_, accepted, why, before.get(type_), now)
        for type_, why in (("NamesAccepted", wording), ("Established", established))
    ]
    storage = [v["name"] for v in spec["versions"] if v.get("storage")]
    stored = list(status.get("storedVersions") or ())
    return {
        "conditions": conditions,
        "acceptedNames": names,
        "storedVersions": stored + [name for name in storage if name not in stored],
    }


def _condition(
    type_: str, good: bool, wording: tuple[str, str], before: Object | None, now: str
) -> Object:
    status = "True" if good else "False"
    since = before["lastTransitionTime"] if before and before.get("status") == status else now
    return {
        "type": type_,
        "status": status,
        "lastTransitionTime": since,
        "reason": wording[0],
        "message": wording[1],
    }


def _names(world: World, spec: Object, before: Object) -> tuple[Object, tuple[str, str]]:
    """The names that the definition has, and reason and message of the last that it cannot have.

    `before`: those that it had. A name that another kind of the group has stays as it was.
    """
    used: set[str] = set()
    kinds: set[str] = set()
    for other in world.kinds.of_group(spec.get("group", "")):
        if other.plural != spec["names"].get("plural"):
            used |= {other.plural, other.singular, *other.short_names}
            kinds |= {other.kind, other.list_kind}
    wording = ("NoConflicts", "no conflicts found")
    names = {"plural": "", "kind": "", **before}
    for key, reason, taken in (
        ("plural", "PluralConflict", used),
        ("singular", "SingularConflict", used),
        ("shortNames", "ShortNamesConflict", used),
        ("kind", "KindConflict", kinds),
        ("listKind", "ListKindConflict", kinds),
        ("categories", "", set[str]()),
    ):
        wanted = spec["names"].get(key)
        clash = taken & set(_listed(wanted)) - set(_listed(before.get(key)))
        if clash:
            told = [f'"{name}" is already in use' for name in sorted(clash)]
            wording = reason, told[0] if len(told) == 1 else f"[{', '.join(told)}]"
        elif wanted is None:
            names.pop(key, None)
        else:
            names[key] = wanted
    return names, wording


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value] if value else []
