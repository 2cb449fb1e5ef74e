"""Builders of pods and nodes: ``a_pod("p").asking(cpu="1").labelled(app="x")``.

A builder holds the manifest; ``.pod`` and ``.node`` read it as the scheduler does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from kube_queue.api.nodes import Node, node_of
from kube_queue.api.pods import Pod, pod_of
from kube_queue.placement.cluster import Cluster
from kube_queue.placement.cycle import Cycle
from kube_queue.placement.framework import PluginFactory, Profile
from kube_queue.placement.placing import Placer
from kube_queue.placement.plugins import BASE
from kube_queue.placement.verdict import Refusal
from tests.builders import START, amounts

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"
SCHEDULER = "kube-queue-scheduler"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def selector_of(labels: Mapping[str, str]) -> dict[str, Any]:
    """A LabelSelector of exactly these labels; empty selects all."""
    return {"matchLabels": dict(labels)}


@dataclass(frozen=True)
class Builder:
    manifest: dict[str, Any]

    def _copy(self) -> Self:
        return type(self)(deepcopy(self.manifest))

    def _set(self, section: str, **fields: Any) -> Self:
        new = self._copy()
        new.manifest.setdefault(section, {}).update(fields)
        return new

    def _extend(self, section: str, name: str, *entries: Any) -> Self:
        new = self._copy()
        new.manifest.setdefault(section, {}).setdefault(name, []).extend(entries)
        return new

    def _merge(self, section: str, name: str, entries: Mapping[str, str]) -> Self:
        new = self._copy()
        new.manifest.setdefault(section, {}).setdefault(name, {}).update(entries)
        return new

    def labelled(self, **labels: str) -> Self:
        return self._merge("metadata", "labels", labels)

    def annotated(self, **annotations: str) -> Self:
        return self._merge("metadata", "annotations", annotations)

    def at_version(self, version: int) -> Self:
        return self._set("metadata", resourceVersion=str(version))


@dataclass(frozen=True)
class PodBuilder(Builder):
    @property
    def pod(self) -> Pod:
        return pod_of(self.manifest)

    def asking(self, **quantities: str | int) -> PodBuilder:
        new = self._copy()
        container = new.manifest["spec"]["containers"][0]
        container.setdefault("resources", {}).setdefault("requests", {}).update(
            amounts(**quantities)
        )
        return new

    def of_image(self, *images: str) -> PodBuilder:
        new = self._copy()
        containers = new.manifest["spec"]["containers"]
        containers[0]["image"] = images[0]
        containers += [{"name": f"c{n}", "image": image} for n, image in enumerate(images[1:], 1)]
        return new

    def of_namespace(self, namespace: str) -> PodBuilder:
        return self._set("metadata", namespace=namespace)

    def of_scheduler(self, name: str) -> PodBuilder:
        return self._set("spec", schedulerName=name)

    def with_priority(self, priority: int) -> PodBuilder:
        return self._set("spec", priority=priority)

    def of_class(self, name: str) -> PodBuilder:
        """Its PriorityClass, from which a server takes the priority."""
        new = self._set("spec", priorityClassName=name)
        del new.manifest["spec"]["priority"]
        return new

    def created_at(self, second: float) -> PodBuilder:
        return self._set("metadata", creationTimestamp=moment(second))

    def owned_by(self, kind: str, name: str, uid: str = "") -> PodBuilder:
        owner = {"apiVersion": "apps/v1", "kind": kind, "name": name, "controller": True}
        return self._extend("metadata", "ownerReferences", {**owner, "uid": uid or f"uid-{name}"})

    def on(self, node: str) -> PodBuilder:
        return self._set("spec", nodeName=node)._set("status", phase="Running")

    def bound_at(self, second: float) -> PodBuilder:
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": moment(second)}
        return self._extend("status", "conditions", scheduled)

    def nominated_to(self, node: str) -> PodBuilder:
        return self._set("status", nominatedNodeName=node)

    def terminating(self, grace: int = 30) -> PodBuilder:
        return self._set(
            "metadata", deletionTimestamp=moment(grace), deletionGracePeriodSeconds=grace
        )

    def finished(self, phase: str = "Succeeded") -> PodBuilder:
        return self._set("status", phase=phase)

    def ready(self) -> PodBuilder:
        return self._extend("status", "conditions", {"type": "Ready", "status": "True"})

    def gated(self) -> PodBuilder:
        return self._extend("spec", "schedulingGates", {"name": "example.com/gate"})

    def never_preempting(self) -> PodBuilder:
        return self._set("spec", preemptionPolicy="Never")

    def tolerating(self, key: str = "", value: str = "", effect: str = "") -> PodBuilder:
        """Tolerates the taint; without a value any value, without a key any taint."""
        entry = {"key": key, "operator": "Equal" if value else "Exists", "value": value}
        return self._extend("spec", "tolerations", {**entry, "effect": effect})

    def selecting_nodes(self, **labels: str) -> PodBuilder:
        return self._merge("spec", "nodeSelector", labels)

    def requiring_nodes(self, key: str, operator: str, *values: str) -> PodBuilder:
        """One more term of the required node affinity; terms are alternatives."""
        expression = {"key": key, "operator": operator, "values": list(values)}
        new = self._copy()
        node = new._affinity("nodeAffinity")
        terms = node.setdefault(REQUIRED, {}).setdefault("nodeSelectorTerms", [])
        terms.append({"matchExpressions": [expression]})
        return new

    def preferring_nodes(self, weight: int, key: str, operator: str, *values: str) -> PodBuilder:
        expression = {"key": key, "operator": operator, "values": list(values)}
        new = self._copy()
        entry = {"weight": weight, "preference": {"matchExpressions": [expression]}}
        new._affinity("nodeAffinity").setdefault(PREFERRED, []).append(entry)
        return new

    def near(self, key: str = HOST, **labels: str) -> PodBuilder:
        """Requires a pod of these labels in its domain of ``key``."""
        return self._related("podAffinity", term(key, labels))

    def away_from(self, key: str = HOST, **labels: str) -> PodBuilder:
        """Requires that no pod of these labels is in its domain of ``key``."""
        return self._related("podAntiAffinity", term(key, labels))

    def rather_near(self, weight: int, key: str = HOST, **labels: str) -> PodBuilder:
        return self._related("podAffinity", term(key, labels), weight)

    def rather_away_from(self, weight: int, key: str = HOST, **labels: str) -> PodBuilder:
        return self._related("podAntiAffinity", term(key, labels), weight)

    def related(self, side: str, term: Mapping[str, Any], weight: int | None = None) -> PodBuilder:
        """A term as it is written in a manifest, of ``podAffinity`` or ``podAntiAffinity``."""
        return self._related(side, term, weight)

    def spread_over(
        self, key: str = ZONE, skew: int = 1, *, soft: bool = False, **more: Any
    ) -> PodBuilder:
        """Spreads pods of its own labels, unless ``more`` gives a labelSelector."""
        own = self.manifest["metadata"].get("labels", {})
        return self._extend(
            "spec",
            "topologySpreadConstraints",
            {
                "topologyKey": key,
                "maxSkew": skew,
                "whenUnsatisfiable": "ScheduleAnyway" if soft else "DoNotSchedule",
                "labelSelector": selector_of(own),
                **more,
            },
        )

    def with_host_port(self, port: int, protocol: str = "TCP", ip: str = "") -> PodBuilder:
        new = self._copy()
        entry = {"containerPort": port, "hostPort": port, "protocol": protocol, "hostIP": ip}
        new.manifest["spec"]["containers"][0].setdefault("ports", []).append(entry)
        return new

    def mounting(self, *claims: str) -> PodBuilder:
        volumes = [
            {"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims
        ]
        return self._extend("spec", "volumes", *volumes)

    def with_own_volume(self, name: str) -> PodBuilder:
        """A generic ephemeral volume."""
        return self._extend("spec", "volumes", {"name": name, "ephemeral": {"x": 1}})

    def of_gang(self, name: str, least: int) -> PodBuilder:
        group = "pod-group.scheduling.sigs.k8s.io"
        return self.labelled(**{f"{group}/name": name, f"{group}/min-available": str(least)})

    def of_quota(self, name: str) -> PodBuilder:
        return self.labelled(**{"quota.scheduling.alibabacloud.com/name": name})

    def _affinity(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = self.manifest["spec"].setdefault("affinity", {})
        side: dict[str, Any] = found.setdefault(kind, {})
        return side

    def _related(self, side: str, term: Mapping[str, Any], weight: int | None = None) -> PodBuilder:
        new = self._copy()
        if weight is None:
            new._affinity(side).setdefault(REQUIRED, []).append(dict(term))
        else:
            entry = {"weight": weight, "podAffinityTerm": dict(term)}
            new._affinity(side).setdefault(PREFERRED, []).append(entry)
        return new


def term(key: str, labels: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """A PodAffinityTerm."""
    return {"topologyKey": key, "labelSelector": selector_of(labels), **more}


def a_pod(name: str) -> PodBuilder:
    """A waiting pod of namespace ``default`` for our scheduler, of one container that asks for
    nothing.
    """
    return PodBuilder(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": "default",
                "name": name,
                "uid": f"uid-{name}",
                "resourceVersion": "1",
                "creationTimestamp": moment(0),
            },
            "spec": {
                "schedulerName": SCHEDULER,
                "priority": 0,
                "containers": [{"name": "c0", "image": "example.com/image:1"}],
            },
            "status": {"phase": "Pending"},
        }
    )


@dataclass(frozen=True)
class NodeBuilder(Builder):
    @property
    def node(self) -> Node:
        return node_of(self.manifest)

    @property
    def name(self) -> str:
        name: str = self.manifest["metadata"]["name"]
        return name

    def having(self, **quantities: str | int) -> NodeBuilder:
        return self._merge("status", "allocatable", amounts(**quantities))

    def in_zone(self, zone: str) -> NodeBuilder:
        return self.labelled(**{ZONE: zone})

    def without_label(self, key: str) -> NodeBuilder:
        new = self._copy()
        new.manifest["metadata"]["labels"].pop(key, None)
        return new

    def tainted(self, key: str, value: str = "", effect: str = "NoSchedule") -> NodeBuilder:
        return self._extend("spec", "taints", {"key": key, "value": value, "effect": effect})

    def cordoned(self) -> NodeBuilder:
        return self._set("spec", unschedulable=True)

    def with_image(self, name: str, megabytes: int) -> NodeBuilder:
        entry = {"names": [name], "sizeBytes": megabytes * 1024 * 1024}
        return self._extend("status", "images", entry)


def a_node(name: str) -> NodeBuilder:
    """A node of 8 cpu, 32 GiB and 110 pods, labelled with its name."""
    return NodeBuilder(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "uid": f"uid-{name}",
                "resourceVersion": "1",
                "labels": {HOST: name},
            },
            "spec": {},
            "status": {"allocatable": amounts(cpu="8", memory="32Gi", pods="110")},
        }
    )


def nodes(count: int, zones: int = 1) -> list[NodeBuilder]:
    """``n0``, ``n1`` ... in zones ``z0``, ``z1`` ... by turns."""
    return [a_node(f"n{index}").in_zone(f"z{index % zones}") for index in range(count)]


def moment(second: float) -> str:
    """A timestamp so many seconds after the start of every world."""
    return datetime.fromtimestamp(START + second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class World:
    """A cluster and what the plug-ins say of it."""

    def __init__(
        self,
        *seen: NodeBuilder | PodBuilder,
        plugins: Iterable[PluginFactory] = BASE,
    ) -> None:
        self.cluster = Cluster()
        self.profile = Profile(tuple(plugin(self.cluster) for plugin in plugins))
        self.cycle = Cycle(self.cluster, self.profile)
        self.placer: Placer = self.cycle.placer
        self.sees(*seen)

    def sees(self, *things: NodeBuilder | PodBuilder) -> None:
        """Nodes are as they say; pods, which stand on nodes, too."""
        for thing in things:
            if isinstance(thing, NodeBuilder):
                self.cluster.node_seen(thing.node)
            else:
                self.cluster.pod_seen(thing.pod)

    def feasible(self, pod: PodBuilder) -> list[str]:
        """The nodes that take the pod, by name."""
        mask = self.placer.feasible(pod.pod)
        return sorted(node.name for row, node in self.cluster.live_rows() if mask[row])

    def chooses(self, pod: PodBuilder) -> str:
        """The node the pod would go to; empty: none."""
        row = self.placer.choose(pod.pod)
        node = self.cluster.nodes[row] if row >= 0 else None
        return node.name if node is not None else ""

    def places(self, *pods: PodBuilder) -> list[str]:
        """Each pod is put where it would go, one after another. Returns the nodes."""
        chosen = []
        for pod in pods:
            node = self.chooses(pod)
            if node:
                self.cluster.assume(pod.pod, node)
            chosen.append(node)
        return chosen

    def refusal(self, pod: PodBuilder, node: str) -> Refusal | None:
        """Why the node does not take the pod."""
        return self.placer.row_refusal(pod.pod, self.cluster.row_of[node])

    def says(self, pod: PodBuilder) -> str:
        """The sentence of a pod that no node takes."""
        return self.placer.verdict(pod.pod).message
