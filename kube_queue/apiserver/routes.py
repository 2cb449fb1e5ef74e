"""Paths: which resource, namespace, name and subresource a request means.

Holds: Route, parse.
"""

from dataclasses import dataclass

from kube_queue.apiserver.kinds import Kind, KindRegistry


@dataclass(frozen=True, slots=True)
class Route:
    """A path under /api or /apis that leads to a served resource."""

    kind: Kind
    namespace: str
    name: str
    subresource: str


def parse(path: str, kinds: KindRegistry) -> Route | None:
    """The route, or None when no resource is served at that path."""
    parts = path.split("/")
    if parts[1:3] == ["api", "v1"]:
        group, version, rest = "", "v1", parts[3:]
    elif len(parts) > 4 and parts[1] == "apis":
        group, version, rest = parts[2], parts[3], parts[4:]
    else:
        return None
    if rest and rest[-1] == "":
        rest.pop()
    if not rest or "" in rest:
        return None
    return _in_group(group, version, rest, kinds)


def _in_group(group: str, version: str, rest: list[str], kinds: KindRegistry) -> Route | None:
    if rest[0] == "namespaces" and len(rest) > 2:
        kind = kinds.find(group, version, rest[2])
        if kind is not None and kind.namespaced:
            return _route(kind, rest[1], rest[3:])
        if group:
            return None
    kind = kinds.find(group, version, rest[0])
    if kind is None or (kind.namespaced and len(rest) > 1):
        return None
    return _route(kind, "", rest[1:])


def _route(kind: Kind, namespace: str, rest: list[str]) -> Route | None:
    if len(rest) > 2:
        return None
    name, subresource = [*rest, "", ""][:2]
    return Route(kind, namespace, name, subresource)
