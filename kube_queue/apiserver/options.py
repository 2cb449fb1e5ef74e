"""Query parameters and DeleteOptions, read once into frozen values.

Holds: ListOptions, WriteOptions, DeleteOptions and their parsing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kube_queue.apiserver.messages import Request
from kube_queue.apiserver.status import (
    FieldError,
    StatusError,
    bad_request,
    field_invalid,
    field_unsupported,
)
from kube_queue.apiserver.status import invalid as invalid_status

Query = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ListOptions:
    """How to list or watch. `rv` keeps the text: absent ("") and "0" differ."""

    label_selector: str
    field_selector: str
    rv: str
    match: str
    limit: int
    token: str
    watch: bool
    timeout: int
    bookmarks: bool
    initial_events: bool | None


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How to write: `validation` is Strict, Warn or Ignore."""

    dry_run: bool
    validation: str


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """How to delete: `grace` in seconds, `propagation` "" when left to the default."""

    dry_run: bool
    grace: int | None
    propagation: str
    uid: str
    rv: str


def flat(request: Request) -> dict[str, str]:
    """The query; the first of repeated parameters counts."""
    query: dict[str, str] = {}
    for key, value in request.query:
        query.setdefault(key, value)
    return query


def _flag(query: Query, name: str) -> bool:
    value = query.get(name)
    if value is None:
        return False
    return value.lower() not in ("false", "0")


def _number(query: Query, name: str, *, signed: bool = False) -> int:
    text = query.get(name, "")
    if not text:
        return 0
    if signed and text.startswith("-"):
        return -_number({name: text[1:]}, name)
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise bad_request(f'invalid value for query parameter {name}: "{text}" is not a number')
    return int(text)


def version_number(text: str, name: str = "resourceVersion") -> int:
    """A resourceVersion as a number; 400 when it is none."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise bad_request(f'invalid {name}: "{text}": must be an unsigned integer')
    return int(text)


def list_options(query: Query) -> ListOptions:
    """What a list or watch asks for; contradictions are a 422 or 400."""
    initial = query.get("sendInitialEvents")
    options = ListOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        rv=query.get("resourceVersion", ""),
        match=query.get("resourceVersionMatch", ""),
        limit=_number(query, "limit"),
        token=query.get("continue", ""),
        watch=_flag(query, "watch"),
        timeout=_number(query, "timeoutSeconds"),
        bookmarks=_flag(query, "allowWatchBookmarks"),
        initial_events=None if initial is None else _flag(query, "sendInitialEvents"),
    )
    problems = _contradictions(options)
    if problems:
        raise invalid_status("meta.k8s.io", "ListOptions", "", problems)
    return options


def _contradictions(options: ListOptions) -> list[FieldError]:
    def forbid(field: str, why: str) -> None:
        problems.append(FieldError(field, "FieldValueForbidden", f"Forbidden: {why}"))

    problems: list[FieldError] = []
    match, name = options.match, "resourceVersionMatch"
    if options.watch:
        if options.initial_events is not None and match != "NotOlderThan":
            forbid(name, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        if options.initial_events is None and match:
            why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            forbid(name, why)
        return problems
    if options.initial_events is not None:
        forbid("sendInitialEvents", "sendInitialEvents is forbidden for list")
    if match and not options.rv:
        forbid(name, "resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match and options.token:
        forbid(name, "resourceVersionMatch is forbidden when continue is provided")
    if match and match not in ("Exact", "NotOlderThan"):
        problems.append(field_unsupported(name, match, ["Exact", "NotOlderThan", ""]))
    if match == "Exact" and options.rv == "0":
        forbid(name, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    return problems


_KINDS = {"POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"}


def _dry_run(values: list[str], kind: str) -> bool:
    for value in values:
        if value != "All":
            raise invalid_status(
                "meta.k8s.io", kind, "", [field_unsupported("dryRun", [value], ["All"])]
            )
    return bool(values)


def write_options(request: Request) -> WriteOptions:
    """dryRun and fieldValidation of a create, update or patch."""
    dry_run: list[str] = []
    validation = "Warn"
    for key, value in request.query:
        if key == "dryRun":
            dry_run.append(value)
        elif key == "fieldValidation" and value:
            validation = value
    if validation not in ("Strict", "Warn", "Ignore"):
        allowed = ["", "Ignore", "Strict", "Warn"]
        problem = field_unsupported("fieldValidation", validation, allowed)
        raise invalid_status("meta.k8s.io", _KINDS[request.method], "", [problem])
    dry = bool(dry_run) and _dry_run(dry_run, _KINDS[request.method])
    return WriteOptions(dry, validation)


def delete_options(request: Request, body: Mapping[str, Any]) -> DeleteOptions:
    """The body's DeleteOptions, or the query's where the body says nothing."""
    query = flat(request)
    grace = body.get("gracePeriodSeconds")
    if grace is None and query.get("gracePeriodSeconds"):
        grace = _number(query, "gracePeriodSeconds", signed=True)
    propagation = body.get("propagationPolicy") or query.get("propagationPolicy", "")
    orphan = body.get("orphanDependents")
    if orphan is None and "orphanDependents" in query:
        orphan = _flag(query, "orphanDependents")
    if orphan is not None:
        if propagation:
            why = "orphanDependents and deletionPropagation cannot be both set"
            raise _delete_error(field_invalid("propagationPolicy", propagation, why))
        propagation = "Orphan" if orphan else "Background"
    if propagation not in ("", "Orphan", "Background", "Foreground"):
        allowed = ["Foreground", "Background", "Orphan", "nil"]
        raise _delete_error(field_unsupported("propagationPolicy", propagation, allowed))
    conditions = body.get("preconditions") or {}
    dry_run = body.get("dryRun") or [value for key, value in request.query if key == "dryRun"]
    well_typed = (
        (grace is None or type(grace) is int)
        and isinstance(dry_run, list)
        and isinstance(conditions, dict)
        and all(isinstance(conditions.get(key) or "", str) for key in ("uid", "resourceVersion"))
    )
    if not well_typed:
        raise bad_request("DeleteOptions cannot be read: a field has the wrong type")
    return DeleteOptions(
        dry_run=_dry_run(dry_run, "DeleteOptions"),
        grace=grace if grace is None or grace >= 0 else 1,
        propagation=propagation,
        uid=conditions.get("uid") or "",
        rv=conditions.get("resourceVersion") or "",
    )


def _delete_error(problem: FieldError) -> StatusError:
    return invalid_status("meta.k8s.io", "DeleteOptions", "", [problem])
