"""JSONPath as additionalPrinterColumns use it, compiled once and applied to many objects.

Holds: compile_path, BadPath.

Understood: `.field`, `.escaped\\.field`, `['field']`, `[0]`, `[-1]`, `[-1:]`, `[0:2]`, `[*]`, `.*`,
`..field`, `[0,2]` and filters `[?(@.type=="Ready")]` with == != < <= > >= or mere existence.
"""

import re
from collections.abc import Callable, Iterator
from operator import eq, ge, gt, le, lt, ne
from typing import Any

Values = list[Any]
Step = Callable[[Values], Values]
Path = Callable[[Any], Values]
"""An object -> the values found, in order; empty when a field is missing or an index is out."""


LONGEST = 1024
"""Characters of a path."""
_MOST = 10_000
"""Values that one step hands to the next; the first of the last step is what is shown."""
_MOST_CHOICES = 16


class BadPath(ValueError):
    """The text is no JSONPath of the kind understood; says where it went wrong."""


_FIELD = re.compile(r"\.((?:\\.|[^.\[\]{}()$@,=!<>\s\\])+)")
_KEY = re.compile(r"\[\s*'((?:[^'\\]|\\.)*)'\s*\]|\[\s*\"((?:[^\"\\]|\\.)*)\"\s*\]")
_SUBSCRIPT = re.compile(r"\[([^\[\]'\"?]+)\]")
_SLICE = re.compile(r"(-?\d{1,18})?(:(-?\d{1,18})?)?(:(-?\d{1,18})?)?", re.ASCII)
_COMPARISON = re.compile(r"([^!<>=]+)(==|!=|<=|>=|<|>)(.+)", re.DOTALL)
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": eq,
    "!=": ne,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}


def compile_path(text: str) -> Path:
    """The path ready for use; braces around it, `$` and `@` at its start are optional.

    The work of a step grows with the size of the object, not with what the path says. Raises
    BadPath.
    """
    if len(text) > LONGEST:
        raise BadPath(f"a JSON path has at most {LONGEST} characters")
    return _compiled(text.strip().removeprefix("{").removesuffix("}").strip())


def _compiled(text: str, *, inside: bool = False) -> Path:
    if inside and (".." in text or "[?" in text):
        raise BadPath(f"a filter of a JSON path looks at fields only, not at {text!r}")
    steps = tuple(_steps(text))

    def find(obj: Any) -> Values:
        values = [obj]
        for step in steps:
            values = step(values)[:_MOST]
        return values

    return find


def _steps(text: str) -> Iterator[Step]:
    at = 0
    while at < len(text):
        rest = text[at:]
        if rest[0] in "$@ ":
            at += 1
        elif rest.startswith(".."):
            yield _descendants
            at += 1 if _FIELD.match(rest[1:]) else 2
        elif rest.startswith(".*"):
            yield _members
            at += 2
        elif rest == ".":
            at += 1
        elif match := _FIELD.match(rest):
            yield _field(re.sub(r"\\(.)", r"\1", match[1]))
            at += match.end()
        elif rest.startswith("[?("):
            end = _end_of_filter(rest)
            yield _filter(rest[3:end])
            at += end + 2
        elif match := _KEY.match(rest):
            yield _field(re.sub(r"\\(.)", r"\1", match[1] if match[2] is None else match[2]))
            at += match.end()
        elif match := _SUBSCRIPT.match(rest):
            yield _subscript(match[1].strip())
            at += match.end()
        else:
            raise BadPath(f"cannot read {rest!r} in the JSON path {text!r}")


def _field(name: str) -> Step:
    def step(values: Values) -> Values:
        return [value[name] for value in values if isinstance(value, dict) and name in value]

    return step


def _members(values: Values) -> Values:
    found: Values = []
    for value in values:
        if isinstance(value, dict):
            found.extend(value.values())
        elif isinstance(value, list):
            found.extend(value)
    return found


def _descendants(values: Values) -> Values:
    """Whatever has members, each before what is in it, and once."""
    found: Values = []
    known: set[int] = set()
    todo = values[::-1]
    while todo:
        value = todo.pop()
        if isinstance(value, dict | list) and value and id(value) not in known:
            known.add(id(value))
            found.append(value)
            todo += _members([value])[::-1]
    return found


def _subscript(text: str) -> Step:
    if text == "*":
        return _members
    if "," in text:
        choices = text.split(",")
        if len(choices) > _MOST_CHOICES:
            raise BadPath(f"a JSON path chooses from {_MOST_CHOICES} indices at most")
        parts = [_subscript(part.strip()) for part in choices]
        return lambda values: [found for part in parts for found in part(values)]
    match = _SLICE.fullmatch(text)
    if match is None:
        raise BadPath(f"{text!r} is no index of a JSON path")
    first = int(match[1] or 0)
    if match[2] is None:
        return lambda values: [
            value[first]
            for value in values
            if isinstance(value, list) and -len(value) <= first < len(value)
        ]
    last = None if match[3] is None else int(match[3])
    stride = int(match[5] or 1)
    if stride <= 0:
        raise BadPath(f"the step of {text!r} must be above 0")
    return lambda values: [
        found for value in values for found in _window(value, first, last)[::stride]
    ]


def _window(value: Any, first: int, last: int | None) -> Values:
    """value[first:last]; unlike Python's, an index out of bounds finds nothing at all."""
    if not isinstance(value, list):
        return []
    size = len(value)
    start = first + size if first < 0 else first
    end = size if last is None else last + size if last < 0 else last
    return value[start:end] if 0 <= start < size and start < end <= size else []


def _end_of_filter(text: str) -> int:
    """Position of the `)]` that closes a filter; text in quotes does not count."""
    quote = ""
    for position, sign in enumerate(text):
        if quote:
            if sign == quote and text[position - 1] != "\\":
                quote = ""
        elif sign in "'\"":
            quote = sign
        elif text.startswith(")]", position):
            return position
    raise BadPath(f"the filter {text!r} is not closed with ')]'")


def _filter(text: str) -> Step:
    match = _COMPARISON.fullmatch(text.strip())
    if match is None:
        exists = _compiled(text.strip(), inside=True)
        return lambda values: [item for item in _members(values) if exists(item)]
    left, right = _operand(match[1]), _operand(match[3])
    compare = _OPERATORS[match[2]]

    def holds(item: Any) -> bool:
        lefts, rights = left(item), right(item)
        if not lefts or not rights:
            return False
        try:
            return compare(lefts[0], rights[0])
        except TypeError:
            return False

    return lambda values: [
        item for value in values if isinstance(value, list) for item in value if holds(item)
    ]


def _operand(text: str) -> Path:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        literal: Any = re.sub(r"\\(.)", r"\1", text[1:-1])
    elif text in ("true", "false"):
        literal = text == "true"
    elif re.fullmatch(r"[+-]?\d{1,18}(\.\d+)?", text, re.ASCII):
        literal = float(text) if "." in text else int(text)
    elif text.startswith(("@", "$", ".", "[")):
        return _compiled(text, inside=True)
    else:
        raise BadPath(f"{text!r} is neither a path nor a value")
    return lambda item: [literal]
