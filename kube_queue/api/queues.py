"""The hot projection of a Queue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from sys import intern
from typing import Any, Final

from kube_queue.api.loose import mapping_of, shown, text_of
from kube_queue.api.names import (
    CREATED_BY_LABEL,
    PRIORITY_THRESHOLD_ANNOTATION,
    QUOTA_PATH_ANNOTATION,
)


class Policy(StrEnum):
    """How a queue picks among its waiting units; the values are the ones on the wire."""

    ROUND = "Round"
    """Units take turns; one that does not fit backs off and smaller ones pass."""
    PRIORITY = "Priority"
    """Every release starts again from the first unit; smaller ones still pass."""
    BLOCK = "Block"
    """Only the head is tried; all behind it wait."""
    INTELLIGENT = "Intelligent"
    """Units above a threshold behave as Block, the others as Priority."""
    BACKFILL = "Backfill"
    """As Block, but a unit that cannot delay the head may pass it."""


class StopPolicy(StrEnum):
    """Whether a queue is stopped; the values are the ones on the wire."""

    NONE = "None"
    """It is not."""
    HOLD = "Hold"
    """It admits nothing; what was admitted goes on."""
    HOLD_AND_DRAIN = "HoldAndDrain"
    """It admits nothing, and what was admitted is evicted and waits again."""


DEFAULT_THRESHOLD: Final = 4
"""From this priority on units of an Intelligent queue block, where it names no other."""

_WHOLE_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,10}")
_POLICIES: Final = {policy.value: policy for policy in Policy}
_STOPS: Final = {stop.value: stop for stop in StopPolicy}


@dataclass(frozen=True, slots=True)
class Queue:
    """One Queue as admission sees it.

    ``policy`` is None when the object names none: the controller's default applies. An unknown
    word (``policy_text``) behaves as Round; ``policy_unknown`` then asks for a condition.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str
    policy: Policy | None
    policy_text: str
    priority: int
    quota_path: str
    """The quota leaf an automatic Queue belongs to; empty on others."""
    created_by_us: bool
    threshold: int = DEFAULT_THRESHOLD
    """Under Intelligent: units of at least this priority block the others."""
    threshold_unread: str = ""
    """What the annotation for the threshold says, quoted, if that is no integer; else empty."""
    stop: StopPolicy = StopPolicy.NONE
    """A word nobody knows holds the queue: somebody wanted it stopped."""

    @property
    def key(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    @property
    def policy_unknown(self) -> bool:
        """Whether the object names a policy nobody knows."""
        return bool(self.policy_text) and self.policy_text not in _POLICIES


def project_queue(obj: Mapping[str, Any]) -> Queue:
    """The Queue an object stands for; never raises on content."""
    metadata = mapping_of(obj.get("metadata"))
    spec = mapping_of(obj.get("spec"))
    named = spec.get("queuePolicy")
    text = named if isinstance(named, str) else "" if named is None else shown(named)
    priority = spec.get("priority")
    annotations = mapping_of(metadata.get("annotations"))
    threshold, threshold_unread = _threshold(annotations.get(PRIORITY_THRESHOLD_ANNOTATION))
    return Queue(
        namespace=intern(text_of(metadata.get("namespace"))),
        name=intern(text_of(metadata.get("name"))),
        uid=text_of(metadata.get("uid")),
        resource_version=text_of(metadata.get("resourceVersion")),
        policy=_POLICIES.get(text, Policy.ROUND) if text else None,
        policy_text=text,
        priority=priority if isinstance(priority, int) and not isinstance(priority, bool) else 0,
        quota_path=text_of(annotations.get(QUOTA_PATH_ANNOTATION)),
        created_by_us=mapping_of(metadata.get("labels")).get(CREATED_BY_LABEL) == "true",
        threshold=threshold,
        threshold_unread=threshold_unread,
        stop=_stop(spec.get("stopPolicy")),
    )


def _stop(written: object) -> StopPolicy:
    if written is None or written == "":
        return StopPolicy.NONE
    return _STOPS.get(written, StopPolicy.HOLD) if isinstance(written, str) else StopPolicy.HOLD


def _threshold(written: object) -> tuple[int, str]:
    """The threshold, and what is written where that cannot be read."""
    if written is None:
        return DEFAULT_THRESHOLD, ""
    if isinstance(written, str) and _WHOLE_NUMBER.fullmatch(written.strip()):
        return int(written), ""
    return DEFAULT_THRESHOLD, shown(written)
