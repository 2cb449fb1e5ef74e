"""The one exception tree of the product.

::

    KubeQueueError
    ├── InvalidInput            what a person wrote cannot be used: path, problem, what to do
    │   ├── InvalidQuantity     "4Gb"
    │   ├── InvalidManifest     a job, a unit, a pod template
    │   └── InvalidSetting      a flag, an environment variable, a configuration file
    ├── ApiError                the API server answered, and the answer was no
    │   ├── BadRequest            400
    │   ├── Unauthorized          401
    │   ├── Forbidden             403
    │   ├── NotFound              404
    │   ├── AlreadyExists         409, reason AlreadyExists
    │   ├── Conflict              409, every other reason
    │   ├── Expired               410
    │   ├── UnsupportedMediaType  415
    │   ├── Invalid               422
    │   ├── TooManyRequests       429
    │   └── ServerFault           5xx
    └── ConnectionLost          no answer: whether the request was carried out is unknown

Errors are told apart by class, never by their text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self


class KubeQueueError(Exception):
    """The root of everything this product raises on purpose."""


class InvalidInput(KubeQueueError):
    """Something a person wrote cannot be used; ``str()`` is one sentence they can act on.

    ``path`` is the field's path as kubectl would print it (``spec.root.max.cpu``) or empty,
    ``hint`` says what to do about it or is empty.
    """

    def __init__(self, problem: str, path: str = "", hint: str = "") -> None:
        super().__init__(problem, path, hint)
        self.problem = problem
        self.path = path
        self.hint = hint

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        advice = f"; {self.hint}" if self.hint else ""
        return f"{where}{self.problem}{advice}"

    def under(self, prefix: str) -> Self:
        """The same error, its path lengthened by ``prefix`` in front."""
        if not prefix:
            return self
        joint = "" if not self.path or self.path.startswith("[") else "."
        return type(self)(self.problem, f"{prefix}{joint}{self.path}", self.hint)


class InvalidQuantity(InvalidInput):
    """A resource quantity that Kubernetes would not accept, or that no machine could hold."""


class InvalidManifest(InvalidInput):
    """A job, unit or pod template whose fields contradict the kind it claims to be."""


class InvalidSetting(InvalidInput):
    """A flag, environment variable or configuration key with an illegal name or value."""


class ApiError(KubeQueueError):
    """The API server answered with a status of 400 or above.

    ``reason`` and ``message`` come from the Status object of the answer; ``retry_after`` is in
    seconds when the server named a time.
    """

    def __init__(
        self, status: int, reason: str, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(status, reason, message, retry_after)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} ({self.status} {self.reason})"


class BadRequest(ApiError):
    """400: the server could not read the request."""


class Unauthorized(ApiError):
    """401: the credentials are missing or no longer good."""


class Forbidden(ApiError):
    """403: the credentials are known and do not allow this."""


class NotFound(ApiError):
    """404: the object, or the whole kind, is not there."""


class AlreadyExists(ApiError):
    """409: an object of this name is already there."""


class Conflict(ApiError):
    """409: a precondition (uid, resourceVersion) no longer holds; read again and decide again."""


class Expired(ApiError):
    """410: the resource version or continue token is too old; list again."""


class UnsupportedMediaType(ApiError):
    """415: the server does not take a body of this content type."""


class Invalid(ApiError):
    """422: the object was understood and refused by validation."""


class TooManyRequests(ApiError):
    """429: the server asks to be left alone for a while."""


class ServerFault(ApiError):
    """5xx: the server failed; whether it carried out the request is unknown."""


class ConnectionLost(KubeQueueError):
    """No answer came: the outcome of the request is unknown."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


_BY_STATUS: Mapping[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    415: UnsupportedMediaType,
    422: Invalid,
    429: TooManyRequests,
}


def api_error(status: int, body: Mapping[str, Any], retry_after: float | None = None) -> ApiError:
    """The exception that belongs to an answer of ``status`` whose Status object is ``body``.

    ``retry_after`` is the Retry-After header in seconds; without it the Status's own
    ``details.retryAfterSeconds`` counts. Any body is accepted, also one that is no Status.
    """
    reason = body.get("reason")
    message = body.get("message")
    if retry_after is None:
        retry_after = _retry_after(body.get("details"))
    if status == 409 and reason == "AlreadyExists":
        kind: type[ApiError] = AlreadyExists
    elif status >= 500:
        kind = ServerFault
    else:
        kind = _BY_STATUS.get(status, ApiError)
    return kind(
        status,
        reason if isinstance(reason, str) and reason else "Unknown",
        message if isinstance(message, str) and message else "the server gave no message",
        retry_after,
    )


def _retry_after(details: object) -> float | None:
    if not isinstance(details, Mapping):
        return None
    seconds = details.get("retryAfterSeconds")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds <= 0:
        return None
    return float(seconds)
