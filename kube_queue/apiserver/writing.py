"""The steps that creating and changing an object share, before and after the kind's own rules."""

from collections.abc import Sequence
from typing import Any

import orjson

from kube_queue.apiserver import body
from kube_queue.apiserver.messages import Response
from kube_queue.apiserver.options import WriteOptions
from kube_queue.apiserver.reading import JSON_HEADERS, view_of
from kube_queue.apiserver.status import (
    bad_request,
    too_large,
)
from kube_queue.apiserver.store import Object, Record
from kube_queue.apiserver.world import Call, World

SERVER_SET = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
)
OBJECT_LIMIT = 3 << 20
"""Bytes of one object."""
_SMALL = 16 << 10
"""What is sent and what was there: from less, no object of that size comes."""


def check_identity(call: Call, obj: Object) -> None:
    """apiVersion and kind are those of the path; a built-in object may leave them out."""
    kind = call.kind
    for key, wanted in (("apiVersion", kind.api_version), ("kind", kind.kind)):
        value = obj.get(key)
        if value is None or value == "":
            if not kind.builtin:
                raise bad_request(f"Object '{key[0].upper()}{key[1:]}' is missing in the object")
            obj[key] = wanted
        elif value != wanted:
            if key == "apiVersion":
                raise bad_request(
                    f"the API version in the data ({value}) does not match the expected API "
                    f"version ({wanted})"
                )
            raise bad_request(f"the kind in the data ({value}) does not match the kind {wanted}")


def check_place(call: Call, metadata: Object) -> None:
    """The object is in the namespace of the path, and says so."""
    if not call.kind.namespaced:
        metadata.pop("namespace", None)
        return
    stated = metadata.setdefault("namespace", call.namespace) or call.namespace
    if stated != call.namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    metadata["namespace"] = call.namespace


def repeated_fields(call: Call, chosen: WriteOptions, decoded: Any) -> list[str]:
    if chosen.validation == "Ignore" or body.media_type(call.request) == body.PROTOBUF:
        return []
    return body.duplicate_fields(call.request.body, decoded)


def judge_fields(
    call: Call, chosen: WriteOptions, unknown: list[str], repeated: Sequence[str]
) -> tuple[str, ...]:
    problems = body.field_problems(unknown, list(repeated))
    kind = call.kind
    return body.judge_fields(
        problems,
        chosen.validation,
        lambda text: bad_request(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {text}'
        ),
    )


def check_size(call: Call, obj: Object, before: int) -> None:
    """A 413 when defaults, or one patch after another, have made the object too large."""
    if before + len(call.request.body) > _SMALL and len(orjson.dumps(obj)) > OBJECT_LIMIT:
        raise too_large(OBJECT_LIMIT)


def answer(
    world: World, call: Call, record: Record, status: int, warnings: tuple[str, ...]
) -> Response:
    raw = view_of(world, call).one(record)
    return Response(status, JSON_HEADERS, raw, warnings)
