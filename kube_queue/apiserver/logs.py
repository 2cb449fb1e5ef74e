"""The log subresource of pods: what can honestly be said of a container that runs no program.

Holds: read. A container's log is two lines, rendered from the pod's status: what it was started
with, and how it ended. A kubelet writes that status; no program writes here.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from kube_queue.apiserver.messages import Response
from kube_queue.apiserver.options import Query
from kube_queue.apiserver.printers.durations import parse_time
from kube_queue.apiserver.reading import find, view_of
from kube_queue.apiserver.status import (
    FieldError,
    bad_request,
    field_invalid,
    invalid,
    method_not_allowed,
)
from kube_queue.apiserver.store import DELETED, Collection, Event, Object
from kube_queue.apiserver.view import View
from kube_queue.apiserver.watch import WatchStream
from kube_queue.apiserver.world import Call, World

FOLLOW_SECONDS = 4 * 3600.0
"""How long a log is followed at most."""
_HEADERS = {"Content-Type": "text/plain; charset=utf-8"}
_KINDS = (
    ("initContainers", "initContainerStatuses"),
    ("containers", "containerStatuses"),
    ("ephemeralContainers", "ephemeralContainerStatuses"),
)
_TRUE = ("true", "1")


@dataclass(frozen=True, slots=True)
class _Options:
    container: str
    follow: bool
    previous: bool
    timestamps: bool
    tail: int | None
    limit: int | None
    since: float


def read(world: World, call: Call) -> Response:
    """The container's log so far, or as it grows; 400 when it has not started."""
    if call.request.method not in ("GET", "HEAD"):
        raise method_not_allowed()
    record = find(call)
    pod = record.decode()
    chosen = _options(world, call.query, pod)
    lines = _lines(pod, chosen, refuse=True)
    text = _cut([text for moment, text in lines if moment >= chosen.since], chosen)
    if not chosen.follow or _is_over(pod, chosen):
        return Response(200, _HEADERS, text)
    stream = _LogStream(view_of(world, call), call.collection, record.uid, chosen, len(lines))
    if text:
        stream.say(text)
    stream.start(FOLLOW_SECONDS, bookmarks=False)
    return Response(200, _HEADERS, stream)


def _options(world: World, query: Query, pod: Object) -> _Options:
    problems: list[FieldError] = []
    numbers: dict[str, int] = {}
    for name, least in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        text = query.get(name, "")
        if not text:
            continue
        if not text.lstrip("-").isdecimal() or len(text) > 18:
            raise bad_request(f'invalid value for query parameter {name}: "{text}" is no number')
        numbers[name] = int(text)
        if numbers[name] < least:
            problems.append(
                field_invalid(name, numbers[name], f"must be greater than or equal to {least}")
            )
    if problems:
        raise invalid("", "PodLogOptions", pod["metadata"]["name"], problems)
    since = 0.0
    if "sinceSeconds" in numbers:
        since = world.clock() - numbers["sinceSeconds"]
    elif query.get("sinceTime"):
        moment = parse_time(query["sinceTime"])
        if moment is None:
            raise bad_request("sinceTime is not an RFC 3339 time")
        since = moment
    return _Options(
        container=_container(query.get("container", ""), pod),
        follow=query.get("follow", "") in _TRUE,
        previous=query.get("previous", "") in _TRUE,
        timestamps=query.get("timestamps", "") in _TRUE,
        tail=numbers.get("tailLines"),
        limit=numbers.get("limitBytes"),
        since=since,
    )


def _container(asked: str, pod: Object) -> str:
    name, spec = pod["metadata"]["name"], pod["spec"]
    own = [container["name"] for container in spec["containers"]]
    if not asked:
        if len(own) == 1:
            return str(own[0])
        before = [container["name"] for container in spec.get("initContainers", ())]
        text = f"a container name must be specified for pod {name}, choose one of: {_listed(own)}"
        raise bad_request(
            f"{text} or one of the init containers: {_listed(before)}" if before else text
        )
    every = [container["name"] for key, _ in _KINDS for container in spec.get(key, ())]
    if asked not in every:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    return asked


def _listed(names: list[Any]) -> str:
    return f"[{' '.join(names)}]"


def _status(pod: Object, name: str) -> Object:
    status = pod.get("status", {})
    for _, key in _KINDS:
        for container in status.get(key, ()):
            if container.get("name") == name:
                found: Object = container
                return found
    return {}


def _state(pod: Object, chosen: _Options) -> Object:
    state: Object = _status(pod, chosen.container).get(
        "lastState" if chosen.previous else "state", {}
    )
    return state


def _is_over(pod: Object, chosen: _Options) -> bool:
    over = pod.get("status", {}).get("phase") in ("Failed", "Succeeded")
    return chosen.previous or over or "running" not in _state(pod, chosen)


def _lines(pod: Object, chosen: _Options, *, refuse: bool) -> list[tuple[float, bytes]]:
    """When each line was written, and the line."""
    if not pod["spec"].get("nodeName"):
        return []
    state, name = _state(pod, chosen), chosen.container
    ended = state.get("terminated")
    began = ended or state.get("running")
    if not began:
        if refuse:
            raise bad_request(_not_begun(pod, chosen))
        return []
    said = [(began.get("startedAt"), f"(simulated) started: {_command(pod, name)}")]
    if ended:
        reason = f" ({ended['reason']})" if ended.get("reason") else ""
        text = f"(simulated) ended with exit code {ended.get('exitCode', 0)}{reason}"
        said.append((ended.get("finishedAt"), text))
    return [
        (
            parse_time(str(moment or "")) or 0.0,
            f"{f'{moment} ' if chosen.timestamps and moment else ''}{text}\n".encode(),
        )
        for moment, text in said
    ]


def _not_begun(pod: Object, chosen: _Options) -> str:
    name, pod_name = chosen.container, pod["metadata"]["name"]
    if chosen.previous:
        return f'previous terminated container "{name}" in pod "{pod_name}" not found'
    reason = _state(pod, chosen).get("waiting", {}).get("reason") or "ContainerCreating"
    return f'container "{name}" in pod "{pod_name}" is waiting to start: {reason}'


def _command(pod: Object, name: str) -> str:
    for key, _ in _KINDS:
        for container in pod["spec"].get(key, ()):
            if container["name"] == name:
                words = [*container.get("command", ()), *container.get("args", ())]
                return " ".join(words) or f"the entry point of {container.get('image', '')}"
    return ""


def _cut(lines: list[bytes], chosen: _Options) -> bytes:
    if chosen.tail is not None:
        lines = lines[len(lines) - min(chosen.tail, len(lines)) :]
    return b"".join(lines)[: chosen.limit]


class _LogStream(WatchStream):
    """The lines that join one container's log, until it ends."""

    def __init__(
        self, view: View, collection: Collection, uid: str, chosen: _Options, known: int
    ) -> None:
        super().__init__(view, collection)
        self._uid = uid
        self._chosen = chosen
        self._known = known

    def offer(self, event: Event) -> None:
        """What a change of the pod adds to the log follows."""
        if event.record.uid != self._uid:
            return
        pod = orjson.loads(event.record.raw)
        lines = _lines(pod, self._chosen, refuse=False)
        for _, line in lines[self._known :]:
            self.say(line)
        self._known = max(self._known, len(lines))
        if event.type == DELETED or _is_over(pod, self._chosen):
            self.end()
