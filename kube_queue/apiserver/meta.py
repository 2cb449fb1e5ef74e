"""Rules of object metadata, the same for every kind.

Holds: type checks, name and label rules, what the server fills in and what it does not let change.
"""

import calendar
import random
import re
import time
from typing import Any

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.status import (
    FieldError,
    StatusError,
    bad_request,
    field_invalid,
    field_required,
)
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.validation import type_name

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_PATH_SEGMENT = re.compile(r"(?!\.{1,2}$)[^/%]+")
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)
_ANNOTATIONS_LIMIT = 256 * 1024
_LAST_SECOND = 253_402_300_799

SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_KEY_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)

_FINALIZER_RULE = "name is neither a standard finalizer name nor is it fully qualified"
_STANDARD_FINALIZERS = ("foregroundDeletion", "kubernetes", "orphan")
_OWNER_NEEDS = (("apiVersion", "version "), ("kind", ""), ("name", ""), ("uid", ""))

_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(
        ("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"), str
    ),
    **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), str),
    **dict.fromkeys(("generation", "deletionGracePeriodSeconds"), int),
    **dict.fromkeys(("labels", "annotations"), dict),
    **dict.fromkeys(("finalizers", "ownerReferences", "managedFields"), list),
}


def timestamp(now: float) -> str:
    """Seconds since the epoch as metav1.Time: UTC, whole seconds, in the year 9999 at most."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(min(now, _LAST_SECOND)))


def seconds(text: str) -> float:
    """A metav1.Time in UTC as seconds since the epoch."""
    return float(calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))


def new_uid(rng: random.Random) -> str:
    """A random version 4 UUID."""
    digits = (
        f"{(rng.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62)) | (0x4 << 76) | (0x2 << 62):032x}"
    )
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def generated_name(base: str, rng: random.Random) -> str:
    """`base`, shortened to fit, with five random characters."""
    return base[:58] + "".join(rng.choices(_SUFFIX, k=5))


def is_subdomain(text: str) -> bool:
    """Whether the text is a lower-case RFC 1123 subdomain."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def is_label(text: str) -> bool:
    """Whether the text is a lower-case RFC 1123 label."""
    return _LABEL.fullmatch(text) is not None


def read(kind: Kind, obj: Object) -> Object:
    """The object's metadata, every field of its right type; a 400 says which is not."""
    meta = obj.setdefault("metadata", {})
    if meta is None:
        meta = obj["metadata"] = {}
    if type(meta) is not dict:
        raise _mistyped(kind, "metadata", meta, "ObjectMeta")
    for key, value in tuple(meta.items()):
        wanted = _TYPES.get(key)
        if value is None:
            del meta[key]
        elif wanted is not None and type(value) is not wanted:
            raise _mistyped(kind, f"metadata.{key}", value, _go_name(wanted))
    for key in ("labels", "annotations"):
        for name, value in meta.get(key, {}).items():
            if type(value) is not str:
                if value is None:
                    meta[key][name] = ""
                    continue
                raise _mistyped(kind, f"metadata.{key}.{name}", value, "string")
    for key in ("creationTimestamp", "deletionTimestamp"):
        if key in meta and not _TIME.fullmatch(meta[key]):
            raise bad_request(
                f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
                f'parsing time "{meta[key]}" in metadata.{key}: not an RFC 3339 time'
            )
    meta.pop("selfLink", None)
    if "finalizers" in meta or "ownerReferences" in meta:
        _read_lists(kind, meta)
    return meta


def _go_name(wanted: Any) -> str:
    return {str: "string", int: "int64", dict: "map[string]string", list: "[]"}[wanted]


def _mistyped(kind: Kind, path: str, value: Any, wanted: str) -> StatusError:
    return bad_request(
        f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: json: cannot '
        f"unmarshal {go_type(value)} into Go struct field {kind.kind}.{path} of type {wanted}"
    )


def go_type(value: Any) -> str:
    """A JSON type by the name Go's decoder gives it."""
    name = type_name(value)
    return {"integer": "number", "boolean": "bool"}.get(name, name)


def _read_lists(kind: Kind, meta: Object) -> None:
    for item in meta.get("finalizers", ()):
        if type(item) is not str:
            raise _mistyped(kind, "metadata.finalizers", item, "string")
    for reference in meta.get("ownerReferences", ()):
        if type(reference) is not dict:
            raise _mistyped(kind, "metadata.ownerReferences", reference, "v1.OwnerReference")
        for key in ("apiVersion", "kind", "name", "uid"):
            value = reference.setdefault(key, "")
            if type(value) is not str:
                raise _mistyped(kind, f"metadata.ownerReferences.{key}", value, "string")
        for key in ("controller", "blockOwnerDeletion"):
            if reference.get(key) is None:
                reference.pop(key, None)
            elif type(reference[key]) is not bool:
                raise _mistyped(kind, f"metadata.ownerReferences.{key}", reference[key], "bool")


def errors(kind: Kind, meta: Object) -> list[FieldError]:
    """What breaks the rules for names, labels, annotations, owners and finalizers."""
    found = _generated_errors(kind, meta.get("generateName", ""))
    found += _name_errors(kind, meta.get("name", ""))
    labels = meta.get("labels")
    if labels:
        found += label_errors(labels, "metadata.labels")
    annotations = meta.get("annotations")
    if annotations:
        found += _annotation_errors(annotations)
    for reference in meta.get("ownerReferences", ()):
        found += [
            field_invalid(f"metadata.ownerReferences.{key}", "", f"{what}must not be empty")
            for key, what in _OWNER_NEEDS
            if not reference[key]
        ]
    for place, finalizer in enumerate(meta.get("finalizers", ())):
        path = f"metadata.finalizers[{place}]"
        if not _qualified(finalizer):
            found.append(field_invalid(path, finalizer, _key_rule(finalizer)))
        elif _strict(kind) and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            found.append(field_invalid(path, finalizer, _FINALIZER_RULE))
    controllers = [r for r in meta.get("ownerReferences", ()) if r.get("controller")]
    if len(controllers) > 1:
        found_in = [f"{r['kind']}/{r['name']}" for r in controllers[:2]]
        found.append(
            field_invalid(
                "metadata.ownerReferences",
                [r["kind"] for r in controllers],
                'Only one reference can have Controller set to true. Found "true" in references '
                f"for {' and '.join(found_in)}",
            )
        )
    return found


def _generated_errors(kind: Kind, base: str) -> list[FieldError]:
    """What is wrong with the text that a name is generated from; it may end in a dash."""
    if not base:
        return []
    found = _name_errors(kind, f"{base[:-1]}a" if len(base) > 1 and base[-1] == "-" else base)
    return [
        field_invalid("metadata.generateName", base, one.text.split(": ", 2)[2]) for one in found
    ]


def _strict(kind: Kind) -> bool:
    """Whether the kind's finalizers have to say whose they are."""
    return kind.builtin and kind.group != "apiextensions.k8s.io"


_LABEL_NAMED = {"namespaces", "services"}
_SEGMENT_NAMED = {"events", "roles", "rolebindings", "clusterroles", "clusterrolebindings"}


def _name_errors(kind: Kind, name: str) -> list[FieldError]:
    if not name:
        return [field_required("metadata.name", "name or generateName is required")]
    if kind.builtin and kind.plural in _LABEL_NAMED:
        rule = "must not contain dots" if "." in name else LABEL_RULE
        return [] if is_label(name) else [field_invalid("metadata.name", name, rule)]
    if kind.builtin and kind.plural in _SEGMENT_NAMED:
        fine = _PATH_SEGMENT.fullmatch(name) is not None
        return [] if fine else [field_invalid("metadata.name", name, "may not contain '/' or '%'")]
    if is_subdomain(name):
        return []
    rule = SUBDOMAIN_RULE if len(name) <= 253 else "must be no more than 253 characters"
    return [field_invalid("metadata.name", name, rule)]


def _qualified(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and not is_subdomain(prefix):
        return False
    return _QUALIFIED.fullmatch(name) is not None


def _key_rule(key: str) -> str:
    """What a key breaks that is not qualified."""
    prefix, slash, name = key.rpartition("/")
    if slash and not is_subdomain(prefix):
        return f"prefix part {SUBDOMAIN_RULE}"
    return _KEY_RULE if len(name) <= 63 else "name part must be no more than 63 bytes"


def label_errors(labels: dict[str, str], path: str) -> list[FieldError]:
    """Keys and values that are not labels."""
    found = []
    for key, value in labels.items():
        if not _qualified(key):
            found.append(field_invalid(path, key, _key_rule(key)))
        if value and not _QUALIFIED.fullmatch(value):
            rule = _VALUE_RULE if len(value) <= 63 else "must be no more than 63 bytes"
            found.append(field_invalid(path, value, rule))
    return found


def _annotation_errors(annotations: dict[str, str]) -> list[FieldError]:
    path = "metadata.annotations"
    found = [
        field_invalid(path, key, _key_rule(key.lower()))
        for key in annotations
        if not _qualified(key.lower())
    ]
    size = sum(len(key) + len(value) for key, value in annotations.items())
    if size > _ANNOTATIONS_LIMIT:
        found.append(
            FieldError(
                path,
                "FieldValueTooLong",
                f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes",
            )
        )
    return found
