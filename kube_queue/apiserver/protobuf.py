"""Protobuf request bodies, decoded by table into what the same body would be in JSON.

Holds: decode, UnsupportedBody, MalformedBody. The tables come from `builtin.protobuf_tables()`.

A body is the four bytes `k8s\\0` and a runtime.Unknown message: apiVersion and kind, then the
object's own message. A field the tables do not know is skipped, as a server older than its client
does.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from kube_queue.apiserver.builtin import protobuf_tables

MAGIC = b"k8s\x00"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_META = "k8s.io.apimachinery.pkg.apis.meta.v1"
_Field = tuple[int, int, int | bytes]
"""Field number, wire type, value."""


class UnsupportedBody(Exception):
    """The body is of a kind that can only be read as JSON; names the kind."""


class MalformedBody(Exception):
    """The bytes are no Kubernetes protobuf body."""


def decode(body: bytes) -> dict[str, Any]:
    """The object in the body, with apiVersion and kind.

    Fields that JSON would leave out when empty are left out. Raises UnsupportedBody, MalformedBody.
    """
    if not body.startswith(MAGIC):
        raise MalformedBody("a protobuf body starts with the bytes 'k8s' and zero")
    api_version = kind = ""
    raw = b""
    for number, _, value in _fields(body[len(MAGIC) :]):
        if number == 1:
            names = {inner: _text(text) for inner, _, text in _fields(_bytes(value))}
            api_version, kind = names.get(1, ""), names.get(2, "")
        elif number == 2:
            raw = _bytes(value)
        elif number == 3 and value:
            raise UnsupportedBody(f"the encoding {_text(value)!r} of a body is not supported")
    return {"apiVersion": api_version, "kind": kind, **_message(_name(api_version, kind), raw)}


def _name(api_version: str, kind: str) -> str:
    """The message of a kind. DeleteOptions belong to every group."""
    tables = protobuf_tables()["kinds"]
    group, _, version = api_version.rpartition("/")
    if kind == "DeleteOptions":
        group, version = "", "v1"
    name = tables.get(f"{group}/{version}/{kind}")
    if name is None:
        told = f"kind {kind!r} of {api_version!r}" if kind else "a body without a kind"
        raise UnsupportedBody(f"protobuf is not supported for {told}; send JSON")
    return str(name)


# ----------------------------------------------------------------------------- wire format


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at a position and the position after it."""
    result = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise MalformedBody("a number in the protobuf body is cut off or too long")
        byte = data[at]
        result |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, at


def _fields(data: bytes) -> Iterator[_Field]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise MalformedBody(f"wire type {wire} is not one of protobuf's")
        if at + size > len(data):
            raise MalformedBody(f"field {number} of the protobuf body is cut off")
        yield number, wire, data[at : at + size]
        at += size


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    raise MalformedBody("a number stands where the protobuf body should have bytes")


def _text(value: int | bytes) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise MalformedBody("a string in the protobuf body is not UTF-8") from None


def _integer(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise MalformedBody("bytes stand where the protobuf body should have a number")
    return value - (1 << 64) if value >> 63 else value


# ------------------------------------------------------------------------------- messages


def _message(name: str, data: bytes) -> dict[str, Any]:
    """The fields of a message under their JSON names."""
    fields = protobuf_tables()["messages"][name]
    result: dict[str, Any] = {}
    for number, wire, raw in _fields(data):
        if str(number) not in fields:
            continue
        json_name, type_name, flags = fields[str(number)]
        if "m" in flags:
            key, value = _entry(type_name, _bytes(raw))
            result.setdefault(json_name, {})[key] = value
        elif "r" in flags:
            values = _repeated(type_name, wire, raw)
            result.setdefault(json_name, []).extend(values)
        else:
            value = _value(type_name, raw)
            if "i" in flags:
                result |= value
            elif value is not None and ("z" in flags or value not in ("", 0, False, {})):
                result[json_name] = value
    return result


def _value(type_name: str, raw: int | bytes) -> Any:
    """One value; None for a time that is not set."""
    if (read := _SCALARS.get(type_name)) is not None:
        return read(raw)
    data = _bytes(raw)
    if (read_message := _SPECIAL.get(type_name)) is not None:
        return read_message(data)
    return _message(type_name, data)


def _repeated(type_name: str, wire: int, raw: int | bytes) -> list[Any]:
    """The values one occurrence of a repeated field brings; numbers may come packed."""
    if wire != _BYTES or type_name not in _NUMBERS:
        return [_value(type_name, raw)]
    values, data, at = [], _bytes(raw), 0
    while at < len(data):
        number, at = _varint(data, at)
        values.append(_value(type_name, number))
    return values


def _entry(type_name: str, data: bytes) -> tuple[str, Any]:
    key, value = "", _value(type_name, b"" if type_name not in _NUMBERS else 0)
    for number, _, raw in _fields(data):
        if number == 1:
            key = _text(raw)
        elif number == 2:
            value = _value(type_name, raw)
    return key, value


def _base64(raw: int | bytes) -> str:
    return b64encode(_bytes(raw)).decode()


def _boolean(raw: int | bytes) -> bool:
    return _integer(raw) != 0


def _seconds_and_nanos(data: bytes) -> tuple[int, int]:
    numbers = {number: _integer(value) for number, _, value in _fields(data)}
    return numbers.get(1, 0), numbers.get(2, 0)


def _time(data: bytes) -> str | None:
    """RFC 3339 with seconds; an empty message is a time that is not set."""
    return _rfc3339(_seconds_and_nanos(data)[0], "") if data else None


def _micro_time(data: bytes) -> str | None:
    seconds, nanos = _seconds_and_nanos(data)
    return _rfc3339(seconds, f".{nanos // 1000:06}") if data else None


def _rfc3339(seconds: int, fraction: str) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
    except (OverflowError, ValueError, OSError):
        raise MalformedBody("a time in the protobuf body is out of bounds") from None


def _quantity(data: bytes) -> str:
    return next((_text(value) for number, _, value in _fields(data) if number == 1), "0")


def _int_or_string(data: bytes) -> int | str:
    values = {number: value for number, _, value in _fields(data)}
    if values.get(1, 0) == 1:
        return _text(values.get(3, b""))
    return _integer(values.get(2, 0))


def _managed_fields(data: bytes) -> Any:
    raw = next((_bytes(value) for number, _, value in _fields(data) if number == 1), b"{}")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise MalformedBody("managed fields in the protobuf body are not JSON") from None


_SCALARS: dict[str, Callable[[int | bytes], Any]] = {
    "bool": _boolean,
    "bytes": _base64,
    "int32": _integer,
    "int64": _integer,
    "string": _text,
}
_NUMBERS = frozenset({"bool", "int32", "int64"})
_SPECIAL: dict[str, Callable[[bytes], Any]] = {
    f"{_META}.FieldsV1": _managed_fields,
    f"{_META}.MicroTime": _micro_time,
    f"{_META}.Time": _time,
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _quantity,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
}
