"""Kinds with a rule or two: Namespace, PriorityClass, Node, Lease, Event."""

import base64
import re
from typing import ClassVar

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.patches import same
from kube_queue.apiserver.rules.base import Rules
from kube_queue.apiserver.rules.quantities import settle_amounts
from kube_queue.apiserver.status import (
    FieldError,
    field_forbidden,
    field_invalid,
    field_required,
    field_unsupported,
    forbidden,
)
from kube_queue.apiserver.store import Object, Record
from kube_queue.apiserver.world import World

IMMORTAL = ("default", "kube-system", "kube-public")
HIGHEST_USER_PRIORITY = 1_000_000_000


_COMPUTE = ("cpu", "memory", "ephemeral-storage")
QUOTA_NAMES = frozenset(
    {
        *_COMPUTE,
        *(f"{what}.{name}" for what in ("requests", "limits") for name in _COMPUTE),
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "requests.storage",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    }
)


class PlainRules(Rules):
    """Kinds whose objects carry no generation."""

    has_generation = False


class NamespaceRules(PlainRules):
    """A namespace is Active until it is deleted, then Terminating until it is empty."""

    returns_deleted = True

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        metadata = obj["metadata"]
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata.get("name", "")
        if old is None:
            obj["spec"] = {"finalizers": ["kubernetes"]}
            obj["status"] = {"phase": "Active"}
        else:
            obj["spec"] = old["spec"]

    def before_delete(self, world: World, kind: Kind, record: Record) -> None:
        if record.name in IMMORTAL:
            raise forbidden(kind, record.name, "this namespace may not be deleted")

    def holds(self, obj: Object) -> bool:
        return bool(obj.get("spec", {}).get("finalizers"))

    def prepare_deletion(self, obj: Object) -> None:
        obj.setdefault("status", {})["phase"] = "Terminating"
        obj["metadata"].pop("deletionGracePeriodSeconds", None)


class NodeRules(PlainRules):
    """A node registers itself with its status; all that it has can be used unless it says less."""

    keeps_status = True

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        status = obj.get("status", {})
        settle_amounts(status, ("capacity", "allocatable"), "status")
        if status.get("capacity") and "allocatable" not in status:
            status["allocatable"] = dict(status["capacity"])


class ResourceQuotaRules(PlainRules):
    """A quota's amounts are quantities."""

    returns_deleted = True

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        settle_amounts(obj.get("spec", {}), ("hard",), "spec")
        if old is None:
            obj["status"] = {}
        settle_amounts(obj.get("status", {}), ("hard", "used"), "status")

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        unknown = [
            name
            for name in obj.get("spec", {}).get("hard", {})
            if "/" not in name and name not in QUOTA_NAMES and "hugepages-" not in name
        ]
        problems = (
            "must be a standard resource type or fully qualified",
            "must be a standard resource for quota",
        )
        return [
            field_invalid(f"spec.hard[{name}]", name, problem)
            for name in unknown
            for problem in problems
        ]


_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_CONFIG_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_CONTENT_LIMIT = 1024 * 1024
_IMMUTABLE = "field is immutable when `immutable` is set"
_NEEDED_KEYS = {
    "kubernetes.io/basic-auth": ("username", "password"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
"""Type of a Secret -> the keys it needs; of basic-auth's one is enough."""


class _ContentRules(PlainRules):
    """Keys are file names, all of it is at most 1 MiB, and what is immutable stays."""

    holders: ClassVar[tuple[str, ...]]

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        found, size = [], 0
        for holder in self.holders:
            for key, value in obj.get(holder, {}).items():
                size += len(key) + self.size(holder, value)
                if not _CONFIG_KEY.fullmatch(key) or key in (".", ".."):
                    found.append(field_invalid(f"{holder}[{key}]", key, _CONFIG_KEY_RULE))
                elif len(key) > 253:
                    problem = "must be no more than 253 bytes"
                    found.append(field_invalid(f"{holder}[{key}]", key, problem))
        if size > _CONTENT_LIMIT:
            problem = f"Too long: may not be more than {_CONTENT_LIMIT} bytes"
            found.append(FieldError("[]", "FieldValueTooLong", problem))
        if old is not None and old.get("immutable"):
            if not obj.get("immutable"):
                found.append(field_forbidden("immutable", _IMMUTABLE))
            found += [
                field_forbidden(holder, _IMMUTABLE)
                for holder in self.holders
                if not same(obj.get(holder), old.get(holder))
            ]
        return found

    def size(self, holder: str, value: str) -> int:
        """Bytes that the value stands for."""
        return len(value.encode())


class ConfigMapRules(_ContentRules):
    """A key stands in one of the two maps only."""

    holders: ClassVar = ("data", "binaryData")

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        twice = [key for key in obj.get("data", {}) if key in obj.get("binaryData", {})]
        problem = "duplicate of key present in binaryData"
        found = [field_invalid(f"data[{key}]", key, problem) for key in twice]
        return found + super().judge(world, kind, obj, old)

    def size(self, holder: str, value: str) -> int:
        return len(value) * 3 // 4 if holder == "binaryData" else len(value.encode())


class SecretRules(_ContentRules):
    """Text that is given as it is becomes data; the type never changes."""

    holders: ClassVar = ("data",)

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        obj.setdefault("type", "Opaque")
        for key, text in obj.pop("stringData", {}).items():
            obj.setdefault("data", {})[key] = base64.b64encode(text.encode()).decode()

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        found = super().judge(world, kind, obj, old)
        needed = _NEEDED_KEYS.get(obj["type"], ())
        absent = [key for key in needed if key not in obj.get("data", {})]
        if not obj["type"].endswith("/basic-auth") or len(absent) == len(needed):
            found += [field_required(f"data[{key}]") for key in absent]
        if old is not None and obj["type"] != old["type"]:
            found.append(field_invalid("type", obj["type"], "field is immutable"))
        return found

    def size(self, holder: str, value: str) -> int:
        return len(value) * 3 // 4


class EventRules(PlainRules):
    """An event stands where the object is that it is about."""

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        about = obj.get("involvedObject", {}).get("namespace", "")
        if about in ("", obj["metadata"]["namespace"]):
            return []
        path, problem = "involvedObject.namespace", "does not match event.namespace"
        return [field_invalid(path, about, problem)]


class LeaseRules(PlainRules):
    """A lease lasts."""

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        lasts = obj.get("spec", {}).get("leaseDurationSeconds", 1)
        problem = "must be greater than 0"
        return [] if lasts > 0 else [field_invalid("spec.leaseDurationSeconds", lasts, problem)]


class ReturnedRules(PlainRules):
    """Kinds whose deletion answers with the object."""

    returns_deleted = True


class LimitRangeRules(PlainRules):
    """A limit range's amounts are quantities."""

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        keys = ("default", "defaultRequest", "max", "min", "maxLimitRequestRatio")
        for place, limit in enumerate(obj.get("spec", {}).get("limits", ())):
            settle_amounts(limit, keys, f"spec.limits[{place}]")
            if limit["type"] == "Container":
                most, least = limit.get("max", {}), limit.get("min", {})
                limit["default"] = {**most, **limit.get("default", {})}
                asked = {**least, **limit["default"], **limit.get("defaultRequest", {})}
                limit["defaultRequest"] = asked


def _check_only_default(world: World, kind: Kind, name: str) -> None:
    classes = world.store.collection("scheduling.k8s.io", "priorityclasses").records
    for record in classes.values():
        if record.name != name and record.decode().get("globalDefault"):
            raise forbidden(
                kind,
                name,
                f"PriorityClass {record.name} is already marked as default. "
                "Only one default can exist",
            )


_POLICIES = ("PreemptLowerPriority", "Never")


class PriorityClassRules(Rules):
    """A class's value and policy never change; names and values of the system are its own."""

    counts_spec_only = True

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        obj.setdefault("preemptionPolicy", "PreemptLowerPriority")
        obj.setdefault("value", 0)
        if obj.get("globalDefault"):
            _check_only_default(world, kind, obj["metadata"].get("name", ""))

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        found = []
        name, value = obj["metadata"]["name"], obj["value"]
        if old is None and name.startswith("system-"):
            found.append(
                field_forbidden(
                    "metadata.name",
                    "priority class names with 'system-' prefix are reserved for system use only. "
                    f"error: {name} is not a known system priority class",
                )
            )
        elif old is None and value > HIGHEST_USER_PRIORITY:
            found.append(
                field_forbidden(
                    "value",
                    f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}",
                )
            )
        if old is not None and value != old["value"]:
            found.append(field_forbidden("value", "may not be changed in an update."))
        if obj["preemptionPolicy"] not in _POLICIES:
            policy = obj["preemptionPolicy"]
            found.append(field_unsupported("preemptionPolicy", policy, _POLICIES))
        if old is not None and obj["preemptionPolicy"] != old["preemptionPolicy"]:
            found.append(
                field_invalid("preemptionPolicy", obj["preemptionPolicy"], "field is immutable")
            )
        return found
