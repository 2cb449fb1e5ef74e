"""How many live pods each job has, kept up to date pod by pod."""

from __future__ import annotations

from collections.abc import Callable

from kube_queue.controller.jobs.records import JobKey, PodOwner, PodRecord
from kube_queue.jobframework.unit_status import Pods

_NONE = Pods()


class PodCounts:
    """Counts live pods by the uid of their controller, and free ones that are jobs by their job.

    `changed(namespace, owner, before, after)` is called when the counts of an owner change,
    `part_changed(job, before, after)` when those of a job that consists of pods do.
    """

    def __init__(
        self,
        changed: Callable[[str, PodOwner, Pods, Pods], None],
        part_changed: Callable[[JobKey, Pods, Pods], None],
    ) -> None:
        self._changed = changed
        self._part_changed = part_changed
        self._counts: dict[str | JobKey, Pods] = {}

    def of(self, whose: str | JobKey) -> Pods:
        """The live pods whose controller has this uid, or that are this job."""
        return self._counts.get(whose, _NONE)

    def seen(self, old: PodRecord | None, new: PodRecord | None) -> None:
        """Handler of the pods' informer."""
        pod = new or old
        assert pod is not None
        # A pod's controller never changes, but one that nobody controls may be adopted.
        for owner in dict.fromkeys(pod.owner for pod in (old, new) if pod is not None):
            if owner.uid:
                before, after = self._count(owner.uid, _below(owner, old), _below(owner, new))
                if before != after:
                    self._changed(pod.namespace, owner, before, after)
        for job in dict.fromkeys(pod.part for pod in (old, new) if pod is not None and pod.part):
            before, after = self._count(job, _part_of(job, old), _part_of(job, new))
            if before != after:
                self._part_changed(job, before, after)

    def _count(self, whose: str | JobKey, was: Pods, now: Pods) -> tuple[Pods, Pods]:
        """The counts before and after one pod that was counted so is counted so now."""
        before = self.of(whose)
        after = Pods(
            on_node=before.on_node - was.on_node + now.on_node,
            pending=before.pending - was.pending + now.pending,
            leaving=before.leaving - was.leaving + now.leaving,
        )
        if after == _NONE:
            self._counts.pop(whose, None)
        else:
            self._counts[whose] = after
        return before, after


def _below(owner: PodOwner, pod: PodRecord | None) -> Pods:
    """What one pod adds to the counts of `owner`."""
    return _NONE if pod is None or pod.owner != owner else _counted(pod)


def _part_of(job: JobKey, pod: PodRecord | None) -> Pods:
    """What one pod adds to the counts of `job`: nothing while it waits."""
    return _NONE if pod is None or pod.part != job or not pod.free else _counted(pod)


def _counted(pod: PodRecord) -> Pods:
    if not pod.live:
        return _NONE
    return Pods(on_node=int(pod.on_node), pending=int(not pod.on_node), leaving=int(pod.leaving))
