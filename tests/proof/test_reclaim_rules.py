"""The rules of taking a guarantee back, each against every way to make room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_queue.admission import Admit, Decision
from kube_queue.admission.decisions import Evict
from kube_queue.api.lifecycle import Phase
from kube_queue.api.preemption import PreemptionPolicy, ReclaimPolicy
from kube_queue.api.queues import Policy
from kube_queue.api.quota import queue_name
from kube_queue.api.resources import EMPTY
from kube_queue.api.units import Unit
from kube_queue.cache import Cache
from tests.builders import START, a_queue, a_unit
from tests.cache.model import Model
from tests.proof.plans import LEAVES, a_model, borrowed, crowds, plans, runs, three_leaves

policies = st.sampled_from(list(Policy))
reclaims = st.sampled_from(list(ReclaimPolicy))
preempts = st.sampled_from(list(PreemptionPolicy))
wanted = st.builds(
    lambda size, priority, leaf: (
        a_unit("wants").asking(cpu=size).with_priority(priority).of_namespace(leaf).unit
    ),
    st.integers(1, 3),
    st.integers(0, 3),
    st.sampled_from(LEAVES),
)


class Play:
    """A cache whose decisions are written and seen at once; jobs leave when told to."""

    def __init__(
        self,
        units: Sequence[Unit],
        reclaim: ReclaimPolicy = ReclaimPolicy.ANY,
        preemption: PreemptionPolicy = PreemptionPolicy.NEVER,
        policy: Policy = Policy.ROUND,
    ) -> None:
        self.cache = Cache(default_policy=policy, reclaim=reclaim, preemption=preemption)
        self.units = {unit.uid: unit for unit in units}
        self.now = START + 10
        tree = three_leaves()
        self.cache.tree_seen(tree)
        for leaf in tree.leaves():
            self.cache.queue_seen(a_queue(queue_name(leaf.path)))
        for unit in units:
            self.cache.unit_seen(unit)

    def sees(self, unit: Unit, **changes: object) -> None:
        version = str(int(unit.resource_version) + 1)
        fresh = replace(unit, resource_version=version, **changes)  # type: ignore[arg-type]
        self.units[unit.uid] = fresh
        self.cache.unit_seen(fresh)

    def decides(self) -> list[Decision]:
        self.now += 1
        decisions = self.cache.cycle(self.now)
        for decision in decisions:
            if isinstance(decision, Admit):
                unit = self.units[decision.uid]
                micros = int(self.now * 1e6)
                self.sees(unit, phase=Phase.RUNNING, held=unit.request, allocated=micros)
            elif isinstance(decision, Evict):
                unit = self.units[decision.uid]
                self.sees(unit, evicted=True, preemptor=decision.preemptor)
        return decisions

    def leaves(self, uid: str) -> None:
        unit = self.units[uid]
        self.sees(unit, phase=Phase.ENQUEUED, held=EMPTY, evicted=False, preemptor="", allocated=0)


def evicted(decisions: list[Decision]) -> list[str]:
    return [one.uid for one in decisions if isinstance(one, Evict)]


def admitted(decisions: list[Decision]) -> list[str]:
    return [one.uid for one in decisions if isinstance(one, Admit)]


def may_leave_for(
    unit: Unit, reclaim: ReclaimPolicy, preemption: PreemptionPolicy, model: Model
) -> Callable[[Unit], bool]:
    def may_leave(victim: Unit) -> bool:
        lower = victim.priority < unit.priority
        if not victim.preemptible:
            return False
        if model.leaf(victim) == model.leaf(unit):
            return preemption is PreemptionPolicy.LOWER_PRIORITY and lower
        return reclaim is ReclaimPolicy.ANY or (reclaim is ReclaimPolicy.LOWER_PRIORITY and lower)

    return may_leave


@given(crowds(), wanted, reclaims, preempts, policies)
def test_evicts_exactly_when_there_is_a_way_to_make_room(
    crowd: list[Unit],
    unit: Unit,
    reclaim: ReclaimPolicy,
    preemption: PreemptionPolicy,
    policy: Policy,
) -> None:
    model = a_model(three_leaves(), [*crowd, unit])
    ways = plans(model, unit, may_leave_for(unit, reclaim, preemption, model))
    fits = model.fits(unit, model.charged())
    decisions = Play([*crowd, unit], reclaim, preemption, policy).decides()
    assert admitted(decisions) == ([unit.uid] if fits else [])
    assert bool(evicted(decisions)) == (bool(ways) and not fits)
    if evicted(decisions):
        victims = frozenset(evicted(decisions))
        assert victims in ways
        smaller = [way for way in ways if way < victims]
        assert not smaller, "not minimal"


@given(crowds(), wanted, preempts, policies, st.data())
def test_the_preemptor_is_admitted_when_its_victims_are_gone_and_nobody_before_it(
    crowd: list[Unit],
    unit: Unit,
    preemption: PreemptionPolicy,
    policy: Policy,
    data: st.DataObject,
) -> None:
    play = Play([*crowd, unit], ReclaimPolicy.ANY, preemption, policy)
    leaving = evicted(play.decides())
    for number, uid in enumerate(data.draw(st.permutations(leaving))):
        leaf = data.draw(st.sampled_from(LEAVES))
        size = data.draw(st.integers(0, 2))
        thief = a_unit(f"thief{number}").asking(cpu=size).of_namespace(leaf).with_priority(9).unit
        play.units[thief.uid] = thief
        play.cache.unit_seen(thief)
        others = play.decides()
        assert unit.uid not in admitted(others)
        assert unit.uid not in [one.preemptor for one in others if isinstance(one, Evict)]
        play.leaves(uid)
    if leaving:
        assert admitted(play.decides())[0] == unit.uid


@given(crowds(sizes=(1,)), wanted)
def test_the_leaf_that_borrows_most_gives_first_then_lower_priority_then_newest(
    crowd: list[Unit], unit: Unit
) -> None:
    model = a_model(three_leaves(), [*crowd, unit])
    victims = frozenset(evicted(Play([*crowd, unit]).decides()))
    before: dict[str, int] = {}
    for leaf in {model.leaf(model.units[uid]) for uid in victims}:
        assert leaf is not None
        soft = [one for one in crowd if model.leaf(one) == leaf and one.preemptible]
        order = sorted(soft, key=lambda one: (one.priority, -one.allocated))
        gave = [one for one in soft if one.uid in victims]
        keys = [(one.priority, one.allocated) for one in order]
        assert sorted((one.priority, one.allocated) for one in gave) == sorted(keys[: len(gave)])
        before[leaf] = borrowed(model, leaf, victims) + 1000
    for leaf, least in before.items():
        for other in model.tree.nodes if model.tree is not None else ():
            soft = [one for one in crowd if model.leaf(one) == other and one.preemptible]
            spare = [one for one in soft if one.uid not in victims]
            if other not in (leaf, model.leaf(unit)) and spare:
                assert borrowed(model, other, victims) <= least


@given(crowds(), st.lists(st.sampled_from(LEAVES), min_size=1, max_size=4), st.data())
def test_no_unit_is_evicted_twice_for_the_same_unit_and_everything_comes_to_rest(
    crowd: list[Unit], arrivals: list[str], data: st.DataObject
) -> None:
    play = Play(crowd)
    pairs: list[tuple[str, str]] = []
    for number, leaf in enumerate(arrivals):
        size = data.draw(st.integers(1, 2))
        unit = a_unit(f"w{number}").asking(cpu=size).of_namespace(leaf).submitted_at(number).unit
        play.units[unit.uid] = unit
        play.cache.unit_seen(unit)
    for _ in range(40):
        decisions = play.decides()
        pairs += [(one.uid, one.preemptor) for one in decisions if isinstance(one, Evict)]
        leaving = [unit.uid for unit in play.units.values() if unit.evicted]
        if not leaving and not admitted(decisions) and not evicted(decisions):
            break
        for uid in leaving:
            play.leaves(uid)
    else:
        pytest.fail("evictions go round in circles")
    assert len(pairs) == len(set(pairs))


def test_a_leaf_may_fall_below_its_min_by_its_last_victim() -> None:
    big = runs(a_unit("big").asking(cpu=6).of_namespace("b"), 0)
    unit = a_unit("wants").asking(cpu=2).of_namespace("a").unit
    play = Play([big, unit])
    assert evicted(play.decides()) == [big.uid]
    play.leaves(big.uid)
    assert admitted(play.decides()) == [unit.uid]


def test_a_unit_that_is_not_preemptible_takes_back_within_min_only() -> None:
    own = runs(a_unit("own").asking(cpu=2).of_namespace("a"), 0)
    lent = [runs(a_unit(f"lent{n}").asking(cpu=2).of_namespace("b"), n) for n in range(2)]
    unit = a_unit("wants").asking(cpu=2).of_namespace("a").not_preemptible().unit
    assert evicted(Play([own, *lent, unit]).decides()) == []
