"""Errors are told apart by class, and what a person did wrong is one sentence."""

from __future__ import annotations

import pytest

from kube_queue.api import errors
from kube_queue.api.errors import ApiError, InvalidQuantity, KubeQueueError, api_error


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", errors.BadRequest),
        (401, "Unauthorized", errors.Unauthorized),
        (403, "Forbidden", errors.Forbidden),
        (404, "NotFound", errors.NotFound),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Expired),
        (415, "UnsupportedMediaType", errors.UnsupportedMediaType),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerFault),
        (503, "ServiceUnavailable", errors.ServerFault),
        (599, "Odd", errors.ServerFault),
        (405, "MethodNotAllowed", ApiError),
    ],
)
def test_the_class_follows_from_status_and_reason(
    status: int, reason: str, kind: type[ApiError]
) -> None:
    error = api_error(status, {"reason": reason, "message": "no"})
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (status, reason, "no")
    assert isinstance(error, KubeQueueError)


@pytest.mark.parametrize("body", [{}, {"reason": 3, "message": None}, {"details": []}])
def test_an_answer_that_is_no_status_still_makes_an_error(body: dict[str, object]) -> None:
    assert str(api_error(404, body)) == "the server gave no message (404 Unknown)"


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [(3.0, {"retryAfterSeconds": 1}, 3.0), (None, {"retryAfterSeconds": 1}, 1.0), (None, {}, None)],
)
def test_the_time_to_wait_is_the_headers_or_the_status_own(
    header: float | None, details: dict[str, object], seconds: float | None
) -> None:
    assert api_error(429, {"details": details}, header).retry_after == seconds


def test_an_input_error_says_where_what_and_what_to_do() -> None:
    error = InvalidQuantity("'4x' is no quantity", "cpu", "write 4")
    assert str(error) == "cpu: '4x' is no quantity; write 4"
    assert str(error.under("spec.max")) == "spec.max.cpu: '4x' is no quantity; write 4"
    assert type(error.under("spec")) is InvalidQuantity
    assert str(InvalidQuantity("odd")) == "odd"
    assert error.under("") is error


def test_the_picture_of_the_tree_names_every_class() -> None:
    drawn = errors.__doc__ or ""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    ours = [kind.__name__ for kind in kinds if issubclass(kind, KubeQueueError)]
    assert all(f" {name}" in drawn or f"\n    {name}" in drawn for name in ours)
