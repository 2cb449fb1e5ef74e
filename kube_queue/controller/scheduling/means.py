"""What the effects of scheduling decisions are made with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kube_queue.api.pods import Pod
from kube_queue.api.types import PODS
from kube_queue.cache.placing import PlacementCache
from kube_queue.controller.scheduling.foreign import ForeignChanges
from kube_queue.kube.events import EventRecorder, EventType, ObjectRef
from kube_queue.kube.writes import WriteScheduler
from kube_queue.observability.meters import Meters


@dataclass(frozen=True, slots=True)
class Means:
    """Memory, hands and clock of one leadership."""

    cache: PlacementCache
    foreign: ForeignChanges
    writes: WriteScheduler
    events: EventRecorder
    meters: Meters
    clock: Callable[[], float]
    pod: Callable[[str, str], Pod | None]
    """A pod by namespace and name, as its informer keeps it."""
    wake: Callable[[], None]
    """There may be something to decide."""

    def tell(self, pod: Pod, type_: EventType, reason: str, message: str) -> None:
        """An event on the pod, if the budget has room for it."""
        self.events.record(pod_reference(pod), type_, reason, message)


def pod_key(pod: Pod) -> tuple[str, str, str]:
    """The key under which every write of a pod waits its turn: one object, one at a time."""
    return PODS.plural, pod.namespace, pod.name


def pod_reference(pod: Pod) -> ObjectRef:
    """The pod as Events name it."""
    return ObjectRef(PODS.api_version, PODS.kind, pod.namespace, pod.name, pod.uid)
