"""What a kind of job must say to be queued: a few pure functions from manifest to facts.

A manifest is the job as the API server returned it. Every function may be called any number of
times, from any process, and must give the same answer; none keeps or changes what it was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, runtime_checkable

from kube_queue.api.reasons import Reason
from kube_queue.api.resources import ResourceVector
from kube_queue.api.types import ResourceType

JobPatch = dict[str, Any]
"""A JSON merge patch of a job, without preconditions: those are added where it is sent."""


class Hold(Enum):
    """What keeps a job from running."""

    NONE = "none"
    MARK = "mark"
    """Only an annotation, which a re-applied manifest brings back without anybody meaning it."""
    SPEC = "spec"
    """A field of its spec: somebody asked for it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended. `reason` and `message` are the ones its own controller gave, or empty."""

    succeeded: bool
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class JobState:
    """Where a job stands, read from its spec and status."""

    hold: Hold
    running: bool = False
    """Its pods run (not only: exist)."""
    outcome: Outcome | None = None
    """How it ended; None while it has not."""
    alive: int = 0
    """Pods that its own status counts as neither finished nor gone."""
    stopped: bool = False
    """Its own controller has seen that it is held and has taken its pods away."""
    managed_by: str = ""
    """Set when the spec hands the job to a controller other than the kind's own."""


@dataclass(frozen=True, slots=True)
class PodSet:
    """`count` equal pods. Exactly one of `template` and `requests` is given.

    `template` is a PodTemplateSpec, `requests` what one pod asks for. `path` is where the pod set
    stands in the manifest, for messages ("spec.template"). `whole`: what stands there is the
    template itself, which is a pod.
    """

    name: str
    count: int
    path: str
    template: Mapping[str, Any] | None = None
    requests: ResourceVector | None = None
    whole: bool = False


@runtime_checkable
class JobExtension(Protocol):
    """One kind of job. Everything else of a job's life in the queue is the framework's.

    `name` is what `--enabled-extensions` takes (`aliases` as well); `suffix` makes the unit's name
    `<job>-<suffix>-qu` and must be no other extension's.
    """

    name: str
    aliases: tuple[str, ...]
    resource: ResourceType
    suffix: str

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """Where the job stands. Fields that are missing or malformed count as absent."""

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """The pods the job would run if it were released now, or, of one that runs, has become.

        Raises InvalidInput with the path of a field that makes that impossible to tell.
        """

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """The PriorityClass the job itself names, apart from its pod templates; or empty."""

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """The patch after which nothing holds the job."""


@runtime_checkable
class Suspendable(Protocol):
    """A kind whose running jobs can be stopped and started again."""

    def suspend(self, manifest: Mapping[str, Any]) -> JobPatch:
        """The patch after which the job is held and its pods go."""


@runtime_checkable
class HeldAtFirst(Protocol):
    """A kind whose new jobs are held in another way than running ones are suspended, if at all."""

    def hold(self, manifest: Mapping[str, Any]) -> JobPatch:
        """The patch after which a job that was never created is held from its creation on.

        Raises InvalidManifest where the job could not be held, or its operator would refuse it.
        """


@runtime_checkable
class Replaced(Protocol):
    """A kind whose jobs cannot be suspended, but some of which come back, held, once deleted."""

    def replaced(self, manifest: Mapping[str, Any]) -> bool:
        """Whether somebody makes another job, held like this one was, once this one is deleted."""


@runtime_checkable
class Selective(Protocol):
    """A kind of which most objects are none of the queue's, and not worth being kept.

    What holds its jobs is a mark of ours, which nobody else takes away.
    """

    def concerns(self, manifest: Mapping[str, Any]) -> bool:
        """Whether the object is held, or the queue has marked it as released or stopped."""


@runtime_checkable
class Grouped(Protocol):
    """A kind, of resource Pod, whose jobs are groups of pods.

    What every other function is given is a whole group, see `joining`; but `concerns` is asked of
    each pod. A group is identified by its name (`by_name`), else by the pod that stands for it.
    """

    by_name: bool

    def group(self, pod: Mapping[str, Any]) -> str:
        """The name of the group that this pod is part of; empty where it is part of none."""

    def head(self, name: str, pods: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """Of this group's pods, the oldest first, the one that stands for it; None: not there."""

    def free(self, pod: Mapping[str, Any]) -> bool:
        """Whether nothing of ours holds this pod."""


@runtime_checkable
class MadeFromTemplates(Protocol):
    """A kind whose jobs are also made, one by one, by objects of other kinds from their templates.

    `makers` are those kinds.
    """

    makers: tuple[ResourceType, ...]

    def held_in_template(self, maker: Mapping[str, Any], metadata: Mapping[str, Any]) -> JobPatch:
        """The patch of the maker after which every job it makes is held from its creation on.

        Their metadata gets `metadata` as well. Raises InvalidManifest where it cannot make jobs, or
        none that are held.
        """

    def made(self, maker: Mapping[str, Any]) -> Mapping[str, Any]:
        """A job as the maker would make it. Raises InvalidManifest."""


@runtime_checkable
class SometimesEvictable(Protocol):
    """A Suspendable kind of whose jobs some go on whatever their spec says."""

    def evictable(self, manifest: Mapping[str, Any]) -> bool:
        """Whether suspending this job takes its pods away."""


@runtime_checkable
class Versioned(Protocol):
    """A kind that clusters serve in different versions.

    `versions` are all that are understood, the preferred one, which is `resource`, first. Only the
    first that a cluster serves is watched: it shows the objects of every version.
    """

    versions: tuple[ResourceType, ...]


@runtime_checkable
class Reclaimable(Protocol):
    """A kind some of whose pods are done while others go on, as its own status tells."""

    def finished(self, manifest: Mapping[str, Any]) -> Mapping[str, int]:
        """How many pods of each pod set are done, by its name, unless `pod_sets` leaves them out.

        Asked of jobs that nothing holds. Pods whose place others take are not done; those that run
        once more because the whole job starts anew are charged again then.

        Raises InvalidInput where `pod_sets` does.
        """


@runtime_checkable
class Warns(Protocol):
    """A kind whose jobs may be queued and still be odd."""

    def warnings(self, manifest: Mapping[str, Any]) -> tuple[tuple[Reason, str], ...]:
        """What the job's owner should know, besides what keeps the job from being queued."""


@runtime_checkable
class Stoppable(Protocol):
    """A kind whose running jobs can be ended for good, where they cannot be suspended."""

    def stop(self, manifest: Mapping[str, Any]) -> JobPatch:
        """The patch after which the job ends, badly, and its pods go."""


@runtime_checkable
class Endless(Protocol):
    """A kind whose jobs run until somebody deletes them: none of them has an outcome.

    `endless` is true.
    """

    endless: bool


@runtime_checkable
class ShowsQueuing(Protocol):
    """A kind whose own status tells that it waits in a queue."""

    def queuing(self, manifest: Mapping[str, Any], waits: bool, now_text: str) -> JobPatch | None:
        """The patch of the status after which it shows that the job waits, or no longer does.

        None where the status says so already. `now_text` is RFC 3339.
        """


def evictable(extension: JobExtension, manifest: Mapping[str, Any]) -> bool:
    """Whether the job gives its place back once it runs: what does not is never a victim."""
    if isinstance(extension, Replaced):
        return extension.replaced(manifest)
    if not isinstance(extension, Suspendable):
        return False
    return not isinstance(extension, SometimesEvictable) or extension.evictable(manifest)
