"""An event loop whose time jumps: hours pass in the time their work takes.

Holds: VirtualTimeLoop, run_virtual. There are no sockets, threads or child processes in it; what
waits for one of those would wait forever and is refused. Same coroutines, same order, every time.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, NoReturn, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

DAY_ONE = 1_767_225_600.0
"""2026-01-01T00:00:00Z, where virtual wall clocks start."""


class NothingToWaitFor(RuntimeError):
    """Every task waits for another: no timer is set, so time would stand still forever."""


class _Jump:
    """In the place of a selector: instead of waiting for a socket, the clock moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise NothingToWaitFor("every task waits, and no timer is set")
        if timeout > 0:
            self.now += timeout
        return []

    def close(self) -> None:
        """Nothing was opened."""


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """asyncio's loop with a clock that moves to the next timer as soon as nothing else can run."""

    def __init__(self, *, epoch: float = DAY_ONE) -> None:
        super().__init__()
        self._selector = _Jump()
        self._epoch = epoch

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._selector.now

    def clock(self) -> float:
        """Virtual seconds since the epoch: the wall clock to hand to what runs on this loop."""
        return self._epoch + self._selector.now

    def spend(self, seconds: float) -> None:
        """Whoever runs now has worked for so long."""
        self._selector.now += seconds

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Refused: a thread's work takes no virtual time, so its order would be chance."""
        _refuse("run_in_executor")

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """As call_soon: there is only one thread, and Ctrl-C is handled on it."""
        return self.call_soon(callback, *args, context=context)

    def _process_events(self, event_list: list[Any]) -> None:
        """Called by asyncio with what the selector found, which is nothing."""

    def _write_to_self(self) -> None:
        """Called by asyncio to end a wait early; there are no waits."""

    def close(self) -> None:
        """The loop runs nothing any more."""
        super().close()
        self._selector.close()


def run_virtual(main: Coroutine[Any, Any, T], *, epoch: float = DAY_ONE) -> T:
    """What the coroutine returned, run to its end in virtual time, all its tasks ended.

    Raises what it raised, or NothingToWaitFor when it can never end.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(epoch=epoch)) as runner:
        return runner.run(main)


def virtual_clock() -> Callable[[], float]:
    """The wall clock of the running virtual loop, in seconds since the epoch."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualTimeLoop):
        raise TypeError("the running loop is not virtual")
    return loop.clock


def _refuse(what: str) -> NoReturn:
    raise NotImplementedError(f"{what} is not possible in virtual time")
