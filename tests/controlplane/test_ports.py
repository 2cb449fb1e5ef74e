"""A port that was chosen for a program is that program's, before it listens and after it ended."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from collections.abc import Iterator

import pytest

from kube_queue.controlplane.ports import HeldPorts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ports are held on Linux alone")


@pytest.fixture
def ports() -> Iterator[HeldPorts]:
    held = HeldPorts()
    yield held
    held.close()


async def listen(port: int) -> asyncio.Server:
    return await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)


def given_by_the_system() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_held_port_is_given_to_nobody_else(ports: HeldPorts) -> None:
    held = {ports.any() for _ in range(500)}
    assert len(held) == 500
    assert held.isdisjoint(given_by_the_system() for _ in range(2_000))


def test_its_program_may_listen_on_it_again_and_again(ports: HeldPorts) -> None:
    async def story() -> None:
        port = ports.any()
        for _ in range(3):
            server = await listen(port)
            with pytest.raises(OSError, match="in use"):
                await listen(port)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await reader.read() == b""
            writer.close()
            server.close()
            await server.wait_closed()

    asyncio.run(story())


def test_nobody_answers_on_it_while_its_program_is_away(ports: HeldPorts) -> None:
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", ports.any())) == errno.ECONNREFUSED


def test_a_port_that_somebody_has_is_left_to_them(ports: HeldPorts) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as other:
        ports.hold(other.getsockname()[1])
    ports.hold(0)


def test_a_port_is_anybodys_once_it_is_let_go(ports: HeldPorts) -> None:
    port = ports.any()
    with socket.socket() as other:
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        ports.close()
        other.bind(("127.0.0.1", port))
