"""Request bodies: bytes in, a decoded object out, or a 4xx that says what is wrong.

Holds: size, depth and encoding limits; duplicate fields; fieldValidation.
"""

import json
from typing import Any

import orjson

from kube_queue.apiserver import protobuf
from kube_queue.apiserver.messages import Request
from kube_queue.apiserver.status import (
    StatusError,
    bad_request,
    too_large,
    unsupported_media_type,
)

BODY_LIMIT = 3 * 1024 * 1024
DEPTH_LIMIT = 200
VALUES_LIMIT = 200_000
"""Values in a body, however deep: what takes two bytes to send takes hundreds to hold."""
JSON = "application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def media_type(request: Request) -> str:
    """The body's type without its parameters; JSON when the request does not say."""
    return request.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON


def decode_json(body: bytes) -> Any:
    """The JSON value; 413 when too large, 400 when not JSON, not UTF-8 or nested too deeply."""
    if len(body) > BODY_LIMIT:
        raise too_large(BODY_LIMIT)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise bad_request(f"the object provided is not valid JSON: {problem}") from None
    nested = body.count(b"{") + body.count(b"[")
    if nested > DEPTH_LIMIT or nested + body.count(b",") > VALUES_LIMIT:
        check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """A 400 when the value is nested more than DEPTH_LIMIT deep or has more than VALUES_LIMIT."""
    level, depth, count = [value], 0, 0
    while level:
        depth += 1
        if depth > DEPTH_LIMIT:
            raise bad_request(f"the object provided is nested more than {DEPTH_LIMIT} levels deep")
        below: list[Any] = []
        for item in level:
            count += len(item) if type(item) is dict or type(item) is list else 0
            if type(item) is dict:
                below.extend(x for x in item.values() if type(x) is dict or type(x) is list)
            elif type(item) is list:
                below.extend(x for x in item if type(x) is dict or type(x) is list)
        if count > VALUES_LIMIT:
            raise bad_request(f"the object provided has more than {VALUES_LIMIT} values")
        level = below


def decode_object(request: Request) -> dict[str, Any]:
    """The object a create, an update or a delete carries."""
    kind = media_type(request)
    if kind == PROTOBUF:
        return _decode_protobuf(request.body)
    if kind != JSON:
        raise unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: "
            f"{JSON}, {PROTOBUF}"
        )
    value = decode_json(request.body)
    if not isinstance(value, dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    return value


def _decode_protobuf(body: bytes) -> dict[str, Any]:
    if len(body) > BODY_LIMIT:
        raise too_large(BODY_LIMIT)
    try:
        value = protobuf.decode(body)
    except protobuf.UnsupportedBody as problem:
        raise unsupported_media_type(str(problem)) from None
    except protobuf.MalformedBody as problem:
        raise bad_request(str(problem)) from None
    check_depth(value)
    return value


def duplicate_fields(body: bytes, value: Any) -> list[str]:
    """Paths of fields that stand twice in the body; `value` is what it decoded to."""
    colons = orjson.dumps(value).count(b":")
    if body.count(b":") == colons and b"\\u003" not in body:
        return []
    found: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, item in items:
            if key in seen:
                twice.setdefault(id(seen), []).append(key)
            seen[key] = item
        keep.append(seen)
        return seen

    twice: dict[int, list[str]] = {}
    keep: list[dict[str, Any]] = []
    tree = json.loads(body, object_pairs_hook=pairs)
    _walk(tree, "", twice, found)
    return found


def _walk(node: Any, path: str, twice: dict[int, list[str]], found: list[str]) -> None:
    if isinstance(node, dict):
        for key in twice.get(id(node), ()):
            found.append(f"{path}.{key}" if path else key)
        for key, item in node.items():
            _walk(item, f"{path}.{key}" if path else key, twice, found)
    elif isinstance(node, list):
        for index, item in enumerate(node):
            _walk(item, f"{path}[{index}]", twice, found)


def field_problems(unknown: list[str], repeated: list[str]) -> list[str]:
    """The sentences strict decoding says about them."""
    return [f'unknown field "{path}"' for path in unknown] + [
        f'duplicate field "{path}"' for path in repeated
    ]


def judge_fields(problems: list[str], mode: str, refuse: Any) -> tuple[str, ...]:
    """Warnings to send along; in Strict mode `refuse(text)` makes the error to raise."""
    if not problems or mode == "Ignore":
        return ()
    if mode == "Strict":
        error: StatusError = refuse(f"strict decoding error: {', '.join(problems)}")
        raise error
    return tuple(problems)
