"""A quota that declares a lend limit keeps the rest of its min, whether it uses it or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kube_queue.admission.ledger import QuotaLedger
from kube_queue.api.names import LEND_LIMIT_ATTRIBUTE, MAX_JOBS
from kube_queue.api.queues import Policy
from kube_queue.api.quota import QuotaTree
from kube_queue.api.resources import ResourceVector
from tests.builders import QuotaBuilder, World, a_quota, a_tree, a_unit, amounts, vector
from tests.examples import examples

ROOT, LEFT, RIGHT = "root", "root/left", "root/right"


def lending(quota: QuotaBuilder, **quantities: str | int) -> QuotaBuilder:
    attributes = {LEND_LIMIT_ATTRIBUTE: json.dumps(amounts(**quantities))}
    return replace(quota, limits={**quota.limits, "attributes": attributes})


def two_leaves(lent: int | None, root_max: int = 10) -> QuotaTree:
    left = a_quota("left").min(cpu="4").serving("left")
    return a_tree(
        a_quota("root")
        .max(cpu=str(root_max))
        .over(
            left if lent is None else lending(left, cpu=lent),
            a_quota("right").min(cpu="4").serving("right"),
        )
    )


def ledger_of(tree: QuotaTree, rate: float = 1.0) -> QuotaLedger:
    ledger = QuotaLedger()
    ledger.set_tree(tree, rate)
    return ledger


@pytest.mark.parametrize(("lent", "room"), [(None, 10), (4, 10), (3, 9), (1, 7), (0, 6), (9, 10)])
def test_siblings_are_charged_what_a_quota_does_not_lend(lent: int | None, room: int) -> None:
    ledger = ledger_of(two_leaves(lent))
    assert ledger.shortage(RIGHT, vector(cpu=room)) is None
    assert ledger.shortage(RIGHT, vector(cpu=room + 1)) is not None
    assert ledger.shortage(LEFT, vector(cpu=10)) is None


def test_what_a_quota_keeps_is_charged_once_when_it_uses_it() -> None:
    ledger = ledger_of(two_leaves(1))
    for used, room in ((0, 7), (2, 7), (3, 7), (5, 5)):
        ledger.charge("u", LEFT, vector(cpu=used))
        assert ledger.shortage(RIGHT, vector(cpu=room)) is None
        short = ledger.shortage(RIGHT, vector(cpu=room + 1))
        assert short is not None
        assert short.missing == 1000
        assert ledger.shortage(LEFT, vector(cpu=10 - used)) is None


def test_a_request_larger_than_what_others_ever_lend_never_fits() -> None:
    ledger = ledger_of(two_leaves(1))
    assert ledger.never_fits(RIGHT, vector(cpu=7)) is None
    short = ledger.never_fits(RIGHT, vector(cpu=8))
    assert short is not None
    assert short.never_fits
    assert short.reason == "ExceedsMaxQuota"
    assert ledger.never_fits(LEFT, vector(cpu=10)) is None


def test_min_is_multiplied_by_the_oversell_rate_and_the_lend_limit_is_not() -> None:
    ledger = ledger_of(two_leaves(1), 1.5)
    assert ledger.shortage(RIGHT, vector(cpu=10)) is None
    assert ledger.shortage(RIGHT, vector(cpu=11)) is not None


def test_the_message_says_what_is_kept_for_others() -> None:
    short = ledger_of(two_leaves(1)).shortage(RIGHT, vector(cpu=8))
    assert short is not None
    assert "requested 8, used 0, kept for others 3, max 10" in short.message


@pytest.mark.parametrize("policy", [Policy.ROUND, Policy.PRIORITY, Policy.BLOCK])
def test_a_unit_of_the_quota_itself_wakes_when_its_own_quota_is_given_back(policy: Policy) -> None:
    world = World(two_leaves(0, 6), policy)
    world.sees(
        a_unit("first").of_namespace("left").asking(cpu="4"),
        a_unit("there").of_namespace("right").asking(cpu="2"),
    )
    assert sorted(world.admits()) == ["first", "there"]
    world.runs("first", "there")
    world.sees(a_unit("next").of_namespace("left").asking(cpu="4"))
    world.sees(a_unit("other").of_namespace("right").asking(cpu="1"))
    assert world.admits() == []
    assert world.ends("first").admits() == ["next"]


@pytest.mark.parametrize("policy", [Policy.ROUND, Policy.PRIORITY, Policy.BLOCK])
def test_a_sibling_wakes_when_others_than_the_keeping_quota_give_back(policy: Policy) -> None:
    world = World(two_leaves(0, 6), policy)
    world.sees(a_unit("one").of_namespace("right").asking(cpu="1"))
    world.sees(a_unit("two").of_namespace("right").asking(cpu="1"))
    assert sorted(world.admits()) == ["one", "two"]
    world.runs("one", "two").sees(a_unit("more").of_namespace("right").asking(cpu="2"))
    assert world.admits() == []
    assert world.ends("one").admits() == []
    assert world.ends("two").admits() == ["more"]


# --- beside a plain sum -------------------------------------------------------------------------

NODES = ("root", "root/p", "root/p/a", "root/p/b", "root/c")
LEAVES = ("root/p/a", "root/p/b", "root/c")
KINDS = ("cpu", "memory", MAX_JOBS)

amount = st.integers(0, 6)
sums = st.dictionaries(st.sampled_from(["cpu", "memory", "jobs"]), amount)


@st.composite
def trees(draw: st.DrawFn) -> QuotaTree:
    def node(name: str) -> QuotaBuilder:
        quota = a_quota(name).min(**draw(sums))
        if draw(st.booleans()):
            quota = quota.max(**{key: draw(st.integers(4, 16)) for key in draw(sums)})
        return lending(quota, **draw(sums)) if draw(st.booleans()) else quota

    p = node("p").over(node("a"), node("b"))
    root = a_quota("root").max(cpu=draw(st.integers(6, 18)), jobs=draw(st.integers(3, 9)))
    return a_tree(root.over(p, node("c")))


def taken(tree: QuotaTree, path: str, name: str, used: Mapping[str, int], chain: set[str]) -> int:
    """What the node counts for in its parent, on the way of a unit that comes by ``chain``."""
    node = tree.nodes[path]
    total = used.get(path, 0) + sum(taken(tree, c, name, used, chain) for c in node.children)
    if path in chain or node.lend_limit is None or name not in node.lend_limit:
        return total
    return max(total, node.min.get(name, 0) - node.lend_limit[name])


def fits(
    tree: QuotaTree,
    leaf: str,
    asked: ResourceVector,
    held: Mapping[str, tuple[str, ResourceVector]],
) -> bool:
    chain = set(tree.chain(leaf))
    for name in KINDS:
        used: dict[str, int] = {}
        for where, what in held.values():
            used[where] = used.get(where, 0) + (1 if name == MAX_JOBS else what[name])
        wanted = 1 if name == MAX_JOBS else asked[name]
        for path in chain:
            limit = tree.nodes[path].max.get(name)
            if limit is None:
                continue
            if wanted and taken(tree, path, name, used, chain) + wanted > limit:
                return False
            real = sum(n for where, n in used.items() if f"{where}/".startswith(f"{path}/"))
            if real > limit:
                return False
    return True


@settings(max_examples=examples(300), deadline=None)
@given(
    tree=trees(),
    steps=st.lists(
        st.tuples(
            st.sampled_from("uvwxyz"), st.sampled_from(LEAVES), amount, amount, st.booleans()
        ),
        max_size=12,
    ),
    leaf=st.sampled_from(LEAVES),
    cpu=amount,
    memory=amount,
)
def test_what_is_lent_is_the_same_as_a_plain_sum_over_all_units(
    tree: QuotaTree,
    steps: list[tuple[str, str, int, int, bool]],
    leaf: str,
    cpu: int,
    memory: int,
) -> None:
    ledger = ledger_of(tree)
    held: dict[str, tuple[str, ResourceVector]] = {}
    asked = vector(cpu=cpu, memory=memory)
    assert (ledger.never_fits(leaf, asked) is None) == fits(tree, leaf, asked, {})
    for uid, where, c, m, leaves in steps:
        if leaves:
            ledger.release(uid)
            held.pop(uid, None)
        else:
            held[uid] = (where, vector(cpu=c, memory=m))
            ledger.charge(uid, *held[uid])
        expected = fits(tree, leaf, asked, held)
        assert (ledger.shortage(leaf, asked) is None) == expected
        assert (not ledger.shortages(leaf, asked)) == expected
