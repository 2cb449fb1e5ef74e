"""Subresources besides status, and kinds that can only be created.

Holds: pods/binding, pods/eviction and reviews of the caller; logs.py has pods/log, scale.py scale.
"""

from dataclasses import replace
from typing import Any

import orjson

from kube_queue.apiserver import body, changing, deleting, logs, meta, options, scale
from kube_queue.apiserver.messages import Request, Response
from kube_queue.apiserver.reading import JSON_HEADERS, find
from kube_queue.apiserver.routes import Route
from kube_queue.apiserver.status import (
    StatusError,
    bad_request,
    conflict,
    field_required,
    field_unsupported,
    invalid,
    method_not_allowed,
    no_such_path,
    not_found,
)
from kube_queue.apiserver.store import Object, Record
from kube_queue.apiserver.world import Call, World

USER = "kube-queue:local"
"""The name of whoever holds the token."""
_NO_PROGRAMS = "the pods of this server run no programs"
_REFUSED = {
    "nodes/proxy": "its nodes are no machines",
    "services/proxy": "nothing listens behind a Service here",
    "serviceaccounts/token": "this server issues no tokens",
    **dict.fromkeys(
        (
            f"pods/{name}"
            for name in ("attach", "ephemeralcontainers", "exec", "portforward", "proxy", "resize")
        ),
        _NO_PROGRAMS,
    ),
}
"""Subresources of Kubernetes that are not served, and why."""
_DONE = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def handle(world: World, call: Call) -> Response:
    """The subresource's answer; 404 when the kind has none of that name."""
    named = f"{call.kind.plural}/{call.subresource}"
    if named in _REFUSED:
        raise StatusError(501, "NotImplemented", f"{named} is not served: {_REFUSED[named]}")
    if call.subresource not in call.kind.subresources or not call.name:
        raise not_served(call)
    if call.subresource == "log":
        return logs.read(world, call)
    if call.subresource == "scale":
        return scale.handle(world, call)
    if call.request.method != "POST" or call.subresource not in ("binding", "eviction"):
        raise method_not_allowed()
    content = body.decode_object(call.request)
    if call.subresource == "binding":
        return _bind(world, call, content)
    return _evict(world, call, content)


def not_served(call: Call) -> StatusError:
    """404: the kind has no such subresource."""
    return no_such_path(call.request.path) if call.kind.builtin else not_found(call.kind, call.name)


def create_only(world: World, request: Request, route: Route) -> Response:
    """A kind that is created for its effect or its answer and never stored."""
    if request.method != "POST" or route.name:
        raise method_not_allowed()
    content = body.decode_object(request)
    review = _review(request, route.kind.kind)
    if review is not None:
        content |= {"apiVersion": route.kind.api_version, "kind": route.kind.kind}
        content["status"] = review
        return Response(201, JSON_HEADERS, orjson.dumps(content))
    pods = world.kinds.find("", "v1", "pods")
    metadata = content.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if route.kind.kind != "Binding" or pods is None or not isinstance(name, str):
        raise bad_request(f"a {route.kind.kind} cannot be created from this body")
    collection = world.store.collection("", "pods")
    call = Call(request, options.flat(request), pods, collection, route.namespace, name, "binding")
    return _bind(world, call, content)


def _review(request: Request, kind: str) -> Object | None:
    """The status of a review about the caller; None for a kind that is no review.

    Whoever holds the token may do everything: there is no authorization to ask.
    """
    if kind == "SelfSubjectAccessReview":
        return {"allowed": True, "reason": "every bearer of the token may do all"}
    if kind == "SelfSubjectRulesReview":
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        paths = {"verbs": ["*"], "nonResourceURLs": ["*"]}
        return {"resourceRules": [everything], "nonResourceRules": [paths], "incomplete": False}
    if kind == "SelfSubjectReview":
        headers = request.headers
        name = headers.get("impersonate-user", USER)
        groups = [] if "impersonate-user" in headers else ["system:masters"]
        if headers.get("impersonate-group"):
            groups.append(headers["impersonate-group"])
        return {"userInfo": {"username": name, "groups": [*groups, "system:authenticated"]}}
    return None


def _bind(world: World, call: Call, content: Object) -> Response:
    """The pod is assigned to the node, and has the binding's annotations and labels."""
    chosen = options.write_options(call.request)
    target = content.get("target")
    node = target.get("name") if isinstance(target, dict) else None
    problems = []
    if not isinstance(target, dict) or not isinstance(node, str) or not node:
        problems.append(field_required("target.name"))
    elif target.get("kind") not in (None, "", "Node"):
        problems.append(field_unsupported("target.kind", target["kind"], ["Node", "<empty>"]))
    if problems:
        raise invalid("", "Binding", call.name, problems)
    metadata = meta.read(call.kind, content)
    if metadata.get("name", call.name) != call.name:
        raise bad_request("name in URL does not match name in Binding object")
    record = find(call)
    changing.check_preconditions(
        call.kind, record, metadata.get("uid", ""), metadata.get("resourceVersion", "")
    )
    pod = _bound(world, call, record, str(node), metadata)
    if not chosen.dry_run:
        world.store.put(call.collection, pod)
    return Response(201, JSON_HEADERS, orjson.dumps(_DONE))


def _bound(world: World, call: Call, record: Record, node: str, metadata: Object) -> Object:
    pod = record.decode()
    assigned, why = pod["spec"].get("nodeName"), ""
    if "deletionTimestamp" in pod["metadata"]:
        why = f"pod {call.name} is being deleted, cannot be assigned to a host"
    elif assigned:
        why = f'pod {call.name} is already assigned to node "{assigned}"'
    elif pod["spec"].get("schedulingGates"):
        why = f"pod {call.name} has non-empty .spec.schedulingGates"
    if why:
        raise conflict(replace(call.kind, plural="pods/binding"), call.name, why)
    pod["spec"]["nodeName"] = node
    for key in ("annotations", "labels"):
        if metadata.get(key):
            pod["metadata"].setdefault(key, {}).update(metadata[key])
    scheduled: dict[str, Any] = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": world.now(),
    }
    status = pod.setdefault("status", {})
    others = [c for c in status.get("conditions", ()) if c.get("type") != "PodScheduled"]
    status["conditions"] = [*others, scheduled]
    status.pop("nominatedNodeName", None)
    return pod


def _evict(world: World, call: Call, content: Object) -> Response:
    """The pod is deleted, unless a disruption budget forbids it."""
    stated = content.get("deleteOptions")
    chosen = options.delete_options(call.request, stated if isinstance(stated, dict) else {})
    named = content.get("metadata")
    if isinstance(named, dict) and named.get("name", call.name) != call.name:
        raise bad_request("name in URL does not match name in Eviction object")
    record = find(call)
    if meta.read(call.kind, content).get("name", call.name) != call.name:
        raise bad_request("name in URL does not match name in Eviction object")
    deleting.check_delete_preconditions(call.kind, record, chosen)
    pod = record.decode()
    for guard in world.guards:
        guard(pod)
    if not chosen.dry_run:
        status = pod.setdefault("status", {})
        others = [c for c in status.get("conditions", ()) if c.get("type") != "DisruptionTarget"]
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastProbeTime": None,
            "lastTransitionTime": world.now(),
        }
        status["conditions"] = [*others, target]
        record = world.store.put(call.collection, pod)
    deleting.remove(world, call.kind, call.collection, record, chosen)
    return Response(201, JSON_HEADERS, orjson.dumps(_DONE))
