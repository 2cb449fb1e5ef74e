"""JSON paths of printer columns."""

from typing import Any

import pytest

from kube_queue.apiserver.printers.jsonpath import BadPath, compile_path

OBJ: dict[str, Any] = {
    "spec": {"replicas": 3, "names": ["a", "b", "c"], "a.b/c": "dotted", "maybe": None},
    "status": {
        "conditions": [
            {"type": "Created", "status": "True", "code": 1},
            {"type": "Ready", "status": "False", "code": 2},
        ],
        "empty": [],
    },
    "pools": {"x": {"size": 1}, "y": {"size": 2}},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.replicas", [3]),
        ("spec.replicas", None),
        ("{.spec.replicas}", [3]),
        ("$.spec.replicas", [3]),
        (".spec['replicas']", [3]),
        ('.spec["replicas"]', [3]),
        (r".spec.a\.b/c", ["dotted"]),
        (".spec['a.b/c']", ["dotted"]),
        (".spec.maybe", [None]),
        (".spec.none", []),
        (".spec.none.below", []),
        (".spec.replicas.below", []),
        (".spec.names[0]", ["a"]),
        (".spec.names[-1]", ["c"]),
        (".spec.names[3]", []),
        (".spec.names[-4]", []),
        (".spec.names[-1:]", ["c"]),
        (".spec.names[0:2]", ["a", "b"]),
        (".spec.names[0:9]", []),
        (".spec.names[::2]", ["a", "c"]),
        (".spec.names[0,2]", ["a", "c"]),
        (".spec.names[*]", ["a", "b", "c"]),
        (".spec[0]", []),
        (".status.conditions[-1:].type", ["Ready"]),
        (".status.empty[-1:].type", []),
        (".status.conditions[*].type", ["Created", "Ready"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["False"]),
        (".status.conditions[?(@.type == 'Created')].status", ["True"]),
        ('.status.conditions[?(@.type!="Ready")].status', ["True"]),
        (".status.conditions[?(@.code>1)].type", ["Ready"]),
        (".status.conditions[?(@.code<=1)].type", ["Created"]),
        (".status.conditions[?(@.code)].type", ["Created", "Ready"]),
        (".status.conditions[?(@.other)].type", []),
        ('.status.conditions[?(@.code>"x")].type', []),
        ('.status.conditions[?(@.type=="no)]")].status', []),
        (".pools.*.size", [1, 2]),
        ("..size", [1, 2]),
    ],
)
def test_a_path_finds_what_it_names_in_order(path: str, found: list[Any] | None) -> None:
    if found is None:
        with pytest.raises(BadPath):
            compile_path(path)
    else:
        assert compile_path(path)(OBJ) == found


@pytest.mark.parametrize(
    "path", [".spec[", ".spec[x]", ".a[?(@.b==)]", ".a[?(@.b=='c'", ".a[0:2:0]", ".a{b"]
)
def test_a_path_that_cannot_be_read_is_refused_with_the_place(path: str) -> None:
    with pytest.raises(BadPath):
        compile_path(path)
