"""Every refusal, as the Status object Kubernetes answers with.

Holds: StatusError and one constructor for each reason; FieldError, the cause inside a 422.
Wording follows what kubectl users know; clients decide by `reason` and `code`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from kube_queue.apiserver.kinds import Kind

Status = dict[str, Any]
_SHOWN = 200
"""Characters of a path that a refusal repeats."""
MOST_CAUSES = 100
"""A list of hundred thousand wrong items must not become as many sentences."""


class StatusError(Exception):
    """A request is refused; `body` is the Status object, `code` its HTTP status."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = headers or {}
        self.body: Status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
        if details is not None:
            self.body["details"] = details


@dataclass(frozen=True, slots=True)
class FieldError:
    """One problem with one field; `reason` is a Kubernetes cause type."""

    path: str
    reason: str
    text: str

    @property
    def message(self) -> str:
        return f"{self.path}: {self.text}"


def show(value: Any) -> str:
    """A value as Kubernetes messages print it: strings quoted, the rest as JSON."""
    return orjson.dumps(value).decode()


def field_invalid(path: str, value: Any, detail: str) -> FieldError:
    """The value is not acceptable; `detail` says why."""
    return FieldError(path, "FieldValueInvalid", f"Invalid value: {show(value)}: {detail}")


def field_required(path: str, detail: str = "") -> FieldError:
    """The value is missing."""
    return FieldError(path, "FieldValueRequired", f"Required value{': ' if detail else ''}{detail}")


def field_forbidden(path: str, detail: str) -> FieldError:
    """The field may not be set or changed."""
    return FieldError(path, "FieldValueForbidden", f"Forbidden: {detail}")


def field_duplicate(path: str, value: Any) -> FieldError:
    """The value occurs twice in a set or a map-like list."""
    return FieldError(path, "FieldValueDuplicate", f"Duplicate value: {show(value)}")


def field_unsupported(path: str, value: Any, allowed: Sequence[Any]) -> FieldError:
    """The value is not one of the enumerated ones."""
    listed = ", ".join(show(item) for item in allowed)
    return FieldError(
        path,
        "FieldValueNotSupported",
        f"Unsupported value: {show(value)}: supported values: {listed}",
    )


def _details(kind: Kind, name: str) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if kind.group:
        details["group"] = kind.group
    details["kind"] = kind.plural
    return details


def bad_request(message: str) -> StatusError:
    """400: the request itself is malformed."""
    return StatusError(400, "BadRequest", message)


def forbidden(kind: Kind, name: str, why: str, causes: list[Any] | None = None) -> StatusError:
    """403: the server's rules do not allow it."""
    details = _details(kind, name)
    if causes:
        details["causes"] = causes
    return StatusError(403, "Forbidden", f'{kind.resource} "{name}" is forbidden: {why}', details)


def not_found(kind: Kind, name: str) -> StatusError:
    """404: no such object."""
    return StatusError(404, "NotFound", f'{kind.resource} "{name}" not found', _details(kind, name))


def no_such_path(path: str) -> StatusError:
    """404: nothing is served there."""
    shown = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}..."
    why = f"the server could not find the requested resource: nothing is served at {shown}"
    return StatusError(404, "NotFound", why, {})


def method_not_allowed() -> StatusError:
    """405: the path exists, the method does not."""
    return StatusError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        {},
    )


def not_acceptable(accept: str) -> StatusError:
    """406: no representation fits the Accept header."""
    return StatusError(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, "
        f"application/json;as=Table;v=v1;g=meta.k8s.io (asked for: {accept})",
    )


def already_exists(kind: Kind, name: str) -> StatusError:
    """409: the name is taken."""
    return StatusError(
        409, "AlreadyExists", f'{kind.resource} "{name}" already exists', _details(kind, name)
    )


MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def conflict(kind: Kind, name: str, why: str = MODIFIED) -> StatusError:
    """409: the object is no longer what the caller believes."""
    return StatusError(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}',
        _details(kind, name),
    )


def expired(message: str) -> StatusError:
    """410: the version asked for is no longer kept; list again."""
    return StatusError(410, "Expired", message)


def too_large(limit: int) -> StatusError:
    """413: the body exceeds the limit (bytes)."""
    return StatusError(
        413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit} bytes"
    )


def unsupported_media_type(message: str) -> StatusError:
    """415: the body is in a form the server does not read."""
    return StatusError(415, "UnsupportedMediaType", message)


def version_too_large(asked: int, current: int) -> StatusError:
    """504: a version from the future was asked for."""
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return StatusError(
        504, "Timeout", message, {"retryAfterSeconds": 1, "causes": [cause]}, {"Retry-After": "1"}
    )


def not_stored(why: str, *, full: bool) -> StatusError:
    """507 or 500: the change could not be written to disk, and has not happened."""
    message = f"the change was not made, as it could not be stored: {why}"
    if full:
        return StatusError(507, "InsufficientStorage", message)
    return StatusError(500, "InternalError", message)


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422: the object breaks its rules; the causes are listed, MOST_CAUSES of them."""
    qualified = f"{kind}.{group}" if group else kind
    errors = errors[:MOST_CAUSES]
    listed = list(dict.fromkeys(error.message for error in errors))
    text = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    details: dict[str, Any] = {"name": name} if name else {}
    if group:
        details["group"] = group
    details["kind"] = kind
    details["causes"] = [
        {"reason": error.reason, "message": error.text, "field": error.path} for error in errors
    ]
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', details)


def success(kind: Kind, name: str, uid: str) -> Status:
    """The answer to a delete that removed the object at once."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {**_details(kind, name), "uid": uid},
    }
