"""Sets of fields obey the laws of sets."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kube_queue.apiserver import fieldsets, typed
from kube_queue.apiserver.strategic import Merging

_LEAVES = st.one_of(st.integers(0, 2), st.lists(st.sampled_from("ab"), max_size=2))
_OBJECTS = st.recursive(
    st.dictionaries(st.sampled_from("abc"), _LEAVES, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), st.one_of(_LEAVES, inner), max_size=3),
    max_leaves=12,
)
_OPEN = Merging({"x-kubernetes-preserve-unknown-fields": True}, {})


def _members(fields: Any) -> set[str]:
    return set(fieldsets.paths(fields))


def _set(obj: Any) -> Any:
    return typed.field_set(obj, _OPEN) or None


@given(_OBJECTS, _OBJECTS)
def test_the_operations_are_those_of_sets(one: Any, other: Any) -> None:
    a, b = _set(one), _set(other)
    assert _members(fieldsets.union(a, b)) == _members(a) | _members(b)
    assert _members(fieldsets.intersection(a, b)) == _members(a) & _members(b)
    assert _members(fieldsets.difference(a, b)) == _members(a) - _members(b)


@given(_OBJECTS, _OBJECTS)
def test_what_is_cut_leaves_nothing_below_it(one: Any, other: Any) -> None:
    left, gone = _members(fieldsets.cut(_set(one), _set(other))), _members(_set(other))
    assert left == {p for p in _members(_set(one)) if not any(_below(p, g) for g in gone)}


def _below(path: str, top: str) -> bool:
    return path == top or path.startswith((f"{top}.", f"{top}["))


@given(_OBJECTS, _OBJECTS)
def test_a_merge_has_all_of_the_config_and_loses_only_what_it_replaces(
    live: Any, config: Any
) -> None:
    result = typed.merged(live, config, _OPEN)
    assert _members(_set(config)) <= _members(_set(result)) | _emptied(config, result)
    assert typed.merged(result, config, _OPEN) == result


def _emptied(config: Any, result: Any) -> set[str]:
    """An empty map over a full one is no leaf of the result."""
    return _members(_set(config)) - _members(_set(result)) if "{}" in str(config) else set()


@given(_OBJECTS, _OBJECTS)
def test_what_changed_and_what_is_gone_explain_every_difference(old: Any, new: Any) -> None:
    changed, gone = typed.compare(old, new, _OPEN)
    assert (changed is None and gone is None) == (old == new)
    for path in _members(_set(new)) - _members(_set(old)):
        assert path in _members(changed) or "{}" in str(old) or "{}" in str(new)
    for path in _members(gone):
        assert any(_below(p, path) for p in _members(_set(old)))
