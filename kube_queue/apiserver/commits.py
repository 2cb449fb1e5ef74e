"""Nobody is told of a change before it is on disk.

Holds: Commits. Between a change in memory and its commit only the server itself knows of it:
answers wait (`settled`), and watches are told afterwards. One thread writes; it is given all that
has changed while it wrote what came before. A change that cannot be stored is undone.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from kube_queue.apiserver.journal import Changes, Journal, NoRoom
from kube_queue.apiserver.status import StatusError, not_stored
from kube_queue.apiserver.store import DELETED, Collection, Event, Step, Store

RETRY_SECONDS = 1.0
"""How often a disk that refused a commit is asked again."""


class Commits:
    """Carries the changes of a store to its journal. Made on a running loop.

    `step_back` is told of every change that is undone, as the event that shows what is true again;
    `resume` begins anew what the server itself had set out to do, once commits succeed again.
    """

    def __init__(
        self,
        store: Store,
        journal: Journal,
        *,
        step_back: Callable[[Collection, Event], None],
        resume: Callable[[], None],
    ) -> None:
        self._store = store
        self._journal = journal
        self._step_back = step_back
        self._resume = resume
        self._loop = asyncio.get_running_loop()
        self._writer = ThreadPoolExecutor(1, "journal")
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._busy = False
        """A commit is on its way, or will be within this turn of the loop."""
        self._failing: asyncio.TimerHandle | None = None
        self._closed = False
        store.held_for = self._changed

    async def settled(self) -> None:
        """What the store shows now is on disk. Raises StatusError when it had to be undone."""
        if self._store.held:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append((self._store.rv, waiter))
            await waiter

    async def close(self) -> None:
        """Every change is on disk, or undone, and the journal is closed."""
        with contextlib.suppress(StatusError):
            await self.settled()
        self._closed = True
        if self._failing is not None:
            self._failing.cancel()
        self._writer.shutdown()
        self._journal.close()

    def _changed(self) -> None:
        if not self._busy:
            self._busy = True
            # What else happens in this turn of the loop shares the commit.
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        if self._closed:
            return
        held, rv = self._store.held, self._store.rv
        count = len(held)
        running = self._loop.run_in_executor(
            self._writer, self._journal.commit, _last_states(held), rv
        )
        running.add_done_callback(lambda done: self._committed(count, rv, done))

    def _committed(self, count: int, rv: int, done: asyncio.Future[None]) -> None:
        if self._closed:
            return
        problem = done.exception()
        if problem is not None:
            self._undo(problem)
            return
        steps = self._store.release(count)
        self._busy = bool(self._store.held)
        if self._busy:
            self._commit()
        for collection, event in steps:
            collection.tell(event)
        while self._waiters and self._waiters[0][0] <= rv:
            waiter = self._waiters.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)
        if self._failing is not None:
            self._failing.cancel()
            self._failing = None
            self._resume()

    def _undo(self, problem: BaseException) -> None:
        self._busy = False
        self._store.undo(self._step_back)
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(not_stored(str(problem), full=isinstance(problem, NoRoom)))
        self._waiters.clear()
        if self._failing is not None:
            self._failing.cancel()
        self._failing = self._loop.call_later(RETRY_SECONDS, self._changed)


def _last_states(steps: list[Step]) -> Changes:
    return {
        (collection.resource, event.record.key): (
            None if event.type == DELETED else event.record.raw
        )
        for collection, event in steps
        if event is not None
    }
