"""What every extension must keep, checked on samples of its kind.

One line in a kind's tests: `assert check(MyExtension(), SAMPLES) == ()`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from kube_queue.api.errors import InvalidInput
from kube_queue.api.types import QUEUE_UNITS
from kube_queue.jobframework.extension import (
    Endless,
    HeldAtFirst,
    Hold,
    JobExtension,
    JobState,
    Reclaimable,
    Replaced,
    Selective,
    ShowsQueuing,
    Stoppable,
    Suspendable,
)
from kube_queue.jobframework.plan import Scene, plan
from kube_queue.jobframework.requests import asked
from kube_queue.jobframework.surroundings import Surroundings
from kube_queue.jobframework.view import view_job

_NOW: Final = "2026-01-31T12:00:00Z"
_JUNK: Final[tuple[Any, ...]] = (
    None,
    True,
    -1,
    2**70,
    0.5,
    "junk",
    [],
    ["junk"],
    [None],
    {},
    "2Gb",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One job as its API server would return it, and what is true of it."""

    manifest: Mapping[str, Any]
    hold: Hold = Hold.NONE
    running: bool = False
    succeeded: bool | None = None
    """None: it has not ended."""
    asks: Mapping[str, str] | None = None
    """The total request, as canonical quantities; None: not checked."""


def check(extension: JobExtension, samples: Sequence[Sample]) -> tuple[str, ...]:
    """Every rule that `extension` breaks on `samples`, one sentence each; empty if it conforms."""
    found = list(_check_extension(extension, samples))
    for number, sample in enumerate(samples):
        found += [f"sample {number}: {problem}" for problem in _check_sample(extension, sample)]
    return tuple(dict.fromkeys(found))


def merged(target: Any, patch: Any) -> Any:
    """What a JSON merge patch (RFC 7386) makes of `target`; neither is changed."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _check_extension(extension: JobExtension, samples: Sequence[Sample]) -> Iterator[str]:
    if not isinstance(extension, JobExtension):
        yield "it is no JobExtension"
        return
    if extension.name != extension.name.lower() or not extension.name.isidentifier():
        yield f"its name {extension.name!r} is not one lower-case word"
    if not extension.suffix.isalnum() or extension.suffix != extension.suffix.lower():
        yield f"its suffix {extension.suffix!r} is not lower-case letters and digits"
    holds = {sample.hold for sample in samples}
    if not holds - {Hold.NONE} or Hold.NONE not in holds:
        yield "its samples lack a held job or a free one"
    ends = {sample.succeeded for sample in samples}
    if isinstance(extension, Endless):
        if ends != {None}:
            yield "one of its samples has ended, which no job of its kind does"
    elif not {True, False} <= ends:
        yield "its samples lack a job that succeeded or one that failed"
    if not any(sample.running for sample in samples):
        yield "its samples lack a running job"


def _check_sample(extension: JobExtension, sample: Sample) -> Iterator[str]:
    before = orjson.dumps(sample.manifest)
    yield from _check_facts(extension, sample)
    yield from _check_patches(extension, sample)
    if isinstance(extension, ShowsQueuing):
        yield from _check_queuing(extension, extension, sample)
    yield from _check_junk(extension, sample.manifest)
    if orjson.dumps(sample.manifest) != before:
        yield "the manifest was changed"


def _check_facts(extension: JobExtension, sample: Sample) -> Iterator[str]:
    state = extension.state(sample.manifest)
    if state != extension.state(copy.deepcopy(sample.manifest)):
        yield "state gives two answers for one manifest"
    if state.hold is not sample.hold:
        yield f"hold is {state.hold.value}, not {sample.hold.value}"
    if state.running is not sample.running:
        yield f"running is {state.running}"
    if (state.outcome.succeeded if state.outcome else None) is not sample.succeeded:
        yield f"the outcome is {state.outcome}"
    if sample.manifest.get("kind") != extension.resource.kind:
        yield f"the sample is no {extension.resource.kind}"
    if sample.asks is not None:
        try:
            found = asked(extension.pod_sets(sample.manifest), "default", Surroundings())
        except InvalidInput as error:
            yield f"its request cannot be read: {error}"
        else:
            if found.total.manifest() != dict(sample.asks):
                yield f"it asks for {found.total.manifest()}, not {dict(sample.asks)}"
    if isinstance(extension, Reclaimable):
        yield from _check_finished(extension, extension, sample)
    held = sample.hold is not Hold.NONE
    if held and isinstance(extension, Selective) and not extension.concerns(sample.manifest):
        yield "a held job does not concern it"
    if held and sample.succeeded is None:
        kinds = {type(each).__name__ for each in _first_plan(extension, sample.manifest)}
        if "CreateUnit" not in kinds:
            yield f"a held job gets no {QUEUE_UNITS.kind}"


def _check_finished(extension: JobExtension, tells: Reclaimable, sample: Sample) -> Iterator[str]:
    try:
        names = {each.name for each in extension.pod_sets(sample.manifest)}
    except InvalidInput:
        return
    for name, done in tells.finished(sample.manifest).items():
        if name not in names:
            yield f"finished names {name!r}, which is no pod set"
        if done < 0:
            yield f"finished says {done} pods of {name} are done"


def _check_patches(extension: JobExtension, sample: Sample) -> Iterator[str]:
    def after(patch: Mapping[str, Any]) -> JobState:
        return extension.state(merged(sample.manifest, patch))

    resume = extension.resume(sample.manifest)
    if "status" in resume:
        yield "resume writes the status"
    if after(resume).hold is not Hold.NONE:
        yield "resume leaves the job held"
    if isinstance(extension, Stoppable) and "status" in extension.stop(sample.manifest):
        yield "stop writes the status"
    if isinstance(extension, HeldAtFirst):
        yield from _check_hold(extension, extension, sample)
    if isinstance(extension, Suspendable):
        held = merged(sample.manifest, extension.suspend(sample.manifest))
        if extension.state(held).hold is Hold.NONE:
            yield "suspend leaves the job free"
        if extension.state(merged(held, extension.resume(held))).hold is not Hold.NONE:
            yield "resume does not undo suspend"


def _check_hold(extension: JobExtension, holds: HeldAtFirst, sample: Sample) -> Iterator[str]:
    try:
        held = merged(sample.manifest, holds.hold(sample.manifest))
    except InvalidInput:
        return
    if extension.state(held).hold is Hold.NONE:
        yield "hold leaves the job free"
    if merged(held, holds.hold(held)) != held:
        yield "hold is not done once it was done"


def _check_queuing(extension: JobExtension, shows: ShowsQueuing, sample: Sample) -> Iterator[str]:
    seen = sample.manifest
    for waits in (True, False, True):
        patch = shows.queuing(seen, waits, _NOW)
        if patch is not None and set(patch) != {"status"}:
            yield "queuing writes something besides the status"
        seen = merged(seen, patch or {})
        if shows.queuing(seen, waits, _NOW) is not None:
            yield f"queuing(waits={waits}) is never satisfied"
    if extension.state(seen).outcome != extension.state(sample.manifest).outcome:
        yield "queuing changes how the job ended"


def _check_junk(extension: JobExtension, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Any one field of spec or status replaced by junk, or gone, harms nobody but the job."""
    for path in _paths(manifest):
        if path[0] == "metadata" and path != ("metadata", "annotations"):
            continue
        for junk in _JUNK:
            broken = _with(manifest, path, junk)
            for call in _calls(extension):
                try:
                    call(broken)
                except InvalidInput as error:
                    if not error.problem:
                        yield f"{_spelt(path)} = {junk!r} is refused without a word"
                except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as bug:
                    yield f"{_spelt(path)} = {junk!r} raises {type(bug).__name__}: {bug}"


def _calls(extension: JobExtension) -> Iterator[Callable[[Mapping[str, Any]], object]]:
    yield extension.state
    yield extension.resume
    yield extension.priority_class
    yield lambda manifest: _first_plan(extension, manifest)
    if isinstance(extension, Suspendable):
        yield extension.suspend
    if isinstance(extension, HeldAtFirst):
        yield extension.hold
    if isinstance(extension, Stoppable):
        yield extension.stop
    if isinstance(extension, Reclaimable):
        yield extension.finished
    if isinstance(extension, Replaced):
        yield extension.replaced
    if isinstance(extension, Selective):
        yield extension.concerns
    if isinstance(extension, ShowsQueuing):
        yield lambda manifest: extension.queuing(manifest, True, _NOW)
        yield lambda manifest: extension.queuing(manifest, False, _NOW)


def _first_plan(extension: JobExtension, manifest: Mapping[str, Any]) -> tuple[object, ...]:
    return plan(view_job(extension, manifest), None, Scene(Surroundings(), now=0.0))


def _paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if here:
        yield here
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _paths(inner, (*here, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, (*here, index))


def _with(manifest: Mapping[str, Any], path: tuple[Any, ...], junk: Any) -> dict[str, Any]:
    changed: dict[str, Any] = orjson.loads(orjson.dumps(manifest))
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = junk
    return changed


def _spelt(path: tuple[Any, ...]) -> str:
    return ".".join(str(step) for step in path)
