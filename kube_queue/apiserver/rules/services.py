"""Service: its defaults and its address; CronJob, Ingress and others that nobody acts upon here."""

from collections.abc import Iterable

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.rules.base import IDLE, Rules
from kube_queue.apiserver.rules.small import ReturnedRules
from kube_queue.apiserver.status import FieldError, field_invalid, field_unsupported
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.world import World

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_FAMILIES = {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
_ADDRESSES = ("clusterIP", "clusterIPs", *_FAMILIES)

_FIRST_STATUS: dict[str, Object] = {
    "ingresses": {"loadBalancer": {}},
    "replicationcontrollers": {"replicas": 0},
}


class ServiceRules(ReturnedRules):
    """A service has an address of its own, at which nothing listens here."""

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        for port in spec.get("ports", ()):
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
        if old is None:
            obj["status"] = {"loadBalancer": {}}
        if spec["type"] == "ExternalName":
            return
        spec.setdefault("internalTrafficPolicy", "Cluster")
        if spec["type"] != "ClusterIP":
            spec.setdefault("externalTrafficPolicy", "Cluster")
        if spec["type"] == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)
        if old is not None:
            for key in _ADDRESSES:
                if key in old["spec"]:
                    spec.setdefault(key, old["spec"][key])
        if not spec.get("clusterIP"):
            spec["clusterIP"] = _free_address(world)
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        for key, value in _FAMILIES.items():
            spec.setdefault(key, value)

    def judge(self, world: World, kind: Kind, obj: Object, old: Object | None) -> list[FieldError]:
        spec = obj["spec"]
        if spec["type"] not in _TYPES:
            return [field_unsupported("spec.type", spec["type"], _TYPES)]
        before = None if old is None else old["spec"].get("clusterIP")
        if before and spec.get("clusterIP", before) != before:
            address = [spec["clusterIP"]]
            return [field_invalid("spec.clusterIPs[0]", address, "may not change once set")]
        return []


def _free_address(world: World) -> str:
    services = world.store.collection("", "services").records.values()
    taken = {record.fields.get("spec.clusterIP") for record in services}
    while True:
        number = world.rng.randrange(1, 1 << 16)
        address = f"10.96.{number >> 8}.{number & 255}"
        if address not in taken:
            return address


class IdleRules(Rules):
    """A kind that is kept for those who read it, and that nobody acts upon."""

    counts_spec_only = True

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        if kind.plural == "replicationcontrollers":
            obj.setdefault("spec", {}).setdefault("replicas", 1)
        if old is None:
            obj["status"] = dict(_FIRST_STATUS.get(kind.plural, {}))

    def warnings(self, obj: Object) -> Iterable[str]:
        yield IDLE.format(obj["kind"])


class CronJobRules(IdleRules):
    """A cron job's defaults."""

    def prepare(self, world: World, kind: Kind, obj: Object, old: Object | None) -> None:
        super().prepare(world, kind, obj, old)
        spec = obj.setdefault("spec", {})
        spec.setdefault("concurrencyPolicy", "Allow")
        spec.setdefault("suspend", False)
        spec.setdefault("successfulJobsHistoryLimit", 3)
        spec.setdefault("failedJobsHistoryLimit", 1)
