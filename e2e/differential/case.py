"""How a case is written: a name and the requests it sends, in order, in a namespace of its own.

Paths are short where they can be: `configmaps/a` is an object in the case's namespace, `nodes/a`
one of the cluster, `widgets/a` one of the case's own custom kind; a path that begins with a slash
is taken as it is. In paths, queries and bodies `{ns}` is the case's namespace, `{g}` its API group,
and `<2.metadata.uid>` the field of the answer to its second request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

_IN_NAMESPACE = {
    "/api/v1": "bindings configmaps events limitranges pods resourcequotas secrets "
    "serviceaccounts services",
    "/apis/apps/v1": "deployments replicasets statefulsets",
    "/apis/batch/v1": "jobs",
    "/apis/coordination.k8s.io/v1": "leases",
    "/apis/{g}/v1": "widgets",
}
_IN_CLUSTER = {
    "/api/v1": "namespaces nodes",
    "/apis/apiextensions.k8s.io/v1": "customresourcedefinitions",
    "/apis/scheduling.k8s.io/v1": "priorityclasses",
}
_HOMES = {
    **{
        name: f"{home}/namespaces/{{ns}}"
        for home, names in _IN_NAMESPACE.items()
        for name in names.split()
    },
    **{name: home for home, names in _IN_CLUSTER.items() for name in names.split()},
}
_PARTS = re.compile(r"\[(\w+)=([^\]]*)\]|([^.\[\]]+)")
_REFERENCE = re.compile(r"<(\d+)\.([^<>]+)>")


@dataclass(frozen=True, slots=True)
class Step:
    """One request, and what of its answer is compared.

    `body` is JSON, or bytes that are sent as they are. With `until`, a status or `path=value`, it
    is sent again until the answer is that. With `events` it is a watch that is read until so many
    events came, or, at 0, until the server ends it, while the steps `during` are played. `only`
    names the parts of the body that are compared.
    """

    method: str
    path: str
    body: Any = None
    media: str = JSON
    accept: str = JSON
    until: int | str = ""
    events: int | None = None
    during: tuple[Step, ...] = ()
    only: tuple[str, ...] = ()

    def flat(self) -> Iterator[Step]:
        """This step and those played during it, in the order of their numbers."""
        yield self
        for step in self.during:
            yield from step.flat()


@dataclass(frozen=True, slots=True)
class Case:
    """Requests that belong together. `fields`: metadata.managedFields is compared too."""

    name: str
    steps: tuple[Step, ...]
    fields: bool = False

    @property
    def slug(self) -> str:
        """The name of its namespace."""
        return re.sub("[^a-z0-9]+", "-", self.name.lower()).strip("-")[:50].strip("-")

    def bases(self) -> set[str]:
        """What its names are generated from."""
        bodies = (step.body for each in self.steps for step in each.flat())
        found = (lookup(body, "metadata.generateName") for body in bodies)
        return {base for base in found if base and isinstance(base, str)}

    def requests(self) -> int:
        """How many requests it sends, repetitions not counted."""
        return sum(1 for step in self.steps for _ in step.flat())


def case(name: str, *steps: Step, fields: bool = False) -> Case:
    """A case; its subject is put before the name by `subject`."""
    return Case(name, steps, fields)


def subject(name: str, *cases: Case) -> tuple[Case, ...]:
    """The cases of one subject."""
    return tuple(replace(one, name=f"{name}: {one.name}") for one in cases)


def get(path: str, *, until: int | str = "", accept: str = JSON, only: str = "") -> Step:
    """Read, once or until the answer is as it should be."""
    return Step("GET", path, accept=accept, until=until, only=tuple(only.split()))


def gone(path: str) -> Step:
    """Read until there is nothing any more."""
    return get(path, until=404)


def post(path: str, body: Any, *, media: str = JSON, accept: str = JSON, only: str = "") -> Step:
    """Create."""
    return Step("POST", path, body, media, accept, only=tuple(only.split()))


def put(path: str, body: Any) -> Step:
    """Replace."""
    return Step("PUT", path, body)


def merge(path: str, body: Any) -> Step:
    """Patch by RFC 7386."""
    return Step("PATCH", path, body, MERGE)


def strategic(path: str, body: Any) -> Step:
    """Patch as kubectl apply does it."""
    return Step("PATCH", path, body, STRATEGIC)


def operations(path: str, *body: Any) -> Step:
    """Patch by RFC 6902."""
    return Step("PATCH", path, list(body), JSON_PATCH)


def apply(path: str, body: Any, *, manager: str = "one", force: bool = False) -> Step:
    """Server-side apply."""
    mark = "&" if "?" in path else "?"
    forced = "&force=true" if force else ""
    return Step("PATCH", f"{path}{mark}fieldManager={manager}{forced}", body, APPLY)


def delete(path: str, body: Any = None, *, only: str = "") -> Step:
    """Delete, with DeleteOptions in the body or the query."""
    return Step("DELETE", path, body, only=tuple(only.split()))


def watch(path: str, events: int, *during: Step, accept: str = JSON) -> Step:
    """Watch until so many events came (0: until the server ends it), steps played meanwhile."""
    mark = "&" if "?" in path else "?"
    return Step("GET", f"{path}{mark}watch=true", accept=accept, events=events, during=during)


def expand(path: str) -> str:
    """The whole path of a short one."""
    if path.startswith("/"):
        return path
    name = re.match("[a-z]*", path)
    assert name is not None
    return f"{_HOMES[name.group()]}/{path}"


def filled(value: Any, names: Mapping[str, str], answers: list[Any]) -> Any:
    """The value with every placeholder replaced; a field that is not there becomes `none`."""
    if isinstance(value, dict):
        return {filled(k, names, answers): filled(v, names, answers) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(item, names, answers) for item in value]
    if not isinstance(value, str):
        return value
    for name, text in names.items():
        value = value.replace(f"{{{name}}}", text)
    return _REFERENCE.sub(lambda found: _field(answers, int(found[1]), found[2]), value)


def _field(answers: list[Any], number: int, path: str) -> str:
    found = lookup(answers[number - 1], path) if number <= len(answers) else None
    return "none" if found is None else str(found)


def lookup(value: Any, path: str) -> Any:
    """What stands at a path such as `items.0.conditions[type=Ready]`; None when nothing does."""
    for key, wanted, part in _PARTS.findall(path):
        if key:
            items = value if isinstance(value, list) else []
            value = next((item for item in items if item.get(key) == wanted), None)
        elif isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
