"""Quantities inside built-in objects, kept in canonical form.

Holds: canonical, and the walk that rewrites every resource list it is shown; amount and written,
for reckoning.
Grammar and canonical form follow the Kubernetes documentation on quantities.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

from kube_queue.apiserver.status import StatusError, bad_request

_GRAMMAR = re.compile(
    r"([+-]?)(\d+\.?\d*|\.\d+)(?:(Ki|Mi|Gi|Ti|Pi|Ei)|([numkMGTPE]|(?![eE]))|[eE]([+-]?\d{1,3}))",
    re.ASCII,
)
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
_POWERS = {suffix: power for power, suffix in _DECIMAL.items()}
_LONGEST = 300
"""Characters of a quantity; the smallest one that counts needs a tenth of that."""
_PATTERN = r"^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"


def canonical(value: Any, path: str) -> str:
    """The quantity in canonical form; a 400 when it is none."""
    text = value if type(value) is str else f"{value}"
    found = _canonical(text) if len(text) <= _LONGEST else None
    if found is None:
        raise _malformed(text, path)
    return found


def _malformed(text: str, path: str) -> StatusError:
    return bad_request(
        f"quantities must match the regular expression '{_PATTERN}': {path}: {text[:_LONGEST]!r}"
    )


@lru_cache(maxsize=4096)
def _canonical(text: str) -> str | None:
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        return None
    sign, digits, binary, decimal, exponent = match.groups()
    number = Fraction(digits.rstrip(".") if not digits.startswith(".") else f"0{digits}")
    if binary:
        number *= 1024 ** _BINARY.index(binary)
    else:
        number *= Fraction(10) ** (int(exponent) if exponent else _POWERS[decimal or ""])
    number = min(number, Fraction(2**63 - 1))
    nanos = -(-number * 10**9 // 1)
    prefix = "-" if sign == "-" and nanos else ""
    if binary and nanos >= 1024 * 10**9 and nanos % 10**9 == 0:
        return prefix + _in_binary(nanos // 10**9)
    return prefix + (_in_exponent(nanos) if exponent else _in_decimal(nanos))


def _in_binary(whole: int) -> str:
    power = 0
    while whole and whole % 1024 == 0 and power < len(_BINARY) - 1:
        whole //= 1024
        power += 1
    return f"{whole}{_BINARY[power]}"


def _in_decimal(nanos: int) -> str:
    power = -9
    while nanos and nanos % 1000 == 0 and power < 18:
        nanos //= 1000
        power += 3
    return f"{nanos}{_DECIMAL[power]}" if nanos else "0"


def _in_exponent(nanos: int) -> str:
    power = -9
    while nanos and nanos % 1000 == 0:
        nanos //= 1000
        power += 3
    return f"{nanos}{f'e{power}' if power else ''}" if nanos else "0"


def written(number: Fraction, *, binary: bool) -> str:
    """The number as a quantity, with the suffixes of the family wanted where they can say it."""
    nanos = -(-abs(number) * 10**9 // 1)
    prefix = "-" if number < 0 else ""
    if binary and nanos >= 1024 * 10**9 and nanos % 10**9 == 0:
        return prefix + _in_binary(nanos // 10**9)
    return prefix + _in_decimal(nanos)


def settle_amounts(holder: dict[str, Any], keys: tuple[str, ...], path: str) -> None:
    """Every resource list of the holder under those keys is canonical."""
    for key in keys:
        amounts = holder.get(key, {})
        for name, value in amounts.items():
            amounts[name] = canonical(value, f"{path}.{key}.{name}")


def amount(text: str) -> Fraction:
    """A canonical quantity as a number, for comparing."""
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise ValueError(text)
    sign, digits, binary, decimal, exponent = match.groups()
    number = Fraction(digits)
    if binary:
        number *= 1024 ** _BINARY.index(binary)
    else:
        number *= Fraction(10) ** (int(exponent) if exponent else _POWERS[decimal or ""])
    return -number if sign == "-" else number
