"""A Deployment and its ReplicaSets, read: what is asked for, and what each set is and has.

Source of the rules: the Deployment controller's behaviour in Kubernetes 1.36.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kube_queue.api.selectors import Selector
from kube_queue.simulator.fields import mapping, mappings, moment, number, text
from kube_queue.simulator.label_selector import selector_of

HASH_LABEL: Final = "pod-template-hash"
REVISION: Final = "deployment.kubernetes.io/revision"
REVISION_HISTORY: Final = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS: Final = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS: Final = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
NO_DEADLINE: Final = 2**31 - 1
"""The progressDeadlineSeconds, and the revisionHistoryLimit, that mean none."""
_HASH_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_NAME: Final = 253


@dataclass(frozen=True, slots=True)
class Rollout:
    """What a Deployment asks for, with the API's defaults."""

    uid: str
    name: str
    generation: int
    replicas: int
    selector: Selector | None
    selector_written: Mapping[str, Any]
    template: Mapping[str, Any]
    annotations: Mapping[str, str]
    recreate: bool
    max_surge: int
    max_unavailable: int
    min_ready_seconds: int
    history_limit: int
    deadline_seconds: int
    paused: bool
    leaving: bool

    @property
    def most(self) -> int:
        """How many pods there may be while it is rolled out."""
        return self.replicas + self.max_surge


@dataclass(frozen=True, slots=True)
class PodSet:
    """One ReplicaSet as its Deployment sees it; times are microseconds since the epoch."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    owner: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    template: Mapping[str, Any]
    created: int
    replicas: int
    min_ready_seconds: int
    seen: bool
    """Its controller has looked at it as it is."""
    leaving: bool
    actual: int
    ready: int
    available: int
    terminating: int
    failure: Mapping[str, Any] | None
    """Its condition ReplicaFailure."""

    @property
    def revision(self) -> int:
        """The revision it stands for; 0 when its annotation is none."""
        return whole(self.annotations.get(REVISION)) or 0

    @property
    def age_order(self) -> tuple[int, str]:
        """Sorts the oldest first."""
        return self.created, self.name


def rollout(manifest: Mapping[str, Any]) -> Rollout:
    """What the manifest asks for; it never raises on bad content."""
    metadata, spec = mapping(manifest.get("metadata")), mapping(manifest.get("spec"))
    strategy = mapping(spec.get("strategy"))
    replicas = number(spec.get("replicas"), 1)
    recreate = strategy.get("type") == "Recreate"
    surge, unavailable = (
        (0, 0) if recreate else _fenceposts(mapping(strategy.get("rollingUpdate")), replicas)
    )
    return Rollout(
        uid=text(metadata.get("uid")),
        name=text(metadata.get("name")),
        generation=number(metadata.get("generation")),
        replicas=replicas,
        selector=selector_of(spec.get("selector")),
        selector_written=mapping(spec.get("selector")),
        template=mapping(spec.get("template")),
        annotations=_texts(metadata.get("annotations")),
        recreate=recreate,
        max_surge=surge,
        max_unavailable=unavailable,
        min_ready_seconds=number(spec.get("minReadySeconds")),
        history_limit=number(spec.get("revisionHistoryLimit"), 10),
        deadline_seconds=number(spec.get("progressDeadlineSeconds"), 600),
        paused=spec.get("paused") is True,
        leaving=bool(metadata.get("deletionTimestamp")),
    )


def pod_set(manifest: Mapping[str, Any], owner: str) -> PodSet:
    """The view of a ReplicaSet of that owner; it never raises on bad content."""
    metadata, spec, status = (
        mapping(manifest.get(part)) for part in ("metadata", "spec", "status")
    )
    failures = [
        one for one in mappings(status.get("conditions")) if one.get("type") == "ReplicaFailure"
    ]
    return PodSet(
        namespace=text(metadata.get("namespace")),
        name=text(metadata.get("name")),
        uid=text(metadata.get("uid")),
        resource_version=text(metadata.get("resourceVersion")),
        owner=owner,
        labels=_texts(metadata.get("labels")),
        annotations=_texts(metadata.get("annotations")),
        template=mapping(spec.get("template")),
        created=moment(metadata.get("creationTimestamp")),
        replicas=number(spec.get("replicas"), 1),
        min_ready_seconds=number(spec.get("minReadySeconds")),
        seen=number(status.get("observedGeneration")) >= number(metadata.get("generation")),
        leaving=bool(metadata.get("deletionTimestamp")),
        actual=number(status.get("replicas")),
        ready=number(status.get("readyReplicas")),
        available=number(status.get("availableReplicas")),
        terminating=number(status.get("terminatingReplicas")),
        failure=failures[0] if failures else None,
    )


def current_set(asked: Rollout, sets: Iterable[PodSet]) -> PodSet | None:
    """The set of the Deployment's template: the oldest, should there be several."""
    wanted = _bare(asked.template)
    same = [each for each in sets if _bare(each.template) == wanted]
    return min(same, key=lambda each: each.age_order, default=None)


def set_manifest(
    asked: Rollout, namespace: str, owner: Mapping[str, Any], collisions: int
) -> dict[str, Any]:
    """The ReplicaSet of the Deployment's template, of no replicas yet; `owner` is its reference.

    Its name and hash follow from the template and the number of collisions.
    """
    digest = template_hash(asked.template, collisions)
    given = mapping(asked.template.get("metadata"))
    labels = {**_texts(given.get("labels")), HASH_LABEL: digest}
    return {
        "metadata": {
            "name": f"{asked.name[: _LONGEST_NAME - len(digest) - 1]}-{digest}",
            "namespace": namespace,
            "labels": labels,
            "annotations": {},
            "ownerReferences": [dict(owner)],
        },
        "spec": {
            "replicas": 0,
            "minReadySeconds": asked.min_ready_seconds,
            "selector": {
                **asked.selector_written,
                "matchLabels": {
                    **mapping(asked.selector_written.get("matchLabels")),
                    HASH_LABEL: digest,
                },
            },
            "template": {**asked.template, "metadata": {**given, "labels": labels}},
        },
    }


def template_hash(template: Mapping[str, Any], collisions: int = 0) -> str:
    """A short name of the template that stays the same, in letters that spell no words."""
    written = orjson.dumps(_bare(template), option=orjson.OPT_SORT_KEYS)
    if collisions:
        written += str(collisions).encode()
    return "".join(_HASH_LETTERS[ord(digit) % 27] for digit in str(zlib.crc32(written)))


def whole(written: str | None) -> int | None:
    """The number the annotation says; None when it says none."""
    return int(written) if written and written.isascii() and written.isdigit() else None


def _bare(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template without its hash, and without the empty fields that writers put in metadata."""
    metadata = dict(mapping(template.get("metadata")))
    metadata["labels"] = {
        key: value for key, value in mapping(metadata.get("labels")).items() if key != HASH_LABEL
    }
    return {**template, "metadata": {key: value for key, value in metadata.items() if value}}


def _fenceposts(written: Mapping[str, Any], replicas: int) -> tuple[int, int]:
    """How many pods too many, and how many too few, a rolling update may have."""
    surge = _scaled(written.get("maxSurge", "25%"), replicas, up=True)
    unavailable = _scaled(written.get("maxUnavailable", "25%"), replicas, up=False)
    if not surge and not unavailable:
        # Rounded down to nothing: an update has to get on all the same.
        unavailable = 1
    return surge, min(unavailable, replicas)


def _scaled(written: object, replicas: int, *, up: bool) -> int:
    """A number of pods, or a percentage of the replicas rounded up or down."""
    if not isinstance(written, str):
        return max(0, number(written))
    share = (whole(written.removesuffix("%")) or 0) * replicas
    return -(-share // 100) if up else share // 100


def _texts(value: object) -> dict[str, str]:
    return {key: text(each) for key, each in mapping(value).items()}


def total(sets: Sequence[PodSet]) -> int:
    """How many pods the sets ask for."""
    return sum(each.replicas for each in sets)
