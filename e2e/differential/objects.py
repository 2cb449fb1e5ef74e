"""Manifests that cases send, as short as the API takes them."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

LATER = "2030-01-01T00:00:00Z"


def _object(api: str, kind: str, name: str, meta: Object, **content: Any) -> Object:
    metadata = {**({"name": name} if name else {}), **meta}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **content}


def config_map(name: str = "a", data: Any = None, **meta: Any) -> Object:
    """A ConfigMap with `data`, or one entry; further keywords are metadata."""
    return _object("v1", "ConfigMap", name, meta, data={"k": "v"} if data is None else data)


def secret(name: str = "a", **content: Any) -> Object:
    """A Secret."""
    return _object("v1", "Secret", name, {}, **content)


def namespace(name: str, **meta: Any) -> Object:
    """A Namespace."""
    return _object("v1", "Namespace", name, meta)


def owner(kind: str, name: str, uid: str, api: str = "v1", **more: Any) -> Object:
    """An owner reference."""
    return {"apiVersion": api, "kind": kind, "name": name, "uid": uid, **more}


def container(name: str = "main", **content: Any) -> Object:
    """A container."""
    return {"name": name, "image": "busybox:1", **content}


def pod_spec(*containers: Object, **spec: Any) -> Object:
    """The spec of a pod that wants no token."""
    return {
        "containers": list(containers) or [container()],
        "automountServiceAccountToken": False,
        **spec,
    }


def pod(name: str = "a", *containers: Object, meta: Any = None, **spec: Any) -> Object:
    """A Pod; keywords are fields of its spec."""
    return _object("v1", "Pod", name, meta or {}, spec=pod_spec(*containers, **spec))


def resources(requests: Any = None, limits: Any = None) -> Object:
    """The container's resources."""
    given = {"requests": requests, "limits": limits}
    return {"resources": {key: value for key, value in given.items() if value is not None}}


def job(name: str = "a", *, template: Any = None, meta: Any = None, **spec: Any) -> Object:
    """A Job; keywords are fields of its spec."""
    inner = {"restartPolicy": "Never", **pod_spec(), **(template or {})}
    return _object("batch/v1", "Job", name, meta or {}, spec={"template": {"spec": inner}, **spec})


def workload(kind: str, name: str = "a", *, spec: Any = None, **more: Any) -> Object:
    """A Deployment, ReplicaSet or StatefulSet of pods labelled app=a."""
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {**pod_spec(), **more.pop("pod", {})}}
    content = {"selector": {"matchLabels": {"app": "a"}}, "template": template, **(spec or {})}
    return _object("apps/v1", kind, name, more, spec=content)


def quota(name: str, **spec: Any) -> Object:
    """A ResourceQuota."""
    return _object("v1", "ResourceQuota", name, {}, spec=spec)


def limit_range(name: str, *limits: Object) -> Object:
    """A LimitRange."""
    return _object("v1", "LimitRange", name, {}, spec={"limits": list(limits)})


def priority_class(name: str, value: Any, **content: Any) -> Object:
    """A PriorityClass."""
    return _object("scheduling.k8s.io/v1", "PriorityClass", name, {}, value=value, **content)


def lease(name: str = "a", **spec: Any) -> Object:
    """A Lease."""
    return _object("coordination.k8s.io/v1", "Lease", name, {}, spec=spec)


def service(name: str = "a", **spec: Any) -> Object:
    """A Service."""
    return _object("v1", "Service", name, {}, spec=spec)


def node(name: str, **content: Any) -> Object:
    """A Node."""
    return _object("v1", "Node", name, content.pop("meta", {}), **content)


def event(name: str = "a", **content: Any) -> Object:
    """A core Event about a pod of the case."""
    about = {"kind": "Pod", "namespace": "{ns}", "name": "p"}
    return _object("v1", "Event", name, {}, **{"involvedObject": about, **content})


def schema(**properties: Any) -> Object:
    """An object's schema with those properties of its spec."""
    spec = {"type": "object", "properties": properties}
    return {"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}}


OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""A schema that keeps everything."""
WIDGETS = "widgets.{g}"
"""The name of the case's definition."""


def version(name: str = "v1", shape: Any = None, **content: Any) -> Object:
    """One version of a definition, the storage version unless it says otherwise."""
    base = {"name": name, "served": True, "storage": True}
    return {**base, "schema": {"openAPIV3Schema": shape or OPEN}, **content}


def definition(*versions: Object, **spec: Any) -> Object:
    """The definition of the case's own kind, Widget."""
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    base = {"group": "{g}", "scope": "Namespaced", "names": {**names, **spec.pop("names", {})}}
    content = {**base, "versions": list(versions) or [version()], **spec}
    api = "apiextensions.k8s.io/v1"
    return _object(api, "CustomResourceDefinition", WIDGETS, {}, spec=content)


def widget(name: str = "a", *, served: str = "v1", meta: Any = None, **content: Any) -> Object:
    """A Widget."""
    return _object(f"{{g}}/{served}", "Widget", name, meta or {}, **content)
