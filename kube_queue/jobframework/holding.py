"""A new job as it has to be written so that it waits in a queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kube_queue.api.errors import InvalidManifest
from kube_queue.jobframework.conformance import merged
from kube_queue.jobframework.extension import (
    HeldAtFirst,
    Hold,
    JobExtension,
    JobPatch,
    MadeFromTemplates,
    Suspendable,
)
from kube_queue.jobframework.ownership import somebody_elses


def held_from_creation(extension: JobExtension, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with its kind's own mark of a job that is held; it is not changed itself.

    Raises InvalidManifest for a job that cannot be held, that the queue would leave alone, or
    whose pods cannot be told.
    """
    marked: dict[str, Any] = merged(manifest, _mark(extension, manifest))
    state = extension.state(marked)
    if state.hold is Hold.NONE:
        raise InvalidManifest(
            f"a {extension.resource.kind} like this cannot be held", "", "create it by other means"
        )
    whose = somebody_elses(marked, state)
    if whose:
        raise InvalidManifest(
            f"it {whose}, so kube-queue would leave it alone", "", "take that away"
        )
    extension.pod_sets(marked)
    return marked


def held_in_template(
    extension: JobExtension,
    templates: MadeFromTemplates,
    maker: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> dict[str, Any]:
    """The maker of such jobs with mark and `metadata` in its template; it is not changed itself.

    Raises InvalidManifest where it would make none that wait, or none that are ours.
    """
    marked: dict[str, Any] = merged(maker, templates.held_in_template(maker, metadata))
    held_from_creation(extension, templates.made(marked))
    return marked


def _mark(extension: JobExtension, manifest: Mapping[str, Any]) -> JobPatch:
    if isinstance(extension, HeldAtFirst):
        return extension.hold(manifest)
    if isinstance(extension, Suspendable):
        return extension.suspend(manifest)
    return {}
