"""What `kube-queue explain` prints, and how long a frozen controller is waited for."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from kube_queue.cli import explain, questions
from kube_queue.cli.errors import Stop
from kube_queue.cli.explain import explain_verb, explained, start
from kube_queue.cli.questions import ask_directly
from tests.controller.queueing.world import a_leaf, a_root
from tests.serving.cluster import SETTINGS, cluster

FIXED = {"quota.scheduling.alibabacloud.com/preemptible": "false"}
BLOCK = SETTINGS.replaced(controller={"strict_priority": True})
TEXT = """\
Job default/job3: Enqueued (BlockedByHead)
  queue root-default blocks in quota root/default behind its head default/u2 \
(quota root/default: cpu requested 3, used 3, max 4; waits until 2 cpu is released in root/default)
  Queue:      root-default, policy Block, position 2
  Priority:   0
  Waited:     0s
  Waits:      until default/u2 is admitted, deleted or deactivated
  Next try:   when default/u2 is admitted, deleted or deactivated, or falls behind it; \
it would fit now
  Start:      unknown: the one unit that holds quota root/default has no known run time

  QUOTA          RESOURCE   REQUESTED   USED   MIN   MAX   FREE   SHORT BY
  root/default   cpu        1           3      1     4     1
  root           cpu        1           3      -     -     -

  Before it: Job default/job2 (InsufficientQuota)
    quota root/default: cpu requested 3, used 3, max 4; \
waits until 2 cpu is released in root/default

  Who holds cpu in root/default:
  HOLDER             QUOTA          CPU   SINCE   ITS QUOTA
  Job default/job1   root/default   3     then   2 above min"""


async def an_answer() -> dict[str, Any]:
    """Of the controller about a unit behind the head of a blocking queue."""
    async with cluster(BLOCK) as made:
        await made.create_tree(a_root(a_leaf("default", cpu=4, min={"cpu": 1})))
        await made.create_unit("u1", cpu=3, job="job1")
        await made.phases({"u1": "Dequeued"})
        for name, cpu in (("2", 3), ("3", 1)):
            await made.create_unit(f"u{name}", cpu=cpu, job=f"job{name}")
        await made.phases({"u1": "Dequeued", "u2": "Enqueued", "u3": "Enqueued"})
        _, answer = await made.get("/visibility/v1/explain?namespace=default&name=job3")
        assert isinstance(answer, dict)
        return answer


async def test_the_text_says_why_who_holds_it_whom_it_is_behind_and_when_it_starts() -> None:
    text = explained(await an_answer())
    text = re.sub(r"SINCE +", "SINCE   ", re.sub(r"\d{4}-\S+Z", "then", text))
    assert text == TEXT


async def test_what_is_short_of_several_bounds_is_told_apart() -> None:
    async with cluster() as made:
        await made.create_tree(a_root(a_leaf("default", cpu=4, min={"cpu": 2})))
        await made.create_unit("u1", cpu=3, job="job1")
        await made.phases({"u1": "Dequeued"})
        await made.create_unit("u2", cpu=3, job="job2", labels=FIXED)
        await made.phases({"u1": "Dequeued", "u2": "Enqueued"})
        _, answer = await made.get("/visibility/v1/explain?namespace=default&name=job2")
    (row,) = [line for line in explained(answer).splitlines() if "root/default   cpu" in line]
    assert row.endswith("   2 of max, 1 of min")


@pytest.mark.parametrize(("form", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
async def test_a_document_holds_all_of_the_answer(
    form: str, read: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await an_answer()
    asked: list[dict[str, str]] = []

    class Answering:
        credentials = SimpleNamespace(namespace="default")

        def __init__(self, *_: object) -> None: ...

        def ask(self, what: str, **query: str) -> dict[str, Any]:
            asked.append({"what": what, **query})
            return answer

    monkeypatch.setattr(explain, "Questions", Answering)
    capsys.readouterr()
    explain_verb("job.batch/job3", None, form, None, None)
    assert read(capsys.readouterr().out) == answer
    assert asked == [{"what": "explain", "namespace": "default", "name": "job3", "kind": "job"}]


@pytest.mark.parametrize(
    ("earliest", "latest", "words"),
    [
        (0.0, 0.2, "now"),
        (600.0, 600.4, "in 10m"),
        (30.0, 150.0, "in 30s to 2m30s"),
        (60.0, None, "unknown: nobody knows; not before 60s"),
        (None, None, "unknown: nobody knows"),
    ],
)
def test_a_start_is_a_moment_an_interval_or_unknown_with_the_reason(
    earliest: float | None, latest: float | None, words: str
) -> None:
    estimate = {"earliestSeconds": earliest, "latestSeconds": latest, "unknown": "nobody knows"}
    assert start(estimate) == words


HANGS = 30.0
"""Seconds after which it waits for ever."""


@pytest.fixture
def frozen() -> Iterator[str]:
    """The address of a process that takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("what", ["explain", "quotas"])
async def test_a_frozen_controller_is_waited_for_at_most_two_seconds(
    frozen: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The way through the API server comes after it, and no other waiting.
    assert questions.PATIENCE_SECONDS + questions.SECOND_PATIENCE_SECONDS <= 2
    monkeypatch.setattr(questions, "PATIENCE_SECONDS", 0.1)
    async with asyncio.timeout(HANGS):
        assert await asyncio.to_thread(ask_directly, frozen, what, {}) is None


def test_a_refusal_is_said_in_the_controllers_words() -> None:
    with pytest.raises(Stop, match="the queue knows no job or unit default/nobody"):
        questions._understood(404, b'{"error": "the queue knows no job or unit default/nobody"}')
