"""The order in which units have their turn, and what wakes those that found no place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kube_queue.placement.units import UnitKey
from kube_queue.placement.waiting import NO_POD_HELPS, ROOM, Event, Waiting
from tests.placement.builders import a_node, a_pod
from tests.placement.playing import Scheduler


def key(name: str) -> UnitKey:
    return UnitKey("default", name, f"uid-{name}")


def turns(waiting: Waiting, now: float) -> list[str]:
    found = []
    while (each := waiting.pop(now)) is not None:
        found.append(each.name)
    return found


def test_higher_priority_goes_first_then_who_waits_longer() -> None:
    waiting = Waiting()
    for second, (name, priority) in enumerate([("a", 0), ("b", 5), ("c", 0), ("d", 5)]):
        waiting.put(key(name), priority, name, float(second))
    assert turns(waiting, 10.0) == ["b", "d", "a", "c"]


def test_who_failed_lately_goes_behind_who_did_not() -> None:
    waiting = Waiting()
    waiting.put(key("a"), 0, "a", 0.0)
    waiting.put(key("b"), 0, "b", 1.0)
    assert waiting.pop(2.0) == key("a")
    waiting.sleep(key("a"), ROOM, 2.0)
    waiting.wake(Event.NODE, 20.0)
    assert turns(waiting, 20.0) == ["b", "a"]


def test_a_unit_sleeps_until_an_event_that_it_waits_for() -> None:
    waiting = Waiting()
    waiting.put(key("a"), 0, "a", 0.0)
    waiting.pop(0.0)
    waiting.sleep(key("a"), NO_POD_HELPS, 0.0)
    waiting.wake(Event.POD_GONE, 20.0)
    assert turns(waiting, 20.0) == []
    waiting.wake(Event.NODE, 20.0)
    assert turns(waiting, 20.0) == ["a"]


def test_an_event_during_the_backoff_is_not_lost() -> None:
    waiting = Waiting()
    waiting.put(key("a"), 0, "a", 0.0)
    waiting.pop(0.0)
    waiting.sleep(key("a"), ROOM, 0.0)
    waiting.wake(Event.POD_GONE, 0.5)
    assert turns(waiting, 0.5) == []
    assert waiting.next_wake(0.5) == 1.0
    assert turns(waiting, 1.0) == ["a"]


def test_backoff_doubles_from_one_second_to_ten() -> None:
    waiting, now, waits = Waiting(), 0.0, []
    waiting.put(key("a"), 0, "a", now)
    for _ in range(6):
        waiting.pop(now)
        waiting.sleep(key("a"), ROOM, now)
        waiting.wake(Event.NODE, now)
        ready = waiting.next_wake(now)
        assert ready is not None
        waits.append(ready - now)
        now = ready
    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_of_units_that_are_alike_an_event_wakes_one_and_the_next_when_that_one_was_placed() -> None:
    waiting = Waiting()
    for name in "abc":
        waiting.put(key(name), 0, "alike", 0.0)
    for name in "abc":
        assert waiting.pop(0.0) == key(name)
        waiting.sleep(key(name), ROOM, 0.0)
    waiting.wake(Event.POD_GONE, 30.0)
    assert waiting.pop(30.0) == key("a")
    assert waiting.pop(30.0) is None
    waiting.remove(key("a"))
    assert waiting.pop(30.0) == key("b")
    waiting.sleep(key("b"), ROOM, 30.0)
    assert waiting.pop(30.0) is None


def test_a_unit_that_is_put_again_is_awake_and_has_one_turn() -> None:
    waiting = Waiting()
    waiting.put(key("a"), 0, "a", 0.0)
    waiting.put(key("a"), 3, "a", 1.0)
    assert turns(waiting, 1.0) == ["a"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "remove", "turn", "placed", "wake", "later"]),
        st.integers(0, 5),
        st.integers(0, 2),
    ),
    max_size=60,
)


@given(STEPS)
def test_after_an_event_for_all_and_every_backoff_each_kind_of_unit_has_a_turn(
    steps: list[tuple[str, int, int]],
) -> None:
    """No unit is forgotten: of each kind that waits one is tried, and all if they are placed."""
    waiting, now = Waiting(), 0.0
    kinds: dict[UnitKey, int] = {}
    for what, number, kind in steps:
        name = key(str(number))
        if what == "put":
            waiting.put(name, kind, kind, now)
            kinds[name] = kind
        elif what == "remove":
            waiting.remove(name)
            kinds.pop(name, None)
        elif what in ("turn", "placed"):
            found = waiting.pop(now)
            if found is not None and what == "turn":
                waiting.sleep(found, ROOM, now)
            elif found is not None:
                waiting.remove(found)
                kinds.pop(found)
        elif what == "wake":
            waiting.wake(Event.POD_GONE, now)
        else:
            now += 3.0
    now += 100.0
    waiting.wake(Event.NODE, now)
    placed = []
    while (found := waiting.pop(now)) is not None:
        placed.append(found)
        waiting.remove(found)
    assert sorted(placed) == sorted(kinds)


def test_a_pod_that_leaves_lets_in_as_many_as_fit_and_no_more() -> None:
    pods = [a_pod(f"p{n}").asking(cpu="4") for n in range(5)]
    scheduler = Scheduler(a_node("n1").having(cpu="8"), *pods)
    assert len(scheduler.binds()) == 2
    scheduler.later(20)
    scheduler.loses("p0", "p1")
    assert len(scheduler.binds()) == 2
    assert scheduler.binds() == {}
