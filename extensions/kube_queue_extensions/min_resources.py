"""The annotation kube-queue/min-resources: what a job asks for by its owner's word.

Source: the ack-kube-queue documentation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import yaml

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.loose import shown
from kube_queue.api.names import MAX_JOBS
from kube_queue.api.resources import ResourceVector, is_of_pods
from kube_queue.api.units import MIN_RESOURCES_PATH

LONGEST_ANNOTATION: Final = 2048
HINT: Final = "write a resource list, such as {cpu: 5, memory: 5G}"


def min_resources(written: object) -> ResourceVector:
    """The resource list that the annotation spells in YAML or JSON, amounts rounded up.

    Raises InvalidManifest or InvalidQuantity with the annotation's path.
    """
    if not isinstance(written, str):
        raise InvalidManifest(f"{shown(written)} is no text", MIN_RESOURCES_PATH, HINT)
    if len(written) > LONGEST_ANNOTATION:
        problem = f"is longer than {LONGEST_ANNOTATION} characters"
        raise InvalidManifest(problem, MIN_RESOURCES_PATH, HINT)
    amounts = dict(_read(written))
    for name in amounts:
        if name == MAX_JOBS or not is_of_pods(name):
            problem = f"{shown(name)} is no resource of a pod"
            raise InvalidManifest(problem, MIN_RESOURCES_PATH, HINT)
    return ResourceVector.parse(amounts, MIN_RESOURCES_PATH)


@lru_cache(maxsize=1024)
def _read(written: str) -> tuple[tuple[str, str], ...]:
    """Names and amounts as they are written: YAML's own numbers (0x10, 1_000, 1:30) are others."""
    root: yaml.Node | None = None
    # A list of resources is flat, and PyYAML takes seconds for a page of brackets.
    if "[" not in written and written.count("{") <= 1:
        try:
            root = yaml.compose(written, yaml.BaseLoader)
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            problem = f"{shown(written)} is neither YAML nor JSON"
            raise InvalidManifest(problem, MIN_RESOURCES_PATH, HINT) from error
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    found: dict[str, str] = {}
    for name, amount in pairs:
        if not isinstance(name, yaml.ScalarNode) or not isinstance(amount, yaml.ScalarNode):
            problem = f"{shown(written)} is no list of resources"
            raise InvalidManifest(problem, MIN_RESOURCES_PATH, HINT)
        if name.value in found:
            problem = f"names {shown(name.value)} a second time"
            raise InvalidManifest(problem, MIN_RESOURCES_PATH, "keep one of them")
        found[name.value] = amount.value
    if not found:
        raise InvalidManifest(f"{shown(written)} names no resource", MIN_RESOURCES_PATH, HINT)
    return tuple(found.items())
