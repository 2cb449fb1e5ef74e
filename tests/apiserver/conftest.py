"""Servers to speak to: in process and over HTTP."""

from collections.abc import AsyncIterator

import pytest

from tests.apiserver.client import (
    CRDS,
    Api,
    Clock,
    InProcess,
    OverHttp,
    a_definition,
    a_server,
)


@pytest.fixture
async def local() -> AsyncIterator[Api]:
    """A fresh server, called in process."""
    clock = Clock()
    server = a_server(clock=clock)
    wire = InProcess(server)
    yield Api(wire, server, clock)
    await wire.close()
    await server.close()


@pytest.fixture(params=["in process", "over HTTP"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """A fresh server, called both ways."""
    clock = Clock()
    server = a_server(clock=clock)
    wire: InProcess | OverHttp
    if request.param == "in process":
        wire = InProcess(server)
    else:
        wire = OverHttp(server)
        await wire.start()
    yield Api(wire, server, clock)
    await wire.close()
    await server.close()


@pytest.fixture
async def units(api: Api) -> Api:
    """A server that serves the custom kind Unit."""
    await api.made(CRDS, a_definition())
    return api


@pytest.fixture
async def local_units(local: Api) -> Api:
    """The same, in process only."""
    await local.made(CRDS, a_definition())
    return local
