"""Sorted keys behave as a sorted list does."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.admission.order import Key, SortedKeys


def key(number: int) -> Key:
    return (0, number, "n", "")


@given(
    start=st.integers(0, 3000),
    changes=st.lists(st.tuples(st.booleans(), st.integers(0, 4000)), max_size=60),
    asked=st.integers(-1, 4001),
)
def test_it_answers_like_a_sorted_list(
    start: int, changes: list[tuple[bool, int]], asked: int
) -> None:
    keys, plain = SortedKeys(), []
    for number in range(start):
        keys.add(key(number))
        plain.append(key(number))
    for adds, number in changes:
        there = key(number) in keys
        assert there == (key(number) in plain)
        if adds and not there:
            keys.add(key(number))
            plain = sorted([*plain, key(number)])
        elif not adds and there:
            keys.remove(key(number))
            plain.remove(key(number))
    assert list(keys) == plain
    assert len(keys) == len(plain)
    assert keys.leading(5) == plain[:5]
    assert keys.position(key(asked)) == bisect_left(plain, key(asked))
    behind = plain[bisect_right(plain, key(asked)) :]
    assert keys.after(key(asked)) == (behind[0] if behind else None)
    if plain:
        assert keys.first == plain[0]


def test_removing_what_is_not_there_is_an_error() -> None:
    keys = SortedKeys()
    with pytest.raises(KeyError):
        keys.remove(key(1))
    keys.add(key(2))
    with pytest.raises(KeyError):
        keys.remove(key(1))
