"""Quantities are exact, and read and printed as Kubernetes does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.errors import InvalidQuantity
from kube_queue.api.quantity import Format, Quantity
from tests.api.apimachinery_cases import CANONICAL, REFUSED, ROUNDED

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
SUFFIXES += ["e3", "E-5", "e+12", "e-11", "e0"]

texts = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "+", "-"]),
    st.integers(0, 10**25),
    st.one_of(st.just(""), st.from_regex(r"\.[0-9]{0,20}", fullmatch=True)),
    st.sampled_from(SUFFIXES),
)
quantities = texts.map(Quantity.parse)


@pytest.mark.parametrize(("text", "canonical", "family"), CANONICAL)
def test_a_text_prints_in_apimachinerys_canonical_form(
    text: str, canonical: str, family: str
) -> None:
    quantity = Quantity.parse(text)
    assert (str(quantity), quantity.format.value) == (canonical, family)


@pytest.mark.parametrize("text", REFUSED)
def test_what_apimachinery_refuses_is_refused_with_one_sentence(text: str) -> None:
    with pytest.raises(InvalidQuantity) as refusal:
        Quantity.parse(text)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("text", "whole", "milli"), ROUNDED)
def test_whole_and_milli_round_away_from_zero_as_apimachinery_does(
    text: str, whole: int, milli: int
) -> None:
    quantity = Quantity.parse(text)
    assert (quantity.whole(), quantity.milli()) == (whole, milli)


@given(quantities)
def test_a_printed_quantity_reads_back_as_the_same_value(quantity: Quantity) -> None:
    again = Quantity.parse(str(quantity))
    assert again == quantity
    assert str(again) == str(quantity)


@given(quantities)
def test_a_printed_quantity_has_no_fraction(quantity: Quantity) -> None:
    assert "." not in str(quantity)


@given(quantities, quantities)
def test_a_sum_is_exact_and_subtraction_undoes_it(left: Quantity, right: Quantity) -> None:
    assert left + right - right == left
    assert (left + right).nano == left.nano + right.nano


@given(quantities, quantities)
def test_order_is_the_order_of_values(left: Quantity, right: Quantity) -> None:
    assert (left < right) == (left.nano < right.nano)
    assert (left == right) == (left.nano == right.nano)


@given(quantities)
def test_rounding_down_and_up_enclose_the_value(quantity: Quantity) -> None:
    low, high = sorted((quantity.milli(down=True), quantity.milli()))
    assert low * 10**6 <= quantity.nano <= high * 10**6
    assert high - low <= 1


@given(st.text(max_size=400))
def test_any_text_is_read_or_refused_and_nothing_else_happens(text: str) -> None:
    try:
        Quantity.parse(text)
    except InvalidQuantity as refusal:
        assert len(str(refusal)) < 400


@given(st.integers(-(10**25), 10**25))
def test_an_int_means_so_many_units(number: int) -> None:
    assert Quantity.parse(number) == Quantity.parse(str(number))
    assert Quantity.parse(number).whole() == number


@pytest.mark.parametrize(("number", "canonical"), [(0.5, "500m"), (1e30, "1e30"), (2.0, "2")])
def test_a_float_means_what_its_json_text_means(number: float, canonical: str) -> None:
    assert str(Quantity.parse(number)) == canonical


@pytest.mark.parametrize(
    "value",
    [None, True, [], {}, b"1", float("nan"), float("inf"), "1e99999999999", "9" * 400, 10**400],
)
def test_what_is_no_number_or_beyond_any_machine_is_refused(value: object) -> None:
    with pytest.raises(InvalidQuantity):
        Quantity.parse(value)


def test_a_vanishing_amount_counts_as_the_smallest_one() -> None:
    assert Quantity.parse("1e-2000000000").nano == 1


def test_space_around_a_text_is_ignored_as_the_api_server_does() -> None:
    assert Quantity.parse(" 4Gi\n") == Quantity.parse("4Gi")


def test_sums_pass_the_largest_64_bit_number_without_a_cap() -> None:
    total = Quantity.parse("8Ei") + Quantity.parse("8Ei")
    assert total.whole() == 2 * (2**63 - 1)


def test_a_sum_beyond_the_largest_suffix_keeps_it() -> None:
    assert str(Quantity(2**70 * 10**9, Format.BINARY_SI)) == "1024Ei"
    assert str(Quantity(10**21 * 10**9)) == "1000E"


def test_adding_to_zero_takes_the_suffix_of_what_is_added() -> None:
    assert str(Quantity.parse("0") + Quantity.parse("1Gi")) == "1Gi"
    assert str(Quantity.parse("1Gi") + Quantity.parse("0")) == "1Gi"
    assert str(-(Quantity.parse("0") - Quantity.parse("1Gi"))) == "1Gi"
