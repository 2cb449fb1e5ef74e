"""Automatic queues: one valid, telling name for every leaf."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.api.quota import QuotaNode, queue_for, queue_name

VALID = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
HASHED = re.compile(r".*-[0-9a-f]{8}")
LEAF = QuotaNode("a", "root/a", "root", (), (), {}, {}, False, True)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("root", "root"),
        ("root/a", "root-a"),
        ("root/root.defaultQuotaGroup", "root-root.defaultquotagroup"),
        ("root/root.a/root.a.1", "root-root.a-root.a.1"),
    ],
)
def test_a_plain_path_reads_as_its_names_joined(path: str, name: str) -> None:
    assert queue_name(path) == name


@pytest.mark.parametrize(
    "path", ["root/a-b", "root/a_b", "root/a b", "root/ä", "root/" + "x" * 70, "root./a", "r/a..b"]
)
def test_a_path_that_loses_something_gets_eight_hex_digits(path: str) -> None:
    assert HASHED.fullmatch(queue_name(path))


def test_paths_that_would_read_alike_get_different_names() -> None:
    paths = ["root/a/b", "root/a-b", "root/a_b", "root-a/b", "root/a b", "root/" + "x" * 80]
    paths.append(paths[-1] + "x")
    assert len({queue_name(path) for path in paths}) == len(paths)


@given(st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=6))
def test_every_path_gives_a_valid_object_name_of_at_most_63_characters(names: list[str]) -> None:
    name = queue_name("/".join(names))
    assert VALID.fullmatch(name)
    assert len(name) <= 63


plain = st.lists(st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,8}[a-z0-9])?", fullmatch=True), min_size=1)


@given(plain, plain)
def test_two_lower_case_paths_never_share_a_queue(left: list[str], right: list[str]) -> None:
    assert (queue_name("/".join(left)) == queue_name("/".join(right))) == (left == right)


@pytest.mark.parametrize(
    ("annotations", "leaf", "queue"),
    [
        ({"kube-queue/queue-name": "mine"}, LEAF, "mine"),
        ({"kube-queue/queue-name": "mine"}, None, "mine"),
        ({"kube-queue/queue-name": ""}, LEAF, "root-a"),
        ({"kube-queue/queue-name": 3}, LEAF, "root-a"),
        ({}, LEAF, "root-a"),
        ({}, None, ""),
    ],
)
def test_the_annotation_beats_the_queue_of_the_leaf(
    annotations: dict[str, object], leaf: QuotaNode | None, queue: str
) -> None:
    assert queue_for(annotations, leaf) == queue
