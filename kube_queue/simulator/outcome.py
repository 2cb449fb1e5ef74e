"""What an operator decides in one look at a job: a value, so that deciding stays pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from kube_queue.api.names import RUN_SECONDS_ANNOTATION
from kube_queue.api.types import ResourceType
from kube_queue.simulator.fields import mapping
from kube_queue.simulator.owned_pods import Wanted
from kube_queue.simulator.views import PodView

UNTIL_STOPPED_SECONDS: Final = "31536000"
"""Run time of a pod that serves until it is taken away; a year, and a number to every kubelet."""


@dataclass(frozen=True, slots=True)
class NewPod:
    """A pod that is missing: its template, and what it has besides."""

    template: Mapping[str, Any]
    wanted: Wanted
    owner: PodView | None = None
    """The pod that owns it; None: the job."""


@dataclass(slots=True)
class Outcome:
    """Status to write, pods to delete, pods to create, seconds until it is looked at again."""

    status: dict[str, Any]
    delete: list[PodView] = field(default_factory=list)
    create: list[NewPod] = field(default_factory=list)
    again: float = math.inf
    expired: bool = False
    """The job itself is to be deleted."""
    labels: dict[str, str] = field(default_factory=dict)
    """Labels the job gets."""


Plan = Callable[[Mapping[str, Any], Sequence[PodView], float], Outcome]
"""From the job, the pods below it in the order of their names, and the time in seconds."""


@dataclass(frozen=True, slots=True)
class OperatedKind:
    """A kind that an operator plays: what it is, how the operator is called, what it decides."""

    resource: ResourceType
    component: str
    plan: Plan
    status_subresource: bool = True


def until_stopped(template: Mapping[str, Any]) -> dict[str, str]:
    """Annotations of a pod that serves until it is stopped, unless its template says otherwise."""
    given = mapping(mapping(template.get("metadata")).get("annotations"))
    return (
        {} if RUN_SECONDS_ANNOTATION in given else {RUN_SECONDS_ANNOTATION: UNTIL_STOPPED_SECONDS}
    )
