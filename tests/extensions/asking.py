"""What jobs ask for, by pod set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube_queue.api.resources import ResourceVector
from kube_queue.jobframework.extension import JobExtension
from kube_queue.jobframework.requests import asked
from kube_queue.jobframework.surroundings import Surroundings


def asks(
    extension: JobExtension, manifest: Mapping[str, Any], around: Surroundings | None = None
) -> dict[str, tuple[int, dict[str, str]]]:
    """Count and request of one pod, by the name of the pod set. Raises InvalidInput."""
    found = asked(extension.pod_sets(manifest), "default", around or Surroundings())
    return {each.name: (each.count, each.each.manifest()) for each in found.sets}


def total(
    extension: JobExtension, manifest: Mapping[str, Any], around: Surroundings | None = None
) -> ResourceVector:
    """What all of its pods ask for together. Raises InvalidInput."""
    return asked(extension.pod_sets(manifest), "default", around or Surroundings()).total
