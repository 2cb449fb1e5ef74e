"""Pods and nodes as placing reads them: all that counts, and nothing that can break it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.gangs import GangSource, gang_mark
from kube_queue.api.nodes import node_of
from kube_queue.api.pods import HostPort, pod_of
from kube_queue.api.resources import ResourceVector

# What JSON brings: an integer of more digits is refused at the door.
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def a_manifest() -> dict[str, Any]:
    return {
        "metadata": {
            "namespace": "default",
            "name": "p",
            "uid": "u",
            "labels": {"app": "x"},
            "annotations": {"a": "b"},
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": "j",
                    "uid": "j",
                    "controller": True,
                }
            ],
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "ports": [{"hostPort": 80}],
                    "resources": {"requests": {"cpu": "1"}},
                }
            ],
            "initContainers": [{"name": "s", "restartPolicy": "Always", "resources": {}}],
            "nodeSelector": {"a": "b"},
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [
                                    {"key": "a", "operator": "In", "values": ["b"]}
                                ],
                                "matchFields": [
                                    {"key": "metadata.name", "operator": "In", "values": ["n"]}
                                ],
                            }
                        ]
                    },
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 1, "preference": {"matchExpressions": []}}
                    ],
                },
                "podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {"topologyKey": "z", "labelSelector": {"matchLabels": {"a": "b"}}}
                    ]
                },
                "podAntiAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"weight": 2, "podAffinityTerm": {"topologyKey": "z"}}
                    ]
                },
            },
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "topologySpreadConstraints": [
                {"topologyKey": "z", "maxSkew": 1, "labelSelector": {"matchExpressions": []}}
            ],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}],
            "schedulingGroup": {"podGroupName": "g"},
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "PodScheduled", "status": "False", "message": "m"}],
            "containerStatuses": [{"name": "c", "allocatedResources": {"cpu": "2"}}],
        },
    }


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a manifest, as a path of keys."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, each in value.items():
            found += _places(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            found += _places(each, (*path, index))
    return found


PLACES = _places(a_manifest())


@given(st.lists(st.tuples(st.sampled_from(PLACES), ODD), min_size=1, max_size=3))
def test_whatever_stands_anywhere_in_a_pod_it_is_read(
    changes: list[tuple[tuple[Any, ...], Any]],
) -> None:
    manifest = a_manifest()
    for path, value in changes:
        inner: Any = manifest
        for key in path[:-1]:
            try:
                inner = inner[key]
            except (LookupError, TypeError):
                break
        else:
            into_list = isinstance(inner, list) and path[-1] in range(len(inner))
            if isinstance(inner, dict) or into_list:
                inner[path[-1]] = value
    pod_of(manifest)


@given(ODD, ODD, ODD)
def test_whatever_stands_in_a_node_it_is_read(metadata: Any, spec: Any, status: Any) -> None:
    node_of({"metadata": metadata, "spec": spec, "status": status})
    node_of(
        {
            "metadata": {"name": "n", "labels": metadata, "annotations": spec},
            "spec": {"taints": spec, "unschedulable": status},
            "status": {"allocatable": status, "images": metadata},
        }
    )


def test_replicas_share_one_spec_and_one_map_of_labels() -> None:
    first, second = a_manifest(), a_manifest()
    second["metadata"] |= {"name": "q", "uid": "v"}
    one, two = pod_of(first), pod_of(second)
    assert one.spec is two.spec
    assert one.labels is two.labels


def test_a_pod_that_differs_in_what_placing_reads_has_another_spec() -> None:
    for path in (("nodeSelector", "a"), ("tolerations", 0), ("containers", 0)):
        changed = a_manifest()
        changed["spec"][path[0]][path[1]] = {"image": "other"} if path[0] == "containers" else "c"
        assert pod_of(changed).spec is not pod_of(a_manifest()).spec


def test_while_a_pod_is_resized_the_largest_of_asked_allocated_and_actual_counts() -> None:
    pod = pod_of(a_manifest())
    assert pod.spec.request == ResourceVector.of({"cpu": 1000, "pods": 1})
    assert pod.charged == ResourceVector.of({"cpu": 2000, "pods": 1})
    shrinking = a_manifest()
    shrinking["status"]["containerStatuses"] = [
        {"name": "c", "resources": {"requests": {"cpu": "3"}}}
    ]
    assert pod_of(shrinking).charged["cpu"] == 3000


def test_a_pod_of_the_host_network_takes_the_ports_of_its_containers() -> None:
    manifest = a_manifest()
    manifest["spec"]["hostNetwork"] = True
    manifest["spec"]["containers"][0]["ports"] = [{"containerPort": 8080, "protocol": "UDP"}]
    assert pod_of(manifest).spec.host_ports == (HostPort("0.0.0.0", "UDP", 8080),)


def test_an_ephemeral_volume_is_a_claim_named_after_the_pod() -> None:
    manifest = a_manifest()
    manifest["spec"]["volumes"].append({"name": "scratch", "ephemeral": {}})
    manifest["spec"]["volumes"].append({"name": "data", "ephemeral": {"volumeClaimTemplate": {}}})
    assert pod_of(manifest).claims == ("c", "p-data")


def test_a_field_that_is_not_supported_is_named_and_never_ignored() -> None:
    manifest = a_manifest()
    manifest["spec"]["resourceClaims"] = [{"name": "gpu"}]
    assert "spec.resourceClaims" in pod_of(manifest).spec.invalid


def test_a_pod_names_its_gang_by_the_strongest_source() -> None:
    labels = {
        "pod-group.scheduling.sigs.k8s.io": "sigs",
        "pod-group.scheduling.sigs.k8s.io/name": "labels",
        "pod-group.scheduling.sigs.k8s.io/min-available": "2",
    }
    annotations = {
        "gang.scheduling.koordinator.sh/name": "noted",
        "gang.scheduling.koordinator.sh/min-available": "3",
    }

    def named(labels: dict[str, str], annotations: dict[str, str]) -> tuple[str, GangSource, int]:
        mark = gang_mark(labels, annotations, {})
        assert mark is not None
        return mark.name, mark.source, mark.min

    assert named(labels, annotations) == ("sigs", GangSource.SIGS_POD_GROUP, 0)
    del labels["pod-group.scheduling.sigs.k8s.io"]
    assert named(labels, annotations) == ("labels", GangSource.LABELS, 2)
    assert named({}, annotations) == ("noted", GangSource.ANNOTATIONS, 3)
    assert gang_mark({}, {}, {}) is None
