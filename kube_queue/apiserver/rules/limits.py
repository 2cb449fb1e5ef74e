"""LimitRange admission: what containers get when they do not say, and the bounds they must keep.

Holds: fill_in, before an object is judged, and keep_bounds, after. The wording is Kubernetes' own.
"""

from collections.abc import Iterator

from kube_queue.apiserver.kinds import Kind
from kube_queue.apiserver.rules.quantities import amount
from kube_queue.apiserver.rules.usage import Amounts, pod_amounts
from kube_queue.apiserver.status import forbidden
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.world import World

_BOUND = (("", "persistentvolumeclaims"), ("", "pods"))
_NOTE = "kubernetes.io/limit-ranger"
_EFFORT = 50_000_000
"""Containers of a pod times bytes of limit ranges; a dozen times a few hundred is usual."""


def _limits(world: World, namespace: str, kind: str) -> Iterator[Object]:
    """The entries of a namespace's limit ranges about Container, Pod or PersistentVolumeClaim."""
    ranges = world.store.collection("", "limitranges")
    for record in sorted(ranges.within(namespace), key=lambda record: record.name):
        for entry in record.decode().get("spec", {}).get("limits", ()):
            if entry.get("type") == kind:
                yield entry


def fill_in(world: World, pod: Object) -> None:
    """The pod's containers ask for what the limit ranges say where they ask for nothing."""
    namespace = pod["metadata"].get("namespace", "")
    if not world.store.collection("", "limitranges").namespaces.get(namespace):
        return
    _check_effort(world, namespace, pod)
    requests: Object = {}
    limits: Object = {}
    notes: list[str] = []
    for entry in _limits(world, namespace, "Container"):
        requests = {**entry.get("defaultRequest", {}), **requests}
        limits = {**entry.get("default", {}), **limits}
    if not requests and not limits:
        return
    for key, named in (("containers", "container"), ("initContainers", "init container")):
        for container in pod["spec"].get(key, ()):
            for what, defaults in (("requests", requests), ("limits", limits)):
                own = container["resources"].get(what, {})
                added = sorted(set(defaults) - set(own))
                if added:
                    container["resources"][what] = {**own, **{k: defaults[k] for k in added}}
                    where = f"{what.removesuffix('s')} for {named} {container.get('name', '')}"
                    notes.append(f"{', '.join(added)} {where}")
    if notes:
        text = f"LimitRanger plugin set: {'; '.join(notes)}"
        pod["metadata"].setdefault("annotations", {})[_NOTE] = text


def _check_effort(world: World, namespace: str, pod: Object) -> None:
    """A 403 when it would take seconds to hold each container against each amount."""
    ranges = world.store.collection("", "limitranges").within(namespace)
    size = sum(len(record.raw) for record in ranges)
    count = sum(len(pod["spec"].get(key, ())) for key in ("containers", "initContainers"))
    if size * count > _EFFORT:
        pods = world.kinds.find("", "v1", "pods")
        assert pods is not None
        why = f"{count} containers are too many for {size} bytes of limit ranges in this namespace"
        raise forbidden(pods, pod["metadata"].get("name", ""), why)


def keep_bounds(world: World, kind: Kind, obj: Object, old: Object | None) -> None:
    """Raises a 403 when a pod or claim does not keep the bounds of its namespace."""
    if (kind.group, kind.plural) not in _BOUND or (old is not None and kind.plural == "pods"):
        return
    namespace = obj["metadata"].get("namespace", "")
    if not world.store.collection("", "limitranges").namespaces.get(namespace):
        return
    found = _claim_errors if kind.plural == "persistentvolumeclaims" else _pod_errors
    errors = found(world, namespace, obj.get("spec", {}))
    if errors:
        text = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        raise forbidden(kind, obj["metadata"]["name"], text)


def _claim_errors(world: World, namespace: str, spec: Object) -> list[str]:
    requests = spec.get("resources", {}).get("requests", {})
    found: list[str] = []
    for entry in _limits(world, namespace, "PersistentVolumeClaim"):
        found += _least(entry, requests, {})
        for name, most in sorted(entry.get("max", {}).items()):
            found += _request_most(name, most, requests, entry["type"])
    return found


def _pod_errors(world: World, namespace: str, spec: Object) -> list[str]:
    found: list[str] = []
    for entry in _limits(world, namespace, "Container"):
        for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
            resources = container["resources"]
            found += _bounds(entry, resources.get("requests", {}), resources.get("limits", {}))
    for entry in _limits(world, namespace, "Pod"):
        requests, limits = (pod_amounts(spec, what) for what in ("requests", "limits"))
        found += _bounds(entry, _texts(requests), _texts(limits))
    return found


def _texts(amounts: Amounts) -> dict[str, str]:
    return {name: str(value) for name, value in amounts.items()}


def _bounds(entry: Object, requests: Object, limits: Object) -> list[str]:
    return [
        *_least(entry, requests, limits),
        *_most(entry, requests, limits),
        *_ratio(entry, requests, limits),
    ]


def _least(entry: Object, requests: Object, limits: Object) -> list[str]:
    found = []
    for name, least in sorted(entry.get("min", {}).items()):
        said = f"minimum {name} usage per {entry['type']} is {least}"
        if name not in requests:
            found.append(f"{said}.  No request is specified")
        elif amount(requests[name]) < amount(least):
            found.append(f"{said}, but request is {requests[name]}")
        elif name in limits and amount(limits[name]) < amount(least):
            found.append(f"{said}, but limit is {limits[name]}")
    return found


def _most(entry: Object, requests: Object, limits: Object) -> list[str]:
    found = []
    for name, most in sorted(entry.get("max", {}).items()):
        said = f"maximum {name} usage per {entry['type']} is {most}"
        if name not in limits:
            found.append(f"{said}.  No limit is specified")
        elif amount(limits[name]) > amount(most):
            found.append(f"{said}, but limit is {limits[name]}")
        else:
            found += _request_most(name, most, requests, entry["type"]) if name in requests else []
    return found


def _request_most(name: str, most: str, requests: Object, kind: str) -> list[str]:
    said = f"maximum {name} usage per {kind} is {most}"
    if name not in requests:
        return [f"{said}.  No request is specified"]
    over = amount(requests[name]) > amount(most)
    return [f"{said}, but request is {requests[name]}"] if over else []


def _ratio(entry: Object, requests: Object, limits: Object) -> list[str]:
    found = []
    for name, most in sorted(entry.get("maxLimitRequestRatio", {}).items()):
        said = f"{name} max limit to request ratio per {entry['type']} is {most}"
        request, limit = (amount(each.get(name, "0")) for each in (requests, limits))
        if not request:
            found.append(f"{said}, but no request is specified or request is 0")
        elif not limit:
            found.append(f"{said}, but no limit is specified or limit is 0")
        elif limit / request > amount(most):
            found.append(f"{said}, but provided ratio is {float(limit / request):f}")
    return found
