"""How many live pods each job has, kept up to date pod by pod."""

from __future__ import annotations

from collections.abc import Callable

from kube_queue.api.types import PODS
from kube_queue.controller.jobs.records import PodOwner, PodRecord
from kube_queue.jobframework.unit_status import Pods

_NONE = Pods()


class PodCounts:
    """Counts live pods by the uid of their controller; a free one that is a job by its own as well.

    `changed(namespace, owner, before, after)` is called when the counts of an owner change.
    """

    def __init__(self, changed: Callable[[str, PodOwner, Pods, Pods], None]) -> None:
        self._changed = changed
        self._counts: dict[str, Pods] = {}

    def of(self, uid: str) -> Pods:
        """The live pods whose controller, or who themselves, have this uid."""
        return self._counts.get(uid, _NONE)

    def seen(self, old: PodRecord | None, new: PodRecord | None) -> None:
        """Handler of the pods' informer."""
        # A pod's controller never changes, but one that nobody controls may be adopted.
        for owner in dict.fromkeys(pod.owner for pod in (old, new) if pod is not None):
            if owner.uid:
                self._count(owner, old, new)
        for itself in dict.fromkeys(_itself(pod) for pod in (old, new) if pod and pod.free):
            self._count(itself, old, new)

    def _count(self, owner: PodOwner, old: PodRecord | None, new: PodRecord | None) -> None:
        before = self.of(owner.uid)
        was, now = _counted(owner, old), _counted(owner, new)
        after = Pods(
            on_node=before.on_node - was.on_node + now.on_node,
            pending=before.pending - was.pending + now.pending,
            leaving=before.leaving - was.leaving + now.leaving,
        )
        if after == before:
            return
        if after == _NONE:
            del self._counts[owner.uid]
        else:
            self._counts[owner.uid] = after
        pod = new or old
        assert pod is not None
        self._changed(pod.namespace, owner, before, after)


def _counted(owner: PodOwner, pod: PodRecord | None) -> Pods:
    """What one pod adds to the counts of `owner`."""
    if pod is None or not pod.live or not (pod.owner == owner or _is(pod, owner)):
        return _NONE
    return Pods(on_node=int(pod.on_node), pending=int(not pod.on_node), leaving=int(pod.leaving))


def _itself(pod: PodRecord) -> PodOwner:
    return PodOwner(PODS.group, PODS.kind, pod.name, pod.uid)


def _is(pod: PodRecord, owner: PodOwner) -> bool:
    return pod.free and pod.uid == owner.uid
