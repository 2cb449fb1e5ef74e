"""How long each job's plan has been waiting for what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from kube_queue.controller.jobs.records import JobKey
from kube_queue.jobframework.decisions import Topic, Wait


class Patience:
    """Remembers since when a plan asks to wait for a topic without a break.

    Lost with a restart, which makes a wait begin anew and nothing wrong.
    """

    def __init__(self) -> None:
        self._since: dict[JobKey, dict[Topic, float]] = {}

    def waited(self, key: JobKey) -> Mapping[Topic, float]:
        """Seconds by topic."""
        now = asyncio.get_running_loop().time()
        return {topic: now - since for topic, since in self._since.get(key, {}).items()}

    def asked(self, key: JobKey, waits: Iterable[Wait]) -> float | None:
        """Record what the plan asks to wait for now; the seconds until it wants to look again."""
        now = asyncio.get_running_loop().time()
        before = self._since.pop(key, {})
        fresh: dict[Topic, float] = {}
        shortest: float | None = None
        for wait in waits:
            fresh[wait.topic] = before.get(wait.topic, now)
            shortest = wait.seconds if shortest is None else min(shortest, wait.seconds)
        if fresh:
            self._since[key] = fresh
        return shortest
