"""Vectors are exact, shared and immutable; limits keep their zeros and round down."""

from __future__ import annotations

import copy
import gc
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.errors import InvalidManifest, InvalidQuantity
from kube_queue.api.resources import EMPTY, ResourceVector, format_amount, parse_limit

amounts = st.dictionaries(
    st.sampled_from(["cpu", "memory", "nvidia.com/gpu", "pods", "hugepages-2Mi"]),
    st.integers(-(2**70), 2**70),
)
vectors = amounts.map(ResourceVector.of)


def test_cpu_counts_in_millicores_and_everything_else_in_whole_units() -> None:
    vector = ResourceVector.parse({"cpu": "1500m", "memory": "1Gi", "nvidia.com/gpu": 2})
    assert vector.items == (("cpu", 1500), ("memory", 2**30), ("nvidia.com/gpu", 2))


def test_requests_round_up_and_limits_round_down() -> None:
    spelt = {"cpu": "0.5m", "memory": "100m"}
    assert ResourceVector.parse(spelt).items == (("cpu", 1), ("memory", 1))
    assert [parse_limit(name, text) for name, text in spelt.items()] == [0, 0]


def test_zeros_are_dropped_from_requests() -> None:
    assert not ResourceVector.parse({"cpu": "0", "memory": 0})


def test_limits_beyond_64_bits_stay_exact() -> None:
    assert parse_limit("memory", "12E") == 12 * 10**18
    assert parse_limit("x", 2**80 + 1) == 2**80 + 1


def test_equal_vectors_are_one_object_however_they_were_made() -> None:
    spelt = ResourceVector.parse({"memory": "1Gi", "cpu": 1})
    assert ResourceVector.parse({"cpu": "1000m", "memory": "1024Mi", "gpu": "0"}) is spelt
    assert ResourceVector.of({"cpu": 1000, "memory": 2**30}) is spelt
    assert copy.deepcopy(spelt) is spelt
    assert pickle.loads(pickle.dumps(spelt)) is spelt


def test_a_vector_nobody_holds_is_not_kept() -> None:
    def shared() -> int:
        gc.collect()
        return len(ResourceVector._shared)

    before = shared()
    held = [ResourceVector.of({"cpu": 10**12 + index}) for index in range(100)]
    assert shared() == before + 100
    held.clear()
    assert shared() == before


@given(vectors, vectors)
def test_addition_commutes_and_subtraction_undoes_it(
    left: ResourceVector, right: ResourceVector
) -> None:
    assert left + right is right + left
    assert left + right - right is left
    assert left - left is EMPTY


@given(vectors, st.integers(0, 5))
def test_multiplying_is_repeated_addition(vector: ResourceVector, times: int) -> None:
    total = EMPTY
    for _ in range(times):
        total += vector
    assert vector * times is total
    assert times * vector is total


@given(vectors, st.integers(1, 5))
def test_equal_shares_are_rounded_up_and_make_up_the_whole(
    vector: ResourceVector, count: int
) -> None:
    assert (vector * count).shared_by(count) is vector
    for name, amount in vector.items:
        share = vector.shared_by(count)[name]
        assert 0 <= share * count - amount < count


@given(vectors, vectors)
def test_the_highest_of_two_is_taken_resource_by_resource(
    left: ResourceVector, right: ResourceVector
) -> None:
    both = left.highest(right)
    for name in {name for name, _ in (*left.items, *right.items)}:
        assert both[name] == max(left[name], right[name])


@given(amounts.map(lambda given: {name: abs(amount) % 2**62 for name, amount in given.items()}))
def test_a_vector_survives_its_manifest(given: dict[str, int]) -> None:
    vector = ResourceVector.of(given)
    assert ResourceVector.parse(vector.manifest()) is vector


@pytest.mark.parametrize(
    ("name", "amount", "text"),
    [
        ("cpu", 3000, "3"),
        ("cpu", 500, "500m"),
        ("requests.cpu", 1500, "1500m"),
        ("memory", 4 * 2**30, "4Gi"),
        ("memory", 1000, "1k"),
        ("ephemeral-storage", 1536 * 2**20, "1536Mi"),
        ("hugepages-2Mi", 2**21, "2Mi"),
        ("nvidia.com/gpu", 1024, "1024"),
        ("cpu", -500, "-500m"),
        ("memory", 0, "0"),
    ],
)
def test_an_amount_prints_as_its_resource_is_usually_written(
    name: str, amount: int, text: str
) -> None:
    assert format_amount(name, amount) == text


@pytest.mark.parametrize(
    ("quantities", "path"),
    [
        ({"cpu": "4x"}, "spec.resource.cpu"),
        ({"cpu": 1, "nvidia.com/gpu": "many"}, "spec.resource[nvidia.com/gpu]"),
        ({"memory": "-1Gi"}, "spec.resource.memory"),
        ({"memory": None}, "spec.resource.memory"),
        ({"memory": ["1Gi"]}, "spec.resource.memory"),
        ({"memory": True}, "spec.resource.memory"),
    ],
)
def test_a_bad_amount_is_named_by_its_path(quantities: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidQuantity) as refusal:
        ResourceVector.parse(quantities, "spec.resource")
    assert refusal.value.path == path
    assert str(refusal.value).startswith(f"{path}: ")


@pytest.mark.parametrize("value", [[], "", 0, False, "cpu=1", [{"cpu": 1}], 5])
def test_what_is_no_map_is_refused_with_its_path(value: object) -> None:
    with pytest.raises(InvalidManifest) as refusal:
        ResourceVector.parse(value, "spec.resource")
    assert refusal.value.path == "spec.resource"


def test_numbers_that_python_holds_equal_are_told_apart() -> None:
    assert ResourceVector.parse({"cpu": 1})["cpu"] == 1000
    with pytest.raises(InvalidQuantity):
        ResourceVector.parse({"cpu": True})
    assert ResourceVector.parse({"cpu": 1.0})["cpu"] == 1000


def test_an_absent_list_asks_for_nothing() -> None:
    assert ResourceVector.parse(None) is EMPTY
    assert ResourceVector.parse({}) is EMPTY


def test_a_vector_cannot_be_built_around_its_sharing() -> None:
    with pytest.raises(TypeError):
        ResourceVector()
