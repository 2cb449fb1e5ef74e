"""Reading manifests that anybody may have written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.loose import shown

MAX_COUNT = 2**31 - 1
"""Kubernetes counts pods in 32 bits."""

_NOTHING: Mapping[str, Any] = {}


def section(manifest: Mapping[str, Any], *steps: str) -> Mapping[str, Any]:
    """The mapping found by following `steps`; empty where it is missing or something else."""
    found: Any = manifest
    for step in steps:
        # Asking for a dict first is ten times cheaper than asking for a Mapping.
        if not (type(found) is dict or isinstance(found, Mapping)):
            return _NOTHING
        found = found.get(step)
    return found if type(found) is dict or isinstance(found, Mapping) else _NOTHING


def text(manifest: Mapping[str, Any], *steps: str) -> str:
    """The text found by following `steps`; empty where it is missing or something else."""
    found = section(manifest, *steps[:-1]).get(steps[-1])
    return found if isinstance(found, str) else ""


def number(manifest: Mapping[str, Any], *steps: str) -> int:
    """The integer found by following `steps`; 0 where it is missing or something else."""
    found = section(manifest, *steps[:-1]).get(steps[-1])
    return found if isinstance(found, int) and not isinstance(found, bool) else 0


def entries(manifest: Mapping[str, Any], *steps: str) -> Sequence[Mapping[str, Any]]:
    """The mappings in the list found by following `steps`; none where there is no list."""
    found = section(manifest, *steps[:-1]).get(steps[-1])
    if not isinstance(found, list):
        return ()
    return [entry for entry in found if isinstance(entry, Mapping)]


def demand_section(manifest: Mapping[str, Any], *steps: str) -> Mapping[str, Any]:
    """The mapping found by following `steps`. Raises InvalidManifest where there is none."""
    found: Any = manifest
    for depth, step in enumerate(steps, start=1):
        found = found.get(step)
        if not isinstance(found, Mapping):
            problem = "is missing" if found is None else "is not a mapping"
            raise InvalidManifest(problem, ".".join(steps[:depth]), "write it as the kind asks")
    return found  # type: ignore[no-any-return]  # a Mapping, by the loop


def demand_map(value: Any, path: str) -> Mapping[str, Any]:
    """`value` where it is a mapping, an empty one where it is absent. Raises InvalidManifest."""
    if value is None:
        return _NOTHING
    if not isinstance(value, Mapping):
        raise InvalidManifest("is not a mapping", path, "write it as the kind asks")
    return value


def demand_flag(value: Any, path: str) -> bool:
    """`value` as a truth, false where it is absent. Raises InvalidManifest."""
    if value is None or isinstance(value, bool):
        return bool(value)
    problem = f"{shown(value)} is neither true nor false"
    raise InvalidManifest(problem, path, "write true or false")


def demand_count(value: Any, default: int, path: str) -> int:
    """`value` as a number of pods, `default` where it is absent.

    Raises InvalidManifest unless it is an integer from 0 to MAX_COUNT.
    """
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        problem = f"{shown(value)} is not a whole number"
        raise InvalidManifest(problem, path, "write a number of pods")
    if not 0 <= value <= MAX_COUNT:
        problem = f"{shown(value)} is not a number of pods"
        raise InvalidManifest(problem, path, f"use 0 to {MAX_COUNT}")
    return value
