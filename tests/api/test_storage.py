"""Volumes, claims, classes and CSINodes as they are read."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.storage import claim_of, node_drivers_of, storage_class_of, volume_of

CLAIM: dict[str, Any] = {
    "metadata": {
        "namespace": "a",
        "name": "c",
        "uid": "u",
        "annotations": {
            "pv.kubernetes.io/bind-completed": "yes",
            "volume.beta.kubernetes.io/storage-class": "old",
        },
    },
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1.5Gi"}},
        "storageClassName": "new",
        "volumeName": "v",
    },
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = ("metadata", "spec", "status", "allowedTopologies", "provisioner", "volumeBindingMode")
BELOW = (
    "annotations", "labels", "name", "resources", "requests", "storage", "capacity", "selector",
    "claimRef", "nodeAffinity", "csi", "accessModes", "drivers", "ownerReferences", "allocatable",
)  # fmt: skip
odd = st.dictionaries(
    st.sampled_from(FIELDS), json_values | st.dictionaries(st.sampled_from(BELOW), json_values)
)


def test_a_claim_is_bound_when_both_sides_say_so() -> None:
    assert claim_of(CLAIM).bound
    unbound = {**CLAIM, "metadata": {**CLAIM["metadata"], "annotations": {}}}
    assert not claim_of(unbound).bound


def test_the_annotation_of_a_class_goes_before_the_field() -> None:
    assert claim_of(CLAIM).class_name == "old"


def test_sizes_are_whole_bytes() -> None:
    assert claim_of(CLAIM).size == 3 * 2**29


def test_a_volume_is_kept_for_a_claim_by_name_and_uid() -> None:
    claim = claim_of(CLAIM)

    def kept(**reference: str) -> bool:
        return volume_of({"spec": {"claimRef": reference}}).is_kept_for(claim)

    assert kept(namespace="a", name="c")
    assert kept(namespace="a", name="c", uid="u")
    assert not kept(namespace="a", name="c", uid="another")
    assert not kept(namespace="b", name="c")
    assert not volume_of({"spec": {}}).is_kept_for(claim)


def test_drivers_without_a_count_have_no_limit() -> None:
    drivers = [{"name": "a", "allocatable": {"count": 3}}, {"name": "b"}]
    assert node_drivers_of({"spec": {"drivers": drivers}}).limits == {"a": 3}


@given(odd)
def test_odd_content_is_read_without_falling_over(obj: dict[str, Any]) -> None:
    for read in (claim_of, volume_of, storage_class_of, node_drivers_of):
        assert read(obj) == read(obj)
