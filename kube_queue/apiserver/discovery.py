"""What a client may ask for: the server's version, its groups, and the resources in each.

Holds: respond; the answers for /version, /api, /apis, one group and one group-version, and the
aggregated form (apidiscovery.k8s.io/v2) of /api and /apis for clients that accept it.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson

from kube_queue.apiserver.builtin import ServedSubresource, served_subresources
from kube_queue.apiserver.kinds import Kind, KindRegistry

KUBERNETES_VERSION = "v1.36.3"
JSON = "application/json"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_AGGREGATED_PARTS = frozenset(AGGREGATED.split(";")[1:])
_CUSTOM_VERBS = (
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
)
_STATUS_VERBS = ("get", "patch", "update")

Answer = tuple[int, str, bytes]


def respond(path: str, accept: str, registry: KindRegistry) -> Answer | None:
    """Status, content type and body for a discovery path; None for any other path.

    A group or group-version that is not served is not a discovery path: the caller says 404.
    """
    parts = tuple(part for part in path.split("/") if part)
    if not parts or parts[0] not in ("version", "api", "apis"):
        return None
    aggregated = len(parts) == 1 and parts[0] != "version" and wants_aggregated(accept)
    body = _body(registry, registry.generation, parts, aggregated)
    return None if body is None else (200, AGGREGATED if aggregated else JSON, body)


def wants_aggregated(accept: str) -> bool:
    """Whether an Accept header names the v2 aggregated form."""
    for choice in accept.split(","):
        media, *parameters = (part.strip() for part in choice.split(";"))
        if media == JSON and _AGGREGATED_PARTS.issubset(parameters):
            return True
    return False


@lru_cache(maxsize=64)
def _body(
    registry: KindRegistry, generation: int, parts: tuple[str, ...], aggregated: bool
) -> bytes | None:
    """The body for a path; `generation` makes an answer old as soon as the kinds change."""
    if aggregated:
        return orjson.dumps(_aggregated(registry, core=parts[0] == "api"))
    match parts:
        case ("version",):
            content: dict[str, Any] | None = _version()
        case ("api",):
            content = {
                "kind": "APIVersions",
                "versions": _versions(registry, ""),
                "serverAddressByClientCIDRs": [],
            }
        case ("apis",):
            groups = [_group(registry, group) for group in _groups(registry)]
            content = {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ("apis", group) if _versions(registry, group):
            content = {"kind": "APIGroup", "apiVersion": "v1", **_group(registry, group)}
        case ("api", version) if registry.serves("", version):
            content = _resource_list(registry, "", version)
        case ("apis", group, version) if group and registry.serves(group, version):
            content = _resource_list(registry, group, version)
        case _:
            content = None
    return None if content is None else orjson.dumps(content)


def _version() -> dict[str, Any]:
    major, minor, _ = KUBERNETES_VERSION[1:].split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{KUBERNETES_VERSION}+kube-queue",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    }


# ------------------------------------------------------------------------ groups, versions


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Sorts versions as Kubernetes prefers them: v2, v1, v2beta1, v1beta1, v1alpha1, others."""
    match = re.fullmatch(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?", version)
    if match is None:
        return (3, 0, 0, version)
    stage = {None: 0, "beta": 1, "alpha": 2}[match[2]]
    return (stage, -int(match[1]), -int(match[3] or 0), version)


def _versions(registry: KindRegistry, group: str) -> list[str]:
    return sorted({kind.version for kind in registry.of_group(group)}, key=version_rank)


def _groups(registry: KindRegistry) -> list[str]:
    """Named groups: the built-in ones first, each part in order of name."""
    builtin = {kind.group: kind.builtin for kind in registry.kinds() if kind.group}
    return sorted(builtin, key=lambda group: (not builtin[group], group))


def _group(registry: KindRegistry, group: str) -> dict[str, Any]:
    versions = [
        {"groupVersion": f"{group}/{version}", "version": version}
        for version in _versions(registry, group)
    ]
    return {"name": group, "versions": versions, "preferredVersion": versions[0]}


def _kinds(registry: KindRegistry, group: str, version: str) -> list[Kind]:
    kinds = (kind for kind in registry.of_group(group) if kind.version == version)
    return sorted(kinds, key=lambda kind: kind.plural)


# ------------------------------------------------------------------------------- resources


def subresources_of(kind: Kind) -> Iterable[ServedSubresource]:
    """The served subresources of a kind with their verbs, by name."""
    if kind.builtin:
        known = served_subresources().get(kind.gvr, ())
        return [entry for entry in known if entry.name in kind.subresources]
    entries = []
    if "status" in kind.subresources:
        entries.append(ServedSubresource("status", kind.kind, _STATUS_VERBS))
    if "scale" in kind.subresources:
        entries.append(ServedSubresource("scale", "Scale", _STATUS_VERBS, "autoscaling", "v1"))
    return entries


def _resource_list(registry: KindRegistry, group: str, version: str) -> dict[str, Any]:
    resources: list[dict[str, Any]] = []
    for kind in _kinds(registry, group, version):
        resource: dict[str, Any] = {
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": _verbs(kind),
        }
        resources.append(resource | _names(kind))
        for entry in subresources_of(kind):
            resource = {
                "name": f"{kind.plural}/{entry.name}",
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": entry.kind,
                "verbs": list(entry.verbs),
            }
            if entry.version:
                resource |= {"group": entry.group, "version": entry.version}
            resources.append(resource)
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": resources,
    }


def _verbs(kind: Kind) -> list[str]:
    """The verbs in the order in which Kubernetes names them."""
    if kind.builtin:
        return sorted(kind.verbs)
    return sorted(kind.verbs, key=_CUSTOM_VERBS.index)


def _names(kind: Kind) -> dict[str, Any]:
    names: dict[str, Any] = {}
    if kind.short_names:
        names["shortNames"] = list(kind.short_names)
    if kind.categories:
        names["categories"] = list(kind.categories)
    return names


def _aggregated(registry: KindRegistry, *, core: bool) -> dict[str, Any]:
    groups = [""] if core else _groups(registry)
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group} if group else {},
                "versions": [
                    {
                        "version": version,
                        "resources": [
                            _aggregated_resource(kind) for kind in _kinds(registry, group, version)
                        ],
                        "freshness": "Current",
                    }
                    for version in _versions(registry, group)
                ],
            }
            for group in groups
        ],
    }


def _aggregated_resource(kind: Kind) -> dict[str, Any]:
    own = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    resource: dict[str, Any] = {
        "resource": kind.plural,
        "responseKind": own,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": _verbs(kind),
    }
    resource |= _names(kind)
    subresources = [
        {
            "subresource": entry.name,
            "responseKind": {
                "group": entry.group if entry.version else kind.group,
                "version": entry.version or kind.version,
                "kind": entry.kind,
            },
            "verbs": list(entry.verbs),
        }
        for entry in subresources_of(kind)
    ]
    if subresources:
        resource["subresources"] = subresources
    return resource
