"""Spark's properties, and its way of writing sizes, numbers and truths."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.loose import field_path, shown
from kube_queue.jobframework.fields import MAX_COUNT, demand_count

MIB: Final = 2**20
_LARGEST: Final = 2**63 - 1
_SIZE: Final = re.compile(r"([0-9]{1,30})([a-z]{0,2})\Z", re.ASCII)
_BYTES: Final[Mapping[str, int]] = {
    "b": 1,
    **{
        unit + tail: 1024**power
        for power, unit in enumerate("kmgtp", start=1)
        for tail in ("", "b")
    },
}


def size(value: object, path: str, unit: str = "m") -> int:
    """The bytes of a size as Spark reads it; `unit` is meant where none is written.

    Raises InvalidManifest: Spark knows no fractions, and Kubernetes' Mi and Gi neither.
    """
    written = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    match = _SIZE.match(written.strip().lower()) if isinstance(written, str) else None
    factor = _BYTES.get(match[2] or unit) if match else None
    if match is None or factor is None:
        problem = f"{shown(value)} is no size that Spark can read"
        raise InvalidManifest(problem, path, "write a whole number with k, m, g or t, such as 512m")
    found = int(match[1]) * factor
    if found > _LARGEST:
        raise InvalidManifest(f"{shown(value)} is more than can be counted", path, "ask for less")
    return found


def whole_mib(amount: int) -> int:
    """The whole MiB in so many bytes; Spark drops the rest."""
    return amount // MIB


def factor(value: object, path: str) -> float:
    """A factor of memory. Raises InvalidManifest unless it is a number from 0 to 1000."""
    try:
        found = float(value) if isinstance(value, (str, int, float)) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if isinstance(value, bool) or not 0 <= found <= 1000:
        problem = f"{shown(value)} is no factor"
        raise InvalidManifest(problem, path, 'write a number such as "0.1"')
    return found


class SparkConf:
    """spec.sparkConf; values that are no texts are taken as they would be written."""

    def __init__(self, values: object, path: str) -> None:
        if values is not None and not isinstance(values, Mapping):
            raise InvalidManifest("is not a mapping", path, "map properties to texts")
        self.values: Mapping[str, Any] = values or {}
        self._path = path

    def path(self, name: str) -> str:
        """Where the property stands."""
        return field_path(self._path, name)

    def get(self, name: str) -> Any:
        """Its value as it is written; None where it is not."""
        return self.values.get(name)

    def flag(self, name: str) -> bool:
        """Whether it is true; absent means no. Raises InvalidManifest."""
        value = self.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in ("true", "false"):
            problem = f"{shown(value)} is neither true nor false"
            raise InvalidManifest(problem, self.path(name), "write true or false")
        return word == "true"

    def count(self, name: str, default: int) -> int:
        """Its value as a number of pods. Raises InvalidManifest."""
        value = self.get(name)
        if isinstance(value, str):
            digits = value.strip()
            if not digits.isascii() or not digits.isdigit() or len(digits) > len(str(MAX_COUNT)):
                problem = f"{shown(value)} is not a number of pods"
                raise InvalidManifest(problem, self.path(name), f"use 0 to {MAX_COUNT}")
            value = int(digits)
        return demand_count(value, default, self.path(name))

    def first(self, spec: Mapping[str, Any], field: str, path: str, *names: str) -> tuple[Any, str]:
        """The value of `field`, which stands below `path`, else of the first of these properties.

        With it comes where it was found; (None, "") where it is nowhere.
        """
        if spec.get(field) is not None:
            return spec[field], f"{path}.{field}"
        for name in names:
            if self.get(name) is not None:
                return self.get(name), self.path(name)
        return None, ""
