"""Label and field selectors: text in, a test of a record out.

Holds: parse_labels, parse_fields, Selector, EVERYWHERE; selects, for selectors that are objects.
Grammar and meaning follow the Kubernetes documentation on labels and selectors.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from kube_queue.apiserver.store import Record

Selector = Callable[[Record], bool]

EVERYWHERE = ("metadata.name", "metadata.namespace")
"""Fields that a selector may name of every kind."""
_TOKEN = re.compile(r"\s*(?:(!=|==|=|!|\(|\)|,|>|<)|([^\s!=(),<>]+))")
_KEY = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LabelTest = Callable[[Mapping[str, str]], bool]


class SelectorError(ValueError):
    """A selector cannot be read; the text says where."""


def parse_labels(text: str) -> _LabelTest | None:
    """A test of labels; None when every object fits. SelectorError when malformed."""
    tokens = _tokens(text)
    tests: list[_LabelTest] = []
    while tokens:
        tests.append(_requirement(tokens, text))
        if tokens:
            _expect(tokens, ",", text)
            if not tokens:
                raise SelectorError(f"found '', expected: identifier after ',' in {text!r}")
    if not tests:
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda labels: all(test(labels) for test in tests)


def _tokens(text: str) -> list[str]:
    tokens, place = [], 0
    stripped = text.rstrip()
    while place < len(stripped):
        match = _TOKEN.match(stripped, place)
        if match is None:
            raise SelectorError(f"unable to parse requirement: unexpected text in {text!r}")
        tokens.append(match.group(1) or match.group(2))
        place = match.end()
    tokens.reverse()
    return tokens


def _expect(tokens: list[str], wanted: str, text: str) -> None:
    found = tokens.pop() if tokens else ""
    if found != wanted:
        raise SelectorError(
            f"unable to parse requirement: found '{found}', expected: '{wanted}' in {text!r}"
        )


def _key(tokens: list[str]) -> str:
    key = tokens.pop() if tokens else ""
    if not _KEY.fullmatch(key):
        raise SelectorError(f"unable to parse requirement: invalid label key {key!r}")
    return key


def _value(tokens: list[str]) -> str:
    value = "" if not tokens or tokens[-1] in (",", ")") else tokens.pop()
    if not _VALUE.fullmatch(value):
        raise SelectorError(f"unable to parse requirement: invalid label value {value!r}")
    return value


def _requirement(tokens: list[str], text: str) -> _LabelTest:
    if tokens[-1] == "!":
        tokens.pop()
        absent = _key(tokens)
        return lambda labels: absent not in labels
    key = _key(tokens)
    if not tokens or tokens[-1] == ",":
        return lambda labels: key in labels
    operator = tokens.pop()
    if operator in ("=", "=="):
        value = _value(tokens)
        return lambda labels: labels.get(key) == value
    if operator == "!=":
        value = _value(tokens)
        return lambda labels: labels.get(key) != value
    if operator in ("in", "notin"):
        chosen = _values(tokens, text)
        if operator == "in":
            return lambda labels: labels.get(key) in chosen
        return lambda labels: labels.get(key) not in chosen
    if operator in (">", "<"):
        return _comparison(key, operator, _value(tokens))
    raise SelectorError(
        f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, gt, lt"
    )


def _values(tokens: list[str], text: str) -> frozenset[str]:
    _expect(tokens, "(", text)
    values = [_value(tokens)]
    while tokens and tokens[-1] == ",":
        tokens.pop()
        values.append(_value(tokens))
    _expect(tokens, ")", text)
    return frozenset(values)


def _comparison(key: str, operator: str, text: str) -> _LabelTest:
    try:
        bound = int(text)
    except ValueError:
        raise SelectorError(
            f"for '{operator}' operators the value must be an integer, not {text!r}"
        ) from None

    def compare(labels: Mapping[str, str]) -> bool:
        try:
            number = int(labels.get(key, ""))
        except ValueError:
            return False
        return number > bound if operator == ">" else number < bound

    return compare


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector object fits the labels; an empty one fits all, a broken one none."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or ():
        key, values = rule.get("key", ""), rule.get("values") or ()
        fits = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not fits.get(rule.get("operator", ""), False):
            return False
    return True


def parse_fields(text: str, supported: Collection[str]) -> tuple[tuple[str, bool, str], ...]:
    """The requirements (field, equal, value); SelectorError for a field not in `supported`."""
    parsed = []
    for term in filter(None, re.split(r"(?<!\\),", text)):
        match = re.match(r"([^!=]*)(!=|==|=)(.*)", term, re.DOTALL)
        if match is None:
            raise SelectorError(f"invalid field selector {term!r}: use field=value or field!=value")
        field, operator, value = match.groups()
        if field not in supported:
            raise SelectorError(_unsupported(field, supported))
        parsed.append((field, operator != "!=", re.sub(r"\\([,=\\])", r"\1", value)))
    return tuple(parsed)


def _unsupported(field: str, supported: Collection[str]) -> str:
    if set(supported) == set(EVERYWHERE):
        only = ", ".join(f'"{name}"' for name in EVERYWHERE)
        return f'"{field}" is not a known field selector: only {only}'
    return f"field label not supported: {field}"


def field_test(requirements: tuple[tuple[str, bool, str], ...]) -> Selector | None:
    """A test of a record's selectable fields; an absent field counts as empty."""
    if not requirements:
        return None

    def test(record: Record) -> bool:
        for field, equal, value in requirements:
            if field == "metadata.name":
                found = record.name
            elif field == "metadata.namespace":
                found = record.namespace
            else:
                found = record.fields.get(field, "")
            if (found == value) is not equal:
                return False
        return True

    return test


def both(labels: _LabelTest | None, fields: Selector | None) -> Selector | None:
    """One test for both selectors; None when neither restricts anything."""
    if labels is None:
        return fields
    if fields is None:
        return lambda record: labels(record.labels)
    return lambda record: labels(record.labels) and fields(record)
