"""The label selector of a ReplicaSet or Deployment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kube_queue.api.admission_checks import Requirement
from kube_queue.api.selectors import Selector
from kube_queue.simulator.fields import mapping, mappings, text


def selector_of(written: object) -> Selector | None:
    """The selector; None where it is absent or empty, since that would select everything."""
    selector = Selector(tuple(_requirements(mapping(written))))
    return selector if selector else None


def _requirements(written: Mapping[str, Any]) -> Iterator[Requirement]:
    for key, value in mapping(written.get("matchLabels")).items():
        yield Requirement(key, "In", frozenset((text(value),)))
    for entry in mappings(written.get("matchExpressions")):
        values = entry.get("values")
        listed = map(text, values) if isinstance(values, list) else ()
        yield Requirement(text(entry.get("key")), text(entry.get("operator")), frozenset(listed))
