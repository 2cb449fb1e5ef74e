"""Which suspended jobs are ours to queue, and which are somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kube_queue.api.names import KUEUE_QUEUE_LABEL
from kube_queue.api.pod_groups import POD_MAKERS
from kube_queue.api.selectors import Selector, parse_selector
from kube_queue.jobframework.extension import JobState
from kube_queue.jobframework.fields import entries, section, text

_OWNERS_THAT_DO_NOT_SUSPEND: Final = frozenset({("batch", "CronJob"), *POD_MAKERS})


@dataclass(frozen=True, slots=True)
class Claims:
    """What the settings say of the jobs that are ours.

    `owners` are kinds whose suspended jobs are ours although they belong to somebody, each in
    lower case, as `kind` or `kind.group`. Both selectors must select a job: `jobs` by its own
    labels, `namespaces` by those of its namespace.
    """

    owners: frozenset[str] = frozenset()
    jobs: Selector = field(default_factory=Selector)
    namespaces: Selector = field(default_factory=Selector)


def read_claims(owned_by: str, job_selector: str, namespace_selector: str) -> Claims:
    """The claims these settings make. Raises InvalidInput."""
    kinds = (each.strip().lower() for each in owned_by.split(","))
    return Claims(
        frozenset(each for each in kinds if each),
        parse_selector(job_selector),
        parse_selector(namespace_selector),
    )


def _nobody(namespace: str, owner: Mapping[str, Any]) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Borders:
    """The claims, and what of the cluster they depend on.

    `labels`: those of each namespace; None where no claim asks for them. `counted` says whether a
    unit counts the pods of what an owner reference names, in a namespace.
    """

    claims: Claims = field(default_factory=Claims)
    labels: Mapping[str, Mapping[str, Any]] | None = None
    counted: Callable[[str, Mapping[str, Any]], bool] = _nobody


NO_BORDERS: Final = Borders()


def somebody_elses(
    manifest: Mapping[str, Any], state: JobState, borders: Borders = NO_BORDERS
) -> str:
    """Why the job is none of ours, in words that follow "it"; empty if it is ours to queue.

    A controller owner starts and suspends its jobs itself; only a CronJob and what makes pods one
    by one do not, and whatever the claims name. One whose own unit counts its jobs' pods keeps them
    all the same.
    """
    labels = section(manifest, "metadata", "labels")
    if KUEUE_QUEUE_LABEL in labels:
        return f"carries the label {KUEUE_QUEUE_LABEL}"
    owner = controller_of(manifest)
    if owner is not None:
        who = f"{text(owner, 'kind')} {text(owner, 'name')}"
        if not _lets_queue(owner, borders.claims):
            return f"belongs to {who}"
        if borders.counted(text(manifest, "metadata", "namespace"), owner):
            return f"is counted by the unit of {who}"
    if state.managed_by:
        return f"is managed by {state.managed_by}"
    return _left_out(manifest, labels, borders)


def controller_of(manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The owner reference that says it controls the object."""
    owners = entries(manifest, "metadata", "ownerReferences")
    return next((each for each in owners if each.get("controller") is True), None)


def _lets_queue(owner: Mapping[str, Any], claims: Claims) -> bool:
    group = text(owner, "apiVersion").rpartition("/")[0]
    kind = text(owner, "kind")
    if (group, kind) in _OWNERS_THAT_DO_NOT_SUSPEND:
        return True
    names = (kind.lower(), f"{kind}.{group}".lower())
    return any(name in claims.owners for name in names)


def _left_out(manifest: Mapping[str, Any], labels: Mapping[str, Any], borders: Borders) -> str:
    if not borders.claims.jobs.selects(labels):
        return "is left out by --job-selector"
    namespace = text(manifest, "metadata", "namespace")
    if borders.labels is not None:
        found = borders.labels.get(namespace)
        # A namespace nobody has seen yet may say anything.
        if found is None or not borders.claims.namespaces.selects(found):
            return f"is in namespace {namespace}, which --namespace-selector leaves out"
    return ""
