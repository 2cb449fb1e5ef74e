"""Protobuf bodies, as Kubernetes' own Go code writes them."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.apiserver.protobuf import MAGIC, MalformedBody, UnsupportedBody, decode

BODIES = json.loads((Path(__file__).parent / "protobuf_bodies" / "bodies.json").read_bytes())


def _without_empty(value: Any) -> Any:
    """Go writes empty structs into JSON; protobuf cannot tell them from absent ones."""
    if isinstance(value, dict):
        pruned = {key: _without_empty(inner) for key, inner in value.items()}
        return {key: inner for key, inner in pruned.items() if inner not in ({}, None)}
    return [_without_empty(inner) for inner in value] if isinstance(value, list) else value


def _envelope(api_version: str, kind: str, raw: bytes) -> bytes:
    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    names = field(1, api_version.encode()) + field(2, kind.encode())
    return MAGIC + field(1, names) + field(2, raw)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body["json"]["kind"])
def test_a_body_reads_as_the_same_object_sent_in_json(body: Any) -> None:
    decoded = decode(b64decode(body["protobuf"]))
    assert _without_empty(decoded) == _without_empty(body["json"])


def test_an_empty_object_behind_a_pointer_is_kept() -> None:
    job = next(body for body in BODIES if body["json"]["kind"] == "Job")
    volumes = decode(b64decode(job["protobuf"]))["spec"]["template"]["spec"]["volumes"]
    assert volumes[0] == {"name": "v", "emptyDir": {}}


def test_a_zero_that_was_set_is_kept() -> None:
    job = next(body for body in BODIES if body["json"]["kind"] == "Job")
    assert decode(b64decode(job["protobuf"]))["spec"]["backoffLimit"] == 0


def test_a_kind_without_a_table_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedBody, match=r"kind 'CronJob' of 'batch/v1beta1'; send JSON"):
        decode(_envelope("batch/v1beta1", "CronJob", b""))


def test_a_field_newer_than_the_tables_is_skipped() -> None:
    metadata = b"\x0a\x03\x0a\x01n"
    unknown = b"\xf2\x3f\x02hi"
    assert decode(_envelope("v1", "Namespace", metadata + unknown)) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "n"},
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        MAGIC + b"\x0a\xff",
        MAGIC + b"\xff" * 12,
        MAGIC + b"\x0b",
        _envelope("v1", "Namespace", b"\x0a\x03\x0a\x05n"),
        _envelope("v1", "Namespace", b"\x0a\x03\x0a\x01\xff"),
        _envelope("v1", "Namespace", b"\x08\x01"),
        _envelope("v1", "Namespace", b"\x0a\x02\x42\x0a"),
    ],
)
def test_bytes_that_are_no_such_body_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        decode(body)


@given(st.binary(max_size=60))
def test_hostile_bytes_are_refused_or_read_but_nothing_breaks(raw: bytes) -> None:
    try:
        decoded = decode(_envelope("batch/v1", "Job", raw))
    except MalformedBody:
        return
    assert decoded["kind"] == "Job"
