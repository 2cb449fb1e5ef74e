"""Exact Kubernetes quantities: parsed and printed as apimachinery's ``resource.Quantity`` does.

A value is a whole number of nano-units; what is finer is rounded away from zero. Binary values
(``Ki`` to ``Ei``) are capped at 2^63-1 when parsed, decimal ones are not; sums are never capped.
``str()`` is the canonical form: no fraction, the largest suffix that loses nothing. Apimachinery
remembers some other spellings (``+1``, ``1.234``, ``1E3``) and prints them back; we do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Self

from kube_queue.api.errors import InvalidQuantity
from kube_queue.api.loose import shown

_NANO: Final = 10**9
_BINARY_CAP: Final = 2**63 - 1
_LONGEST_TEXT: Final = 300
_LARGEST_EXPONENT: Final = 1000
_LARGEST_INT: Final = 10**_LONGEST_TEXT
_HINT: Final = 'write a number with an optional suffix, such as "500m", "4" or "16Gi"'

_SHAPE: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?P<point>\.?)(?P<fraction>(?<=\.)[0-9]*|)"
    r"(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+|)"
)
_DECIMAL: Final = {
    "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_DECIMAL_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_BINARY_SUFFIX: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_SPACE: Final = " \t\n\v\f\r\x85\xa0"


class Format(Enum):
    """The family of suffixes a quantity was written with and is printed in."""

    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"
    DECIMAL_EXPONENT = "DecimalExponent"


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """An exact amount; equal and ordered by value, whatever its suffix.

    ``nano`` counts billionths of the resource's base unit (one cpu, one byte, one device).
    """

    nano: int
    format: Format = field(default=Format.DECIMAL_SI, compare=False)

    @classmethod
    def parse(cls, value: object) -> Self:
        """The quantity a manifest spells as a string or number.

        Space around a string is ignored, as the API server does. Raises InvalidQuantity, without
        a path, on anything Kubernetes would refuse and on numbers no machine could hold.
        """
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise InvalidQuantity(f"{shown(value)} is no quantity", hint=_HINT)
        if isinstance(value, int):
            if abs(value) >= _LARGEST_INT:
                raise InvalidQuantity("the number is too long to be a quantity", hint=_HINT)
            return cls(value * _NANO)
        text = value.strip(_SPACE) if isinstance(value, str) else repr(value)
        nano, form = _read(text)
        return cls(nano, form)

    def milli(self, *, down: bool = False) -> int:
        """Thousandths of the unit; a remainder is rounded away from zero, or ``down`` to it."""
        return _divide(self.nano, 10**6, down)

    def whole(self, *, down: bool = False) -> int:
        """Whole units; a remainder is rounded away from zero, or ``down`` to it."""
        return _divide(self.nano, _NANO, down)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano + other.nano, self.format if self.nano else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.nano - other.nano, self.format if self.nano else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.nano, self.format)

    def __bool__(self) -> bool:
        return self.nano != 0

    def __str__(self) -> str:
        if self.nano == 0:
            return "0"
        whole, rest = divmod(abs(self.nano), _NANO)
        if self.format is Format.BINARY_SI and rest == 0 and whole >= 1024:
            return ("-" if self.nano < 0 else "") + _binary_text(whole)
        return ("-" if self.nano < 0 else "") + _decimal_text(abs(self.nano), self.format)


def _read(text: str) -> tuple[int, Format]:
    """Nano-units and family of a trimmed text; raises InvalidQuantity."""
    shape = _SHAPE.fullmatch(text) if 0 < len(text) <= _LONGEST_TEXT else None
    if shape is None:
        raise InvalidQuantity(f"{shown(text)} is no quantity", hint=_HINT)
    whole, fraction, suffix = shape["whole"], shape["fraction"], shape["suffix"]
    # Apimachinery reads a missing number ("m", ".Ki", "-") as zero, except before its largest
    # binary and smallest decimal suffixes; so must we, or a pod that Kubernetes runs could not
    # be queued.
    digits = int(whole + fraction or "0")
    shift = _BINARY.get(suffix)
    if shift is not None:
        if not whole and not fraction and shift >= _BINARY["Pi"]:
            raise InvalidQuantity(f"{shown(text)} has no number in front", hint=_HINT)
        nano, form = _binary_nano(digits << shift, len(fraction))
    else:
        exponent, form = _exponent(suffix, text)
        if not whole and not fraction and exponent < -9:
            raise InvalidQuantity(f"{shown(text)} has no number in front", hint=_HINT)
        nano = _decimal_nano(digits, exponent - len(fraction))
    return (-nano if shape["sign"] == "-" else nano), form


def _exponent(suffix: str, text: str) -> tuple[int, Format]:
    known = _DECIMAL.get(suffix)
    if known is not None:
        return known, Format.DECIMAL_SI
    exponent = int(suffix[1:])
    if exponent > _LARGEST_EXPONENT or exponent < -(2**31):
        raise InvalidQuantity(f"{shown(text)} is larger than any machine", hint=_HINT)
    return exponent, Format.DECIMAL_EXPONENT


def _decimal_nano(digits: int, exponent: int) -> int:
    """``digits`` x 10^``exponent`` in nano-units, rounded up; both non-negative in value."""
    if exponent >= -9:
        return int(digits * 10 ** (exponent + 9))
    if exponent < -2 * _LONGEST_TEXT:
        # So small that only "something" is left of it, and 10**n would not fit in memory.
        return 1 if digits else 0
    return -(-digits // int(10 ** (-exponent - 9)))


def _binary_nano(scaled: int, places: int) -> tuple[int, Format]:
    """``scaled`` / 10^``places`` in nano-units, rounded up and capped, and how it prints."""
    nano = min(_decimal_nano(scaled, -places), _BINARY_CAP * _NANO)
    return nano, Format.DECIMAL_SI if 0 < nano < _NANO else Format.BINARY_SI


def _divide(value: int, by: int, down: bool) -> int:
    magnitude = abs(value) // by if down else -(-abs(value) // by)
    return magnitude if value >= 0 else -magnitude


def _binary_text(whole: int) -> str:
    power = 0
    while power < 6 and whole % 1024 == 0:
        whole //= 1024
        power += 1
    return f"{whole}{_BINARY_SUFFIX[power]}"


def _decimal_text(nano: int, form: Format) -> str:
    exponent = -9
    largest = 18 if form is not Format.DECIMAL_EXPONENT else None
    while nano % 1000 == 0 and exponent != largest:
        nano //= 1000
        exponent += 3
    if form is Format.DECIMAL_EXPONENT:
        return f"{nano}e{exponent}" if exponent else str(nano)
    return f"{nano}{_DECIMAL_SUFFIX[exponent]}"
