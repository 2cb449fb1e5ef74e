"""Runs a program that was not written for it so that it ends when its parent does.

`python leash.py PARENT COMMAND...`, with a pipe of the parent's as standard input. On Linux this
process becomes the command, having asked the kernel to kill it when its parent ends, by whatever
means. Elsewhere it stays, and kills the command when the pipe closes. Standard library only and no
package around it, so that it starts in a few milliseconds.
"""

import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> int:
    """The exit code of the command; on Linux it does not return."""
    if sys.platform == "linux":
        _die_with(parent)
        os.execv(command[0], command)
    return _watch_over(command)


def _die_with(parent: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the kernel does not end children with their parent")
    # The parent may have ended before the kernel knew.
    if os.getppid() != parent:
        sys.exit(1)


def _watch_over(command: list[str]) -> int:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def until_closed() -> None:
        while os.read(0, 4096):
            pass
        process.kill()

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, _frame: process.send_signal(number))
    threading.Thread(target=until_closed, daemon=True).start()
    return process.wait()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
