"""The one place where a server's refusal becomes one of our errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import orjson

from kube_queue.api.errors import ApiError, ServerFault, api_error


class Answer(Protocol):
    """What is read of an answer."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...


def refusal(answer: Answer) -> ApiError:
    """The error an answer with status >= 400 means, with the wait its Retry-After header asks."""
    wait = _seconds(answer.headers.get("Retry-After", ""))
    body = _status_object(answer)
    if answer.status == 422 and _is_about_uid(body):
        # kube-apiserver says so when a patch names another object's uid and no resourceVersion.
        return api_error(409, {**body, "reason": "Conflict"}, wait)
    return api_error(answer.status, body, wait)


def decoded(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer below 400. Raises ServerFault when it is none."""
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        body = None
    if answer.status < 300 and isinstance(body, dict):
        return body
    raise ServerFault(
        answer.status, "NotAnApiServer", "the answer is no JSON object: is this a Kubernetes API?"
    )


def _status_object(answer: Answer) -> dict[str, Any]:
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        body = None
    if isinstance(body, dict):
        return body
    # Proxies and early failures answer in plain text; its beginning is the best sentence there is.
    text = answer.body[:500].decode("utf-8", "replace").strip()
    return {"message": text or f"the server answered {answer.status} without a word"}


def _is_about_uid(body: Mapping[str, Any]) -> bool:
    """True when nothing but the uid was found invalid: a precondition that no longer holds."""
    details = body.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    return {cause.get("field") for cause in causes or ()} == {"metadata.uid"}


def _seconds(text: str) -> float | None:
    # The header's other form, a date, is not used by API servers and would need a wall clock.
    try:
        return max(0.0, float(text))
    except ValueError:
        return None
