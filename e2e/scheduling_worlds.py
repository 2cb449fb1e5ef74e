"""Random clusters and pods, valid for an API server, on which two schedulers are compared."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

Manifest = dict[str, Any]
T = TypeVar("T")

ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"
RACK = "example.com/rack"
KEYS = (ZONE, HOST, RACK)
NAMESPACES = {"judge-a": {"team": "red"}, "judge-b": {"team": "blue"}}
PRIORITY = "judge-high"
IMAGES = ("example.com/a:1", "example.com/b:2")
TAINTS = ("example.com/kept", "example.com/slow")
EFFECTS = ("NoSchedule", "NoExecute", "PreferNoSchedule")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


class Chance:
    """One world's nodes, pods and events; equal seeds make equal worlds."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def number(self, least: int, most: int) -> int:
        """A number from least to most."""
        return self._random.randint(least, most)

    def of(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[self._random.randrange(len(choices))]

    def happens(self, share: float) -> bool:
        """True in this share of cases."""
        return self._random.random() < share

    # --- nodes ----------------------------------------------------------------------------------

    def node(self, name: str) -> Manifest:
        """A node that is ready."""
        room = {
            "cpu": self.of(("1", "2", "4")),
            "memory": self.of(("2Gi", "8Gi")),
            "pods": self.of(("2", "10", "110")),
        }
        if self.happens(0.2):
            room["example.com/gpu"] = "2"
        images = [each for each in IMAGES if self.happens(0.4)]
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": self.labels_of(name)},
            "spec": {"taints": self.taints(), "unschedulable": self.happens(0.07)},
            "status": {
                "capacity": room,
                "allocatable": room,
                "conditions": [{"type": "Ready", "status": "True"}],
                "images": [{"names": [each], "sizeBytes": 400 * 2**20} for each in images],
            },
        }

    def labels_of(self, name: str) -> dict[str, str]:
        """Labels for a node; some lack what most have."""
        labels = {HOST: name}
        if self.happens(0.9):
            labels[ZONE] = self.of(("u", "v", "w"))
        if self.happens(0.6):
            labels[RACK] = self.of(("1", "2"))
        if self.happens(0.4):
            labels["example.com/disk"] = self.of(("ssd", "hdd"))
        return labels

    def taints(self) -> list[Manifest]:
        """No taints, mostly."""
        found = {}
        for key in TAINTS:
            if self.happens(0.15):
                found[key] = {"key": key, "value": self.of(("x", "y")), "effect": self.of(EFFECTS)}
        return list(found.values())

    # --- pods -----------------------------------------------------------------------------------

    def pod(self, name: str) -> Manifest:
        """A pod for the cluster's own scheduler."""
        labels = {"app": self.of(("a", "b", "c"))}
        if self.happens(0.4):
            labels["tier"] = self.of(("x", "y"))
        spec: Manifest = {
            "terminationGracePeriodSeconds": 0,
            "containers": self._containers(),
            "tolerations": self._tolerations(),
            "affinity": self._affinity(),
            "topologySpreadConstraints": self._spread(),
        }
        if self.happens(0.15):
            spec["nodeSelector"] = {"example.com/disk": self.of(("ssd", "hdd"))}
        if self.happens(0.2):
            spec["priorityClassName"] = PRIORITY
        namespace = self.of(("judge-a", "judge-a", "judge-b"))
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": namespace, "name": name, "labels": labels},
            "spec": spec,
        }

    def _containers(self) -> list[Manifest]:
        asked = {"cpu": self.of(("100m", "500m", "1"))} if self.happens(0.9) else {}
        if self.happens(0.6):
            asked["memory"] = self.of(("100Mi", "1Gi"))
        if self.happens(0.1):
            asked["example.com/gpu"] = "1"
        resources: Manifest = {"requests": asked}
        if "example.com/gpu" in asked:
            resources["limits"] = {"example.com/gpu": "1"}
        first: Manifest = {"name": "c0", "image": self.of(IMAGES), "resources": resources}
        if self.happens(0.15):
            port: Manifest = {"containerPort": 80, "hostPort": self.of((8080, 8081))}
            port["protocol"] = self.of(("TCP", "TCP", "UDP"))
            if self.happens(0.3):
                port["hostIP"] = self.of(("127.0.0.1", "10.0.0.1"))
            first["ports"] = [port]
        second: Manifest = {"name": "c1", "image": self.of(IMAGES)}
        return [first, second] if self.happens(0.2) else [first]

    def _tolerations(self) -> list[Manifest]:
        found: list[Manifest] = []
        for key in TAINTS:
            if self.happens(0.35):
                entry: Manifest = {"key": key}
                if self.happens(0.5):
                    entry |= {"operator": "Exists"}
                else:
                    entry |= {"operator": "Equal", "value": self.of(("x", "y"))}
                if self.happens(0.4):
                    entry["effect"] = self.of(EFFECTS)
                found.append(entry)
        return found

    def _affinity(self) -> Manifest:
        found: Manifest = {}
        if self.happens(0.15):
            terms = [self._node_term() for _ in range(self.number(1, 2))]
            found["nodeAffinity"] = {_REQUIRED: {"nodeSelectorTerms": terms}}
        if self.happens(0.15):
            weighted = {"weight": self.number(1, 100), "preference": self._node_term()}
            found.setdefault("nodeAffinity", {})[_PREFERRED] = [weighted]
        for side, share in (("podAffinity", 0.2), ("podAntiAffinity", 0.25)):
            if self.happens(share):
                terms = [self._term() for _ in range(self.of((1, 1, 2)))]
                found.setdefault(side, {})[_REQUIRED] = terms
            if self.happens(share):
                entry = {"weight": self.number(1, 100), "podAffinityTerm": self._term()}
                found.setdefault(side, {})[_PREFERRED] = [entry]
        return found

    def _node_term(self) -> Manifest:
        key = self.of((ZONE, RACK, "example.com/disk", "example.com/none"))
        operator = self.of(("In", "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"))
        expression: Manifest = {"key": key, "operator": operator}
        if operator in ("In", "NotIn"):
            expression["values"] = [self.of(("u", "v", "ssd", "1"))]
        elif operator in ("Gt", "Lt"):
            expression |= {"key": RACK, "values": [self.of(("1", "2"))]}
        return {"matchExpressions": [expression]}

    def _selector(self) -> Manifest:
        selector: Manifest = {"matchLabels": {"app": self.of(("a", "b", "c"))}}
        if self.happens(0.25):
            operator = self.of(("In", "NotIn", "Exists", "DoesNotExist"))
            more: Manifest = {"key": "tier", "operator": operator}
            if operator in ("In", "NotIn"):
                more["values"] = ["x"]
            selector["matchExpressions"] = [more]
        elif self.happens(0.1):
            selector = {}
        return selector

    def _term(self) -> Manifest:
        term: Manifest = {"topologyKey": self.of(KEYS), "labelSelector": self._selector()}
        if self.happens(0.2):
            term["namespaces"] = [self.of(tuple(NAMESPACES))]
        if self.happens(0.2):
            term["namespaceSelector"] = self.of(
                ({}, {"matchLabels": {"team": "red"}}, {"matchLabels": {"team": "blue"}})
            )
        if self.happens(0.15) and "matchExpressions" not in term["labelSelector"]:
            term[self.of(("matchLabelKeys", "mismatchLabelKeys"))] = ["tier"]
        return term

    def _spread(self) -> list[Manifest]:
        found: dict[tuple[str, str], Manifest] = {}
        for _ in range(self.of((0, 0, 0, 1, 1, 2))):
            key = self.of(KEYS)
            hard = self.of(("DoNotSchedule", "DoNotSchedule", "ScheduleAnyway"))
            entry: Manifest = {
                "topologyKey": key,
                "whenUnsatisfiable": hard,
                "maxSkew": self.number(1, 2),
                "labelSelector": self._selector(),
            }
            if hard == "DoNotSchedule" and self.happens(0.2):
                entry["minDomains"] = self.number(1, 4)
            if self.happens(0.3):
                entry["nodeAffinityPolicy"] = self.of(("Honor", "Ignore"))
                entry["nodeTaintsPolicy"] = self.of(("Honor", "Ignore"))
            if self.happens(0.15) and "matchExpressions" not in entry["labelSelector"]:
                entry["matchLabelKeys"] = ["tier"]
            found[key, hard] = entry
        return list(found.values())
