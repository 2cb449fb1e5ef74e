"""A quota tree of any shape compiles, lists every broken rule with its path, and never raises."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue import manifests
from kube_queue.api.names import MAX_JOBS, MAX_PREEMPTIBLE_JOBS_LABEL
from kube_queue.api.quota import QuotaTree, Violation, parse_tree, project_tree


def a_tree(root: object, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "t", "namespace": "kube-system", "uid": "u", **metadata},
        "spec": {"root": root},
    }


def compiled(root: object) -> QuotaTree:
    tree, _ = parse_tree(a_tree(root))
    assert tree is not None
    return tree


def violations(root: object) -> dict[str, Violation]:
    _, found = parse_tree(a_tree(root))
    assert len({one.path for one in found}) == len(found)
    return {one.path: one for one in found}


CAPACITY_TREE: dict[str, Any] = {
    "name": "root",
    "max": {"cpu": 40, "memory": "40Gi", "nvidia.com/gpu": 4},
    "min": {"cpu": 40, "memory": "40Gi", "nvidia.com/gpu": 4},
    "children": [
        {
            "name": f"root.{team}",
            "max": {"cpu": 40, "memory": "40Gi", "nvidia.com/gpu": 4},
            "min": {"cpu": 20, "memory": "20Gi", "nvidia.com/gpu": 2},
            "children": [
                {
                    "name": f"root.{team}.{number}",
                    "namespaces": [f"namespace{first + number}"],
                    "max": {"cpu": 20, "memory": "20Gi", "nvidia.com/gpu": 2},
                    "min": {"cpu": 10, "memory": "10Gi", "nvidia.com/gpu": 1},
                }
                for number in (1, 2)
            ],
        }
        for team, first in (("a", 0), ("b", 2))
    ],
}
"""The tree of the capacity scheduling documentation."""


def test_the_documented_queue_tree_loads_without_a_violation() -> None:
    (manifest,) = manifests.load("demo/elastic-quota-tree.yaml")
    seen = project_tree(manifest)
    assert seen.violations == ()
    assert seen.effective
    assert seen.tree is not None
    leaf = seen.tree.leaf_for("", "default")
    assert leaf is not None
    assert leaf.path == "root/root.defaultQuotaGroup"
    assert leaf.max["cpu"] == 4000
    assert leaf.max["memory"] == 4 * 2**30
    assert leaf.min == {"cpu": 0, "memory": 0, "nvidia.com/gpu": 0, "aliyun.com/gpu-mem": 0}


def test_the_documented_capacity_tree_loads_without_a_violation() -> None:
    tree = compiled(CAPACITY_TREE)
    assert violations(CAPACITY_TREE) == {}
    assert list(tree.nodes) == [
        "root",
        "root/root.a",
        "root/root.a/root.a.1",
        "root/root.a/root.a.2",
        "root/root.b",
        "root/root.b/root.b.1",
        "root/root.b/root.b.2",
    ]
    assert tree.chain("root/root.b/root.b.1") == ("root/root.b/root.b.1", "root/root.b", "root")
    assert [leaf.namespaces for leaf in tree.leaves()] == [
        ("namespace1",), ("namespace2",), ("namespace3",), ("namespace4",),
    ]  # fmt: skip


def test_null_children_empty_namespaces_ints_and_texts_are_all_legal() -> None:
    root: dict[str, Any] = {
        "name": "r",
        "namespaces": [],
        "children": None,
        "max": {"cpu": 4, "memory": "4Gi"},
    }
    tree = compiled(root)
    assert violations(root) == {}
    assert tree.nodes["r"].leaf
    assert tree.nodes["r"].max == {"cpu": 4000, "memory": 4 * 2**30}
    assert not tree.nodes["r"].min_declared


def test_every_violation_is_reported_at_once_with_its_path() -> None:
    found = violations(
        {
            "name": "root",
            "min": {"cpu": 10},
            "max": {"cpu": 20},
            "namespaces": ["inner"],
            "children": [
                {"name": "a", "min": {"cpu": 8}, "max": {"cpu": 30}, "namespaces": ["x", "y"]},
                {"name": "b", "min": {"cpu": 9}, "max": {"cpu": "7"}, "namespaces": ["x", 3]},
                {"name": "c", "max": {"cpu": "seven"}, "childs": []},
                {"namespaces": ["lost"]},
                "no node",
                {"name": "a"},
            ],
        }
    )
    errors = {path for path, one in found.items() if one.severity == "error"}
    assert errors == {
        "spec.root.namespaces[0]",
        "spec.root.min.cpu",
        "spec.root.children[1].min.cpu",
        "spec.root.children[1].namespaces[0]",
        "spec.root.children[1].namespaces[1]",
        "spec.root.children[2].max.cpu",
        "spec.root.children[3].name",
        "spec.root.children[4]",
        "spec.root.children[5].name",
    }
    warnings = set(found) - errors
    assert warnings == {"spec.root.children[0].max.cpu", "spec.root.children[2].childs"}


def test_a_resource_that_no_pod_asks_for_is_a_warning() -> None:
    names = (
        "cpu",
        "memory",
        "ephemeral-storage",
        "hugepages-2Mi",
        "a.com/gpu",
        "kube-queue/max-jobs",
    )
    assert violations({"name": "root", "max": dict.fromkeys(names, 1)}) == {}
    found = violations(
        {"name": "root", "max": {"CPU": 4, "nvidia.com/": 1, "": 1}, "min": {"gpu": 1}}
    )
    assert {(path, one.severity) for path, one in found.items()} == {
        (f"spec.root.{field}", "warning")
        for field in ("max.CPU", "max[nvidia.com/]", "max[]", "min.gpu")
    }


def test_the_root_may_allow_less_than_its_children_together() -> None:
    children = [{"name": name, "max": {"cpu": 4}} for name in "abc"]
    assert violations({"name": "root", "max": {"cpu": 4}, "children": children}) == {}


def test_a_min_is_held_against_the_children_only_where_the_parent_declares_one() -> None:
    child = {"name": "a", "min": {"cpu": 5, MAX_JOBS: 3}}
    assert violations({"name": "root", "children": [child]}) == {}
    assert set(violations({"name": "root", "min": {"memory": 1}, "children": [child]})) == {
        "spec.root.min.cpu"
    }


def test_max_jobs_is_held_against_min_only_where_min_lists_it() -> None:
    root: dict[str, Any] = {
        "name": "root",
        "min": {"cpu": 5, MAX_JOBS: 2},
        "children": [{"name": "a"}],
    }
    assert violations(root) == {}
    root["children"] = [{"name": "a", "min": {MAX_JOBS: 3}}]
    assert set(violations(root)) == {f"spec.root.min[{MAX_JOBS}]"}


@pytest.mark.parametrize("amount", ["4x", "-1", -5, None, [], {}, True, 1e400, "9" * 500])
def test_an_amount_that_cannot_be_read_allows_guarantees_and_lends_nothing(amount: object) -> None:
    root = {"name": "root", "max": {"cpu": amount, "memory": 1}, "min": {"cpu": amount}}
    node = compiled(root).nodes["root"]
    assert node.max == {"cpu": 0, "memory": 1}
    assert node.min["cpu"] == 0
    assert set(violations(root)) == {"spec.root.max.cpu", "spec.root.min.cpu"}


def test_a_max_that_is_no_map_admits_no_job_at_all() -> None:
    root = {"name": "root", "max": ["cpu", 4]}
    assert compiled(root).nodes["root"].max == {MAX_JOBS: 0}
    assert set(violations(root)) == {"spec.root.max"}


def test_a_second_node_of_a_name_keeps_its_namespaces_but_not_the_name() -> None:
    root = {
        "name": "root",
        "children": [
            {"name": "a", "children": [{"name": "twin", "namespaces": ["one"]}]},
            {"name": "b", "children": [{"name": "twin", "namespaces": ["two"]}]},
        ],
    }
    tree = compiled(root)
    named = tree.leaf_for("twin", "two")
    listed = tree.leaf_for("", "two")
    assert named is not None
    assert listed is not None
    assert (named.path, listed.path) == ("root/a/twin", "root/b/twin")
    assert set(violations(root)) == {"spec.root.children[1].children[0].name"}


def test_a_namespace_belongs_to_the_first_leaf_that_lists_it() -> None:
    root = {"name": "root", "children": [{"name": n, "namespaces": ["x"]} for n in "ab"]}
    tree = compiled(root)
    assert [tree.nodes[path].namespaces for path in ("root/a", "root/b")] == [("x",), ()]


@pytest.mark.parametrize(
    ("quota", "namespace", "path", "sentence"),
    [
        ("", "namespace3", "root/root.b/root.b.1", ""),
        ("root.a.2", "elsewhere", "root/root.a/root.a.2", ""),
        ("", "nowhere", None, "namespace nowhere does not belong to any elastic quota"),
        ("nobody", "namespace1", None, "no elastic quota is called nobody"),
        (
            "root.a",
            "namespace1",
            None,
            "elastic quota root.a has children: the label has to name a leaf",
        ),
    ],
)
def test_the_label_decides_the_leaf_and_without_it_the_namespace(
    quota: str, namespace: str, path: str | None, sentence: str
) -> None:
    tree = compiled(CAPACITY_TREE)
    leaf = tree.leaf_for(quota, namespace)
    assert (leaf.path if leaf else None) == path
    assert tree.no_leaf_because(quota, namespace) == sentence


@pytest.mark.parametrize(
    ("attribute", "lent"),
    [
        ('{"cpu": 2, "memory": "1Gi"}', {"cpu": 2000, "memory": 2**30}),
        ('{"cpu": "lots"}', {"cpu": 0}),
        ("{", {"cpu": 0}),
        ("[" * 100_000, {"cpu": 0}),
        ("3", {"cpu": 0}),
        ({"cpu": 1}, {"cpu": 1000}),
        (None, None),
    ],
)
def test_a_lend_limit_is_read_from_its_attribute_and_a_bad_one_lends_nothing(
    attribute: object, lent: dict[str, int] | None
) -> None:
    attributes = {"alibabacloud.com/lendlimit": attribute}
    node = compiled({"name": "r", "min": {"cpu": 4}, "attributes": attributes}).nodes["r"]
    assert node.lend_limit == lent


@pytest.mark.parametrize(
    ("label", "allowed"), [("3", 3), ("0", 0), ("many", 0), ("-1", 0), (None, None), (3, 0)]
)
def test_a_label_that_is_no_number_of_preemptible_jobs_allows_none(
    label: object, allowed: int | None
) -> None:
    tree, found = parse_tree(a_tree({"name": "r"}, labels={MAX_PREEMPTIBLE_JOBS_LABEL: label}))
    assert tree is not None
    assert tree.max_preemptible_jobs == allowed
    assert bool(found) == (label in ("many", "-1", 3))


@pytest.mark.parametrize("root", [None, [], "root", 3, True])
def test_without_a_root_there_is_no_tree_but_a_violation(root: object) -> None:
    tree, found = parse_tree(a_tree(root))
    assert tree is None
    assert [one.path for one in found] == ["spec.root"]


@pytest.mark.parametrize("obj", [None, [], 3, {}, {"spec": None}, {"spec": [], "metadata": 3}])
def test_an_object_that_is_no_tree_gives_a_violation(obj: Any) -> None:
    assert parse_tree(obj)[0] is None
    assert parse_tree(obj)[1]


def test_a_root_without_a_name_is_called_root() -> None:
    assert compiled({"name": 5, "max": {"cpu": 1}}).root == "root"


def a_chain_of(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {"name": f"n{levels}", "namespaces": ["deep"]}
    for level in range(levels - 1, 0, -1):
        node = {"name": f"n{level}", "children": [node]}
    return node


def test_depth_is_data_up_to_a_hundred_levels() -> None:
    tree = compiled(a_chain_of(100))
    leaf = tree.leaf_for("", "deep")
    assert leaf is not None
    assert len(tree.chain(leaf.path)) == 100
    deeper, found = parse_tree(a_tree(a_chain_of(101)))
    assert deeper is not None
    assert deeper.leaf_for("", "deep") is None
    assert any("deeper than" in one.problem for one in found)
    abyss, found = parse_tree(a_tree(a_chain_of(50_000)))
    assert abyss is not None
    assert len(found) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "children", "namespaces", "min", "max", "attributes", "cpu", "x"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


@given(json_values)
def test_no_content_makes_the_reading_raise(root: object) -> None:
    tree, found = parse_tree(a_tree(root))
    assert tree is not None or found
    if tree is not None:
        for node in tree.nodes.values():
            assert tree.chain(node.path)[-1] == tree.root
            assert all(amount >= 0 for amount in (*node.min.values(), *node.max.values()))
            assert all(tree.nodes[child].parent == node.path for child in node.children)


nodes = st.recursive(
    st.fixed_dictionaries(
        {"name": st.sampled_from("abcdef")},
        optional={
            "namespaces": st.lists(st.sampled_from(["n1", "n2", "n3"]), max_size=2),
            "min": st.dictionaries(st.sampled_from(["cpu", "gpu"]), st.integers(0, 9)),
            "max": st.dictionaries(st.sampled_from(["cpu", "gpu"]), st.integers(0, 9)),
        },
    ),
    lambda inner: st.builds(
        lambda node, children: {**node, "children": children}, inner, st.lists(inner, max_size=4)
    ),
    max_leaves=15,
)


@given(nodes)
def test_a_tree_without_errors_keeps_every_rule(root: dict[str, Any]) -> None:
    tree, found = parse_tree(a_tree(root))
    assert tree is not None
    errors = [one for one in found if one.severity == "error"]
    names = [node.name for node in tree.nodes.values()]
    owned = [name for node in tree.nodes.values() for name in node.namespaces]
    assert len(owned) == len(set(owned))
    if errors:
        return
    assert len(names) == len(set(names))
    for node in tree.nodes.values():
        assert node.leaf or not node.namespaces
        assert all(amount <= node.max.get(name, amount) for name, amount in node.min.items())
        for name in node.min:
            children = (tree.nodes[child] for child in node.children)
            assert sum(child.min.get(name, 0) for child in children) <= node.min[name]
