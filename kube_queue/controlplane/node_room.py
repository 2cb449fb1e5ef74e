"""Runs the programs of one node in a room of their own, of which nothing remains.

`python node_room.py PLAN.json`, as root, on Linux. The room is a process, mount and network
namespace: whatever is started, mounted or configured in it, by its programs or by the containers
they start, ends when its first process does, and that one ends with this process. This process
itself stays outside and carries connections from a port in the room to the API server's port.
Standard library only and no package around it, so that it starts in a few milliseconds.

The plan: `port`, of the API server; `address`, the room's own besides loopback; `logs`, a folder;
`kernel`, a folder for files that stand for kernel settings; `environment`; `first`, `socket`,
`then` and `last`: the runtime, the socket it listens on, the commands to run once when it does, and
the kubelet. The first words of runtime and kubelet are their names in the logs.
"""

import asyncio
import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_CLONE_NEWNS, _CLONE_NEWPID, _CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_SHARED = 0x1000, 0x4000, 1 << 18, 1 << 20
_PR_SET_PDEATHSIG = 1
_SIOCSIFFLAGS, _SIOCSIFADDR, _IFF_UP = 0x8914, 0x8916, 1
_RUNTIME_WITHIN = 60.0
_POLL_SECONDS = 0.05
_LINK = "/proc/self/ns/net"
# Where the programs keep what they would leave behind on a machine of their own.
EMPTIED = ("/run", "/var/lib", "/var/log")
# A kubelet insists on these. They are of the whole machine, so it is shown what it wants to see.
_WANTED_OF_KERNEL = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
_libc = ctypes.CDLL(None, use_errno=True)
Plan = Mapping[str, Any]


def main(path: Path) -> int:
    """The room has ended, or was ended by a signal; 1 unless it was asked for."""
    plan: Plan = json.loads(path.read_text(encoding="utf-8"))
    outside = os.open(_LINK, os.O_RDONLY)
    _check(_libc.unshare(_CLONE_NEWNET))
    _raise_loopback(plan["address"])
    door = socket.create_server(("127.0.0.1", plan["port"]))
    inside = os.open(_LINK, os.O_RDONLY)
    _check(_libc.setns(outside, _CLONE_NEWNET))
    _check(_libc.unshare(_CLONE_NEWPID))
    alive, held = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(held)
        door.close()
        try:
            code = _inside(plan, inside, alive)
        except (OSError, RuntimeError) as problem:
            _say(str(problem))
            code = 1
        os._exit(code)
    return asyncio.run(_outside(plan["port"], door, child))


async def _outside(port: int, door: socket.socket, child: int) -> int:
    """Connections are carried until the room has ended; SIGTERM and SIGINT end it."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()
    asked = False

    def end() -> None:
        nonlocal asked
        asked = True
        os.kill(child, signal.SIGKILL)

    def collect() -> None:
        loop.remove_reader(handle)
        _, status = os.waitpid(child, 0)
        ended.set_result(os.waitstatus_to_exitcode(status))

    handle = os.pidfd_open(child)
    loop.add_reader(handle, collect)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    server = await asyncio.start_server(lambda near, out: _carry(port, near, out), sock=door)
    code = await ended
    server.close()
    return 0 if asked else max(code, 1)


async def _carry(port: int, near: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
    try:
        far, far_out = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        near_out.close()
        return
    try:
        await asyncio.gather(_pump(near, far_out), _pump(far, near_out))
    except OSError:
        pass
    finally:
        near_out.close()
        far_out.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    if sink.can_write_eof():
        sink.write_eof()


def _inside(plan: Plan, network: int, alive: int) -> int:
    """The first process of the room; the room ends when this returns."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
    os.set_blocking(alive, False)
    try:
        os.read(alive, 1)
        return 1  # the parent ended before the kernel knew
    except BlockingIOError:
        pass
    os.setsid()
    _check(_libc.setns(network, _CLONE_NEWNET))
    _furnish(Path(plan["kernel"]))
    environment = {**os.environ, **plan["environment"]}
    logs = Path(plan["logs"])
    names = {_start(plan["first"], environment, logs): plan["first"][0]}
    _until_listening(Path(plan["socket"]), names, logs)
    for command in plan["then"]:
        _once(command, environment)
    names[_start(plan["last"], environment, logs)] = plan["last"][0]
    while True:
        pid, status = os.wait()
        if pid in names:
            raise RuntimeError(_ended(names[pid], status, logs))


def _furnish(kernel: Path) -> None:
    """Mounts made from here on stay here; the places that the programs fill are empty."""
    _check(_libc.unshare(_CLONE_NEWNS))
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    # Among the programs of the room, what one mounts the other must see.
    _mount("none", "/", "", _MS_REC | _MS_SHARED)
    _mount("proc", "/proc", "proc")
    for place in EMPTIED:
        _mount("room", place, "tmpfs")
    kernel.mkdir(exist_ok=True)
    for name, value in _WANTED_OF_KERNEL.items():
        setting = Path("/proc/sys", name)
        if setting.exists():
            shown = kernel / name.replace("/", "-")
            shown.write_text(f"{value}\n", encoding="ascii")
            _mount(str(shown), str(setting), "", _MS_BIND)


def _start(words: Sequence[str], environment: Mapping[str, str], logs: Path) -> int:
    name, *command = words
    with (logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
    # It is waited for by os.wait, with all the others; Python need not look for it at its end.
    process.returncode = 0
    return process.pid


def _once(command: Sequence[str], environment: Mapping[str, str]) -> None:
    outcome = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
    )
    if outcome.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed: {outcome.stderr.strip()}")


def _until_listening(path: Path, names: Mapping[int, str], logs: Path) -> None:
    until = time.monotonic() + _RUNTIME_WITHIN  # noqa: TID251
    while time.monotonic() < until:  # noqa: TID251
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                return
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in names:
            raise RuntimeError(_ended(names[pid], status, logs))
        time.sleep(_POLL_SECONDS)  # noqa: TID251
    raise RuntimeError(f"{path} does not answer within {_RUNTIME_WITHIN:.0f} s")


def _ended(name: str, status: int, logs: Path) -> str:
    lines = (logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    last = lines[-1] if lines else "it said nothing"
    return f"{name} ended (exit code {os.waitstatus_to_exitcode(status)}): {last}"


def _raise_loopback(address: str) -> None:
    """The loopback interface is up, and has a second address: a kubelet accepts no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
        octets = socket.inet_aton(address)
        where = struct.pack("16sHH4s8x", b"lo:0", socket.AF_INET, 0, octets)
        fcntl.ioctl(control, _SIOCSIFADDR, where)


def _mount(source: str, target: str, kind: str, flags: int = 0) -> None:
    words = (word.encode() for word in (source, target, kind))
    _check(_libc.mount(*words, ctypes.c_ulong(flags), None), f"mounting {target}")


def _check(result: int, doing: str = "making a room of its own for the node") -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{doing}: {os.strerror(code)}")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
