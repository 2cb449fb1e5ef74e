"""Label selectors are read as kubectl reads them."""

from __future__ import annotations

import pytest

from kube_queue.api.errors import InvalidInput
from kube_queue.api.selectors import parse_selector


@pytest.mark.parametrize(
    ("written", "labels", "selected"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b", {"a": "c"}, False),
        ("a=", {"a": ""}, True),
        ("a!=b", {}, True),
        ("a != b", {"a": "b"}, False),
        ("a in (b, c)", {"a": "c"}, True),
        ("a in (b,c)", {}, False),
        ("a notin (b)", {"a": "c"}, True),
        ("a notin (b)", {"a": "b"}, False),
        ("a", {"a": ""}, True),
        ("a", {}, False),
        ("!a", {}, True),
        ("! a", {"a": "b"}, False),
        (" example.com/a=b , !c,d in (e) ", {"example.com/a": "b", "d": "e"}, True),
        ("a=b,c", {"a": "b"}, False),
        ("in=b", {"in": "b"}, True),
        ("kubernetes.io/metadata.name!=kube-system", {}, True),
    ],
)
def test_it_selects_what_kubectl_would(
    written: str, labels: dict[str, str], selected: bool
) -> None:
    assert parse_selector(written).selects(labels) is selected


@pytest.mark.parametrize(
    "written",
    ["a=b,", ",a", "a b", "a in b", "a in (b", "a=b=c", "-a", "a/b/c", "a=b c", "a=*", "!", "a>1"],
)
def test_what_kubectl_would_refuse_is_refused_with_the_way_to_write_it(written: str) -> None:
    with pytest.raises(InvalidInput, match="kubectl -l") as refused:
        parse_selector(written, "--job-selector")
    assert str(refused.value).startswith("--job-selector: ")
