"""Who manages which fields: metadata.managedFields, read, changed and written.

Holds: Manager, Managed, note_update, apply.
An object is tracked from its first server-side apply on; what it held before belongs to the
manager before-first-apply. So the writes of controllers, which never apply, cost nothing more.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from kube_queue.apiserver import fieldsets, typed
from kube_queue.apiserver.fieldsets import Fields
from kube_queue.apiserver.status import StatusError
from kube_queue.apiserver.store import Object
from kube_queue.apiserver.strategic import Merging

BEFORE = "before-first-apply"
ANCIENT = "ancient-changes"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
KUBECTL = "kubectl"
_MOST_UPDATERS = 10
_NOT_MANAGED: Fields = {
    "f:apiVersion": {},
    "f:kind": {},
    "f:metadata": {
        ".": {},
        **{
            f"f:{name}": {}
            for name in (
                "creationTimestamp",
                "deletionGracePeriodSeconds",
                "deletionTimestamp",
                "generation",
                "managedFields",
                "name",
                "namespace",
                "resourceVersion",
                "selfLink",
                "uid",
            )
        },
    },
}


@dataclass(frozen=True, slots=True)
class Manager:
    """One manager in one of its roles."""

    name: str
    operation: str
    version: str
    subresource: str = ""

    @property
    def shown(self) -> str:
        """As conflicts name it."""
        text = orjson.dumps(self.name).decode()
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.version}" if self.operation == "Update" else text

    def same_role(self, other: "Manager") -> bool:
        """Whether an entry of the other is one of this; an applier may change versions."""
        if self.operation == "Apply":
            return replace(other, version=self.version) == self
        return other == self


@dataclass(frozen=True, slots=True)
class _Entry:
    manager: Manager
    fields: Fields
    time: str


_TEXTS = ("manager", "operation", "apiVersion", "subresource", "time")
Entries = tuple[_Entry, ...]


def _read(stored: Any) -> Entries:
    """The entries; () when they cannot be read."""
    entries = []
    for entry in stored if isinstance(stored, list) else ():
        if not isinstance(entry, dict) or not _is_set(entry.get("fieldsV1")):
            return ()
        name, operation, version, subresource, time = (entry.get(key, "") for key in _TEXTS)
        manager = Manager(name, operation, version, subresource)
        if not all(isinstance(entry.get(key, ""), str) for key in _TEXTS):
            return ()
        if operation not in ("Apply", "Update") or not entry["fieldsV1"]:
            return ()
        entries.append(_Entry(manager, entry["fieldsV1"], time))
    return tuple(entries)


def _is_set(node: Any) -> bool:
    """Whether it is a tree of path elements, each of them readable."""
    todo = [node]
    while todo:
        found = todo.pop()
        if not isinstance(found, dict):
            return False
        for key, child in found.items():
            if key[:2] not in ("f:", "v:", "i:") and key != "." and not _is_key(key):
                return False
            todo.append(child)
    return True


def _is_key(element: str) -> bool:
    if not element.startswith("k:"):
        return False
    try:
        return isinstance(orjson.loads(element[2:]), dict)
    except ValueError:
        return False


def _written(entries: Iterable[_Entry]) -> list[Object]:
    ordered = sorted(
        entries,
        key=lambda e: (e.manager.operation, e.time, e.manager.name, e.manager.version),
    )
    return [
        {
            "manager": entry.manager.name,
            "operation": entry.manager.operation,
            "apiVersion": entry.manager.version,
            **({"time": entry.time} if entry.time else {}),
            "fieldsType": "FieldsV1",
            "fieldsV1": entry.fields,
            **({"subresource": entry.manager.subresource} if entry.manager.subresource else {}),
        }
        for entry in ordered
    ]


def _set(entries: Entries, manager: Manager, fields: Fields | None, now: str) -> Entries:
    """The entries with the manager's set; its time changes when the set does."""
    fields = fieldsets.difference(fields, _NOT_MANAGED)
    before = next((entry for entry in entries if manager.same_role(entry.manager)), None)
    others = tuple(entry for entry in entries if entry is not before)
    if fields is None:
        return others
    if before is not None and before.fields == fields and before.manager == manager:
        return entries
    return (*others, _Entry(manager, fields, now))


def _without(entries: Entries, mine: Manager, changed: Any, gone: Any) -> Entries:
    """Other managers lose what was changed under them, and everybody what is gone."""
    left = []
    for entry in entries:
        fields = fieldsets.cut(entry.fields, gone)
        if not mine.same_role(entry.manager):
            fields = fieldsets.difference(fields, changed)
        if fields is not None:
            left.append(replace(entry, fields=fields))
    return tuple(left)


def _bare(obj: Object) -> Object:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
    return {**obj, "metadata": metadata}


def note_update(old: Object, new: Object, place: Merging, manager: Manager, now: str) -> None:
    """The new object says who manages what after the manager's update.

    Its own managedFields count when they can be read, else those of the old object; the one empty
    entry `[{}]` ends the tracking.
    """
    given = new["metadata"].pop("managedFields", None)
    if given == [{}]:
        return
    entries = _read(given) or _read(old["metadata"].get("managedFields"))
    if not entries:
        return
    changed, gone = typed.compare(_bare(old), new, place)
    entries = _without(entries, manager, changed, gone)
    before = next((e.fields for e in entries if manager.same_role(e.manager)), None)
    entries = _capped(_set(entries, manager, fieldsets.union(before, changed), now))
    if entries:
        new["metadata"]["managedFields"] = _written(entries)


def _capped(entries: Entries) -> Entries:
    """Of many who updated, the oldest become one."""
    updates = sorted((e for e in entries if e.manager.operation == "Update"), key=lambda e: e.time)
    surplus = updates[: max(0, len(updates) - _MOST_UPDATERS + 1)]
    if len(updates) <= _MOST_UPDATERS:
        return entries
    fields: Fields | None = None
    for entry in surplus:
        fields = fieldsets.union(fields, entry.fields)
    assert fields is not None
    ancient = Manager(ANCIENT, "Update", surplus[-1].manager.version)
    kept = tuple(entry for entry in entries if entry not in surplus)
    return (*kept, _Entry(ancient, fields, surplus[-1].time))


@dataclass(frozen=True, slots=True)
class Applying:
    """One apply: who, over whom it may go, in which subresource's fields, and when."""

    manager: Manager
    force: bool
    ignored: Fields | None
    """Fields the request cannot change, and so does not come to own."""
    now: str


def apply(live: Object | None, config: Object, place: Merging, how: Applying) -> Object:
    """The object after the apply, its managedFields included; 409 on a conflict."""
    applied = fieldsets.cut(typed.field_set(config, place), how.ignored)
    if live is None:
        new = {**config, "metadata": dict(config["metadata"])}
        entries = _set((), how.manager, applied, how.now)
    else:
        new, entries = _over(live, config, place, how, applied)
    if entries:
        new["metadata"]["managedFields"] = _written(entries)
    return new


def _over(
    live: Object, config: Object, place: Merging, how: Applying, applied: Fields | None
) -> tuple[Object, Entries]:
    entries = _read(live["metadata"].get("managedFields"))
    live = _bare(live)
    if not entries:
        before = Manager(BEFORE, "Update", how.manager.version)
        entries = _set((), before, typed.field_set(live, place), how.now)
    mine = next((entry for entry in entries if how.manager.same_role(entry.manager)), None)
    others: Fields | None = None
    for entry in entries:
        if entry is not mine:
            others = fieldsets.union(others, entry.fields)
    new: Object = typed.merged(live, config, place)
    if mine is not None:
        lost = fieldsets.difference(
            fieldsets.with_ancestors(mine.fields), fieldsets.with_ancestors(applied)
        )
        if lost is not None:
            new = typed.pruned(new, place, lost, others)
    changed, gone = typed.compare(live, new, place)
    changed = fieldsets.cut(changed, how.ignored)
    if not how.force:
        _refuse_conflicts(entries, how.manager, _in_dispute(live, place, how, changed))
    entries = _without(entries, how.manager, changed, gone)
    new = {**new, "metadata": dict(new["metadata"])}
    _renew_annotation(new, config, how.manager)
    return new, _set(entries, how.manager, applied, how.now)


def _in_dispute(
    live: Object, place: Merging, how: Applying, changed: Fields | None
) -> Fields | None:
    """Of the changes those that may conflict: kubectl may go on with what it applied before."""
    text = live["metadata"].get("annotations", {}).get(LAST_APPLIED)
    if text is None or how.manager.name != KUBECTL:
        return changed
    try:
        applied = orjson.loads(text)
    except ValueError:
        return changed
    if not isinstance(applied, dict):
        return changed
    return fieldsets.difference(changed, typed.field_set(applied, place))


def _renew_annotation(new: Object, config: Object, manager: Manager) -> None:
    """An object that kubectl once applied itself tells the next kubectl what is applied now."""
    annotations = new["metadata"].get("annotations", {})
    if manager.name != KUBECTL or LAST_APPLIED not in annotations:
        return
    text = orjson.dumps(config, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    new["metadata"]["annotations"] = {**annotations, LAST_APPLIED: text}


def _refuse_conflicts(entries: Entries, mine: Manager, changed: Fields | None) -> None:
    found: list[tuple[str, str]] = []
    for entry in sorted(entries, key=lambda e: e.manager.shown):
        if not mine.same_role(entry.manager):
            shared = fieldsets.intersection(entry.fields, changed)
            found += [(entry.manager.shown, path) for path in fieldsets.paths(shared)]
    if not found:
        return
    if len(found) == 1:
        who, path = found[0]
        text = f"Apply failed with 1 conflict: conflict with {who}: {path}"
    else:
        lines = []
        for who in dict.fromkeys(who for who, _ in found):
            lines.append(f"conflicts with {who}:")
            lines += [f"- {path}" for name, path in found if name == who]
        text = f"Apply failed with {len(found)} conflicts: " + "\n".join(lines)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path}
        for who, path in found
    ]
    raise StatusError(409, "Conflict", text, {"causes": causes})
