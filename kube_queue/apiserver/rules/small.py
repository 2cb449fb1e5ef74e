"""Kinds with a rule or two: Namespace, PriorityClass, Node, Lease, Event."""

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.rules.base import Rules
from kube_queue.apiserver.rules.quantities import settle_amounts
from kube_queue.apiserver.status import FieldError, field_forbidden, field_invalid, forbidden
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
    """A node registers itself with its status."""

    keeps_status = True

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        settle_amounts(obj.get("status", {}), ("capacity", "allocatable"), "status")


class ResourceQuotaRules(PlainRules):
    """A quota's amounts are quantities."""

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


class PriorityClassRules(Rules):
    """A class's value and policy never change; names and values of the system are its own."""

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
                field_forbidden("metadata.name", "names starting with system- belong to the system")
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
        if old is not None and obj["preemptionPolicy"] != old["preemptionPolicy"]:
            found.append(
                field_invalid("preemptionPolicy", obj["preemptionPolicy"], "field is immutable")
            )
        return found
