"""The answers to our own writes, until the watch has told the same.

Deciding on what the watch said before would repeat a write that is refused, or worse, release a job
whose unit has lost its quota. So an answer counts until the watch has caught up with it; one that
waits too long for that is stale: then only reading again tells.
"""

from __future__ import annotations

import asyncio
from typing import Generic, Protocol, TypeVar

from kube_queue.controller.jobs.records import JobKey

TRUST_SECONDS = 10.0
"""How long an answer may wait for the watch; a watch that began anew may never tell of it."""


class Versioned(Protocol):
    """An object at one of its versions."""

    @property
    def uid(self) -> str: ...
    @property
    def resource_version(self) -> str: ...


T = TypeVar("T", bound=Versioned)


class Answers(Generic[T]):
    """The newest answer for each key that is newer than what the watch has told."""

    def __init__(self) -> None:
        self._held: dict[JobKey, tuple[T, float]] = {}
        self._deleted: dict[JobKey, tuple[str, float]] = {}

    def __len__(self) -> int:
        return len(self._held) + len(self._deleted)

    def keep(self, key: JobKey, value: T) -> None:
        """The server answered with this object."""
        self._deleted.pop(key, None)
        self._held[key] = (value, self._deadline())

    def gone(self, key: JobKey, uid: str) -> None:
        """The server answered that the object of this uid is deleted."""
        self._held.pop(key, None)
        self._deleted[key] = (uid, self._deadline())

    def forget(self, key: JobKey) -> None:
        """Only the watch counts now."""
        self._held.pop(key, None)
        self._deleted.pop(key, None)

    def present(self, key: JobKey, watched: T | None) -> T | None:
        """The newer of the answer and what the watch has told; None where there is no object."""
        deleted = self._deleted.get(key)
        if deleted is not None:
            if watched is not None and watched.uid == deleted[0]:
                return None
            del self._deleted[key]
        held = self._held.get(key)
        if held is None:
            return watched
        if watched is None or newer(held[0], watched):
            return held[0]
        del self._held[key]
        return watched

    def stale(self, key: JobKey) -> bool:
        """An answer has waited too long for the watch to catch up: read again, then decide."""
        waiting = self._held.get(key) or self._deleted.get(key)
        return waiting is not None and waiting[1] <= asyncio.get_running_loop().time()

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + TRUST_SECONDS


def newer(one: Versioned, other: Versioned) -> bool:
    """Whether `one` is a later version than `other`; where that cannot be told, it is not."""
    try:
        return int(one.resource_version) > int(other.resource_version)
    except ValueError:
        return False
