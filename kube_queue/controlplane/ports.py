"""Ports of loopback for programs that are started later, and perhaps more than once.

A port that is only looked up is free until its program listens, and each time that program ends:
whoever asks the system for any port may be given it meanwhile. So a socket that listens to nothing
holds it. On Linux a program that sets SO_REUSEADDR, as asyncio and Go do, may listen beside it;
elsewhere none may, and there the port is only looked up.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Final

_HOLDS: Final = sys.platform == "linux"


class HeldPorts:
    """Holds ports until it is closed."""

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def any(self, rather: int = 0) -> int:
        """A port that nobody has, and that nobody is given who does not ask for it by number;
        this one if it can be had.
        """
        return rather if self.hold(rather) else self._hold(0)

    def hold(self, port: int) -> bool:
        """Whether the port is one, and nobody has it; it is held then."""
        if not 0 < port < 65536:
            return False
        try:
            self._hold(port)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """The ports are anybody's."""
        for each in self._held:
            each.close()
        self._held.clear()

    def _hold(self, port: int) -> int:
        with contextlib.ExitStack() as unless_held:
            held = unless_held.enter_context(socket.socket())
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind(("127.0.0.1", port))
            if _HOLDS:
                unless_held.pop_all()
                self._held.append(held)
            return int(held.getsockname()[1])
