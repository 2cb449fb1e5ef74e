"""What the Deployment controller does in one look at a Deployment: a value."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kube_queue.simulator import deployment_sizes as sizes
from kube_queue.simulator import deployment_status as statuses
from kube_queue.simulator.deployment import (
    DESIRED_REPLICAS,
    LAST_APPLIED,
    MAX_REPLICAS,
    NO_DEADLINE,
    REVISION,
    REVISION_HISTORY,
    PodSet,
    Rollout,
    current_set,
    rollout,
    set_manifest,
    whole,
)
from kube_queue.simulator.fields import mapping, number

_NOT_COPIED: Final = frozenset(
    {LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS}
)
_LONGEST_HISTORY: Final = 2000


@dataclass(frozen=True, slots=True)
class SetChange:
    """A set that gets another size, other annotations, or another wait until pods are available."""

    target: PodSet
    replicas: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Those that differ from what it has."""
    min_ready_seconds: int | None = None


@dataclass(slots=True)
class DeploymentOutcome:
    """What is written: sets first, then the status; seconds until it is looked at again."""

    status: dict[str, Any]
    revision: str = ""
    """The Deployment's own revision annotation; empty: as it is."""
    create: dict[str, Any] | None = None
    change: list[SetChange] = field(default_factory=list)
    delete: list[PodSet] = field(default_factory=list)
    again: float = math.inf


@dataclass(frozen=True, slots=True)
class Claimed:
    """The sets of a Deployment, those to adopt and those to let go."""

    owned: tuple[PodSet, ...]
    adopt: tuple[PodSet, ...]
    release: tuple[PodSet, ...]


def claim_sets(asked: Rollout, owned: Iterable[PodSet], orphans: Iterable[PodSet]) -> Claimed:
    """Whose the sets are: its own while the selector matches, and orphans it matches."""
    if asked.selector is None:
        return Claimed((), (), ())
    kept: list[PodSet] = []
    release: list[PodSet] = []
    for each in owned:
        (kept if asked.selector.selects(each.labels) else release).append(each)
    adopt = [
        each
        for each in orphans
        if not asked.leaving and not each.leaving and asked.selector.selects(each.labels)
    ]
    return Claimed(tuple(kept), tuple(adopt), tuple(release))


def plan(
    manifest: Mapping[str, Any],
    owned: Sequence[PodSet],
    with_pods: Collection[str],
    namespace: str,
    now: float,
) -> DeploymentOutcome:
    """One step: it is taken again whenever the Deployment, a set or a pod of a set changed.

    `with_pods` are the uids of the sets that have a pod which has not ended yet.
    """
    asked = rollout(manifest)
    present = mapping(manifest.get("status"))
    new = current_set(asked, owned)
    old = [each for each in owned if new is None or each.uid != new.uid]
    outcome = DeploymentOutcome(dict(present))
    if asked.leaving:
        outcome.status = statuses.counted(asked, present, new, owned, now)
        return outcome
    statuses.paused(asked, outcome.status, now)
    renewed = new is not None and _renew(asked, outcome, new, old, now)
    if not renewed:
        if asked.paused or sizes.is_scaled(asked, owned):
            held = number(present.get("replicas"))
            _resize(asked, outcome, owned, sizes.scaled(asked, new, old, held))
            if asked.paused:
                _forget_history(asked, outcome, old)
            outcome.status = statuses.counted(asked, outcome.status, new, owned, now)
            return outcome
        _roll(asked, outcome, new, old, with_pods, namespace, now)
    _tell(asked, outcome, present, new, owned, now)
    return outcome


def _roll(
    asked: Rollout,
    outcome: DeploymentOutcome,
    new: PodSet | None,
    old: Sequence[PodSet],
    with_pods: Collection[str],
    namespace: str,
    now: float,
) -> None:
    if asked.recreate:
        active = {each.name: 0 for each in old if each.replicas}
        if active:
            _resize(asked, outcome, old, active)
            return
        if any(each.actual or each.uid in with_pods for each in old):
            return
    if new is None:
        _create(asked, outcome, old, namespace, now)
        return
    step = sizes.rolled(asked, new, old)
    _resize(asked, outcome, [new, *old], step)
    if not step and statuses.is_complete(asked, outcome.status):
        _forget_history(asked, outcome, old)


def _create(
    asked: Rollout, outcome: DeploymentOutcome, old: Sequence[PodSet], namespace: str, now: float
) -> None:
    collisions = number(outcome.status.get("collisionCount"))
    owner = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": asked.name,
        "uid": asked.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    made = set_manifest(asked, namespace, owner, collisions)
    room = max(0, asked.most - sum(each.replicas for each in old))
    made["spec"]["replicas"] = asked.replicas if asked.recreate else min(asked.replicas, room)
    outcome.revision = str(_newest(old) + 1)
    made["metadata"]["annotations"] = {
        **_copied(asked),
        **sizes.annotations_of_size(asked),
        REVISION: outcome.revision,
    }
    outcome.create = made
    words = f'Created new replica set "{made["metadata"]["name"]}"'
    statuses.began(asked, outcome.status, "NewReplicaSetCreated", words, now)


def _renew(
    asked: Rollout, outcome: DeploymentOutcome, new: PodSet, old: Sequence[PodSet], now: float
) -> bool:
    """Whether the set of the template has to be told the Deployment's annotations and revision."""
    wanted = _copied(asked)
    revision = _newest(old) + 1
    if new.revision < revision:
        wanted[REVISION] = str(revision)
        if REVISION in new.annotations:
            wanted[REVISION_HISTORY] = _with_history(new)
    changes = {key: each for key, each in wanted.items() if new.annotations.get(key) != each}
    seconds = asked.min_ready_seconds if new.min_ready_seconds != asked.min_ready_seconds else None
    if changes or seconds is not None:
        outcome.change.append(SetChange(new, new.replicas, changes, seconds))
        return True
    held = new.annotations.get(REVISION, "")
    if asked.annotations.get(REVISION, "") != held:
        outcome.revision = held
    if not statuses.condition(outcome.status, statuses.PROGRESSING):
        words = f'Found new replica set "{new.name}"'
        statuses.began(asked, outcome.status, "FoundNewReplicaSet", words, now)
    return False


def _resize(
    asked: Rollout, outcome: DeploymentOutcome, sets: Iterable[PodSet], wanted: sizes.Sizes
) -> None:
    told = sizes.annotations_of_size(asked)
    for each in sets:
        size = wanted.get(each.name)
        if size is None:
            continue
        changes = {key: value for key, value in told.items() if each.annotations.get(key) != value}
        if size != each.replicas or changes:
            outcome.change.append(SetChange(each, size, changes))


def _forget_history(asked: Rollout, outcome: DeploymentOutcome, old: Sequence[PodSet]) -> None:
    """Of the empty old sets, those of the oldest revisions beyond the limit go."""
    if asked.history_limit >= NO_DEADLINE:
        return
    alive = sorted(
        (each for each in old if not each.leaving),
        key=lambda one: (one.revision, one.age_order),
    )
    for each in alive[: max(0, len(alive) - asked.history_limit)]:
        if not each.actual and not each.replicas and each.seen:
            outcome.delete.append(each)


def _tell(
    asked: Rollout,
    outcome: DeploymentOutcome,
    present: Mapping[str, Any],
    new: PodSet | None,
    owned: Sequence[PodSet],
    now: float,
) -> None:
    status = statuses.counted(asked, outcome.status, new, owned, now)
    status = statuses.estimated(asked, present, status, new, now)
    statuses.failed(status, new, owned)
    outcome.status = status
    outcome.again = statuses.deadline_left(asked, status, now)


def _copied(asked: Rollout) -> dict[str, str]:
    return {key: value for key, value in asked.annotations.items() if key not in _NOT_COPIED}


def _newest(sets: Iterable[PodSet]) -> int:
    return max((each.revision for each in sets), default=0)


def _with_history(new: PodSet) -> str:
    """The revisions the set stood for before, the oldest left out where they are too many."""
    before = new.annotations.get(REVISION_HISTORY, "")
    revisions = [one for one in before.split(",") if whole(one) is not None]
    revisions.append(str(new.revision))
    while len(",".join(revisions)) > _LONGEST_HISTORY:
        revisions.pop(0)
    return ",".join(revisions)
