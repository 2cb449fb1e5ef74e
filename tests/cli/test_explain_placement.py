"""Who is asked what holds a pod, gang or job, and in whose words a refusal is told."""

from __future__ import annotations

from typing import Any

import pytest

from kube_queue.cli.errors import Stop
from kube_queue.cli.explain import answer_of


class Two:
    """A queue and a co-scheduler that know some names each."""

    def __init__(self, queue: set[str], scheduler: set[str]) -> None:
        self.asked: list[str] = []
        self._queue = queue
        self._scheduler = scheduler

    def ask(self, what: str, **query: str) -> dict[str, Any]:
        return self._answer("queue", self._queue, query["name"])

    def ask_scheduler(self, what: str, **query: str) -> dict[str, Any]:
        return self._answer("scheduler", self._scheduler, query["name"])

    def _answer(self, who: str, known: set[str], name: str) -> dict[str, Any]:
        self.asked.append(who)
        if name not in known:
            raise Stop(f"the {who} knows no {name}")
        return {"by": who}


@pytest.mark.parametrize(
    ("kind", "by", "asked"),
    [
        ("", "queue", ["queue"]),
        ("podgroup", "queue", ["queue"]),
        ("TFJob", "queue", ["queue"]),
        ("pod", "scheduler", ["scheduler"]),
        ("gang", "scheduler", ["scheduler"]),
    ],
)
def test_a_kind_says_whom_to_ask_where_both_know_the_name(
    kind: str, by: str, asked: list[str]
) -> None:
    both = Two({"x"}, {"x"})
    assert answer_of(both, "default", "x", kind) == {"by": by}
    assert both.asked == asked


@pytest.mark.parametrize("kind", ["", "podgroup"])
def test_the_co_scheduler_is_asked_what_the_queue_does_not_know(kind: str) -> None:
    assert answer_of(Two(set(), {"x"}), "default", "x", kind) == {"by": "scheduler"}


def test_the_queue_is_asked_about_pods_that_the_co_scheduler_does_not_know() -> None:
    assert answer_of(Two({"x"}, set()), "default", "x", "pod") == {"by": "queue"}


@pytest.mark.parametrize("kind", ["", "pod", "podgroup", "TFJob"])
def test_what_nobody_knows_is_refused_in_the_words_of_the_queue(kind: str) -> None:
    with pytest.raises(Stop, match="the queue knows no x"):
        answer_of(Two(set(), set()), "default", "x", kind)


def test_a_gang_that_nobody_knows_is_refused_by_the_co_scheduler() -> None:
    with pytest.raises(Stop, match="the scheduler knows no x"):
        answer_of(Two({"x"}, set()), "default", "x", "gang")
