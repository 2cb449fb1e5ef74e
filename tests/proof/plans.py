"""Every way to make room for one unit, by trying them all."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from hypothesis import strategies as st

from kube_queue.api.queues import Policy
from kube_queue.api.quota import QuotaTree
from kube_queue.api.units import Unit
from tests.builders import START, UnitBuilder, a_quota, a_tree, a_unit
from tests.cache.model import Model, asked_by, plus

LEAVES = ("a", "b", "c")
MIN, MAX = 2, 6


def three_leaves() -> QuotaTree:
    """Three leaves, each with a min of 2, below a max of 6: the sum of the mins."""
    leaves = [a_quota(name).min(cpu=MIN).serving(name) for name in LEAVES]
    return a_tree(a_quota("root").max(cpu=MAX).over(*leaves))


def runs(builder: UnitBuilder, since: float) -> Unit:
    """The unit runs since so many seconds after the start."""
    micros = int((START + since) * 1e6)
    return builder.holding(**_cpu(builder.unit))._with(allocated=micros, started=micros).unit


def _cpu(unit: Unit) -> dict[str, str]:
    return {"cpu": f"{unit.request['cpu']}m"}


@st.composite
def crowds(draw: st.DrawFn, sizes: tuple[int, ...] = (1, 2, 3)) -> list[Unit]:
    """Units that run in the three leaves and hold at most 6 cpu in all."""
    found: list[Unit] = []
    left = MAX
    for number in range(draw(st.integers(0, 6))):
        size = draw(st.sampled_from(sizes))
        if size > left:
            break
        left -= size
        builder = a_unit(f"r{number}").asking(cpu=size)
        builder = builder.of_namespace(draw(st.sampled_from(LEAVES)))
        builder = builder.with_priority(draw(st.integers(0, 2)))
        if draw(st.integers(0, 5)) == 0:
            builder = builder.not_preemptible()
        unit = runs(builder, draw(st.integers(0, 3)))
        found.append(unit)
    return found


def a_model(tree: QuotaTree, units: list[Unit]) -> Model:
    model = Model(Policy.ROUND, Fraction(1))
    model.tree = tree
    model.units = {unit.uid: unit for unit in units}
    return model


def plans(model: Model, unit: Unit, may_leave: Callable[[Unit], bool]) -> set[frozenset[str]]:
    """Every set of victims whose leaving lets the unit in and that can be picked by the rules:
    one after the other, from another leaf only while that is above its min, and from another leaf
    at all only if the unit's own leaf is within its min afterwards.
    """
    home = model.leaf(unit)
    candidates = [one for one in model.units.values() if one.uid != unit.uid and may_leave(one)]
    reached, fresh = {frozenset[str]()}, [frozenset[str]()]
    while fresh:
        gone = fresh.pop()
        for victim in candidates:
            leaf = model.leaf(victim)
            if victim.uid in gone or (leaf != home and not _above_min(model, leaf, gone)):
                continue
            more = gone | {victim.uid}
            if more not in reached:
                reached.add(more)
                fresh.append(more)
    return {gone for gone in reached if _works(model, unit, gone)}


def _works(model: Model, unit: Unit, gone: frozenset[str]) -> bool:
    home = model.leaf(unit)
    foreign = any(model.leaf(model.units[uid]) != home for uid in gone)
    if foreign and not within_min(model, unit, gone):
        return False
    return model.fits(unit, model.charged(gone))


def within_min(model: Model, unit: Unit, gone: frozenset[str]) -> bool:
    home = model.leaf(unit)
    assert home is not None
    after = plus(model.used(home, model.charged(gone)), asked_by(unit))
    return after["cpu"] <= model.node(home).min["cpu"]


def borrowed(model: Model, leaf: str, gone: frozenset[str] = frozenset()) -> int:
    return model.used(leaf, model.charged(gone)).get("cpu", 0) - model.node(leaf).min["cpu"]


def _above_min(model: Model, leaf: str | None, gone: frozenset[str]) -> bool:
    return leaf is not None and borrowed(model, leaf, gone) > 0
