"""AppWrapper of workload.codeflare.dev/v1beta2.

Source: github.com/project-codeflare/appwrapper v1.2: a component's podSets give the path of each
pod template inside the component and its replicas (absent 1); a component that declares none is
looked through. Phases Suspended, Running, Succeeded, Failed; condition PodsReady.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kube_queue.api.errors import InvalidManifest
from kube_queue.api.loose import field_path, shown
from kube_queue.api.types import ResourceType
from kube_queue.jobframework.extension import Hold, JobPatch, JobState, Outcome, PodSet
from kube_queue.jobframework.fields import (
    MAX_COUNT,
    demand_count,
    demand_section,
    entries,
    section,
    text,
)

APPWRAPPERS: Final = ResourceType("workload.codeflare.dev", "v1beta2", "appwrappers", "AppWrapper")
CONTROLLER: Final = "workload.codeflare.dev/appwrapper-controller"
DEEPEST: Final = 64
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[([0-9]{1,9})\]")


class AppWrapperExtension:
    """Held by spec.suspend; one pod set for every pod template in its components.

    Stopped by spec.suspend, which deletes what it wraps.
    """

    name = "appwrapper"
    aliases: tuple[str, ...] = ()
    resource = APPWRAPPERS
    suffix = "aw"

    def state(self, manifest: Mapping[str, Any]) -> JobState:
        """See JobExtension."""
        held = section(manifest, "spec").get("suspend") is True
        phase = text(manifest, "status", "phase")
        true = {
            text(each, "type")
            for each in entries(manifest, "status", "conditions")
            if each.get("status") == "True"
        }
        ended = phase in ("Succeeded", "Failed")
        managed_by = text(manifest, "spec", "managedBy")
        return JobState(
            hold=Hold.SPEC if held else Hold.NONE,
            running=not held and phase == "Running" and "PodsReady" in true,
            outcome=Outcome(phase == "Succeeded", phase) if ended else None,
            stopped=held and phase == "Suspended",
            managed_by="" if managed_by == CONTROLLER else managed_by,
        )

    def pod_sets(self, manifest: Mapping[str, Any]) -> tuple[PodSet, ...]:
        """See JobExtension."""
        path = "spec.components"
        components = demand_section(manifest, "spec").get("components")
        if not isinstance(components, list) or not components:
            problem = "is missing" if components is None else "is no list of components"
            raise InvalidManifest(problem, path, "list what it wraps")
        found: list[PodSet] = []
        for index, component in enumerate(components):
            where = f"{path}[{index}]"
            if not isinstance(component, Mapping):
                raise InvalidManifest("is not a mapping", where, "write a template")
            template = demand_section({where: component}, where, "template")
            declared = component.get("podSets")
            if declared:
                found.extend(_declared(declared, template, where, index))
            else:
                found.extend(_inferred(template, where, index))
        return tuple(found)

    def priority_class(self, manifest: Mapping[str, Any]) -> str:
        """See JobExtension. An AppWrapper names none apart from its pod templates'."""
        return ""

    def resume(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See JobExtension."""
        return {"spec": {"suspend": False}}

    def suspend(self, manifest: Mapping[str, Any]) -> JobPatch:
        """See Suspendable."""
        return {"spec": {"suspend": True}}


def _declared(
    declared: Any, template: Mapping[str, Any], path: str, index: int
) -> Iterator[PodSet]:
    if not isinstance(declared, list):
        raise InvalidManifest("is no list", f"{path}.podSets", "list replicas and path")
    for number, pod_set in enumerate(declared):
        where = f"{path}.podSets[{number}]"
        if not isinstance(pod_set, Mapping):
            raise InvalidManifest("is not a mapping", where, "write replicas and path")
        count = demand_count(pod_set.get("replicas"), 1, f"{where}.replicas")
        pods = _at(template, pod_set.get("path"), f"{where}.path")
        yield PodSet(f"component-{index}-{number}", count, where, template=pods)


def _at(template: Mapping[str, Any], path: object, where: str) -> Mapping[str, Any]:
    """The pod template at this path inside a component, which begins with "template"."""
    hint = "write it from `template` on, such as template.spec.template"
    if not isinstance(path, str) or not path.startswith("template") or len(path) > 1024:
        raise InvalidManifest(f"{shown(path)} is no path of a pod template", where, hint)
    here: Any = template
    position = len("template")
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            raise InvalidManifest(f"{shown(path)} is no path of a pod template", where, hint)
        position = step.end()
        if step[1] is not None:
            here = here.get(step[1]) if isinstance(here, Mapping) else None
        elif isinstance(here, list) and int(step[2]) < len(here):
            here = here[int(step[2])]
        else:
            here = None
    if not isinstance(here, Mapping):
        raise InvalidManifest(f"nothing is found at {shown(path)}", where, hint)
    return here


def _inferred(template: Mapping[str, Any], path: str, index: int) -> list[PodSet]:
    """Every pod template in a component, so many times as the numbers beside it and above say."""
    found: list[PodSet] = []
    if _is_pod(template):
        return [PodSet(f"component-{index}-0", 1, path, template=template)]
    for count, pods, where in _templates(template, 1, f"{path}.template", 0):
        found.append(PodSet(f"component-{index}-{len(found)}", count, where, template=pods))
    if _pods_in(template) > len(found):
        problem = "holds pods of which nobody can tell how many there will be"
        raise InvalidManifest(problem, f"{path}.template", f"say so in {path}.podSets")
    return found


def _templates(
    value: Any, times: int, path: str, depth: int
) -> Iterator[tuple[int, Mapping[str, Any], str]]:
    if depth > DEEPEST:
        raise InvalidManifest(f"is more than {DEEPEST} levels deep", path[:200], "make it flatter")
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _templates(inner, times, f"{path}[{index}]", depth + 1)
    if not isinstance(value, Mapping):
        return
    inside = times
    if isinstance(value.get("template"), Mapping):
        inside = _times(value, times, path)
    for name, inner in value.items():
        where = field_path(path, str(name))
        if name == "template" and _is_pod(inner):
            yield inside, inner, path
        else:
            yield from _templates(inner, inside if name == "template" else times, where, depth + 1)


def _times(group: Mapping[str, Any], times: int, path: str) -> int:
    """How many pods the template of this group stands for."""
    pods = demand_count(group.get("parallelism"), 1, f"{path}.parallelism")
    if group.get("completions") is not None:
        pods = min(pods, demand_count(group["completions"], 1, f"{path}.completions"))
    replicas = demand_count(group.get("replicas"), 1, f"{path}.replicas")
    hosts = demand_count(group.get("numOfHosts"), 1, f"{path}.numOfHosts") or 1
    count = times * pods * replicas * hosts
    if count > MAX_COUNT:
        problem = f"{shown(count)} pods are more than can be counted"
        raise InvalidManifest(problem, path, f"use at most {MAX_COUNT} in all")
    return count


def _is_pod(value: Any) -> bool:
    return isinstance(value, Mapping) and "containers" in section(value, "spec")


def _pods_in(value: Any, depth: int = 0) -> int:
    """How many mappings have containers; as deep as `_templates` has already looked."""
    inner = value.values() if isinstance(value, Mapping) else value
    if not isinstance(value, Mapping | list) or depth > DEEPEST:
        return 0
    own = int(isinstance(value, Mapping) and "containers" in value)
    return own + sum(_pods_in(each, depth + 1) for each in inner)
