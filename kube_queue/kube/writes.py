"""Every write of the process to the API server, in one place, in order of importance.

Holds: WriteScheduler and the outcomes it tells.

::

    submit -> ready (per lane, latest of a key wins) -> on the wire (at most 32) -> Done | Failed
                ^                                          | lost, 429, 5xx
                | its key's write is over                  v
              parked                                    resting (off the wire) -> first of its lane

One write per key is under way at a time, whatever its lane; a key names one object.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from kube_queue.api.errors import (
    ApiError,
    ConnectionLost,
    KubeQueueError,
    ServerFault,
    TooManyRequests,
)
from kube_queue.kube.client import Client
from kube_queue.kube.lanes import LOW_LANES, Lane
from kube_queue.kube.limiter import TokenBucket

__all__ = ["Done", "Failed", "Lane", "Outcome", "Overtaken", "Send", "Superseded", "WriteScheduler"]

ATTEMPTS = 8
FIRST_REST = 0.1
LAST_REST = 5.0

IN_DOUBT = (ConnectionLost, TooManyRequests, ServerFault)
"""After these a write may or may not have been carried out, or will be if asked again."""

Send = Callable[[Client], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Done:
    """The server took the write; `result` is what `send` returned."""

    result: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The server refused, or its answer never came: then the outcome is unknown."""

    error: KubeQueueError


@dataclass(frozen=True, slots=True)
class Superseded:
    """A later write of the same lane and key took this one's place."""


Outcome = Done | Failed | Superseded
Told = Callable[[Outcome], None]


class Overtaken(KubeQueueError):
    """A later write of the same lane and key took the place of the one waited for."""


@dataclass(slots=True, eq=False)
class _Write:
    lane: Lane
    key: Hashable
    send: Send
    done: Told | None
    wired: bool = False
    turn: asyncio.Future[None] | None = None
    """Set while the write has rested and waits for its place on the wire."""


class WriteScheduler:
    """Carries out writes while `run` runs (and before, once a loop does).

    A write whose outcome is in doubt (connection lost, 429, 5xx) is sent again up to eight times,
    after the server's Retry-After or a jittered backoff, off the wire meanwhile. That is safe
    because a write is a create or carries a precondition: sent twice, the second is refused with
    AlreadyExists or Conflict, which the caller is given like every other refusal.

    `counts` has (lane, outcome) -> writes: "sent", "failed", "superseded", and "retried" for every
    attempt after the first. `waiting` has the writes of each lane not begun yet.
    """

    def __init__(
        self,
        client: Client,
        *,
        max_in_flight: int = 32,
        low_rate: float = 50.0,
        rng: random.Random,
    ) -> None:
        self.counts: Counter[tuple[Lane, str]] = Counter()
        self.waiting: Counter[Lane] = Counter()
        self._client = client
        self._max_in_flight = max_in_flight
        self._rng = rng
        # A tenth of a second's worth may go at once, so that quiet clusters answer at once.
        self._bucket = TokenBucket(low_rate, low_rate / 10)
        self._bucket_timer: asyncio.TimerHandle | None = None
        self._ready: dict[Lane, dict[Hashable, _Write]] = {lane: {} for lane in Lane}
        self._rested: dict[Lane, deque[_Write]] = {lane: deque() for lane in Lane}
        self._parked: dict[Hashable, dict[Lane, _Write]] = {}
        self._under_way: dict[Hashable, asyncio.Task[None]] = {}
        self._on_wire = 0
        self._pump_due = False
        self._stopped = False
        self._broken: BaseException | None = None
        self._ended = asyncio.Event()
        self._quiet = asyncio.Event()
        self._quiet.set()

    def submit(self, lane: Lane, key: Hashable, send: Send, done: Told | None = None) -> None:
        """The write will be carried out; `done` is told its outcome once, never from within here.

        A write of the same lane and key that has not begun is given up and told Superseded.
        """
        write = _Write(lane, key, send, done)
        if self._stopped:
            self._tell_soon(write, Failed(ConnectionLost("writing has stopped")))
            return
        older = self._ready[lane].get(key)
        if key not in self._under_way:
            self._ready[lane][key] = write
        else:
            self._ready[lane].pop(key, None)
            parked = self._parked.setdefault(key, {})
            older = older or parked.get(lane)
            parked[lane] = write
        if older is None:
            self.waiting[lane] += 1
        else:
            self._tell_soon(older, Superseded())
        self._quiet.clear()
        self._pump_soon()

    async def write(self, lane: Lane, key: Hashable, send: Send) -> Any:
        """What `send` returned, once the server took the write.

        Raises the refusal, ConnectionLost, or Overtaken when a later write took its place.
        """
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def told(outcome: Outcome) -> None:
            if not answer.done():
                answer.set_result(outcome)

        self.submit(lane, key, send, told)
        outcome = await answer
        if isinstance(outcome, Done):
            return outcome.result
        if isinstance(outcome, Failed):
            raise outcome.error
        raise Overtaken(f"a later write of {key} took the place of this one")

    async def run(self) -> None:
        """Return never. Cancelled, every write not finished is told Failed and given up.

        A bug in a `send` or `done` (anything that is no KubeQueueError) is raised here.
        """
        try:
            await self._ended.wait()
        finally:
            await self._stop()
        if self._broken is not None:
            raise self._broken

    async def drain(self) -> None:
        """Everything submitted so far, and what its outcomes led to, is over."""
        await self._quiet.wait()

    # Choosing what goes next.

    def _pump_soon(self) -> None:
        # One turn of the loop later: what is submitted together is put in order first.
        if not self._pump_due:
            self._pump_due = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        while not self._stopped and self._on_wire < self._max_in_flight:
            write = self._next()
            if write is None:
                return
            self._on_wire += 1
            write.wired = True
            if write.turn is not None:
                write.turn.set_result(None)
            else:
                task = asyncio.get_running_loop().create_task(self._carry_out(write))
                self._under_way[write.key] = task
                task.add_done_callback(self._after)

    def _next(self) -> _Write | None:
        for lane in Lane:
            ready, rested = self._ready[lane], self._rested[lane]
            self._park_blocked(lane, ready)
            if not ready and not rested:
                continue
            if lane in LOW_LANES and not self._token():
                return None
            if rested:
                return rested.popleft()
            self.waiting[lane] -= 1
            return ready.pop(next(iter(ready)))
        return None

    def _park_blocked(self, lane: Lane, ready: dict[Hashable, _Write]) -> None:
        """The first that is ready is not held up by a write of its key in another lane."""
        while ready and (key := next(iter(ready))) in self._under_way:
            self._parked.setdefault(key, {})[lane] = ready.pop(key)

    def _token(self) -> bool:
        wait = self._bucket.take()
        if wait > 0.0 and self._bucket_timer is None:
            loop = asyncio.get_running_loop()
            self._bucket_timer = loop.call_later(wait, self._bucket_filled)
        return wait <= 0.0

    def _bucket_filled(self) -> None:
        self._bucket_timer = None
        self._pump()

    # Carrying out one write.

    async def _carry_out(self, write: _Write) -> None:
        outcome: Outcome = Failed(ConnectionLost("writing stopped before the answer came"))
        try:
            outcome = Done(await self._attempts(write))
        except Overtaken:
            outcome = Superseded()
        except KubeQueueError as error:
            outcome = Failed(error)
        finally:
            self._leave_wire(write)
            del self._under_way[write.key]
            for lane, parked in self._parked.pop(write.key, {}).items():
                self._ready[lane][write.key] = parked
            self._pump_soon()
            self._tell(write, outcome)

    async def _attempts(self, write: _Write) -> Any:
        # Machinery for trying again costs more than a write; only one in doubt pays for it.
        try:
            return await write.send(self._client)
        except IN_DOUBT as error:
            wait = self._pause(error, 1)
        await self._rest(write, wait)

        # tenacity awaits coroutine functions only; a send may be any callable.
        async def attempt() -> Any:
            return await write.send(self._client)

        attempts = AsyncRetrying(
            retry=retry_if_exception_type(IN_DOUBT),
            stop=stop_after_attempt(ATTEMPTS - 1),
            wait=self._next_pause,
            sleep=partial(self._rest, write),
            reraise=True,
        )
        return await attempts(attempt)

    def _next_pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        return self._pause(error, state.attempt_number + 1)

    def _pause(self, error: BaseException | None, attempts: int) -> float:
        """Seconds to rest after so many attempts, the last of which ended in the error."""
        asked = error.retry_after if isinstance(error, ApiError) else None
        grown = min(LAST_REST, FIRST_REST * 2.0 ** (attempts - 1))
        # At least what was asked; jitter spreads writers that failed together.
        return max(asked or 0.0, grown) * (1.0 + self._rng.random() / 2)

    async def _rest(self, write: _Write, seconds: float) -> None:
        self._leave_wire(write)
        await asyncio.sleep(seconds)
        self._check_overtaken(write)
        write.turn = asyncio.get_running_loop().create_future()
        self._rested[write.lane].append(write)
        self._pump_soon()
        await write.turn
        write.turn = None
        self._check_overtaken(write)
        self.counts[write.lane, "retried"] += 1

    def _check_overtaken(self, write: _Write) -> None:
        if write.lane in self._parked.get(write.key, ()):
            raise Overtaken("a later write waits")

    def _leave_wire(self, write: _Write) -> None:
        if write.wired:
            write.wired = False
            self._on_wire -= 1
            self._pump_soon()

    # Telling, and ending.

    def _tell_soon(self, write: _Write, outcome: Outcome) -> None:
        asyncio.get_running_loop().call_soon(self._tell, write, outcome)

    def _tell(self, write: _Write, outcome: Outcome) -> None:
        name = "sent" if isinstance(outcome, Done) else type(outcome).__name__.lower()
        self.counts[write.lane, name] += 1
        if write.done is not None:
            write.done(outcome)

    def _after(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._broken = bug
            self._ended.set()
        self._check_quiet()

    def _check_quiet(self) -> None:
        if not self._under_way and not any(self._ready.values()):
            self._quiet.set()

    async def _stop(self) -> None:
        self._stopped = True
        if self._bucket_timer is not None:
            self._bucket_timer.cancel()
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        given_up = [write for writes in self._ready.values() for write in writes.values()]
        for writes in self._ready.values():
            writes.clear()
        for rested in self._rested.values():
            rested.clear()
        self.waiting.clear()
        for write in given_up:
            self._tell(write, Failed(ConnectionLost("writing has stopped")))
        self._check_quiet()
