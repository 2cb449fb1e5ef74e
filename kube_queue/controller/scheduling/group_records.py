"""What is kept of a PodGroup object, and what its status should say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from kube_queue.api.conditions import rfc3339
from kube_queue.api.gang_objects import pod_group_of
from kube_queue.api.gangs import GangSource, PodGroup
from kube_queue.api.loose import mapping_of, text_of
from kube_queue.api.node_selectors import list_of
from kube_queue.api.pod_group import GroupPhase
from kube_queue.api.types import KUBERNETES_POD_GROUPS, POD_GROUPS, X_POD_GROUPS, ResourceType
from kube_queue.placement.gangs import Gang, Gangs

KINDS: Final[Mapping[GangSource, ResourceType]] = {
    GangSource.SIGS_POD_GROUP: POD_GROUPS,
    GangSource.X_POD_GROUP: X_POD_GROUPS,
    GangSource.SCHEDULING_GROUP: KUBERNETES_POD_GROUPS,
}
MOST_UIDS: Final = 128
"""Controllers, or pods without one, whose uids a status keeps."""
SATISFIED: Final = "Satisfied"
SCHEDULED: Final = "PodGroupScheduled"
"""The one condition that Kubernetes' own PodGroup gets from a scheduler."""


class Standing(NamedTuple):
    """What a status says of a gang."""

    phase: str
    scheduled: int
    running: int
    succeeded: int
    failed: int
    satisfied: bool
    satisfied_by: tuple[str, ...]
    """Sorted."""


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A PodGroup as its informer keeps it."""

    group: PodGroup
    standing: Standing
    scheduled: str
    """The message of its condition PodGroupScheduled, behind its status."""

    @property
    def namespace(self) -> str:
        """The PodGroup's namespace."""
        return self.group.namespace

    @property
    def name(self) -> str:
        """The PodGroup's name."""
        return self.group.name

    @property
    def uid(self) -> str:
        """The PodGroup's uid."""
        return self.group.uid

    @property
    def resource_version(self) -> str:
        """The version this record was made of."""
        return self.group.resource_version


def projection(source: GangSource) -> partial[GroupRecord]:
    """What makes a record of an object of this kind."""
    return partial(_record, source=source)


def _record(obj: dict[str, Any], *, source: GangSource) -> GroupRecord:
    group, status = pod_group_of(obj, source), mapping_of(obj.get("status"))
    counts = (_count(status, name) for name in ("scheduled", "running", "succeeded", "failed"))
    scheduled, running, succeeded, failed = counts
    uids = tuple(sorted(group.satisfied_by))
    standing = Standing(group.phase, scheduled, running, succeeded, failed, group.satisfied, uids)
    return GroupRecord(group, standing, _scheduled(status))


def _count(status: Mapping[str, Any], name: str) -> int:
    value = status.get(name)
    return value if isinstance(value, int) else 0


def _scheduled(status: Mapping[str, Any]) -> str:
    for each in map(mapping_of, list_of(status, "conditions")):
        if each.get("type") == SCHEDULED:
            return f"{text_of(each.get('status'))} {text_of(each.get('message'))}"
    return ""


def standing_of(gangs: Gangs, gang: Gang, kept: tuple[str, ...]) -> Standing:
    """What the status of the gang's PodGroup should say; `kept` are the uids it says now."""
    members, least = gangs.members(gang), gangs.least(gang)
    bound = sum(bool(pod.node) for pod in members.placed)
    running = sum(pod.running for pod in members.placed if pod.node)
    satisfied = gangs.is_satisfied(gang)
    uids = tuple(sorted(gang.satisfied)) if gang.satisfied else kept
    left = len(members.waiting) + members.gated + len(members.placed) + members.succeeded
    phase = _phase(
        least,
        bound=bound,
        running=running,
        succeeded=members.succeeded,
        failed=members.failed,
        left=left,
    )
    return Standing(
        phase=phase,
        scheduled=bound + members.succeeded + members.failed,
        running=running,
        succeeded=members.succeeded,
        failed=members.failed,
        satisfied=satisfied,
        satisfied_by=uids if len(uids) <= MOST_UIDS else kept,
    )


def _phase(
    least: int, *, bound: int, running: int, succeeded: int, failed: int, left: int
) -> GroupPhase:
    if succeeded and succeeded >= least:
        return GroupPhase.FINISHED
    if failed and left < least:
        return GroupPhase.FAILED
    if running + succeeded and running + succeeded >= least:
        return GroupPhase.RUNNING
    if bound + succeeded and bound + succeeded >= least:
        return GroupPhase.SCHEDULED
    return GroupPhase.SCHEDULING if bound else GroupPhase.PENDING


def status_of(standing: Standing, before: Standing, now: float) -> dict[str, Any]:
    """The status on the wire. A condition that stays keeps its time, so it is left out."""
    status: dict[str, Any] = {
        "phase": standing.phase,
        "scheduled": standing.scheduled,
        "running": standing.running,
        "succeeded": standing.succeeded,
        "failed": standing.failed,
    }
    if standing.satisfied_by:
        status["satisfiedBy"] = list(standing.satisfied_by)
    if standing.satisfied != before.satisfied or not before.phase:
        status["conditions"] = [_satisfied(standing, now)]
    return status


def _satisfied(standing: Standing, now: float) -> dict[str, Any]:
    yes = standing.satisfied
    return {
        "type": SATISFIED,
        "status": "True" if yes else "False",
        "reason": "MinimumReached" if yes else "MinimumNotReached",
        "message": (
            "the minimum was reached once: nothing is asked of the gang any more"
            if yes
            else "the gang has not had its minimum yet"
        ),
        "lastTransitionTime": rfc3339(now),
    }


def scheduled_condition(standing: Standing, least: int, before: str, now: float) -> dict[str, Any]:
    """The condition of Kubernetes' own PodGroup; `before` is what the record says of it.

    One whose status stays keeps its time, so that is left out.
    """
    yes = standing.satisfied or standing.scheduled >= least
    status = "True" if yes else "False"
    condition = {
        "type": SCHEDULED,
        "status": status,
        "reason": "Scheduled" if yes else "Unschedulable",
        "message": (
            "its minimum stands on nodes"
            if yes
            else f"{standing.scheduled} of at least {least} pods stand on nodes"
        ),
    }
    if before.partition(" ")[0] != status:
        condition["lastTransitionTime"] = rfc3339(now)
    return condition
