"""The sizes of a Deployment's ReplicaSets, step by step."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kube_queue.simulator.deployment import PodSet, Rollout, pod_set, rollout, total
from kube_queue.simulator.deployment_sizes import (
    annotations_of_size,
    is_scaled,
    rolled,
    scaled,
)


def asked(replicas: int, surge: Any = "25%", unavailable: Any = "25%") -> Rollout:
    update = {"maxSurge": surge, "maxUnavailable": unavailable}
    strategy = {"type": "RollingUpdate", "rollingUpdate": update}
    return rollout(
        {"metadata": {"name": "web"}, "spec": {"replicas": replicas, "strategy": strategy}}
    )


def a_set(name: str, replicas: int, available: int | None = None, created: int = 0) -> PodSet:
    plain = pod_set({"metadata": {"name": name, "uid": name}}, "owner")
    got = replicas if available is None else available
    return replace(plain, replicas=replicas, actual=replicas, available=got, created=created)


def sized_for(asked: Rollout, each: PodSet) -> PodSet:
    return replace(each, annotations=annotations_of_size(asked))


def test_percentages_of_the_surge_are_rounded_up_and_of_the_unavailable_down():
    for replicas, surge, unavailable in ((4, 1, 1), (5, 2, 1), (3, 1, 0), (1, 1, 0), (0, 0, 0)):
        got = asked(replicas)
        wanted = (surge, unavailable)
        assert (got.max_surge, got.max_unavailable) == wanted, replicas


def test_an_update_without_any_room_may_be_one_pod_short():
    assert asked(3, surge=0, unavailable="1%").max_unavailable == 1


def test_a_rolling_update_goes_up_as_far_as_the_surge_then_takes_old_pods_away():
    ask = asked(4)
    new, old = a_set("new", 0), a_set("old", 4)
    assert rolled(ask, new, [old]) == {"new": 1}
    new = a_set("new", 1, available=0)
    assert rolled(ask, new, [old]) == {"old": 3}
    assert rolled(ask, new, [a_set("old", 3)]) == {"new": 2}


def test_old_pods_that_do_not_serve_go_first_and_oldest_sets_before_younger():
    ask = asked(4, surge=0, unavailable=2)
    new = a_set("new", 0)
    older, younger = a_set("older", 2, created=1), a_set("younger", 2, available=1, created=2)
    assert rolled(ask, new, [younger, older]) == {"older": 1, "younger": 1}


@given(
    replicas=st.integers(1, 12),
    surge=st.integers(0, 5),
    unavailable=st.integers(0, 5),
    chance=st.randoms(use_true_random=False),
)
def test_a_rolling_update_ends_and_is_never_above_or_below_what_it_may_be(
    replicas: int, surge: int, unavailable: int, chance: Any
):
    ask = asked(replicas, surge, unavailable)
    new, old = a_set("new", 0), a_set("old", replicas)
    for _ in range(500):
        step = rolled(ask, new, [old])
        assert len(step) <= 1
        new, old = (
            replace(each, replicas=size, available=min(each.available, size))
            for each, size in (
                (new, step.get("new", new.replicas)),
                (old, step.get("old", old.replicas)),
            )
        )
        assert new.replicas + old.replicas <= max(ask.most, replicas)
        assert new.available + old.available >= replicas - ask.max_unavailable
        if chance.random() < 0.7 and new.available < new.replicas:
            new = replace(new, available=new.available + 1)
        if (new.replicas, old.replicas, new.available) == (replicas, 0, replicas):
            assert rolled(ask, new, [old]) == {}
            return
    raise AssertionError("it does not end")


def test_scaling_with_one_set_is_that_sets_alone():
    before, ask = asked(3), asked(7)
    only = sized_for(before, a_set("new", 3))
    assert is_scaled(ask, [only])
    assert scaled(ask, only, [], 3) == {"new": 7}
    assert not is_scaled(ask, [sized_for(ask, only)])


def test_scaling_in_the_middle_of_an_update_keeps_the_shares():
    before, ask = asked(10, surge=5), asked(20, surge=5)
    new, old = (sized_for(before, a_set(name, size)) for name, size in (("new", 5), ("old", 10)))
    assert scaled(ask, new, [old], 15) == {"old": 17, "new": 8}


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=4),
    replicas=st.integers(0, 30),
    surge=st.integers(0, 4),
)
def test_shares_add_up_to_what_there_may_be(sizes: list[int], replicas: int, surge: int):
    before = asked(sum(sizes), surge=0, unavailable=1)
    ask = asked(replicas, surge, 1)
    sets = [
        sized_for(before, a_set(f"set-{index}", size, available=0, created=index))
        for index, size in enumerate(sizes)
    ]
    got = scaled(ask, sets[-1], sets[:-1], total(sets))
    assert sum(got.values()) == (ask.most if replicas else 0)
    assert min(got.values()) >= 0
