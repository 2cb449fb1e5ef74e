"""Random volumes and claims for the worlds on which two schedulers are compared.

Only what a scheduler reads matters: no volume can really be mounted. Names are a world's own, so
nothing is left over for another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from e2e.scheduling_worlds import HOST, NAMESPACES, ZONE, Chance, Manifest
from e2e.volumes import reached_from, reference

LOCAL, MADE, NOW = "local", "made", "now"
"""Classes: of volumes that are there, of volumes that can be made, and one that does not wait."""
_CLASSES: Final = {LOCAL: "kubernetes.io/no-provisioner", MADE: "disks.example.com"}
_SIZES: Final = ("1Gi", "2Gi", "4Gi")
_MODES: Final = ("ReadWriteOnce", "ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod")
_OFFERED: Final = (
    ("ReadWriteOnce",),
    ("ReadWriteOnce", "ReadWriteMany"),
    ("ReadWriteOnce", "ReadWriteMany"),
    ("ReadWriteOncePod",),
)
_DRIVER: Final = "csi.example.com"


class Disks:
    """The classes, volumes and claims of one world."""

    def __init__(self, seed: int) -> None:
        # Chances of its own: worlds without volumes stay what they were.
        self._chance = Chance(seed + 1_000_000)
        self._prefix = f"s{seed}-"
        self._claims: dict[str, list[str]] = {}

    def named(self, name: str) -> str:
        """The name as this world has it."""
        return self._prefix + name

    def classes(self) -> list[Manifest]:
        """The classes; volumes are made in one zone, or everywhere."""
        found = []
        for name in (LOCAL, MADE, NOW):
            made: Manifest = {
                "metadata": {"name": self.named(name)},
                "provisioner": _CLASSES.get(name, _CLASSES[LOCAL]),
                "volumeBindingMode": "Immediate" if name == NOW else "WaitForFirstConsumer",
            }
            if name == MADE and self._chance.happens(0.6):
                zones = [self._chance.of(("u", "v", "w"))]
                terms = [{"matchLabelExpressions": [{"key": ZONE, "values": zones}]}]
                made["allowedTopologies"] = terms
            found.append(made)
        return found

    def drivers(self, nodes: Sequence[str]) -> list[Manifest]:
        """What some nodes say of how much they attach."""
        return [
            {
                "metadata": {"name": node},
                "spec": {
                    "drivers": [
                        {
                            "name": driver,
                            "nodeID": node,
                            "allocatable": {"count": self._chance.number(0, 2)},
                        }
                        for driver in (_DRIVER, _CLASSES[MADE])
                        if self._chance.happens(0.7)
                    ]
                },
            }
            for node in nodes
            if self._chance.happens(0.5)
        ]

    def volumes(self, nodes: Sequence[str]) -> list[Manifest]:
        """Volumes that are there before any pod."""
        return [
            self._volume(self.named(f"v{index}"), nodes)
            for index in range(self._chance.number(6, 14))
        ]

    def _volume(self, name: str, nodes: Sequence[str]) -> Manifest:
        spec: Manifest = {
            "capacity": {"storage": self._chance.of(_SIZES)},
            "accessModes": list(self._chance.of(_OFFERED)),
            "storageClassName": self.named(self._chance.of((LOCAL, LOCAL, LOCAL, MADE))),
        }
        if self._chance.happens(0.3):
            spec["csi"] = {"driver": _DRIVER, "volumeHandle": f"handle-{name}"}
        else:
            spec["hostPath"] = {"path": "/mnt"}
        reach = self._chance.of(("host", "host", "zone", "anywhere"))
        if reach == "host":
            hosts = [self._chance.of(nodes) for _ in range(self._chance.number(1, 2))]
            spec["nodeAffinity"] = reached_from(HOST, *sorted(set(hosts)))
        elif reach == "zone":
            spec["nodeAffinity"] = reached_from(ZONE, self._chance.of(("u", "v", "w")))
        if self._chance.happens(0.1):
            spec["volumeMode"] = "Block"
        labels = {"tier": self._chance.of(("x", "y"))}
        if self._chance.happens(0.2):
            labels[ZONE] = self._chance.of(("u", "v", "u__w"))
        return {"metadata": {"name": name, "labels": labels}, "spec": spec}

    def claims(self) -> list[Manifest]:
        """Claims of every namespace, none of them bound."""
        found = []
        for namespace in NAMESPACES:
            names = [self.named(f"c{index}") for index in range(self._chance.number(8, 14))]
            self._claims[namespace] = names
            found += [self._claim(namespace, name) for name in names]
        return found

    def _claim(self, namespace: str, name: str) -> Manifest:
        which = self._chance.of((LOCAL,) * 6 + (MADE,) * 3 + (NOW,))
        spec: Manifest = {
            "accessModes": [self._chance.of(_MODES)],
            "storageClassName": self.named(which),
            "resources": {"requests": {"storage": self._chance.of(_SIZES[:2])}},
        }
        if self._chance.happens(0.1):
            spec["selector"] = {"matchLabels": {"tier": self._chance.of(("x", "y"))}}
        if self._chance.happens(0.05):
            spec["volumeMode"] = "Block"
        return {"metadata": {"namespace": namespace, "name": name}, "spec": spec}

    def is_bound_beforehand(self) -> bool:
        """Whether a claim is bound before any pod mounts it."""
        return self._chance.happens(0.25)

    def chosen(self, volumes: Sequence[Manifest]) -> Manifest | None:
        """One of these volumes, if any."""
        return self._chance.of(volumes) if volumes else None

    def mounting(self, pod: Manifest) -> Manifest:
        """The pod, which may mount some claims of its namespace: mostly such as there are."""
        if not self._chance.happens(0.6):
            return pod
        known = self._claims[pod["metadata"]["namespace"]]
        wanted = {self._chance.of(known) for _ in range(self._chance.of((1, 1, 2, 3)))}
        if self._chance.happens(0.03):
            wanted.add(self.named("none"))
        volumes = [
            {"name": f"d{index}", "persistentVolumeClaim": {"claimName": name}}
            for index, name in enumerate(sorted(wanted))
        ]
        return {**pod, "spec": {**pod["spec"], "volumes": volumes}}


def volume_for(claim: Manifest, node: Manifest) -> Manifest:
    """What the maker of volumes makes for the claim on this node."""
    zone = node["metadata"]["labels"].get(ZONE)
    name = f"for-{claim['metadata']['namespace']}-{claim['metadata']['name']}"
    spec: Manifest = {
        "capacity": claim["spec"]["resources"]["requests"],
        "accessModes": claim["spec"]["accessModes"],
        "storageClassName": claim["spec"]["storageClassName"],
        "volumeMode": claim["spec"]["volumeMode"],
        "csi": {"driver": _CLASSES[MADE], "volumeHandle": name},
        "claimRef": reference(claim),
    }
    if zone:
        spec["nodeAffinity"] = reached_from(ZONE, zone)
    return {"metadata": {"name": name}, "spec": spec}


def fits(volume: Manifest, claim: Manifest) -> bool:
    """Whether they could be bound to each other, as their maker would say."""
    sizes = (volume["spec"]["capacity"], claim["spec"]["resources"]["requests"])
    have, want = (int(each["storage"].removesuffix("Gi")) for each in sizes)
    modes = volume["spec"].get("volumeMode"), claim["spec"].get("volumeMode")
    classes = volume["spec"]["storageClassName"], claim["spec"]["storageClassName"]
    return (
        have >= want
        and modes[0] == modes[1]
        and classes[0] == classes[1]
        and set(claim["spec"]["accessModes"]) <= set(volume["spec"]["accessModes"])
    )
