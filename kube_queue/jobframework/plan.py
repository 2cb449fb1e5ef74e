"""The truth table of a job and its unit: what is, in; what to do next, out.

Nothing but the present is looked at, so it does not matter what was done before, by whom, or
whether somebody was killed half-way. A column is the unit's phase, a row is the job::

              no unit         Enqueued            Dequeued            Running
    gone      -               the unit goes, once garbage collection had its time
    ended     -               adopt, then finish  finish              finish
    held      create          keep up to date,    show it waits no    by its spec: requeue
                              show that it waits  more, release       once its pods are gone;
                                                                      by its mark only: release
     + pods   create          adopt, charge, warn
    free      create if ever  adopt, charge       running once its    keep pod state and what it
              released                            pods run            holds up to date
    evicted   -               -                   suspend; once its pods are gone: Enqueued;
                                                  one that comes back held: delete;
                                                  a kind that cannot be stopped: say so, go on
    too long  -               -                   -                   suspend for good, or end it;
                                                                      else say so, go on
    stopped   -               the unit goes       Failed once its pods are gone
    for good

Reserved and TimeoutBackoff are the controller's. Reserved: a held job keeps up to date, one that
is free is adopted, one that ended is finished. TimeoutBackoff: a free job is suspended, and of a
held one is told how many pods it has left, because the way back waits for them; one that ended is
finished. A finished unit stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kube_queue.api.conditions import UnitCondition, rfc3339
from kube_queue.api.errors import InvalidInput
from kube_queue.api.lifecycle import FINISHED, Phase
from kube_queue.api.names import JOB_HAS_ENQUEUED_ANNOTATION, STOPPED_ANNOTATION
from kube_queue.api.reasons import Reason
from kube_queue.api.resources import EMPTY
from kube_queue.jobframework import unit_status
from kube_queue.jobframework.decisions import (
    AnnotateJob,
    Decision,
    DeleteJob,
    DeleteUnit,
    Emit,
    MarkQueuing,
    ResumeJob,
    StopJob,
    SuspendJob,
    Topic,
    UnitStatus,
    Wait,
)
from kube_queue.jobframework.extension import (
    Hold,
    JobPatch,
    JobState,
    Replaced,
    Selective,
    ShowsQueuing,
    Stoppable,
    Suspendable,
    evictable,
)
from kube_queue.jobframework.requests import asked
from kube_queue.jobframework.resizing import resized
from kube_queue.jobframework.run_time import run_time
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue.jobframework.unit_manifest import create_unit, update_admitted, update_unit
from kube_queue.jobframework.unit_status import Pods
from kube_queue.jobframework.unit_view import UnitView
from kube_queue.jobframework.view import JobView

COLLECTION_SECONDS = 3.0
"""How long garbage collection has for the unit of a job that is gone."""
SUSPEND_IGNORED_SECONDS = 5.0
"""How long an operator has to take the pods of a held job away."""
PODS_GONE_SECONDS = 2.0
"""How long a job whose operator does not say so must be without pods to count as stopped."""
INSTANT = 0.001
"""Less than this is over: a timer cannot wait out what is left by rounding."""
POD_STATE_SECONDS = 2.0
"""Pods come and go in bursts; one write tells of a whole burst."""
CUT_SECONDS = 1.0
"""Times on the wire are cut to whole seconds: what they began may be this much younger."""

_WAITING = frozenset({Phase.ENQUEUED, Phase.TIMEOUT_BACKOFF})
_STOPPED = {STOPPED_ANNOTATION: Reason.MAXIMUM_EXECUTION_TIME_EXCEEDED.value}
_REFUSAL = Emit(Reason.NOT_EVICTABLE, Reason.NOT_EVICTABLE.meaning, warning=True)


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything besides job and unit that a plan depends on."""

    surroundings: Surroundings
    now: float
    """Seconds since the epoch."""
    first_seen: int = 0
    """When the job was first seen, in microseconds since the epoch; 0 = just now."""
    pods: Pods = field(default_factory=Pods)
    waited: Mapping[Topic, float] = field(default_factory=dict)
    """For how many seconds the plan has asked to wait for a topic without a break."""

    @property
    def now_text(self) -> str:
        """The present moment as RFC 3339."""
        return rfc3339(self.now)


def plan(view: JobView | None, unit: UnitView | None, scene: Scene) -> tuple[Decision, ...]:
    """What is to be done next about a job and its unit; nothing once all is as it should be.

    At most one write: after it, decide again. `view` and `unit` are None where they do not exist.
    """
    if view is None:
        return _job_gone(unit, scene)
    if unit is not None and (unit.unit.job is None or unit.unit.job.uid != view.ref.uid):
        # A job of the same name was there before; its unit must not lend this one its quota.
        return (DeleteUnit(),)
    if view.deleting:
        return ()
    if unit is None:
        return _without_unit(view, scene)
    if (view.foreign or _for_good(view)) and unit.unit.phase in _WAITING:
        return (DeleteUnit(),)
    if unit.unit.phase in FINISHED:
        return ()
    if view.state.outcome is not None:
        return _ended(view, unit, scene)
    if view.state.hold is Hold.NONE:
        return _free(view, unit, scene)
    return _held(view, unit, scene)


def _job_gone(unit: UnitView | None, scene: Scene) -> tuple[Decision, ...]:
    if unit is None or not unit.ours:
        return ()
    waits, over = _waiting(Topic.JOB_GONE, COLLECTION_SECONDS, scene)
    return (waits, DeleteUnit()) if over else (waits,)


def _without_unit(view: JobView, scene: Scene) -> tuple[Decision, ...]:
    if _for_good(view) or view.state.outcome is not None:
        return ()
    if view.foreign:
        return _stuck(view)
    if not view.ref.uid:
        # A group of pods, of which the one that stands for it is not there.
        return ()
    free = view.state.hold is Hold.NONE
    if free and not view.released_before:
        # It never asked for a queue.
        return ()
    first_seen = scene.first_seen or int(scene.now * 1_000_000)
    return (create_unit(view, scene.surroundings, first_seen, certain=free),)


def _stuck(view: JobView) -> tuple[Decision, ...]:
    """Somebody else's job that waits for us: where the hold is ours, nobody else takes it away."""
    if view.state.hold is Hold.NONE or not isinstance(view.extension, Selective):
        return ()
    problem = f"it {view.foreign}, so it is not queued, and nobody takes away what holds it"
    return (Emit(Reason.INVALID_JOB, problem, warning=True),)


def _ended(view: JobView, unit: UnitView, scene: Scene) -> tuple[Decision, ...]:
    outcome = view.state.outcome
    assert outcome is not None
    if unit.unit.phase is Phase.ENQUEUED:
        # The way to the end leads through Dequeued; the next lap finishes it.
        reason = Reason.JOB_SUCCEEDED if outcome.succeeded else Reason.JOB_FAILED
        return _adopt(view, unit, scene, reason, unit_status.ending(outcome))
    if view.stopped and not outcome.succeeded:
        return _failed(unit, scene)
    phase = Phase.SUCCEED if outcome.succeeded else Phase.FAILED
    reason = Reason.JOB_SUCCEEDED if outcome.succeeded else Reason.JOB_FAILED
    status = unit_status.finished(unit, phase, reason, unit_status.ending(outcome), scene.now_text)
    return (UnitStatus(status, phase),)


def _held(view: JobView, unit: UnitView, scene: Scene) -> tuple[Decision, ...]:
    phase = unit.unit.phase
    if phase in (Phase.DEQUEUED, Phase.RUNNING):
        if view.stopped:
            waits, gone = _pods_gone(view.state, scene)
            return (*waits, *_failed(unit, scene)) if gone else waits
        if unit.unit.evicted:
            return _requeue(view.state, unit, scene, *_eviction(unit))
        if phase is Phase.RUNNING and view.state.hold is Hold.SPEC:
            message = (
                "the job was suspended while it ran; to hold it, set spec.active=false on "
                f"QueueUnit {unit.name}"
            )
            return _requeue(view.state, unit, scene, Reason.SUSPENDED_BY_USER, message)
        return _release(view, scene)
    beside: tuple[Decision, ...] = run_time(view).warnings
    if phase is Phase.ENQUEUED and _has_pods(view.state, scene.pods):
        wait, over = _waiting(Topic.SUSPEND_IGNORED, SUSPEND_IGNORED_SECONDS, scene)
        beside = (*beside, wait)
        if over:
            message = Reason.SUSPEND_IGNORED.meaning
            return (wait, *_adopt(view, unit, scene, Reason.SUSPEND_IGNORED, message))
    if phase in _WAITING:
        update = update_unit(view, unit, scene.surroundings)
    else:
        update = update_admitted(view, unit, scene.surroundings)
    if update is not None:
        return (*beside, update)
    shown = _show_queuing(view, True, scene)
    if not shown and phase is Phase.TIMEOUT_BACKOFF:
        return (*beside, *_pods_left(view.state, unit, scene))
    return (*beside, *shown)


def _free(view: JobView, unit: UnitView, scene: Scene) -> tuple[Decision, ...]:
    phase = unit.unit.phase
    if phase in (Phase.ENQUEUED, Phase.RESERVED):
        return _adopt(view, unit, scene, Reason.RELEASED_BY_HAND, Reason.RELEASED_BY_HAND.meaning)
    left = _time_left(unit, scene)
    if left is not None and left <= INSTANT:
        return _too_long(view, unit, scene)
    waits = () if left is None else (Wait(Topic.RUN_LIMIT, left),)
    if phase is Phase.TIMEOUT_BACKOFF or unit.unit.evicted:
        extension = view.extension
        if not evictable(extension, view.manifest):
            return (_REFUSAL, *waits, *_free_and_kept(view, unit, scene))
        if isinstance(extension, Suspendable):
            # Taken for what it was a moment ago, a unit that came back would lose its job again.
            certain = phase is Phase.TIMEOUT_BACKOFF
            return (SuspendJob(extension.suspend(view.manifest), certain=certain),)
        assert isinstance(extension, Replaced)
        return (DeleteJob(),)
    return (*waits, *_free_and_kept(view, unit, scene))


def _time_left(unit: UnitView, scene: Scene) -> float | None:
    """Seconds the job may still run; None where it may run as long as it wants."""
    limit, started = unit.unit.limit_seconds, unit.unit.started
    if not limit or not started:
        return None
    return started / 1_000_000 + limit + CUT_SECONDS - scene.now


def _too_long(view: JobView, unit: UnitView, scene: Scene) -> tuple[Decision, ...]:
    extension = view.extension
    if isinstance(extension, Suspendable) and evictable(extension, view.manifest):
        patch = _annotated(extension.suspend(view.manifest), _STOPPED)
        return (SuspendJob(patch, certain=True),)
    if not isinstance(extension, Stoppable):
        return (_REFUSAL, *_free_and_kept(view, unit, scene))
    if view.stopped:
        # Its own controller is ending it.
        return _free_and_kept(view, unit, scene)
    return (StopJob(_annotated(extension.stop(view.manifest), _STOPPED), certain=True),)


def _for_good(view: JobView) -> bool:
    """Whether the job was stopped for good and nobody has released it since."""
    return view.stopped and view.state.hold is not Hold.NONE


def _failed(unit: UnitView, scene: Scene) -> tuple[Decision, ...]:
    reason = Reason.MAXIMUM_EXECUTION_TIME_EXCEEDED
    limit = unit.unit.limit_seconds
    message = f"the job ran longer than {limit} s" if limit else reason.meaning
    status = unit_status.finished(unit, Phase.FAILED, reason, message, scene.now_text)
    return (UnitStatus(status, Phase.FAILED, (Emit(reason, message, warning=True),)),)


def _free_and_kept(view: JobView, unit: UnitView, scene: Scene) -> tuple[Decision, ...]:
    phase = unit.unit.phase
    if phase is Phase.DEQUEUED and view.state.running:
        pods = scene.pods if scene.pods.total else Pods(on_node=view.state.alive)
        return (UnitStatus(unit_status.running(unit, pods, scene.now_text), Phase.RUNNING),)
    if phase is Phase.TIMEOUT_BACKOFF:
        return ()
    shown = _show_queuing(view, False, scene)
    if shown:
        return shown
    if not view.released_before:
        mark = {"metadata": {"annotations": {JOB_HAS_ENQUEUED_ANNOTATION: "true"}}}
        return (AnnotateJob(mark),)
    waits, resize = _resized(view, unit, scene)
    write = resize or update_admitted(view, unit, scene.surroundings)
    return (*waits, write) if write is not None else (*waits, *_pod_state(unit, scene))


def _resized(
    view: JobView, unit: UnitView, scene: Scene
) -> tuple[tuple[Wait, ...], UnitStatus | None]:
    """What a job has become is charged: more at once, less once a burst of changes is over."""
    found = resized(view, unit, scene.surroundings)
    if found is None:
        return (), None
    phase = unit.unit.phase
    status = unit_status.resized(found.sets, scene.now_text)
    if found.grew:
        pods = sum(each.count for each in found.sets)
        total = sum((each.total for each in found.sets), EMPTY).manifest()
        asks = ", ".join(f"{name} {amount}" for name, amount in total.items()) or "nothing"
        message = f"the job grew to {pods} pods that ask for {asks}; its quota is charged for them"
        news = Emit(Reason.RESIZED, message)
        return (), UnitStatus(status, phase, (news,))
    wait, over = _waiting(Topic.RESIZE, POD_STATE_SECONDS, scene)
    return (wait,), UnitStatus(status, phase) if over else None


def _release(view: JobView, scene: Scene) -> tuple[Decision, ...]:
    shown = _show_queuing(view, False, scene)
    if shown:
        return shown
    patch = _annotated(view.extension.resume(view.manifest), {JOB_HAS_ENQUEUED_ANNOTATION: "true"})
    # A job that ran before may have been requeued since the unit was last told to be admitted.
    return (ResumeJob(patch, certain=view.released_before),)


def _annotated(patch: JobPatch, marks: Mapping[str, str]) -> JobPatch:
    metadata = dict(patch.get("metadata") or {})
    annotations = {**(metadata.get("annotations") or {}), **marks}
    return {**patch, "metadata": {**metadata, "annotations": annotations}}


def _show_queuing(view: JobView, waits: bool, scene: Scene) -> tuple[Decision, ...]:
    extension = view.extension
    if not isinstance(extension, ShowsQueuing):
        return ()
    patch = extension.queuing(view.manifest, waits, scene.now_text)
    return () if patch is None else (MarkQueuing(patch, waits),)


def _adopt(
    view: JobView, unit: UnitView, scene: Scene, reason: Reason, message: str
) -> tuple[Decision, ...]:
    try:
        sets = asked(
            view.extension.pod_sets(view.manifest), view.ref.namespace, scene.surroundings
        ).sets
    except InvalidInput:
        sets = unit.pod_sets
    status = unit_status.adopted(unit, sets, reason, message, scene.now_text)
    says = (Emit(reason, message, warning=True),) if view.state.outcome is None else ()
    return (UnitStatus(status, Phase.DEQUEUED, says, certain=True),)


def _requeue(
    state: JobState, unit: UnitView, scene: Scene, reason: Reason, message: str
) -> tuple[Decision, ...]:
    waits, gone = _pods_gone(state, scene)
    if not gone:
        return waits
    status = unit_status.requeued(unit, reason, message, scene.now_text)
    # Who had it evicted has said why; what is new is that it is over.
    news = Emit(reason, f"its pods are gone and it waits again: {message}")
    return (*waits, UnitStatus(status, Phase.ENQUEUED, (news,), certain=True))


def _pods_gone(state: JobState, scene: Scene) -> tuple[tuple[Decision, ...], bool]:
    """Whether a held job has come to rest, and what to wait for if that is to be seen yet."""
    if scene.pods.total or (state.alive and not state.stopped):
        # The pods' own events bring us back. Counts in a status may be left over, pods may not.
        return (), False
    wait, over = _waiting(Topic.PODS_GONE, PODS_GONE_SECONDS, scene)
    return (wait,), over or state.stopped


def _pods_left(state: JobState, unit: UnitView, scene: Scene) -> tuple[Decision, ...]:
    """Tells the controller how many pods a job that is to stay away has left, at last none."""
    if scene.pods.total:
        return _pod_state(unit, scene)
    if unit.pods_told and not unit.pods_on_node and not unit.pods_pending:
        return ()
    waits, gone = _pods_gone(state, scene)
    if not gone:
        return waits
    status = unit_status.pods_seen(scene.pods, Phase.TIMEOUT_BACKOFF, scene.now_text)
    return (*waits, UnitStatus(status, Phase.TIMEOUT_BACKOFF, certain=True))


def _eviction(unit: UnitView) -> tuple[Reason, str]:
    condition = unit.condition(UnitCondition.EVICTED)
    word = condition.get("reason")
    known = {reason.value: reason for reason in Reason}
    reason = known.get(word, Reason.EVICTED) if isinstance(word, str) else Reason.EVICTED
    message = condition.get("message")
    return reason, message if isinstance(message, str) and message else reason.meaning


def _has_pods(state: JobState, pods: Pods) -> bool:
    """Pods that stay: those on their way out are no sign of an operator that ignores the hold."""
    if pods.total:
        return pods.total > pods.leaving
    # What a status counts may be left over from before the job was held.
    return state.alive > 0 and not state.stopped


def _pod_state(unit: UnitView, scene: Scene) -> tuple[Decision, ...]:
    pods = scene.pods
    if (unit.pods_on_node, unit.pods_pending) == (pods.on_node, pods.pending) or not pods.total:
        return ()
    wait, over = _waiting(Topic.POD_STATE, POD_STATE_SECONDS, scene)
    if not over:
        return (wait,)
    phase = unit.unit.phase
    return (UnitStatus(unit_status.pods_seen(pods, phase, scene.now_text), phase),)


def _waiting(topic: Topic, seconds: float, scene: Scene) -> tuple[Wait, bool]:
    """The wish to go on waiting for `topic`, and whether it has lasted `seconds` already."""
    left = seconds - scene.waited.get(topic, 0.0)
    over = left <= INSTANT
    return Wait(topic, seconds if over else left), over
