"""What jobs take from other objects is read although the server fails at first."""

import asyncio
import random

import pytest

from kube_queue.api.errors import ConnectionLost
from kube_queue.apiserver.core import ApiServer
from kube_queue.app.in_process import InProcessTransport
from kube_queue.app.virtual_time import run_virtual, virtual_clock
from kube_queue.controller.jobs.around import SYNC_SECONDS, AroundWatch
from kube_queue.kube.client import Client
from kube_queue.kube.transport import Response


class FailsAtFirst(InProcessTransport):
    """Fails the first requests for RuntimeClasses with each of these, then no more."""

    def __init__(self, server: ApiServer, failures: list[Response | Exception]) -> None:
        super().__init__(server)
        self.failures = failures

    async def request(self, method, path, **more) -> Response:  # type: ignore[no-untyped-def]
        if path.endswith("/runtimeclasses") and self.failures:
            failure = self.failures.pop(0)
            if isinstance(failure, Exception):
                raise failure
            return failure
        return await super().request(method, path, **more)


@pytest.mark.parametrize(
    "failure",
    [Response(500, {}, b""), Response(429, {"Retry-After": "1"}, b""), ConnectionLost("gone")],
    ids=["a fault of the server", "too many requests", "a lost connection"],
)
def test_a_server_that_fails_when_asked_for_runtime_classes_is_asked_again(
    failure: Response | Exception,
) -> None:
    async def main() -> None:
        server = ApiServer(clock=virtual_clock(), rng=random.Random(1))
        transport = FailsAtFirst(server, [failure, failure])
        around = AroundWatch(Client(transport), lambda: None, rng=random.Random(1), page_size=10)
        running = asyncio.create_task(around.run())
        await asyncio.sleep(SYNC_SECONDS)
        assert not running.done()
        assert not transport.failures
        assert around._runtimes.synced.is_set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.close()

    run_virtual(main())
